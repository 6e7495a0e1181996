/* local_put.c - puts into the local store. See driver.h for the contract, also for who may call what at the same time;
 * local_committer.c for what makes them durable.
 */
#include "local_put.h"

#include "local_upload_commit.h"

#include <string.h>

/* A gap costs its sender nothing, and here eight bytes a block until the put is finished: so much for all of a store's, 2 TiB of
 * gaps. */
#define GAP_SUMS_BYTES_MAX (64 * TV_MIB)
#define DIGEST_STEP_BYTES  TV_PAYLOAD_BYTES_MAX

trove_status tvs_local_check_conditions_early(struct tvs_local *local, const struct tvs_local_bucket *bucket, const char *key,
                                              const struct tvs_conditions_copy *conditions, trove_error *error) {
    if (!conditions->any)
        return TROVE_OK;
    uint8_t index_key[TVS_INDEX_KEY_BYTES_MAX];
    size_t bytes = tvs_index_key_object(bucket->id, key, strlen(key), index_key);
    struct tvs_row row;
    struct tvs_record record = {0};
    bool found;
    trove_status status = tvs_index_get_object(&local->index, index_key, bytes, &row, &record, &found, error);
    if (status != TROVE_OK)
        return status;
    char etag[TROVE_ETAG_BYTES];
    tvs_etag_from_raw(record.etag, etag);
    status = tvs_conditions_check(conditions, found ? etag : NULL, record.generation, bucket->name, key, error);
    tvs_row_fini(&row);
    return status;
}

trove_status tvs_local_put_create(struct tvs_local *local, struct tvs_local_bucket *bucket_move, const char *key,
                                  size_t strings_bytes, size_t metadata_count, struct tvs_put **put, trove_error *error) {
    size_t key_bytes = strlen(key);
    struct tvs_put *made = calloc(1, sizeof *made + key_bytes + 1 + strings_bytes);
    if (made == NULL)
        return tvs_fail_no_memory("a put", error);
    made->local = local;
    made->bucket = bucket_move;
    made->metadata_count = metadata_count;
    made->strings_bytes = strings_bytes;
    made->strings = made->key + key_bytes + 1;
    memcpy(made->key, key, key_bytes);
    tvs_block_sums_init(&made->sums, &local->sums_bytes);
    tvs_file_writer_init(&made->writer, &local->files);
    *put = made;
    return TROVE_OK;
}

trove_status tvs_local_put_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                                 const struct tvs_put_options *options, struct tvs_put **put, trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_bucket *in;
    struct tvs_put *made;
    trove_status status = tvs_local_bucket_acquire(&local->buckets, bucket, &in, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_local_put_create(local, in, key, tvs_strings_bytes(options), options->metadata_count, &made, error);
    if (status != TROVE_OK) {
        tvs_local_bucket_release(in);
        return status;
    }
    tvs_strings_write(options, made->strings);
    tvs_conditions_keep(&options->conditions, &made->conditions);
    status = tvs_local_check_conditions_early(local, in, key, &made->conditions, error);
    if (status == TROVE_OK)
        status = tvs_digest_create(options->digest, &made->digest, error);
    if (status != TROVE_OK) {
        tvs_local_put_abort(made);
        return status;
    }
    *put = made;
    return TROVE_OK;
}

trove_status tvs_local_put_name(const struct tvs_put *put, const char *what, trove_status status, trove_error *error) {
    if (status == TROVE_OK || error == NULL)
        return status;
    char name[TVS_NAME_BYTES];
    trove_error inner = *error;
    return tv_error_set(error, status, "%s %s: %s", what, tvs_object_name(put->bucket->name, put->key, name), inner.message);
}

trove_status tvs_local_put_write(struct tvs_put *put, const struct tv_data *data, trove_error *error) {
    trove_status status = tvs_local_put_enter(put, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_block_sums_append(&put->sums, data, error);
    if (status == TROVE_OK)
        status = tvs_file_writer_append(&put->writer, data, error);
    if (status == TROVE_OK) {
        tvs_file_writer_show(&put->writer);
        if (put->digest != NULL)
            tvs_digest_add(put->digest, data);
    }
    tvs_local_put_leave(put);
    return tvs_local_put_name(put, "storing", status, error);
}

trove_status tvs_local_put_zeros(struct tvs_put *put, uint64_t bytes, trove_error *error) {
    trove_status status = tvs_file_writer_skip(&put->writer, bytes, error);
    if (status != TROVE_OK)
        return status;
    tvs_file_writer_show(&put->writer);
    return tvs_block_sums_append_zeros(&put->sums, bytes, error);
}

static trove_status charge_gap(struct tvs_put *put, uint64_t length, trove_error *error) {
    uint64_t bytes = length / TV_BLOCK_BYTES * sizeof(uint64_t);
    uint64_t before = atomic_fetch_add_explicit(&put->local->gap_sums_bytes, bytes, memory_order_relaxed);
    if (bytes <= GAP_SUMS_BYTES_MAX && before <= GAP_SUMS_BYTES_MAX - bytes) {
        put->gap_sums_bytes += bytes;
        return TROVE_OK;
    }
    atomic_fetch_sub_explicit(&put->local->gap_sums_bytes, bytes, memory_order_relaxed);
    return TV_FAIL(error, RESOURCE_EXHAUSTED,
                   "a gap of %llu bytes: all unfinished uploads together may have lost at most %llu; finish some first",
                   (unsigned long long)length, (unsigned long long)(GAP_SUMS_BYTES_MAX / sizeof(uint64_t) * TV_BLOCK_BYTES));
}

trove_status tvs_local_put_gap(struct tvs_put *put, uint64_t offset, uint64_t length, trove_error *error) {
    TV_ASSERT(offset == put->sums.bytes && put->digest == NULL && put->upload == NULL);
    trove_status status = charge_gap(put, length, error);
    if (status == TROVE_OK)
        status = tvs_local_put_zeros(put, length, error);
    if (status == TROVE_OK)
        status = tv_gaps_append(&put->gaps, offset, length, error);
    return tvs_local_put_name(put, "storing", status, error);
}

/* The block that `offset` lies inside of, as far as it was written; malloc'd, aligned. */
static trove_status read_block(struct tvs_put *put, uint64_t offset, void **block, trove_error *error) {
    uint64_t begin = offset - offset % TV_BLOCK_BYTES, left = put->sums.bytes - begin;
    size_t bytes = left < TV_BLOCK_BYTES ? (size_t)left : TV_BLOCK_BYTES;
    if ((*block = aligned_alloc(4096, TV_BLOCK_BYTES)) == NULL)
        return tvs_fail_no_memory("a block", error);
    struct tv_data data = {.offset = begin, .bytes = bytes, .iov_count = 1, .iov[0] = {*block, bytes}};
    return tvs_file_writer_read(&put->writer, &data, error);
}

static trove_status read_verified(struct tvs_put *put, struct tv_data *data, trove_error *error) {
    trove_status status = tvs_file_writer_read(&put->writer, data, error);
    if (status != TROVE_OK)
        return status;
    tv_data_hash(data);
    return tvs_block_sums_verify(&put->sums, data, error);
}

/* Gaps aren't charged for one by one: a put needs no more than it has checksums. */
static void give_back_gap_sums(struct tvs_put *put) {
    uint64_t needed = put->sums.count * sizeof(uint64_t);
    if (put->gap_sums_bytes <= needed)
        return;
    atomic_fetch_sub_explicit(&put->local->gap_sums_bytes, put->gap_sums_bytes - needed, memory_order_relaxed);
    put->gap_sums_bytes = needed;
}

trove_status tvs_local_put_restart_digest(struct tvs_put *put, trove_error *error) {
    uint8_t *buffer = aligned_alloc(4096, DIGEST_STEP_BYTES);
    if (buffer == NULL)
        return tvs_fail_no_memory("reading an object's beginning", error);
    tvs_digest_restart(put->digest);
    trove_status status = TROVE_OK;
    for (uint64_t offset = 0; offset < put->sums.bytes && status == TROVE_OK;) {
        uint64_t left = put->sums.bytes - offset;
        struct tv_data data = {.offset = offset, .bytes = left < DIGEST_STEP_BYTES ? left : DIGEST_STEP_BYTES, .iov_count = 1};
        data.iov[0] = (struct iovec){buffer, (size_t)data.bytes};
        status = read_verified(put, &data, error);
        if (status == TROVE_OK)
            tvs_digest_add(put->digest, &data);
        offset += data.bytes;
    }
    free(buffer);
    return status;
}

static trove_status rewind_to(struct tvs_put *put, uint64_t offset, trove_error *error) {
    if (offset == put->sums.bytes)
        return TROVE_OK;
    void *block = NULL;
    trove_status status = offset % TV_BLOCK_BYTES != 0 ? read_block(put, offset, &block, error) : TROVE_OK;
    if (status == TROVE_OK)
        status = tvs_block_sums_rewind(&put->sums, offset, block, error);
    if (status == TROVE_OK)
        status = tvs_file_writer_rewind(&put->writer, offset, block, error);
    free(block);
    if (status != TROVE_OK)
        return status;
    tvs_file_writer_show(&put->writer);
    tv_gaps_truncate(&put->gaps, offset);
    give_back_gap_sums(put);
    return put->digest != NULL ? tvs_local_put_restart_digest(put, error) : TROVE_OK;
}

trove_status tvs_local_put_rewind(struct tvs_put *put, uint64_t offset, trove_error *error) {
    TV_ASSERT(offset <= put->sums.bytes);
    trove_status status = tvs_local_put_enter(put, error);
    if (status != TROVE_OK)
        return status;
    if (offset < put->writer.synced_bytes) /* none of a plain one */
        status = tvs_fail_rewind(offset, put->writer.synced_bytes, error);
    else
        status = rewind_to(put, offset, error);
    tvs_local_put_leave(put);
    return tvs_local_put_name(put, "going back in", status, error);
}

trove_status tvs_local_put_read(struct tvs_put *put, struct tv_data *data, trove_error *error) {
    trove_status status = tvs_local_put_enter(put, error);
    if (status != TROVE_OK)
        return status;
    status = read_verified(put, data, error);
    tvs_local_put_leave(put);
    return tvs_local_put_name(put, "reading what was put so far of", status, error);
}

trove_status tvs_local_put_expect(struct tvs_put *put, const struct tvs_declared_digest *digest, trove_error *error) {
    trove_status status = tvs_local_put_enter(put, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_digest_expect(put->digest, digest, error);
    tvs_local_put_leave(put);
    return tvs_local_put_name(put, "storing", status, error);
}

trove_status tvs_local_put_take_gaps(struct tvs_put *put, const struct tvs_object *source, trove_error *error) {
    return tv_gaps_copy(&put->gaps, source->gaps, source->gaps_listed, source->gap_count, source->gap_bytes, error);
}

trove_status tvs_local_put_clone(struct tvs_put *put, struct tvs_get *get, trove_error *error) {
    if (get->record.place != TVS_PLACE_FILE)
        return TV_FAIL(error, UNIMPLEMENTED, "only files can be cloned");
    size_t count = (size_t)tv_block_count(get->record.size);
    uint64_t *sums = malloc(count * sizeof *sums);
    if (sums == NULL)
        return tvs_fail_no_memory("block checksums", error);
    trove_status status = tvs_local_get_sums(get, 0, count, sums, error);
    if (status == TROVE_OK)
        status = tvs_file_writer_clone(&put->writer, get->file.fd, get->record.size, error);
    if (status != TROVE_OK) {
        free(sums);
        return status;
    }
    tvs_block_sums_set(&put->sums, get->record.size, sums, count);
    return TROVE_OK;
}

void tvs_local_put_abort(struct tvs_put *put_move) {
    if (put_move == NULL)
        return;
    struct tvs_file_id file;
    bool leaves_file = tvs_file_writer_leave(&put_move->writer, &file);
    tvs_file_writer_fini(&put_move->writer);
    if (leaves_file)
        tvs_janitor_remove(&put_move->local->janitor, &file);
    tvs_block_sums_fini(&put_move->sums);
    tv_gaps_fini(&put_move->gaps);
    tvs_digest_destroy(put_move->digest);
    atomic_fetch_sub_explicit(&put_move->local->gap_sums_bytes, put_move->gap_sums_bytes, memory_order_relaxed);
    tvs_local_bucket_release(put_move->bucket);
    tvs_local_upload_release(put_move->upload);
    tvs_upload_commit_destroy(put_move->loss);
    free(put_move);
}

/* Small objects have no file, unless, of a resumable one that was large once, all of it has been written there. */
static bool ends_in_file(const struct tvs_put *put) {
    const struct tvs_file_writer *writer = &put->writer;
    return writer->fd >= 0 && (!writer->kept || writer->bytes > TV_INLINE_BYTES_MAX || writer->file_bytes > 0);
}

static trove_status make_commit(struct tvs_put *put, const char *etag, const struct tv_packed_gaps *gaps,
                                struct tvs_commit **commit, trove_error *error) {
    trove_status status;
    struct iovec inlined = {.iov_base = put->writer.tail, .iov_len = put->writer.tail_bytes};
    struct tvs_commit_put change = {
        .bucket = put->bucket,
        .key = put->key,
        .conditions = &put->conditions,
        .size = put->sums.bytes,
        .etag = etag,
        .strings = put->strings,
        .strings_bytes = put->strings_bytes,
        .metadata_count = put->metadata_count,
        .gaps = *gaps,
        .inline_sum = put->sums.count > 0 ? put->sums.sums[0] : 0,
        .data = &inlined,
        .data_count = 1,
    };
    bool in_file = ends_in_file(put);
    if (in_file) {
        status = tvs_file_writer_finish(&put->writer, put->sums.sums, put->sums.count, error);
        if (status != TROVE_OK)
            return status;
        change.file = &put->writer.id;
    }
    status = tvs_commit_create_put(&change, commit, error);
    if (status == TROVE_OK)
        put->bucket = NULL; /* the commit's reference now */
    else if (in_file && !put->writer.kept)
        tvs_file_remove(&put->local->files, &put->writer.id);
    return status;
}

static trove_status finish(struct tvs_put *put, const char *expected, struct tvs_commit **commit, trove_error *error) {
    char etag[TROVE_ETAG_BYTES];
    uint8_t *packed = NULL;
    struct tv_packed_gaps gaps;
    trove_status status = tvs_block_sums_finish(&put->sums, expected, etag, error);
    if (status == TROVE_OK)
        status = tvs_digest_check(put->digest, error);
    if (status == TROVE_OK)
        status = tvs_gaps_keep(&put->gaps, &packed, &gaps, error);
    if (status == TROVE_OK)
        status = make_commit(put, etag, &gaps, commit, error);
    free(packed);
    return status;
}

void tvs_local_put_commit(struct tvs_put *put_move, const char *etag, tvs_commit_done done, void *context) {
    struct tvs_local *local = put_move->local;
    struct tvs_commit *commit = NULL;
    trove_error error = {0};
    trove_status status = tvs_local_put_enter(put_move, &error);
    if (status == TROVE_OK) {
        status = tvs_local_put_name(put_move, "storing", finish(put_move, etag, &commit, &error), &error);
        tvs_local_put_leave(put_move);
    }
    if (put_move->writer.sync_failed)
        tvs_local_upload_lose(local, &put_move->loss, error.message);
    if (status == TROVE_OK) {
        TV_ASSERT(commit != NULL);
        commit->upload = put_move->upload;
        commit->upload_epoch = put_move->epoch;
        put_move->upload = NULL; /* the commit's reference now */
    }
    tvs_local_put_abort(put_move);
    if (status == TROVE_OK)
        tvs_committer_submit(&local->committer, commit, done, context);
    else
        done(context, status, NULL, &error);
}

void tvs_local_put_small(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_put_options *options,
                         const struct tv_data *data, tvs_commit_done done, void *context) {
    struct tvs_local *local = tvs_local_of(driver);
    TV_ASSERT(data->bytes <= TV_INLINE_BYTES_MAX && data->offset == 0);
    struct tvs_local_bucket *in = NULL;
    struct tvs_commit *commit = NULL;
    trove_error error;
    error.status = TROVE_OK;
    error.message[0] = '\0';
    trove_status status = tvs_local_bucket_acquire(&local->buckets, bucket, &in, &error);
    if (status == TROVE_OK && options->digest != NULL)
        status = tvs_digest_check_data(options->digest, data, &error);
    if (status == TROVE_OK) {
        struct tvs_conditions_copy conditions;
        tvs_conditions_keep(&options->conditions, &conditions);
        char etag[TROVE_ETAG_BYTES];
        tv_etag(data->bytes, data->piece_sums, data->piece_count, etag);
        struct tvs_commit_put change = {
            .bucket = in,
            .key = key,
            .conditions = &conditions,
            .size = data->bytes,
            .etag = etag,
            .options = options,
            .metadata_count = options->metadata_count,
            .inline_sum = data->bytes > 0 ? data->piece_sums[0] : 0,
            .data = data->iov,
            .data_count = data->iov_count,
        };
        status = tvs_commit_create_put(&change, &commit, &error);
    }
    if (status == TROVE_OK) {
        tvs_committer_queue(&local->committer, commit, done, context);
        return;
    }
    tvs_local_bucket_release(in);
    done(context, status, NULL, &error);
}
