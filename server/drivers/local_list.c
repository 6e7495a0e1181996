/* local_list.c - listings of the local store: one iterator of RocksDB's, which is one snapshot, a page. Rows alone are read. Any
 * thread; nothing is shared but RocksDB.
 */
#include "list_walk.h"
#include "local.h"

#include <string.h>

struct rows {
    rocksdb_iterator_t *iterator;
    struct tvs_local_bucket *bucket;
    uint8_t target[TVS_INDEX_KEY_BYTES_MAX + 2];
};

static void rows_seek(void *context, const char *key, size_t key_bytes) {
    struct rows *rows = context;
    TV_ASSERT(key_bytes <= TV_KEY_BYTES_MAX + 1);
    size_t bytes = tvs_index_key_object(rows->bucket->id, key, key_bytes, rows->target);
    rocksdb_iter_seek(rows->iterator, (const char *)rows->target, bytes);
}

static void rows_next(void *context) {
    struct rows *rows = context;
    rocksdb_iter_next(rows->iterator);
}

/* The iterator's upper bound ends it with the bucket. */
static const char *rows_key(void *context, size_t *key_bytes) {
    struct rows *rows = context;
    if (!rocksdb_iter_valid(rows->iterator))
        return NULL;
    size_t bytes;
    const char *key = rocksdb_iter_key(rows->iterator, &bytes);
    size_t prefix = bytes < TVS_OBJECT_KEY_PREFIX_BYTES ? bytes : TVS_OBJECT_KEY_PREFIX_BYTES; /* without a key it is damage */
    *key_bytes = bytes - prefix;
    return key + prefix;
}

static trove_status rows_object(void *context, struct tvs_object *object, trove_error *error) {
    struct rows *rows = context;
    size_t bytes;
    const char *value = rocksdb_iter_value(rows->iterator, &bytes);
    struct tvs_record record;
    trove_status status = tvs_record_decode(value, bytes, &record, error);
    if (status != TROVE_OK)
        return status;
    object->size = record.size;
    object->generation = record.generation;
    object->modified_ns = record.modified_ns;
    object->gap_count = record.gaps.count;
    object->gap_bytes = record.gaps.bytes;
    tvs_etag_from_raw(record.etag, object->etag);
    return TROVE_OK;
}

trove_status tvs_local_list(struct tvs_driver *driver, const char *bucket, const struct tvs_list_query *query,
                            tvs_list_visit visit, void *context, bool *more, trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct rows rows = {0};
    trove_status status = tvs_local_bucket_acquire(&local->buckets, bucket, &rows.bucket, error);
    if (status != TROVE_OK)
        return status;
    uint8_t end[TVS_OBJECT_KEY_PREFIX_BYTES];
    size_t end_bytes = tvs_index_key_object(rows.bucket->id + 1, "", 0, end);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)end, end_bytes);
    rows.iterator = rocksdb_create_iterator_cf(local->index.db, options, local->index.rows);
    struct tvs_list_cursor cursor = {
        .context = &rows, .seek = rows_seek, .next = rows_next, .key = rows_key, .object = rows_object};
    bool follows = false;
    status = tvs_list_walk(&cursor, query, visit, context, &follows, error);
    char *failure = NULL;
    rocksdb_iter_get_error(rows.iterator, &failure);
    rocksdb_iter_destroy(rows.iterator);
    rocksdb_readoptions_destroy(options);
    tvs_local_bucket_release(rows.bucket);
    if (failure != NULL)
        status = tvs_index_fail(failure, "can't list a bucket", error);
    if (status == TROVE_OK)
        *more = follows;
    return status;
}
