/* faulty_objects.c - whole objects and listings over a bad connection. See faulty_wire.h. */
#include "faulty_wire.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 40000 /* every step of an operation has its own time; faults are few, and a machine may be slow */

/* ---- what must hold ---- */

/* What can come of bytes that are lost, late or flipped. Before the welcome a go-away has no checksum: its code may be any. */
static bool may_be(trove_status status, bool connecting) {
    switch (status) {
    case TROVE_OK:
    case TROVE_UNAVAILABLE:
    case TROVE_DEADLINE_EXCEEDED:
    case TROVE_DATA_LOSS:
    case TROVE_RESOURCE_EXHAUSTED:
        return true;
    default:
        return connecting;
    }
}

trove_status faulty_ended(struct faulty_worker *worker, const char *what, uint64_t began_ms, trove_status status,
                          const trove_error *error) {
    uint64_t took_ms = seeded_now_ms() - began_ms;
    worker->statuses[status]++;
    if (!may_be(status, strcmp(what, "connect") == 0))
        fail_msg("%s: %s: %s", what, trove_status_name(status), error->message);
    if (status != TROVE_OK && (error->status != status || error->message[0] == '\0'))
        fail_msg("%s: %s, and the error says %s: \"%s\"", what, trove_status_name(status), trove_status_name(error->status),
                 error->message);
    if (took_ms > PATIENCE_MS)
        fail_msg("%s took %llu ms: %s", what, (unsigned long long)took_ms, status == TROVE_OK ? "" : error->message);
    return status;
}

static bool is_version(struct faulty_worker *worker, struct faulty_version version, trove_status status, size_t size) {
    if (!version.exists || status != TROVE_OK)
        return !version.exists && status == TROVE_NOT_FOUND;
    return size == version.size && seeded_is(version.content, 0, worker->got, size);
}

void faulty_check_object(struct faulty_worker *worker, const struct faulty_object *object, struct faulty_version next,
                         trove_status status) {
    size_t size = 0;
    trove_error error = {0};
    trove_status got =
        trove_get_memory(worker->direct, FAULTY_BUCKET, object->key, worker->got, FAULTY_SIZE_MAX + 1, NULL, &size, NULL, &error);
    if (is_version(worker, next, got, size) || (status != TROVE_OK && is_version(worker, object->now, got, size)))
        return;
    fail_msg("%s after %s: %s, %zu bytes: %s", object->key, trove_status_name(status), trove_status_name(got), size,
             got == TROVE_OK ? "" : error.message);
}

/* ---- objects ---- */

void faulty_new_key(struct faulty_worker *worker, char key[64]) {
    snprintf(key, 64, "%llx/%u", (unsigned long long)worker->seed, worker->keys++);
}

struct faulty_version faulty_draw_version(struct faulty_worker *worker) {
    size_t size =
        seeded_once_in(&worker->random, 2) ? seeded_below(&worker->random, 65537) : seeded_size(&worker->random, FAULTY_SIZE_MAX);
    return (struct faulty_version){.exists = true, .content = seeded_next(&worker->random), .size = size};
}

void faulty_store(struct faulty_worker *worker, struct faulty_object *object, struct faulty_version version) {
    trove_error error = {0};
    seeded_fill(version.content, 0, worker->bytes, version.size);
    if (trove_put_memory(worker->direct, FAULTY_BUCKET, object->key, worker->bytes, version.size, NULL, NULL, &error) != TROVE_OK)
        fail_msg("%s: %s", object->key, error.message);
    object->now = version;
}

trove_status faulty_connect(struct faulty_worker *worker, const char *url) {
    trove_client_options options;
    trove_error error = {0};
    trove_client_options_init(&options);
    options.connect_timeout_ms = options.call_timeout_ms = FAULTY_STEP_MS;
    options.keepalive_ms = 1000;
    options.retry_for_ms = TROVE_NO_RETRY;
    uint64_t began_ms = seeded_now_ms();
    return faulty_ended(worker, "connect", began_ms, trove_connect(url, &options, &worker->client, &error), &error);
}

trove_status faulty_put(struct faulty_worker *worker) {
    struct faulty_object object = {0};
    trove_error error = {0};
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.timeout_ms = FAULTY_STEP_MS;
    faulty_new_key(worker, object.key);
    if (seeded_once_in(&worker->random, 2))
        faulty_store(worker, &object, faulty_draw_version(worker));
    struct faulty_version next = faulty_draw_version(worker);
    seeded_fill(next.content, 0, worker->bytes, next.size);
    if (seeded_once_in(&worker->random, 3))
        options.chunk_bytes = 1 + seeded_size(&worker->random, 300000) + next.size / 200;
    uint64_t began_ms = seeded_now_ms();
    trove_status status =
        trove_put_memory(worker->client, FAULTY_BUCKET, object.key, worker->bytes, next.size, &options, NULL, &error);
    faulty_ended(worker, "put", began_ms, status, &error);
    faulty_check_object(worker, &object, next, status);
    return status;
}

trove_status faulty_get(struct faulty_worker *worker) {
    const struct faulty_version *version = &worker->base.now;
    trove_error error = {0};
    trove_stream_options options;
    size_t from = 0, wanted = version->size, got = 0;
    trove_stream_options_init(&options);
    options.timeout_ms = FAULTY_STEP_MS;
    if (version->size > 0 && seeded_once_in(&worker->random, 2)) {
        from = seeded_below(&worker->random, version->size);
        wanted = 1 + seeded_below(&worker->random, version->size - from);
        options.range_offset = from;
        options.range_length = wanted;
    }
    uint64_t began_ms = seeded_now_ms();
    trove_status status = trove_get_memory(worker->client, FAULTY_BUCKET, worker->base.key, worker->got, FAULTY_SIZE_MAX,
                                           &options, &got, NULL, &error);
    faulty_ended(worker, "get", began_ms, status, &error);
    if (status == TROVE_OK && (got != wanted || !seeded_is(version->content, from, worker->got, got)))
        fail_msg("%zu bytes of %s from %zu are other ones", got, worker->base.key, from);
    return status;
}

/* ---- listings ---- */

static void check_entry(const trove_list_entry *entry, unsigned index) {
    char key[64];
    snprintf(key, sizeof key, FAULTY_LIST "%05u", index);
    if (strcmp(entry->key, key) != 0 || entry->size != index || entry->is_prefix)
        fail_msg("%s of %llu bytes stands in the place of %s", entry->key, (unsigned long long)entry->size, key);
}

/* All of it, in pages. */
trove_status faulty_list(struct faulty_worker *worker) {
    trove_list_options options;
    trove_error error = {0};
    char cursor[4096];
    unsigned seen = 0;
    trove_list_options_init(&options);
    options.prefix = FAULTY_LIST;
    options.limit = 100 + (uint32_t)seeded_below(&worker->random, 901);
    options.timeout_ms = FAULTY_STEP_MS;
    for (bool more = true; more;) {
        trove_list_page *page;
        uint64_t began_ms = seeded_now_ms();
        trove_status status = trove_list(worker->client, FAULTY_BUCKET, &options, &page, &error);
        if (faulty_ended(worker, "list", began_ms, status, &error) != TROVE_OK)
            return status;
        for (size_t i = 0; i < page->count; i++)
            check_entry(&page->entries[i], seen++);
        more = page->next_cursor != NULL;
        if (more)
            snprintf(cursor, sizeof cursor, "%s", page->next_cursor);
        options.cursor = cursor;
        trove_list_page_free(page);
    }
    assert_int_equal(seen, FAULTY_LIST_COUNT);
    return TROVE_OK;
}
