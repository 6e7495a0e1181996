/* mem_list.c - listings of the mem driver: the page is collected under the lock and visited outside it. */
#include "list_walk.h"
#include "mem.h"
#include "object.h"

#include <string.h>

struct page_entry {
    struct tvs_mem_object *object; /* a reference; NULL for a prefix */
    char *prefix;
};

struct page {
    const struct tvs_mem_map *map;
    struct tvs_mem_object *at; /* the cursor; borrowed under the lock */
    struct page_entry *entries;
    uint32_t count;
    bool no_memory;
};

static void page_seek(void *context, const char *key, size_t key_bytes) {
    struct page *page = context;
    page->at = tvs_mem_map_seek(page->map, key, key_bytes, false);
}

static void page_next(void *context) {
    struct page *page = context;
    page->at = tvs_mem_map_seek(page->map, page->at->key, page->at->key_bytes, true);
}

static const char *page_key(void *context, size_t *key_bytes) {
    struct page *page = context;
    if (page->at == NULL)
        return NULL;
    *key_bytes = page->at->key_bytes;
    return page->at->key;
}

static trove_status page_object(void *context, struct tvs_object *object, trove_error *error) {
    (void)context;
    (void)object;
    (void)error;
    return TROVE_OK;
}

static bool page_collect(void *context, const struct tvs_list_entry *entry) {
    struct page *page = context;
    struct page_entry *to = &page->entries[page->count];
    *to = (struct page_entry){0};
    if (entry->is_prefix) {
        to->prefix = strdup(entry->key);
        page->no_memory = to->prefix == NULL;
        if (page->no_memory)
            return false;
    } else {
        to->object = page->at;
        tvs_mem_object_acquire(to->object);
    }
    page->count++;
    return true;
}

static void page_visit(struct page *page, tvs_list_visit visit, void *context, bool *more) {
    bool taking = true;
    for (uint32_t i = 0; i < page->count; i++) {
        struct page_entry *entry = &page->entries[i];
        struct tvs_object object = {0};
        if (entry->object != NULL) {
            object = (struct tvs_object){.key = entry->object->key,
                                         .size = entry->object->size,
                                         .generation = entry->object->generation,
                                         .modified_ns = entry->object->modified_ns,
                                         .gap_count = entry->object->gaps.count,
                                         .gap_bytes = entry->object->gaps.bytes};
            memcpy(object.etag, entry->object->etag, sizeof object.etag);
        }
        struct tvs_list_entry shown = {.key = entry->prefix != NULL ? entry->prefix : object.key,
                                       .is_prefix = entry->prefix != NULL,
                                       .object = entry->prefix != NULL ? NULL : &object};
        if (taking && !visit(context, &shown)) {
            taking = false;
            *more = true;
        }
        tvs_mem_object_release(entry->object);
        free(entry->prefix);
    }
}

trove_status tvs_mem_list(struct tvs_driver *driver, const char *bucket, const struct tvs_list_query *query, tvs_list_visit visit,
                          void *context, bool *more, trove_error *error) {
    struct tvs_mem *mem = tvs_mem_of(driver);
    struct page page = {.entries = malloc(query->limit * sizeof *page.entries)};
    if (page.entries == NULL)
        return tvs_fail_no_memory("a page of a listing", error);
    struct tvs_list_cursor cursor = {
        .context = &page, .seek = page_seek, .next = page_next, .key = page_key, .object = page_object};
    bool follows = false;
    pthread_mutex_lock(&mem->lock);
    struct tvs_mem_bucket *in = tvs_mem_bucket_find(mem, bucket);
    trove_status status = TROVE_OK;
    if (in == NULL) {
        status = tvs_fail_no_bucket(bucket, error);
    } else {
        page.map = &in->map;
        status = tvs_list_walk(&cursor, query, page_collect, &page, &follows, error);
    }
    pthread_mutex_unlock(&mem->lock);
    if (page.no_memory)
        status = tvs_fail_no_memory("a page of a listing", error);
    /* On failure the page is only let go of. */
    uint32_t count = page.count;
    if (status == TROVE_OK) {
        page_visit(&page, visit, context, &follows);
        *more = follows;
    }
    for (uint32_t i = 0; status != TROVE_OK && i < count; i++) {
        tvs_mem_object_release(page.entries[i].object);
        free(page.entries[i].prefix);
    }
    free(page.entries);
    return status;
}
