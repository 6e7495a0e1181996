/* local_upload_list.c - resumable uploads of the local store, many of them: listed, checked at the start, collected, removed
 * with their bucket.
 */
#include "local_put.h"
#include "local_upload_commit.h"

#include <string.h>

/* ---- listing --------------------------------------------------------------------------------------------------------- */

struct page {
    struct tvs_local *local;
    tvs_upload_visit visit;
    void *context;
    struct tvs_upload_cursor *cursor;
};

/* The id that ends a row's key. False: the row isn't one of this kind. */
static bool row_id(char kind, const char *key, size_t key_bytes, struct tvs_upload_id *id) {
    if (key_bytes < 1 + sizeof id->bytes || key_bytes > TVS_PLACE_KEY_BYTES_MAX || key[0] != kind)
        return false;
    memcpy(id->bytes, key + key_bytes - sizeof id->bytes, sizeof id->bytes);
    return true;
}

/* False: it ends the page. One that is gone or damaged is passed over; the start has said so. */
static bool visit_one(const struct page *page, const struct tvs_upload_id *id) {
    struct tvs_local_upload *upload;
    if (tvs_local_upload_acquire(&page->local->uploads, id, &upload, NULL) != TROVE_OK)
        return true;
    struct tvs_journal journal;
    struct tvs_upload_info info;
    struct tvs_object none = {0};
    bool taken = true;
    if (tvs_local_journal_read(&page->local->index, id, &journal, NULL) == TROVE_OK && journal.state != TVS_JOURNAL_COMPLETE &&
        tvs_local_upload_has_place(&page->local->buckets, upload, &journal) &&
        tvs_local_upload_describe(upload, &journal, &info, &none, NULL) == TROVE_OK)
        taken = page->visit(page->context, &info);
    tvs_local_upload_release(upload);
    return taken;
}

static rocksdb_iterator_t *iterate(const struct tvs_index *index, rocksdb_readoptions_t *options, const uint8_t *from,
                                   size_t from_bytes) {
    rocksdb_iterator_t *rows = rocksdb_create_iterator_cf(index->db, options, index->rows);
    rocksdb_iter_seek(rows, (const char *)from, from_bytes);
    return rows;
}

static trove_status end_iteration(rocksdb_iterator_t *rows, rocksdb_readoptions_t *options, const char *what,
                                  trove_error *error) {
    char *failure = NULL;
    rocksdb_iter_get_error(rows, &failure);
    rocksdb_iter_destroy(rows);
    rocksdb_readoptions_destroy(options);
    return failure != NULL ? tvs_index_fail(failure, what, error) : TROVE_OK;
}

/* Where a listing begins: behind the cursor, but not before the bucket. */
static size_t first_key(const struct tvs_upload_cursor *cursor, uint64_t bucket_id, uint8_t key[TVS_PLACE_KEY_BYTES_MAX + 1]) {
    struct tvs_upload_cursor begin;
    const struct tvs_upload_id lowest = {{0}};
    tvs_upload_cursor_write(bucket_id, "", &lowest, &begin);
    if (cursor->count == 0 || memcmp(cursor->bytes, begin.bytes, sizeof bucket_id) < 0)
        return tvs_index_key_place(&begin, key) - 1 - sizeof lowest; /* the bucket's id alone */
    size_t bytes = tvs_index_key_place(cursor, key);
    key[bytes] = 0; /* the next possible key */
    return bytes + 1;
}

/* Of the rows "l" from the iterator's place on. */
static bool walk(const struct page *page, rocksdb_iterator_t *rows, uint32_t limit) {
    uint32_t taken = 0;
    for (; rocksdb_iter_valid(rows); rocksdb_iter_next(rows)) {
        size_t key_bytes;
        const char *key = rocksdb_iter_key(rows, &key_bytes);
        struct tvs_upload_id id;
        if (!row_id('l', key, key_bytes, &id))
            return false;
        if (taken == limit || !visit_one(page, &id))
            return true;
        page->cursor->count = key_bytes - 1;
        memcpy(page->cursor->bytes, key + 1, key_bytes - 1);
        taken++;
    }
    return false;
}

trove_status tvs_local_upload_list(struct tvs_driver *driver, const char *bucket, struct tvs_upload_cursor *cursor,
                                   uint32_t limit, tvs_upload_visit visit, void *context, bool *more, trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct page page = {.local = local, .visit = visit, .context = context, .cursor = cursor};
    uint64_t bucket_id = 0, cursor_bucket;
    const char *cursor_key;
    struct tvs_upload_id cursor_id;
    trove_status status = TROVE_OK;
    if (cursor->count > 0)
        status = tvs_upload_cursor_read(cursor, &cursor_bucket, &cursor_key, &cursor_id, error);
    if (status == TROVE_OK && bucket[0] != '\0') {
        struct tvs_local_bucket *in;
        status = tvs_local_bucket_acquire(&local->buckets, bucket, &in, error);
        if (status == TROVE_OK) {
            bucket_id = in->id;
            tvs_local_bucket_release(in);
        }
    }
    if (status != TROVE_OK)
        return status;
    uint8_t key[TVS_PLACE_KEY_BYTES_MAX + 1], end[1 + 8] = {'l' + 1};
    size_t end_bytes = 1;
    if (bucket_id != 0) {
        end_bytes = sizeof end;
        end[0] = 'l';
        tvs_write_u64_be(bucket_id + 1, end + 1);
    }
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)end, end_bytes);
    rocksdb_iterator_t *rows = iterate(&local->index, options, key, first_key(cursor, bucket_id, key));
    bool follows = walk(&page, rows, limit);
    status = end_iteration(rows, options, "can't list uploads", error);
    if (status == TROVE_OK)
        *more = follows;
    return status;
}

/* ---- collecting ------------------------------------------------------------------------------------------------------ */

/* Removals under way, and what has become of them. */
struct collection {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    uint32_t pending;
    uint32_t judged; /* removed, or looked at again later */
    uint32_t removed;
};

struct removal {
    struct collection *collection;
    uint64_t now_ns;
};

/* One that was touched in the meantime is told as well: its deadline is later. */
static void count_removal(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    (void)error;
    const struct removal *removal = context;
    struct collection *collection = removal->collection;
    pthread_mutex_lock(&collection->lock);
    collection->judged += status == TROVE_OK;
    collection->removed += status == TROVE_OK && info->expires_ns <= removal->now_ns;
    if (--collection->pending == 0)
        pthread_cond_signal(&collection->ended);
    pthread_mutex_unlock(&collection->lock);
}

static void count_up(struct collection *collection) {
    pthread_mutex_lock(&collection->lock);
    collection->pending++;
    pthread_mutex_unlock(&collection->lock);
}

static bool submit_removal(struct tvs_local *local, const struct tvs_upload_id *id, struct removal *removal) {
    struct tvs_local_upload *upload;
    struct tvs_upload_commit *commit;
    if (tvs_local_upload_damaged(local, id, &upload, NULL)) {
        count_up(removal->collection);
        tvs_local_upload_discard(local, id, upload, count_removal, removal);
        return true;
    }
    if (upload == NULL)
        return false;
    if (tvs_upload_commit_create(TVS_COMMIT_UPLOAD_REMOVE, upload, 0, &commit, NULL) != TROVE_OK) {
        tvs_local_upload_release(upload);
        return false;
    }
    commit->expired_ns = removal->now_ns;
    count_up(removal->collection);
    tvs_upload_commit_submit(&local->committer, commit, count_removal, removal);
    return true;
}

static void begin_collection(struct collection *collection) {
    *collection = (struct collection){.pending = 0};
    pthread_mutex_init(&collection->lock, NULL);
    pthread_cond_init(&collection->ended, NULL);
}

/* Waits for all that was submitted. */
static void end_collection(struct collection *collection) {
    pthread_mutex_lock(&collection->lock);
    while (collection->pending > 0)
        pthread_cond_wait(&collection->ended, &collection->lock);
    pthread_mutex_unlock(&collection->lock);
    pthread_cond_destroy(&collection->ended);
    pthread_mutex_destroy(&collection->lock);
}

trove_status tvs_local_upload_collect(struct tvs_driver *driver, uint64_t now_ns, uint32_t limit, uint32_t *removed, bool *more,
                                      trove_error *error) {
    struct tvs_local *local = tvs_local_of(driver);
    struct collection collection;
    struct removal removal = {.collection = &collection, .now_ns = now_ns == 0 ? 1 : now_ns};
    begin_collection(&collection);
    uint8_t end[1 + 8] = {'x'};
    tvs_write_u64_be(now_ns < UINT64_MAX ? now_ns + 1 : now_ns, end + 1);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)end, sizeof end);
    rocksdb_iterator_t *rows = iterate(&local->index, options, end, 1);
    uint32_t count = 0;
    struct tvs_upload_id id;
    for (; rocksdb_iter_valid(rows) && count < limit; rocksdb_iter_next(rows)) {
        size_t key_bytes;
        const char *key = rocksdb_iter_key(rows, &key_bytes);
        /* One of a later version stays where it is; one that is damaged goes when it would have been looked at. */
        count += row_id('x', key, key_bytes, &id) && submit_removal(local, &id, &removal);
    }
    bool follows = rocksdb_iter_valid(rows) != 0;
    trove_status status = end_iteration(rows, options, "can't collect uploads", error);
    end_collection(&collection);
    if (status == TROVE_OK) {
        *removed = collection.removed;
        *more = follows && collection.judged > 0; /* else the same ones would be tried again */
    }
    return status;
}

/* ---- of deleted buckets ---------------------------------------------------------------------------------------------- */

/* The bucket's row is gone, durably, so that none of its uploads is begun, attached to or published any more: there are only
 * fewer. What isn't removed now the next start finds. */
void tvs_local_uploads_drop(struct tvs_local *local, uint64_t bucket_id) {
    struct collection collection;
    struct removal removal = {.collection = &collection, .now_ns = UINT64_MAX};
    uint8_t first[1 + 8] = {'l'}, end[1 + 8] = {'l'};
    tvs_write_u64_be(bucket_id, first + 1);
    tvs_write_u64_be(bucket_id + 1, end + 1);
    begin_collection(&collection);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)end, sizeof end);
    rocksdb_iterator_t *rows = iterate(&local->index, options, first, sizeof first);
    for (; rocksdb_iter_valid(rows); rocksdb_iter_next(rows)) {
        size_t key_bytes;
        const char *key = rocksdb_iter_key(rows, &key_bytes);
        struct tvs_upload_id id;
        if (row_id('l', key, key_bytes, &id))
            (void)submit_removal(local, &id, &removal);
    }
    trove_error error;
    trove_status status = end_iteration(rows, options, "can't remove a deleted bucket's unfinished uploads", &error);
    end_collection(&collection);
    if (status != TROVE_OK && local->committer.log != NULL)
        local->committer.log(local->committer.log_context, error.message);
}

/* ---- at the start ---------------------------------------------------------------------------------------------------- */

trove_status tvs_local_upload_check_file(struct tvs_local *local, const struct tvs_local_upload *upload,
                                         const struct tvs_journal *journal, bool *lost, trove_error *error) {
    uint64_t bytes = 0;
    if (journal->state != TVS_JOURNAL_OPEN || journal->offset == 0)
        return TROVE_OK;
    trove_error inner = {0};
    trove_status status = tvs_file_length(&local->files, &upload->record.file, &bytes, &inner);
    if (status != TROVE_OK && status != TROVE_NOT_FOUND)
        return tv_error_copy(error, &inner);
    *lost = status == TROVE_NOT_FOUND || bytes < journal->offset;
    if (!*lost)
        return TROVE_OK;
    return TV_FAIL(error, DATA_LOSS, "its file has %llu bytes, and %llu were durable", (unsigned long long)bytes,
                   (unsigned long long)journal->offset);
}

/* `left_over` removes one whose bucket was deleted: the process ended before it had gone, too. */
static trove_status check_upload(struct tvs_local *local, const struct tvs_upload_id *id, struct removal *left_over,
                                 trove_error *error) {
    struct tvs_local_upload *upload;
    struct tvs_journal journal;
    bool lost = false;
    trove_status status = tvs_local_upload_acquire(&local->uploads, id, &upload, error);
    if (status != TROVE_OK)
        return status;
    status = tvs_local_journal_read(&local->index, id, &journal, error);
    if (status == TROVE_OK && !tvs_local_upload_has_place(&local->buckets, upload, &journal)) {
        tvs_local_upload_release(upload);
        (void)submit_removal(local, id, left_over);
        return TROVE_OK;
    }
    if (status == TROVE_OK)
        status = tvs_local_upload_check_file(local, upload, &journal, &lost, error);
    if (lost) {
        struct tvs_upload_commit *loss = NULL; /* without memory for it whoever opens the upload finds the same */
        trove_error inner = {0};
        status = tvs_local_upload_prepare_loss(local, upload, journal.epoch, &loss, &inner);
        tvs_local_upload_lose(local, &loss, error->message); /* which says so */
        if (status != TROVE_OK)
            status = tv_error_copy(error, &inner);
    }
    tvs_local_upload_release(upload);
    return status;
}

trove_status tvs_local_uploads_recover(struct tvs_local *local, trove_error *error) {
    static const uint8_t first[1] = {'l'}, end[1] = {'l' + 1};
    struct collection collection;
    struct removal left_over = {.collection = &collection, .now_ns = UINT64_MAX};
    begin_collection(&collection);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)end, sizeof end);
    rocksdb_iterator_t *rows = iterate(&local->index, options, first, sizeof first);
    for (; rocksdb_iter_valid(rows); rocksdb_iter_next(rows)) {
        size_t key_bytes;
        const char *key = rocksdb_iter_key(rows, &key_bytes);
        struct tvs_upload_id id;
        atomic_fetch_add_explicit(&local->uploads.unfinished, 1, memory_order_relaxed);
        trove_error inner = {0};
        if (row_id('l', key, key_bytes, &id) && check_upload(local, &id, &left_over, &inner) != TROVE_OK &&
            local->committer.log != NULL)
            local->committer.log(local->committer.log_context, inner.message);
    }
    trove_status status = end_iteration(rows, options, "can't read the uploads", error);
    end_collection(&collection);
    for (bool more = true; status == TROVE_OK && more;) {
        uint32_t removed;
        status = tvs_local_upload_collect(&local->base, tvs_now_ns(), TV_LIST_LIMIT_MAX, &removed, &more, error);
    }
    return status;
}
