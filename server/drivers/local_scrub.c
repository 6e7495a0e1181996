/* local_scrub.c - scrubs of the local store: the objects' rows in order, and what must hold between row, file, file's owner and
 * inline bytes. See scrub.h.
 *
 * (Files that no row owns aren't looked for: a put that is under way has one as well. The start removes what was left.)
 */
#include "local.h"
#include "scrub.h"

#include <fcntl.h>
#include <string.h>

struct source {
    struct tvs_local *local;
    struct tvs_local_bucket *bucket;
};

static trove_status read_key(rocksdb_iterator_t *rows, char key[TV_KEY_BYTES_MAX + 1], bool *found, trove_error *error) {
    *found = rocksdb_iter_valid(rows) != 0;
    if (!*found)
        return TROVE_OK;
    size_t bytes;
    const char *index_key = rocksdb_iter_key(rows, &bytes);
    if (bytes <= TVS_OBJECT_KEY_PREFIX_BYTES || bytes > TVS_INDEX_KEY_BYTES_MAX)
        return TV_FAIL(error, DATA_LOSS, "the index is damaged: it has a key of %zu bytes", bytes);
    bytes -= TVS_OBJECT_KEY_PREFIX_BYTES;
    memcpy(key, index_key + TVS_OBJECT_KEY_PREFIX_BYTES, bytes);
    key[bytes] = '\0';
    if (strlen(key) != bytes)
        return TV_FAIL(error, DATA_LOSS, "the index is damaged: it has a key with a NUL in it");
    return TROVE_OK;
}

static trove_status seek(void *context, const char *from, bool beyond, char key[TV_KEY_BYTES_MAX + 1], bool *found,
                         trove_error *error) {
    const struct source *source = context;
    const struct tvs_index *index = &source->local->index;
    uint8_t first[TVS_INDEX_KEY_BYTES_MAX + 1], end[TVS_OBJECT_KEY_PREFIX_BYTES];
    size_t end_bytes = tvs_index_key_object(source->bucket->id + 1, "", 0, end);
    size_t first_bytes = tvs_index_key_object(source->bucket->id, from, strlen(from), first);
    if (beyond)
        first[first_bytes++] = 0; /* the next possible key */
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)end, end_bytes);
    rocksdb_readoptions_set_fill_cache(options, 0);
    rocksdb_iterator_t *rows = rocksdb_create_iterator_cf(index->db, options, index->rows);
    rocksdb_iter_seek(rows, (const char *)first, first_bytes);
    char *failure = NULL;
    rocksdb_iter_get_error(rows, &failure);
    trove_status status =
        failure != NULL ? tvs_index_fail(failure, "can't walk a bucket", error) : read_key(rows, key, found, error);
    rocksdb_iter_destroy(rows);
    rocksdb_readoptions_destroy(options);
    return status;
}

/* The row by which the next start knows that the file isn't to be removed. */
static trove_status check_owner(const struct source *source, const char *key, const struct tvs_get *get, trove_error *error) {
    const struct tvs_index *index = &source->local->index;
    uint8_t index_key[1 + TVS_FILE_ID_BYTES];
    struct tvs_owner_record owner;
    struct tvs_row row;
    size_t bytes = tvs_index_key_file(&get->record.file, index_key);
    trove_status status = tvs_index_get(index, index->rows, index_key, bytes, &row, error);
    if (status != TROVE_OK)
        return status;
    if (row.bytes == NULL)
        return TV_FAIL(error, DATA_LOSS, "the index has lost that its file has an owner; copy it before the next start");
    status = tvs_owner_record_decode(row.bytes, row.count, &owner, error);
    if (status == TROVE_OK &&
        (owner.bucket_id != source->bucket->id || owner.key_bytes != strlen(key) || memcmp(owner.key, key, owner.key_bytes) != 0))
        status = TV_FAIL(error, DATA_LOSS, "its file belongs to another object");
    tvs_row_fini(&row);
    return status;
}

/* False: it has been replaced or deleted since the get began, and what was found says nothing. */
static bool is_present(const struct source *source, const char *key, uint64_t generation) {
    struct tvs_object now = {0};
    struct tvs_driver *driver = &source->local->base;
    bool same = driver->ops->head(driver, source->bucket->name, key, &now, NULL) == TROVE_OK && now.generation == generation;
    tvs_object_fini(&now);
    return same;
}

static trove_status check(void *context, const char *key, struct tvs_get *get, const struct tvs_object *object,
                          trove_error *error) {
    const struct source *source = context;
    if (get->file.fd >= 0) /* what the page cache still has says nothing of the disk */
        (void)posix_fadvise(get->file.fd, 0, 0, POSIX_FADV_DONTNEED);
    trove_error found;
    trove_status status = tvs_local_get_sums(get, 0, 0, NULL, &found);
    if (status == TROVE_OK && get->record.place == TVS_PLACE_FILE)
        status = check_owner(source, key, get, &found);
    if (status == TROVE_OK || (status == TROVE_DATA_LOSS && !is_present(source, key, object->generation)))
        return TROVE_OK;
    return tv_error_copy(error, &found);
}

trove_status tvs_local_scrub(struct tvs_driver *driver, const char *bucket, struct tvs_scrub *scrub, bool *finished,
                             trove_error *error) {
    struct source source = {.local = tvs_local_of(driver)};
    trove_status status = tvs_local_bucket_acquire(&source.local->buckets, bucket, &source.bucket, error);
    if (status != TROVE_OK)
        return status;
    const struct tvs_scrub_source way = {.context = &source, .seek = seek, .check = check};
    status = tvs_scrub_step(driver, bucket, &way, scrub, finished, error);
    tvs_local_bucket_release(source.bucket);
    return status;
}
