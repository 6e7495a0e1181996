/* local.c - the driver "local": objects on this machine's disk. local.h has the map of its parts.
 *
 * Opening: directory, lock (before anything is changed), format, index (RocksDB replays its log), buckets, files without an
 * owner given to the janitor, threads started, unfinished uploads looked at. Closing goes the same way back.
 */
#include "local.h"

#include "local_waiter.h"
#include "store_io.h"

#include <string.h>

static void say(const struct tvs_driver_config *config, const char *message) {
    if (config->log != NULL)
        config->log(config->log_context, message);
}

static trove_status remove_orphans(struct tvs_local *local, const struct tvs_driver_config *config, trove_error *error) {
    uint64_t removed;
    trove_status status = tvs_local_remove_orphans(local, &removed, error);
    if (status == TROVE_OK && removed > 0) {
        char text[128];
        snprintf(text, sizeof text, "removing %llu files that unfinished or replaced objects left behind",
                 (unsigned long long)removed);
        say(config, text);
    }
    return status;
}

static trove_status open_parts(struct tvs_local *local, const struct tvs_driver_config *config, trove_error *error) {
    int objects = -1;
    trove_status status = tvs_local_directory_open(config->path, config->relaxed, &local->root, &local->lock_fd, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_local_objects_open(local->root, config->relaxed, &objects, error);
    if (status != TROVE_OK)
        goto fail_directory;
    status = tvs_file_store_init(&local->files, objects, config->relaxed, error);
    if (status != TROVE_OK)
        goto fail_files;
    char path[TVS_LOCAL_PATH_BYTES_MAX + sizeof "/index"];
    snprintf(path, sizeof path, "%s/index", config->path);
    status = tvs_index_open(&local->index, path, config->memory_bytes, config->relaxed, error);
    if (status != TROVE_OK)
        goto fail_files;
    local->files.index_bytes = local->index.memory_bytes;
    tvs_local_uploads_init(&local->uploads, &local->index);
    status = tvs_local_buckets_load(&local->buckets, &local->index, error);
    if (status == TROVE_OK)
        status = tvs_janitor_start(&local->janitor, &local->files, config, error);
    if (status != TROVE_OK)
        goto fail_index;
    status = remove_orphans(local, config, error);
    if (status == TROVE_OK)
        status =
            tvs_committer_start(&local->committer, &local->index, &local->buckets, &local->janitor, local->root, config, error);
    if (status != TROVE_OK)
        goto fail_janitor;
    status = tvs_local_uploads_recover(local, error);
    if (status == TROVE_OK)
        return TROVE_OK;
    tvs_committer_stop(&local->committer);
fail_janitor:
    tvs_janitor_stop(&local->janitor);
fail_index:
    tvs_local_buckets_fini(&local->buckets);
    tvs_local_uploads_fini(&local->uploads);
    tvs_index_close(&local->index);
fail_files:
    tvs_file_store_fini(&local->files);
fail_directory:
    TVS_IO(close)(local->root);
    TVS_IO(close)(local->lock_fd);
    return status;
}

static trove_status local_open(const struct tvs_driver_config *config, struct tvs_driver **driver, trove_error *error) {
    struct tvs_local *local = calloc(1, sizeof *local);
    if (local == NULL)
        return tvs_fail_no_memory("the local store", error);
    local->base.ops = &tvs_local_driver;
    trove_status status = open_parts(local, config, error);
    if (status != TROVE_OK) {
        free(local);
        return status;
    }
    if (config->relaxed)
        say(config, "durability is relaxed: what was acknowledged may be lost when the machine stops");
    *driver = &local->base;
    return TROVE_OK;
}

static void local_close(struct tvs_driver *driver) {
    struct tvs_local *local = tvs_local_of(driver);
    tvs_committer_stop(&local->committer);
    tvs_janitor_stop(&local->janitor);
    tvs_local_buckets_fini(&local->buckets);
    tvs_local_uploads_fini(&local->uploads);
    tvs_index_close(&local->index);
    tvs_file_store_fini(&local->files);
    TVS_IO(close)(local->root);
    TVS_IO(close)(local->lock_fd);
    free(local);
}

static trove_status local_bucket_create(struct tvs_driver *driver, const char *bucket, trove_error *error) {
    struct tvs_commit *commit;
    trove_status status = tvs_commit_create_bucket(NULL, bucket, &commit, error);
    return status != TROVE_OK ? status : tvs_committer_run(&tvs_local_of(driver)->committer, commit, error);
}

static trove_status local_bucket_delete(struct tvs_driver *driver, const char *bucket, trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_bucket *in;
    trove_status status = tvs_local_bucket_acquire(&local->buckets, bucket, &in, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_commit *commit;
    uint64_t id = in->id;
    status = tvs_commit_create_bucket(in, bucket, &commit, error);
    if (status != TROVE_OK) {
        tvs_local_bucket_release(in);
        return status;
    }
    status = tvs_committer_run(&local->committer, commit, error);
    if (status == TROVE_OK)
        tvs_local_uploads_drop(local, id);
    return status;
}

static trove_status local_bucket_list(struct tvs_driver *driver, struct tvs_bucket **buckets, size_t *count, trove_error *error) {
    return tvs_local_buckets_snapshot(&tvs_local_of(driver)->buckets, buckets, count, error);
}

static trove_status local_head(struct tvs_driver *driver, const char *bucket, const char *key, struct tvs_object *object,
                               trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_bucket *in;
    trove_status status = tvs_local_bucket_acquire(&local->buckets, bucket, &in, error);
    if (status != TROVE_OK)
        return status;
    uint8_t index_key[TVS_INDEX_KEY_BYTES_MAX];
    size_t bytes = tvs_index_key_object(in->id, key, strlen(key), index_key);
    tvs_local_bucket_release(in);
    struct tvs_row row;
    struct tvs_record record;
    bool found;
    status = tvs_index_get_object(&local->index, index_key, bytes, &row, &record, &found, error);
    if (status != TROVE_OK)
        return status;
    status = found ? tvs_local_describe(key, &record, object, error) : tvs_fail_no_object(bucket, key, error);
    tvs_row_fini(&row);
    return status;
}

static trove_status local_block_sums(struct tvs_driver *driver, const char *bucket, const char *key, uint64_t first,
                                     size_t count_max, uint64_t *sums, size_t *count, struct tvs_object *object,
                                     trove_error *error) {
    struct tvs_get *get;
    struct tvs_object found = {0};
    trove_status status = tvs_local_get_begin(driver, bucket, key, NULL, &get, &found, error);
    if (status != TROVE_OK)
        return status;
    uint64_t behind = tv_block_count(found.size) > first ? tv_block_count(found.size) - first : 0;
    size_t some = behind < count_max ? (size_t)behind : count_max;
    status = tvs_local_get_sums(get, first, some, sums, error);
    tvs_local_get_end(get);
    if (status != TROVE_OK) {
        tvs_object_fini(&found);
        return status;
    }
    *object = found;
    *count = some;
    return TROVE_OK;
}

static trove_status local_delete(struct tvs_driver *driver, const char *bucket, const char *key,
                                 const struct tvs_conditions *conditions, trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct tvs_local_bucket *in;
    trove_status status = tvs_local_bucket_acquire(&local->buckets, bucket, &in, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_conditions_copy wanted;
    tvs_conditions_keep(conditions, &wanted);
    struct tvs_commit *commit;
    status = tvs_commit_create_delete(in, key, &wanted, &commit, error);
    if (status != TROVE_OK) {
        tvs_local_bucket_release(in);
        return status;
    }
    return tvs_committer_run(&local->committer, commit, error);
}

const struct tvs_driver_ops tvs_local_driver = {
    .scheme = "local",
    .capabilities = TVS_CAP_RANGE | TVS_CAP_SERVER_COPY | TVS_CAP_DURABLE | TVS_CAP_SMALL_QUEUED | TVS_CAP_RESUMABLE |
                    TVS_CAP_UPLOADS_SURVIVE,
    .check = tvs_local_directory_check,
    .open = local_open,
    .close = local_close,
    .bucket_create = local_bucket_create,
    .bucket_delete = local_bucket_delete,
    .bucket_list = local_bucket_list,
    .head = local_head,
    .list = tvs_local_list,
    .delete = local_delete,
    .copy_begin = tvs_local_copy_begin,
    .copy_step = tvs_local_copy_step,
    .copy_commit = tvs_local_copy_commit,
    .copy_abort = tvs_local_copy_abort,
    .block_sums = local_block_sums,
    .put_begin = tvs_local_put_begin,
    .put_write = tvs_local_put_write,
    .put_gap = tvs_local_put_gap,
    .put_rewind = tvs_local_put_rewind,
    .put_read = tvs_local_put_read,
    .put_expect = tvs_local_put_expect,
    .put_commit = tvs_local_put_commit,
    .put_abort = tvs_local_put_abort,
    .put_small = tvs_local_put_small,
    .get_begin = tvs_local_get_begin,
    .get_read = tvs_local_get_read,
    .get_end = tvs_local_get_end,
    .upload_begin = tvs_local_upload_begin,
    .upload_attach = tvs_local_upload_attach,
    .upload_open = tvs_local_upload_open,
    .put_flush = tvs_local_put_flush,
    .upload_abort = tvs_local_upload_abort,
    .upload_stat = tvs_local_upload_stat,
    .upload_list = tvs_local_upload_list,
    .upload_collect = tvs_local_upload_collect,
    .scrub = tvs_local_scrub,
};
