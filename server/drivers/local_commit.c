/* local_commit.c - see local_commit.h. Any thread. */
#include "local_commit.h"

#include "local_uploads.h"

#include <string.h>

static size_t aligned(size_t bytes) {
    return (bytes + 15) & ~(size_t)15;
}

/* The record's numbers, the NUL behind the key, four times up to 15 bytes for alignment. */
_Static_assert(sizeof(struct tvs_commit) + TVS_RECORD_FIXED_BYTES_MAX + 1 + TVS_OBJECT_KEY_PREFIX_BYTES + 4 * 15 <=
                   TVS_SMALL_PUT_FIXED_BYTES,
               "tvs_small_put_bytes tells all that a commit holds");

trove_status tvs_commit_create_put(const struct tvs_commit_put *put, struct tvs_commit **commit, trove_error *error) {
    struct tvs_record record = {
        .place = put->size == 0      ? TVS_PLACE_NONE
                 : put->file != NULL ? TVS_PLACE_FILE
                                     : TVS_PLACE_INLINE,
        .size = put->size,
        .inline_sum = put->inline_sum,
        .metadata_count = (uint16_t)put->metadata_count,
        .strings = put->strings,
        .strings_bytes = put->strings != NULL ? put->strings_bytes : tvs_strings_bytes(put->options),
        .gaps = put->gaps,
    };
    tvs_etag_to_raw(put->etag, record.etag);
    if (put->file != NULL)
        record.file = *put->file;
    size_t key_bytes = strlen(put->key);
    size_t data_bytes = record.place == TVS_PLACE_INLINE ? (size_t)put->size : 0;
    struct tvs_object_facts facts = {.key = put->key,
                                     .key_bytes = key_bytes,
                                     .size = put->size,
                                     .etag = put->etag,
                                     .strings_bytes = record.strings_bytes,
                                     .metadata_count = record.metadata_count,
                                     .gaps = put->gaps};
    size_t block_bytes = aligned(tvs_object_block_bytes(&facts));
    size_t row_bytes = tvs_record_bytes(&record);
    size_t all = aligned(sizeof **commit) + block_bytes + aligned(row_bytes) + aligned(TVS_OBJECT_KEY_PREFIX_BYTES + key_bytes) +
                 data_bytes;
    struct tvs_commit *made = malloc(all);
    if (made == NULL)
        return tvs_fail_no_memory("a commit", error);
    char *block = (char *)made + aligned(sizeof *made);
    uint8_t *row = (uint8_t *)block + block_bytes;
    uint8_t *index_key = row + aligned(row_bytes);
    char *data = (char *)index_key + aligned(TVS_OBJECT_KEY_PREFIX_BYTES + key_bytes);
    /* `error` stays unset: half a KiB that only a failure needs. */
    memset(made, 0, offsetof(struct tvs_commit, error));
    made->kind = TVS_COMMIT_PUT;
    made->bucket = put->bucket;
    made->conditions = *put->conditions;
    made->index_key = index_key;
    made->index_key_bytes = tvs_index_key_object(put->bucket->id, put->key, key_bytes, index_key);
    made->hash = tv_hash(index_key, made->index_key_bytes);
    made->row = row;
    made->row_bytes = row_bytes;
    made->data = data;
    made->data_bytes = data_bytes;
    made->memory_bytes = all;
    /* The strings' first home is the end of the row; the object gets its own copy, and the row is written from that. */
    char *strings = (char *)row + (row_bytes - record.strings_bytes);
    if (record.strings == NULL) {
        tvs_strings_write(put->options, strings);
        record.strings = strings;
    }
    facts.strings = record.strings;
    tvs_object_place(&facts, block, &made->object);
    made->name = made->object.key;
    record.strings = made->object.content_type;
    tvs_record_encode(&record, row);
    made->after = (struct tvs_commit_state){.exists = true, .place = record.place, .size = record.size, .file = record.file};
    memcpy(made->after.etag, record.etag, sizeof record.etag);
    for (uint32_t i = 0; data_bytes > 0 && i < put->data_count; i++) {
        memcpy(data, put->data[i].iov_base, put->data[i].iov_len);
        data += put->data[i].iov_len;
    }
    *commit = made;
    return TROVE_OK;
}

trove_status tvs_commit_create_delete(struct tvs_local_bucket *bucket_move, const char *key,
                                      const struct tvs_conditions_copy *conditions, struct tvs_commit **commit,
                                      trove_error *error) {
    size_t key_bytes = strlen(key);
    size_t all = aligned(sizeof **commit) + TVS_OBJECT_KEY_PREFIX_BYTES + key_bytes + 1;
    struct tvs_commit *made = calloc(1, all);
    if (made == NULL)
        return tvs_fail_no_memory("a commit", error);
    made->kind = TVS_COMMIT_DELETE;
    made->bucket = bucket_move;
    made->conditions = *conditions;
    made->index_key = (uint8_t *)made + aligned(sizeof *made);
    made->index_key_bytes = tvs_index_key_object(bucket_move->id, key, key_bytes, made->index_key);
    made->name = (const char *)made->index_key + TVS_OBJECT_KEY_PREFIX_BYTES; /* calloc put the NUL behind it */
    made->hash = tv_hash(made->index_key, made->index_key_bytes);
    made->memory_bytes = all;
    *commit = made;
    return TROVE_OK;
}

trove_status tvs_commit_create_bucket(struct tvs_local_bucket *bucket_move, const char *name, struct tvs_commit **commit,
                                      trove_error *error) {
    size_t all = aligned(sizeof **commit) + TV_BUCKET_BYTES_MAX + 2;
    struct tvs_commit *made = calloc(1, all);
    if (made == NULL)
        return tvs_fail_no_memory("a commit", error);
    made->kind = bucket_move == NULL ? TVS_COMMIT_BUCKET_CREATE : TVS_COMMIT_BUCKET_DELETE;
    made->bucket = bucket_move;
    made->index_key = (uint8_t *)made + aligned(sizeof *made);
    made->index_key_bytes = tvs_index_key_bucket(name, made->index_key);
    made->name = (const char *)made->index_key + 1;
    made->memory_bytes = all;
    *commit = made;
    return TROVE_OK;
}

void tvs_commit_destroy(struct tvs_commit *commit) {
    if (commit == NULL)
        return;
    tvs_local_bucket_release(commit->bucket);
    tvs_local_upload_release(commit->upload);
    free(commit);
}
