/* local_get.c - gets from the local store: an object's row, then its bytes, each block checked against its checksum.
 *
 * A get survives the deletion of its object without any lock or count: an inline object's bytes stay pinned in RocksDB's memory,
 * a file stays readable while it is open. Between reading the row and getting hold of the bytes the object may be replaced; then
 * they are gone, the row is another one, and the get begins again. If the row is still the same, they are lost.
 */
#include "local.h"

#include <string.h>

/* How often an object may be replaced in the few microseconds of an attempt before the get gives up. */
#define ATTEMPTS_MAX 100
/* Checksums that are read in one go: 32 KiB, on the stack. */
#define SUMS_AT_ONCE 4096

trove_status tvs_local_describe(const char *key, const struct tvs_record *record, struct tvs_object *object, trove_error *error) {
    char etag[TROVE_ETAG_BYTES];
    tvs_etag_from_raw(record->etag, etag);
    struct tvs_object_facts facts = {.key = key,
                                     .key_bytes = strlen(key),
                                     .size = record->size,
                                     .generation = record->generation,
                                     .modified_ns = record->modified_ns,
                                     .etag = etag,
                                     .strings = record->strings,
                                     .strings_bytes = record->strings_bytes,
                                     .metadata_count = record->metadata_count,
                                     .gaps = record->gaps};
    return tvs_object_build(&facts, object, error);
}

static trove_status damaged(const struct tvs_get *get, const char *what, trove_error *error) {
    char name[TVS_NAME_BYTES];
    return TV_FAIL(error, DATA_LOSS, "object %s is damaged: %s; put it again", tvs_object_name(get->bucket, get->key, name),
                   what);
}

/* The same, unless it is for want of something else than the object's bytes. */
static trove_status fail_reading(const struct tvs_get *get, trove_status status, const char *what, trove_error *error) {
    char name[TVS_NAME_BYTES];
    if (status == TROVE_DATA_LOSS)
        return damaged(get, what, error);
    return tv_error_set(error, status, "reading %s: %s", tvs_object_name(get->bucket, get->key, name), what);
}

static trove_status open_inline(struct tvs_local *local, struct tvs_get *get, trove_error *error) {
    uint8_t key[8];
    tvs_index_key_inline(get->record.generation, key);
    trove_status status = tvs_index_get(&local->index, local->index.inlined, key, sizeof key, &get->inlined, error);
    if (status != TROVE_OK)
        return status;
    if (get->inlined.bytes == NULL)
        return TV_FAIL(error, NOT_FOUND, "its bytes are missing from the index");
    if (get->inlined.count != get->record.size)
        return TV_FAIL(error, DATA_LOSS, "the index has fewer or more of its bytes than it should");
    return TROVE_OK;
}

static trove_status open_bytes(struct tvs_local *local, struct tvs_get *get, trove_error *error) {
    switch (get->record.place) {
    case TVS_PLACE_NONE:
        return TROVE_OK;
    case TVS_PLACE_INLINE:
        return open_inline(local, get, error);
    case TVS_PLACE_FILE:
        return tvs_file_reader_open(&local->files, &get->record.file, get->record.size, &get->file, error);
    }
    return TROVE_OK;
}

/* One attempt. *again: the bytes belong to a row that may be gone by now. */
static trove_status attempt(struct tvs_local *local, const struct tvs_local_bucket *bucket,
                            const struct tvs_conditions_copy *conditions, struct tvs_get *get, struct tvs_object *object,
                            bool *again, trove_error *error) {
    uint8_t index_key[TVS_INDEX_KEY_BYTES_MAX];
    size_t bytes = tvs_index_key_object(bucket->id, get->key, strlen(get->key), index_key);
    struct tvs_row row;
    bool found;
    uint64_t generation_before = get->record.generation;
    trove_status status = tvs_index_get_object(&local->index, index_key, bytes, &row, &get->record, &found, error);
    if (status != TROVE_OK)
        return status;
    if (!found)
        return tvs_fail_no_object(bucket->name, get->key, error);
    struct tvs_object described = {0};
    status = tvs_local_describe(get->key, &get->record, &described, error);
    tvs_row_fini(&row);
    get->record.strings = NULL;
    get->record.gaps = (struct tv_packed_gaps){0};
    if (status == TROVE_OK)
        status = tvs_conditions_check(conditions, described.etag, described.generation, bucket->name, get->key, error);
    if (status == TROVE_OK) {
        trove_error inner = {0};
        status = open_bytes(local, get, &inner);
        *again = status == TROVE_NOT_FOUND && get->record.generation != generation_before;
        if (status != TROVE_OK)
            status = fail_reading(get, status == TROVE_NOT_FOUND ? TROVE_DATA_LOSS : status, inner.message, error);
    }
    if (status == TROVE_OK)
        *object = described;
    else
        tvs_object_fini(&described);
    return status;
}

trove_status tvs_local_get_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                                 const struct tvs_conditions *conditions, struct tvs_get **get, struct tvs_object *object,
                                 trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_bucket *in;
    trove_status status = tvs_local_bucket_acquire(&local->buckets, bucket, &in, error);
    if (status != TROVE_OK)
        return status;
    size_t key_bytes = strlen(key);
    struct tvs_get *made = calloc(1, sizeof *made + key_bytes + 1);
    if (made == NULL) {
        tvs_local_bucket_release(in);
        return tvs_fail_no_memory("a get", error);
    }
    made->file.fd = -1;
    memcpy(made->bucket, in->name, sizeof made->bucket);
    memcpy(made->key, key, key_bytes + 1);
    struct tvs_conditions_copy wanted;
    tvs_conditions_keep(conditions, &wanted);
    bool again = true;
    for (int i = 0; i < ATTEMPTS_MAX && again; i++) {
        again = false;
        status = attempt(local, in, &wanted, made, object, &again, error);
    }
    tvs_local_bucket_release(in);
    if (status == TROVE_OK) {
        *get = made;
        return TROVE_OK;
    }
    tvs_local_get_end(made);
    if (!again)
        return status;
    char name[TVS_NAME_BYTES];
    return TV_FAIL(error, ABORTED, "object %s is being replaced again and again; try again", tvs_object_name(bucket, key, name));
}

void tvs_local_get_end(struct tvs_get *get_move) {
    if (get_move == NULL)
        return;
    tvs_row_fini(&get_move->inlined);
    tvs_file_reader_close(&get_move->file);
    free(get_move);
}

static trove_status read_bytes(struct tvs_get *get, struct tv_data *data, uint64_t *sums, trove_error *error) {
    if (get->record.place == TVS_PLACE_INLINE) {
        const char *from = get->inlined.bytes;
        for (uint32_t i = 0; i < data->iov_count; i++) {
            memcpy(data->iov[i].iov_base, from, data->iov[i].iov_len);
            from += data->iov[i].iov_len;
        }
        sums[0] = get->record.inline_sum;
        return TROVE_OK;
    }
    trove_status status = tvs_file_reader_read(&get->file, data, error);
    if (status == TROVE_OK)
        status = tvs_file_reader_sums(&get->file, data->offset / TV_BLOCK_BYTES, data->piece_count, sums, error);
    return status;
}

trove_status tvs_local_get_read(struct tvs_get *get, struct tv_data *data, trove_error *error) {
    char name[TVS_NAME_BYTES];
    uint64_t size = get->record.size;
    TV_ASSERT(data->offset % TV_BLOCK_BYTES == 0);
    trove_status status = tvs_range_check(data, size, get->bucket, get->key, error);
    if (status != TROVE_OK)
        return status;
    uint64_t sums[TV_DATA_PIECES_MAX] = {0};
    data->piece_count = tv_data_piece_count(data->offset, data->bytes);
    TV_ASSERT(data->piece_count <= TV_DATA_PIECES_MAX);
    if (data->piece_count == 0)
        return TROVE_OK;
    trove_error inner = {0};
    status = read_bytes(get, data, sums, &inner);
    if (status != TROVE_OK) {
        char what[sizeof inner.message + 64];
        snprintf(what, sizeof what, "bytes from %llu to %llu: %s", (unsigned long long)data->offset,
                 (unsigned long long)(data->offset + data->bytes), inner.message);
        return fail_reading(get, status, what, error);
    }
    tv_data_hash(data);
    for (uint32_t i = 0; i < data->piece_count; i++) {
        if (data->piece_sums[i] == sums[i])
            continue;
        uint64_t from = data->offset + i * TV_BLOCK_BYTES;
        uint64_t to = from + TV_BLOCK_BYTES < size ? from + TV_BLOCK_BYTES : size;
        return TV_FAIL(error, DATA_LOSS, "object %s is damaged: bytes from %llu to %llu don't match their checksum; put it again",
                       tvs_object_name(get->bucket, get->key, name), (unsigned long long)from, (unsigned long long)to);
    }
    return TROVE_OK;
}

static trove_status read_sums(struct tvs_get *get, uint64_t first, size_t count, uint64_t *sums, trove_error *error) {
    if (get->record.place != TVS_PLACE_INLINE)
        return tvs_file_reader_sums(&get->file, first, count, sums, error);
    sums[0] = get->record.inline_sum;
    return TROVE_OK;
}

/* Copies what of the part from `at` on lies in the range from `first` on. */
static void take_sums(const uint64_t *part, uint64_t at, size_t part_count, uint64_t first, size_t count, uint64_t *sums) {
    uint64_t begin = at > first ? at : first;
    uint64_t end = at + part_count < first + count ? at + part_count : first + count;
    if (begin < end)
        memcpy(sums + (begin - first), part + (begin - at), (size_t)(end - begin) * sizeof *sums);
}

trove_status tvs_local_get_sums(struct tvs_get *get, uint64_t first, size_t count, uint64_t *sums, trove_error *error) {
    uint64_t part[SUMS_AT_ONCE];
    uint64_t blocks = tv_block_count(get->record.size);
    TV_ASSERT(count == 0 || (first < blocks && count <= blocks - first));
    struct tv_etag_hash hash;
    tv_etag_begin(&hash, get->record.size);
    for (uint64_t at = 0; at < blocks; at += SUMS_AT_ONCE) {
        size_t part_count = blocks - at < SUMS_AT_ONCE ? (size_t)(blocks - at) : SUMS_AT_ONCE;
        trove_error inner = {0};
        trove_status status = read_sums(get, at, part_count, part, &inner);
        if (status != TROVE_OK)
            return fail_reading(get, status, inner.message, error);
        tv_etag_add(&hash, part, part_count);
        take_sums(part, at, part_count, first, count, sums);
    }
    char etag[TROVE_ETAG_BYTES];
    uint8_t raw[TVS_ETAG_RAW_BYTES];
    tv_etag_end(&hash, etag);
    tvs_etag_to_raw(etag, raw);
    return memcmp(raw, get->record.etag, sizeof raw) == 0 ? TROVE_OK
                                                          : damaged(get, "its stored checksums don't match its etag", error);
}
