/* local_upload_discard.c - uploads of the local store whose own rows are damaged: nobody can go on with them, and what is left of
 * them is found by looking at all rows of uploads for their id.
 *
 * That takes a while where there are many, and happens hardly ever: RocksDB checks its blocks before a row is seen at all. The
 * file goes with the rows if the description can be read and the upload isn't complete, for then it isn't an object's; else it
 * stays, since nothing tells which one it was. (Rejected: names of files made of upload ids. They'd be known to clients.)
 */
#include "local_put.h"
#include "local_upload_commit.h"

#include <string.h>

/* Keys to be deleted, each behind its length: 2. */
struct keys {
    uint8_t *bytes;
    size_t count, capacity;
};

static bool add_key(struct keys *keys, const void *key, size_t key_bytes) {
    size_t needed = keys->count + sizeof(uint16_t) + key_bytes;
    if (needed > keys->capacity) {
        size_t capacity = needed > 2 * keys->capacity ? needed : 2 * keys->capacity;
        uint8_t *larger = realloc(keys->bytes, capacity);
        if (larger == NULL)
            return false;
        keys->bytes = larger;
        keys->capacity = capacity;
    }
    TV_ASSERT(keys->bytes != NULL);
    uint16_t length = (uint16_t)key_bytes;
    memcpy(keys->bytes + keys->count, &length, sizeof length);
    memcpy(keys->bytes + keys->count + sizeof length, key, key_bytes);
    keys->count = needed;
    return true;
}

/* Where in a row's key or value the id stands that makes it an upload's. */
static bool is_of(const struct tvs_upload_id *id, const char *key, size_t key_bytes, const char *value, size_t value_bytes) {
    struct tvs_upload_id named;
    switch (key[0]) {
    case 'l':
    case 'x':
        return key_bytes > sizeof id->bytes && memcmp(key + key_bytes - sizeof id->bytes, id->bytes, sizeof id->bytes) == 0;
    case 'q':
        return tvs_request_record_decode(value, value_bytes, &named, NULL) == TROVE_OK &&
               memcmp(named.bytes, id->bytes, sizeof id->bytes) == 0;
    default: /* "u", "j", "s": the prefix that was looked for has it */
        return true;
    }
}

/* Adds those rows that begin with these bytes and are the upload's. *found: there are any. */
static trove_status gather(const struct tvs_index *index, const struct tvs_upload_id *id, const uint8_t *prefix,
                           size_t prefix_bytes, struct keys *keys, bool *found, trove_error *error) {
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(options, 0);
    rocksdb_iterator_t *rows = rocksdb_create_iterator_cf(index->db, options, index->rows);
    trove_status status = TROVE_OK;
    for (rocksdb_iter_seek(rows, (const char *)prefix, prefix_bytes); status == TROVE_OK && rocksdb_iter_valid(rows);
         rocksdb_iter_next(rows)) {
        size_t key_bytes, value_bytes;
        const char *key = rocksdb_iter_key(rows, &key_bytes);
        const char *value = rocksdb_iter_value(rows, &value_bytes);
        if (key_bytes < prefix_bytes || memcmp(key, prefix, prefix_bytes) != 0)
            break;
        if (!is_of(id, key, key_bytes, value, value_bytes))
            continue;
        *found = true;
        if (!add_key(keys, key, key_bytes))
            status = tvs_fail_no_memory("a damaged upload's rows", error);
    }
    char *failure = NULL;
    rocksdb_iter_get_error(rows, &failure);
    rocksdb_iter_destroy(rows);
    rocksdb_readoptions_destroy(options);
    return failure != NULL ? tvs_index_fail(failure, "can't look for a damaged upload", error) : status;
}

static trove_status gather_all(const struct tvs_index *index, const struct tvs_upload_id *id, struct keys *keys, bool *unfinished,
                               trove_error *error) {
    static const char kinds[] = {'u', 'j', 's', 'l', 'x', 'q'};
    trove_status status = TROVE_OK;
    for (size_t i = 0; i < sizeof kinds && status == TROVE_OK; i++) {
        uint8_t prefix[TVS_UPLOAD_KEY_BYTES] = {(uint8_t)kinds[i]};
        bool found = false;
        memcpy(prefix + 1, id->bytes, sizeof id->bytes);
        status = gather(index, id, prefix, i < 3 ? sizeof prefix : 1, keys, &found, error);
        if (kinds[i] == 'l')
            *unfinished = found;
    }
    return status;
}

void tvs_local_upload_discard(struct tvs_local *local, const struct tvs_upload_id *id, struct tvs_local_upload *upload_move,
                              tvs_upload_done done, void *context) {
    struct keys keys = {0};
    struct tvs_upload_commit *commit = NULL;
    bool unfinished = false;
    trove_error error = {0};
    trove_status status = gather_all(&local->index, id, &keys, &unfinished, &error);
    if (status == TROVE_OK)
        status =
            tvs_upload_commit_create(TVS_COMMIT_UPLOAD_DISCARD, upload_move, keys.count / sizeof(uint64_t) + 1, &commit, &error);
    if (status == TROVE_OK) {
        commit->uploads = &local->uploads;
        commit->discarded_bytes = keys.count;
        commit->discards_file = unfinished && upload_move != NULL;
        commit->was_unfinished = unfinished;
        commit->info = (struct tvs_upload_info){.id = *id, .bucket = "", .key = "", .principal = ""};
        memcpy(commit->sums, keys.bytes, keys.count);
        tvs_upload_commit_submit(&local->committer, commit, done, context);
    } else {
        tvs_local_upload_release(upload_move);
        done(context, status, NULL, &error);
    }
    free(keys.bytes);
}

bool tvs_local_upload_damaged(struct tvs_local *local, const struct tvs_upload_id *id, struct tvs_local_upload **upload,
                              trove_error *error) {
    struct tvs_journal journal;
    *upload = NULL;
    trove_status status = tvs_local_upload_acquire(&local->uploads, id, upload, error);
    if (status == TROVE_OK)
        status = tvs_local_journal_read(&local->index, id, &journal, error);
    return status == TROVE_DATA_LOSS;
}
