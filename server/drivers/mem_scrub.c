/* mem_scrub.c - scrubs of the mem store: memory is damaged less often than a disk, but nobody looks at it either. See scrub.h. */
#include "mem.h"
#include "scrub.h"

#include <string.h>

struct source {
    struct tvs_mem *mem;
    const char *bucket;
};

static trove_status seek(void *context, const char *from, bool beyond, char key[TV_KEY_BYTES_MAX + 1], bool *found,
                         trove_error *error) {
    const struct source *source = context;
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&source->mem->lock);
    const struct tvs_mem_bucket *in = tvs_mem_bucket_find(source->mem, source->bucket);
    const struct tvs_mem_object *at = in == NULL ? NULL : tvs_mem_map_seek(&in->map, from, strlen(from), beyond);
    if (in == NULL)
        status = tvs_fail_no_bucket(source->bucket, error);
    *found = at != NULL;
    if (at != NULL)
        memcpy(key, at->key, at->key_bytes + 1);
    pthread_mutex_unlock(&source->mem->lock);
    return status;
}

static trove_status check(void *context, const char *key, struct tvs_get *get, const struct tvs_object *object,
                          trove_error *error) {
    (void)context, (void)key;
    const struct tvs_mem_object *kept = tvs_mem_get_object(get);
    char etag[TROVE_ETAG_BYTES];
    tv_etag(object->size, kept->sums, kept->block_count, etag);
    if (kept->block_count != tv_block_count(object->size) || strcmp(etag, object->etag) != 0)
        return TV_FAIL(error, DATA_LOSS, "its checksums in memory don't match its etag");
    return TROVE_OK;
}

trove_status tvs_mem_scrub(struct tvs_driver *driver, const char *bucket, struct tvs_scrub *scrub, bool *finished,
                           trove_error *error) {
    struct source source = {.mem = tvs_mem_of(driver), .bucket = bucket};
    const struct tvs_scrub_source way = {.context = &source, .seek = seek, .check = check};
    return tvs_scrub_step(driver, bucket, &way, scrub, finished, error);
}
