/* null.c - the driver "null": swallows what is put and makes up what is got, to measure the way alone.
 *
 * The rule: every bucket exists and is empty to a listing; a key that ends in "-" and a decimal number, such as
 * "zeros-1073741824", reads as an object of that many zero bytes (at most 64 GiB); no other key exists. A put is checksummed as
 * everywhere, so that it is answered with a true etag, and then forgotten: what is read of it while it is being written is zeros,
 * too, and going back inside a block, whose beginning would have to be hashed once more, can't be, nor with a declared digest.
 *
 * What a read costs: the segments that are handed in are reused and hold bytes of other objects, so they are really cleared: one
 * pass over the memory. In exchange no hash is computed: all whole blocks share one known checksum. One pass is also what a
 * peer of the benchmark spends that checksums buffers it never refills. (Rejected: handing out what happens to be in the
 * buffers, truly checksummed: the same single pass, and a leak of other clients' bytes.)
 *
 * Any thread; nothing here waits, there is no state but constants.
 */
#include "block_sums.h"
#include "digest.h"
#include "object.h"

#include <string.h>

#define NULL_OBJECT_BYTES_MAX (64 * TV_GIB)

struct tvs_put {
    struct tvs_block_sums sums;
    struct tv_gaps gaps;
    struct tvs_digest *digest; /* NULL: none declared */
    size_t key_bytes;
    size_t strings_bytes;
    size_t metadata_count;
    char text[]; /* key, strings */
};

struct tvs_get {
    uint64_t size;
};

static struct tvs_driver null_driver = {.ops = &tvs_null_driver};
static const char empty_strings[1] = "";

static trove_status null_open(const struct tvs_driver_config *config, struct tvs_driver **driver, trove_error *error) {
    (void)config;
    (void)error;
    *driver = &null_driver;
    return TROVE_OK;
}

static void null_close(struct tvs_driver *driver) {
    (void)driver;
}

static trove_status null_bucket_create(struct tvs_driver *driver, const char *bucket, trove_error *error) {
    (void)driver;
    return TV_FAIL(error, ALREADY_EXISTS, "bucket %s exists: all do in the null store", bucket);
}

static trove_status null_bucket_delete(struct tvs_driver *driver, const char *bucket, trove_error *error) {
    (void)driver;
    return TV_FAIL(error, FAILED_PRECONDITION, "bucket %s can't be deleted: all exist in the null store", bucket);
}

static trove_status null_bucket_list(struct tvs_driver *driver, struct tvs_bucket **buckets, size_t *count, trove_error *error) {
    (void)driver;
    struct tvs_bucket *none = calloc(1, sizeof *none);
    if (none == NULL)
        return tvs_fail_no_memory("the list of buckets", error);
    *buckets = none;
    *count = 0;
    return TROVE_OK;
}

static trove_status size_of_key(const char *bucket, const char *key, uint64_t *size, trove_error *error) {
    const char *digits = strrchr(key, '-');
    uint64_t value = 0;
    bool good = digits != NULL && digits[1] != '\0';
    for (const char *at = good ? digits + 1 : ""; good && *at != '\0'; at++) {
        good = *at >= '0' && *at <= '9' && value <= NULL_OBJECT_BYTES_MAX;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (!good || value > NULL_OBJECT_BYTES_MAX) {
        char name[TVS_NAME_BYTES];
        return TV_FAIL(error, NOT_FOUND,
                       "object %s doesn't exist; in the null store only keys that end in \"-BYTES\" do, up to %llu",
                       tvs_object_name(bucket, key, name), (unsigned long long)NULL_OBJECT_BYTES_MAX);
    }
    *size = value;
    return TROVE_OK;
}

static uint64_t sum_of_block(uint64_t size, uint64_t block) {
    uint64_t left = size - block * TV_BLOCK_BYTES;
    return tvs_zeros_sum(left < TV_BLOCK_BYTES ? (size_t)left : TV_BLOCK_BYTES);
}

static void etag_of_zeros(uint64_t size, char etag[TROVE_ETAG_BYTES]) {
    struct tv_etag_hash hash;
    tv_etag_begin(&hash, size);
    for (uint64_t i = 0; i < tv_block_count(size); i++) {
        uint64_t sum = sum_of_block(size, i);
        tv_etag_add(&hash, &sum, 1);
    }
    tv_etag_end(&hash, etag);
}

static trove_status describe(const char *bucket, const char *key, struct tvs_object *object, trove_error *error) {
    uint64_t size = 0;
    trove_status status = size_of_key(bucket, key, &size, error);
    if (status != TROVE_OK)
        return status;
    char etag[TROVE_ETAG_BYTES];
    etag_of_zeros(size, etag);
    struct tvs_object_facts facts = {.key = key,
                                     .key_bytes = strlen(key),
                                     .size = size,
                                     .generation = 1,
                                     .etag = etag,
                                     .strings = empty_strings,
                                     .strings_bytes = 1};
    return tvs_object_build(&facts, object, error);
}

static trove_status null_head(struct tvs_driver *driver, const char *bucket, const char *key, struct tvs_object *object,
                              trove_error *error) {
    (void)driver;
    return describe(bucket, key, object, error);
}

static trove_status null_block_sums(struct tvs_driver *driver, const char *bucket, const char *key, uint64_t first,
                                    size_t count_max, uint64_t *sums, size_t *count, struct tvs_object *object,
                                    trove_error *error) {
    (void)driver;
    trove_status status = describe(bucket, key, object, error);
    if (status != TROVE_OK)
        return status;
    *count = 0;
    for (uint64_t i = first; i < tv_block_count(object->size) && *count < count_max; i++)
        sums[(*count)++] = sum_of_block(object->size, i);
    return TROVE_OK;
}

static trove_status null_list(struct tvs_driver *driver, const char *bucket, const struct tvs_list_query *query,
                              tvs_list_visit visit, void *context, bool *more, trove_error *error) {
    (void)driver;
    (void)bucket;
    (void)query;
    (void)visit;
    (void)context;
    (void)error;
    *more = false;
    return TROVE_OK;
}

static trove_status null_delete(struct tvs_driver *driver, const char *bucket, const char *key,
                                const struct tvs_conditions *conditions, trove_error *error) {
    (void)driver;
    (void)bucket;
    (void)key;
    (void)conditions;
    (void)error;
    return TROVE_OK;
}

static trove_status null_copy_begin(struct tvs_driver *driver, const char *from_bucket, const char *from_key,
                                    const char *to_bucket, const char *to_key, const struct tvs_conditions *conditions,
                                    struct tvs_copy **copy, trove_error *error) {
    (void)driver;
    (void)from_bucket;
    (void)from_key;
    (void)to_bucket;
    (void)to_key;
    (void)conditions;
    (void)copy;
    return TV_FAIL(error, UNIMPLEMENTED, "the null store copies nothing");
}

static void null_put_abort(struct tvs_put *put_move) {
    if (put_move == NULL)
        return;
    tvs_block_sums_fini(&put_move->sums);
    tv_gaps_fini(&put_move->gaps);
    tvs_digest_destroy(put_move->digest);
    free(put_move);
}

static trove_status null_put_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                                   const struct tvs_put_options *options, struct tvs_put **put, trove_error *error) {
    (void)driver;
    (void)bucket;
    size_t key_bytes = strlen(key);
    size_t strings_bytes = tvs_strings_bytes(options);
    struct tvs_put *made = malloc(sizeof *made + key_bytes + strings_bytes);
    if (made == NULL)
        return tvs_fail_no_memory("a put", error);
    *made = (struct tvs_put){.key_bytes = key_bytes, .strings_bytes = strings_bytes, .metadata_count = options->metadata_count};
    tvs_block_sums_init(&made->sums, NULL); /* it is there to measure */
    memcpy(made->text, key, key_bytes);
    tvs_strings_write(options, made->text + key_bytes);
    trove_status status = tvs_digest_create(options->digest, &made->digest, error);
    if (status != TROVE_OK) {
        null_put_abort(made);
        return status;
    }
    *put = made;
    return TROVE_OK;
}

static trove_status null_put_write(struct tvs_put *put, const struct tv_data *data, trove_error *error) {
    if (put->digest != NULL)
        tvs_digest_add(put->digest, data);
    return tvs_block_sums_append(&put->sums, data, error);
}

/* Gaps cost no bytes to send, but eight a block here: they are bounded as what is made up is. */
static trove_status null_put_gap(struct tvs_put *put, uint64_t offset, uint64_t length, trove_error *error) {
    if (length > NULL_OBJECT_BYTES_MAX - put->gaps.bytes)
        return TV_FAIL(error, OUT_OF_RANGE, "the null store takes at most %llu bytes of gaps in an object",
                       (unsigned long long)NULL_OBJECT_BYTES_MAX);
    TV_ASSERT(offset == put->sums.bytes);
    trove_status status = tvs_block_sums_append_zeros(&put->sums, length, error);
    return status == TROVE_OK ? tv_gaps_append(&put->gaps, offset, length, error) : status;
}

static trove_status null_put_rewind(struct tvs_put *put, uint64_t offset, trove_error *error) {
    if (offset == put->sums.bytes)
        return TROVE_OK;
    if (offset % TV_BLOCK_BYTES != 0 || (put->digest != NULL && offset > 0))
        return TV_FAIL(
            error, UNIMPLEMENTED,
            "the null store keeps no bytes: a put can go back to a multiple of %llu, or to 0 with a digest, not to %llu",
            (unsigned long long)TV_BLOCK_BYTES, (unsigned long long)offset);
    if (put->digest != NULL)
        tvs_digest_restart(put->digest);
    tv_gaps_truncate(&put->gaps, offset);
    return tvs_block_sums_rewind(&put->sums, offset, NULL, error);
}

static void make_zeros(struct tv_data *data) {
    data->piece_count = data->iov_count;
    for (uint32_t i = 0; i < data->iov_count; i++) {
        memset(data->iov[i].iov_base, 0, data->iov[i].iov_len);
        data->piece_sums[i] = tvs_zeros_sum(data->iov[i].iov_len);
    }
}

static trove_status null_put_read(struct tvs_put *put, struct tv_data *data, trove_error *error) {
    (void)put;
    (void)error;
    make_zeros(data);
    return TROVE_OK;
}

static trove_status null_put_expect(struct tvs_put *put, const struct tvs_declared_digest *digest, trove_error *error) {
    return tvs_digest_expect(put->digest, digest, error);
}

static void null_put_commit(struct tvs_put *put_move, const char *expected, tvs_commit_done done, void *context) {
    trove_error error = {0};
    struct tvs_object object = {0};
    char etag[TROVE_ETAG_BYTES];
    uint8_t *packed = NULL;
    struct tv_packed_gaps gaps = {0};
    trove_status status = tvs_block_sums_finish(&put_move->sums, expected, etag, &error);
    if (status == TROVE_OK)
        status = tvs_digest_check(put_move->digest, &error);
    if (status == TROVE_OK)
        status = tvs_gaps_keep(&put_move->gaps, &packed, &gaps, &error);
    if (status == TROVE_OK) {
        struct tvs_object_facts facts = {.key = put_move->text,
                                         .key_bytes = put_move->key_bytes,
                                         .size = put_move->sums.bytes,
                                         .generation = 1,
                                         .modified_ns = tvs_now_ns(),
                                         .etag = etag,
                                         .strings = put_move->text + put_move->key_bytes,
                                         .strings_bytes = put_move->strings_bytes,
                                         .metadata_count = put_move->metadata_count,
                                         .gaps = gaps};
        status = tvs_object_build(&facts, &object, &error);
    }
    done(context, status, status == TROVE_OK ? &object : NULL, &error);
    tvs_object_fini(&object);
    free(packed);
    null_put_abort(put_move);
}

static void null_put_small(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_put_options *options,
                           const struct tv_data *data, tvs_commit_done done, void *context) {
    struct tvs_put *put = NULL;
    trove_error error = {0};
    trove_status status = null_put_begin(driver, bucket, key, options, &put, &error);
    if (status == TROVE_OK)
        status = null_put_write(put, data, &error);
    if (status == TROVE_OK) {
        null_put_commit(put, NULL, done, context);
        return;
    }
    null_put_abort(put);
    done(context, status, NULL, &error);
}

static trove_status null_get_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                                   const struct tvs_conditions *conditions, struct tvs_get **get, struct tvs_object *object,
                                   trove_error *error) {
    (void)driver;
    struct tvs_object found = {0};
    trove_status status = describe(bucket, key, &found, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_conditions_copy wanted;
    tvs_conditions_keep(conditions, &wanted);
    status = tvs_conditions_check(&wanted, found.etag, found.generation, bucket, key, error);
    struct tvs_get *made = status == TROVE_OK ? malloc(sizeof *made) : NULL;
    if (made == NULL) {
        tvs_object_fini(&found);
        return status != TROVE_OK ? status : tvs_fail_no_memory("a get", error);
    }
    made->size = found.size;
    *object = found;
    *get = made;
    return TROVE_OK;
}

static trove_status null_get_read(struct tvs_get *get, struct tv_data *data, trove_error *error) {
    trove_status status = tvs_range_check(data, get->size, "null", "object", error);
    if (status == TROVE_OK)
        make_zeros(data);
    return status;
}

static void null_get_end(struct tvs_get *get_move) {
    free(get_move);
}

/* ---- resumable uploads: there is nothing to go on with ------------------------------------------------------------------ */

static trove_status fail_upload(trove_error *error) {
    return TV_FAIL(error, UNIMPLEMENTED, "the null store keeps nothing, so there are no resumable uploads in it");
}

static void null_upload_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                              const struct tvs_upload_options *options, tvs_upload_done done, void *context) {
    (void)driver;
    (void)bucket;
    (void)key;
    (void)options;
    trove_error error;
    done(context, fail_upload(&error), NULL, &error);
}

static void null_upload_attach(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                               tvs_upload_done done, void *context) {
    (void)driver;
    (void)id;
    (void)principal;
    trove_error error;
    done(context, fail_upload(&error), NULL, &error);
}

static trove_status null_upload_open(struct tvs_driver *driver, const struct tvs_upload_id *id, uint64_t epoch,
                                     struct tvs_put **put, trove_error *error) {
    (void)driver;
    (void)id;
    (void)epoch;
    (void)put;
    return fail_upload(error);
}

static void null_put_flush(struct tvs_put *put, tvs_upload_done done, void *context) {
    (void)put;
    trove_error error;
    done(context, fail_upload(&error), NULL, &error);
}

static trove_status null_upload_stat(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                                     tvs_upload_visit visit, void *context, trove_error *error) {
    (void)driver;
    (void)id;
    (void)principal;
    (void)visit;
    (void)context;
    return fail_upload(error);
}

static trove_status null_upload_list(struct tvs_driver *driver, const char *bucket, struct tvs_upload_cursor *cursor,
                                     uint32_t limit, tvs_upload_visit visit, void *context, bool *more, trove_error *error) {
    (void)driver;
    (void)bucket;
    (void)cursor;
    (void)limit;
    (void)visit;
    (void)context;
    (void)more;
    return fail_upload(error);
}

static trove_status null_upload_collect(struct tvs_driver *driver, uint64_t now_ns, uint32_t limit, uint32_t *removed, bool *more,
                                        trove_error *error) {
    (void)driver;
    (void)now_ns;
    (void)limit;
    (void)removed;
    (void)more;
    return fail_upload(error);
}

const struct tvs_driver_ops tvs_null_driver = {
    .scheme = "null",
    .capabilities = TVS_CAP_RANGE | TVS_CAP_NONBLOCKING,
    .open = null_open,
    .close = null_close,
    .bucket_create = null_bucket_create,
    .bucket_delete = null_bucket_delete,
    .bucket_list = null_bucket_list,
    .head = null_head,
    .list = null_list,
    .delete = null_delete,
    .copy_begin = null_copy_begin, /* there is never one for the others */
    .block_sums = null_block_sums,
    .put_begin = null_put_begin,
    .put_write = null_put_write,
    .put_gap = null_put_gap,
    .put_rewind = null_put_rewind,
    .put_read = null_put_read,
    .put_expect = null_put_expect,
    .put_commit = null_put_commit,
    .put_abort = null_put_abort,
    .put_small = null_put_small,
    .get_begin = null_get_begin,
    .get_read = null_get_read,
    .get_end = null_get_end,
    .upload_begin = null_upload_begin,
    .upload_attach = null_upload_attach,
    .upload_open = null_upload_open,
    .put_flush = null_put_flush,
    .upload_abort = null_upload_attach, /* says the same */
    .upload_stat = null_upload_stat,
    .upload_list = null_upload_list,
    .upload_collect = null_upload_collect,
};
