/* test_local_upload_faults.c - what becomes of resumable uploads in the local store that lose bytes or rows, or whose calls
 * fail. */
#include "fault_io.h"
#include "local_disk.h"
#include "uploads.h"

#include "local.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define B TV_BLOCK_BYTES

static void reopen(struct store *store) {
    store_close(store);
    store_open(store);
}

/* ---- damage ----------------------------------------------------------------------------------------------------------- */

/* What the store has said that has this in it. */
static const char *listen_for;
static unsigned said;
static char last_said[1024];

static void hear(void *context, const char *message) {
    (void)context;
    if (strstr(message, listen_for) == NULL)
        return;
    said++;
    snprintf(last_said, sizeof last_said, "%s", message);
}

/* A file that is shorter than its journal says, found at the start or when it is opened: lost, said aloud, for good. */
static void test_a_file_that_is_too_short(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1), path[LOCAL_PATH_BYTES];
    store_close(store);
    store->config.log = hear;
    listen_for = "upload";
    store_open(store);
    must_put(store, "bucket", "small", "abc", 3);
    static const struct {
        const char *name;
        bool open;  /* the store, when it happens */
        off_t left; /* -1: it is gone */
    } rows[] = {{"cut while closed", false, 3 * 262144 + 4},
                {"gone while closed", false, -1},
                {"cut while open", true, 100},
                {"gone while open", true, -1},
                {"empty", false, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        trove_error error = {0};
        struct told told, other;
        struct tvs_put *put = must_begin(store, "object", NULL, &told), *none;
        must_write(store, put, bytes, 0, 3 * B + 5);
        must_flush(store, put, 3 * B + 5);
        store->ops->put_abort(put);
        assert_int_equal(count_files(store, path), 1);
        said = 0;
        if (!rows[i].open)
            store_close(store);
        assert_int_equal(rows[i].left < 0 ? unlink(path) : truncate(path, rows[i].left), 0);
        if (rows[i].open) {
            upload_attach(store, &told.id, "alice", &other);
            must(other.status, &other.error);
            must_fail(store->ops->upload_open(store->driver, &told.id, other.epoch, &none, &error), TROVE_DATA_LOSS, &error,
                      "durable");
        } else {
            store_open(store);
        }
        assert_int_equal(said, 1);
        assert_non_null(strstr(last_said, "bucket/object is lost"));
        for (int round = 0; round < 2; round++) {
            upload_attach(store, &told.id, "alice", &other);
            must_fail(other.status, TROVE_DATA_LOSS, &other.error, "lost");
            must(upload_stat(store, &told.id, "alice", &other), &other.error);
            reopen(store);
        }
        must_abort(store, &told.id);
        must_be_gone(store, &told.id);
        must_hold(store, "bucket", "small", "abc", 3);
        reopen(store);
        assert_int_equal(count_files(store, NULL), 0);
    }
    free(bytes);
}

static void test_damage_before_the_offset(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)(4 * B), 1), path[LOCAL_PATH_BYTES], *got;
    struct tvs_declared_digest digest = {.kind = TVS_DIGEST_SHA256};
    static const struct {
        const char *name;
        off_t damaged;
        bool digest;
        const char *word; /* NULL: it is found by who gets the object */
    } rows[] = {{"in the last block", 3 * 262144 + 2, false, "bytes from 786432 to 786437"},
                {"in a block before", 262144, false, NULL},
                {"in a block before, with a digest", 262144, true, "bytes from 262144 to 524288"},
                {"behind it", 3 * 262144 + 5, false, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        trove_error error = {0};
        size_t size;
        struct told told;
        struct begin_how how = {.put.digest = rows[i].digest ? &digest : NULL};
        struct tvs_put *put = must_begin(store, "object", &how, &told);
        must_write(store, put, bytes, 0, 3 * B + 5);
        must_flush(store, put, 3 * B + 5);
        must_write(store, put, bytes, 3 * B + 5, 4 * B);
        store->ops->put_abort(put);
        assert_int_equal(count_files(store, path), 1);
        flip_byte(path, rows[i].damaged);
        upload_attach(store, &told.id, "alice", &told);
        must(told.status, &told.error);
        trove_status status = store->ops->upload_open(store->driver, &told.id, told.epoch, &put, &error);
        if (rows[i].word != NULL && rows[i].word[0] != '\0') {
            must_fail(status, TROVE_DATA_LOSS, &error, rows[i].word);
            assert_non_null(strstr(error.message, "bucket/object"));
            flip_byte(path, rows[i].damaged); /* the disk has thought better of it */
            put = must_attach(store, &told.id, 3 * B + 5, &told);
            store->ops->put_abort(put);
            must_abort(store, &told.id);
        } else {
            must(status, &error);
            must_write(store, put, bytes, 3 * B + 5, 4 * B);
            must_commit(store, put);
            if (rows[i].word == NULL)
                must_fail(get_object(store, "bucket", "object", 0, &got, &size, &error), TROVE_DATA_LOSS, &error,
                          "bytes from 262144 to 524288");
            else
                must_hold(store, "bucket", "object", bytes, (size_t)(4 * B));
            must(store->ops->delete (store->driver, "bucket", "object", NULL, &error), &error);
        }
        reopen(store);
        assert_int_equal(count_files(store, NULL), 0);
    }
    free(bytes);
}

/* Changes a row of the closed store's index. */
static void change_row(struct store *store, const uint8_t *key, size_t key_bytes, const void *value, size_t value_bytes) {
    char path[300];
    trove_error error = {0};
    struct tvs_index index;
    snprintf(path, sizeof path, "%s/index", store->path);
    must(tvs_index_open(&index, path, 0, false, &error), &error);
    char *failure = NULL;
    rocksdb_put_cf(index.db, index.write_options, index.rows, (const char *)key, key_bytes, value, value_bytes, &failure);
    assert_null(failure);
    tvs_index_close(&index);
}

/* No row has the id, in its key or as its value. */
static void must_have_left_nothing(struct store *store, const struct tvs_upload_id *id) {
    struct tvs_index *index = &tvs_local_of(store->driver)->index;
    rocksdb_iterator_t *rows = rocksdb_create_iterator_cf(index->db, index->read_options, index->rows);
    must_be_gone(store, id);
    for (rocksdb_iter_seek_to_first(rows); rocksdb_iter_valid(rows); rocksdb_iter_next(rows)) {
        size_t key_bytes, value_bytes;
        const char *key = rocksdb_iter_key(rows, &key_bytes), *value = rocksdb_iter_value(rows, &value_bytes);
        assert_null(memmem(key, key_bytes, id->bytes, sizeof id->bytes));
        assert_null(memmem(value, value_bytes, id->bytes, sizeof id->bytes));
    }
    rocksdb_iter_destroy(rows);
}

/* A row that can't be read is its upload's misfortune alone, and says whose. It can be aborted, or is collected when its time
 * comes. */
static void damaged_rows(struct store *store, const char *bytes, bool aborted) {
    static char id[TVS_UPLOAD_ID_TEXT_BYTES];
    unsigned kept_files = 0; /* of uploads that can't be read, but for the checksums */
    store->config.log = hear;
    listen_for = id;
    static const struct {
        const char *name;
        char kind;
        const char *value;
        trove_status status;
        bool at_start; /* found there already */
    } rows[] = {{"the journal", 'j', "\1rubbish", TROVE_DATA_LOSS, true},
                {"the description", 'u', "\1rubbish", TROVE_DATA_LOSS, true},
                {"the checksums", 's', "\1rubbish", TROVE_DATA_LOSS, false},
                {"a later journal", 'j', "\2whatever", TROVE_FAILED_PRECONDITION, true},
                {"a later description", 'u', "\2whatever", TROVE_FAILED_PRECONDITION, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("    %s\n", rows[i].name);
        trove_error error = {0};
        struct told told, good;
        struct tvs_put *put = must_begin(store, "damaged", NULL, &told);
        must_write(store, put, bytes, 0, 2 * B);
        must_flush(store, put, 2 * B);
        store->ops->put_abort(put);
        put = must_begin(store, "good", NULL, &good);
        must_write(store, put, bytes, 0, B);
        must_flush(store, put, B);
        store->ops->put_abort(put);
        store_close(store);
        uint8_t key[TVS_SEGMENT_KEY_BYTES];
        size_t key_bytes = tvs_index_key_segment(&told.id, 0, key);
        key[0] = (uint8_t)rows[i].kind;
        change_row(store, key, rows[i].kind == 's' ? key_bytes : TVS_UPLOAD_KEY_BYTES, rows[i].value, strlen(rows[i].value));
        said = 0;
        tvs_upload_id_text(&told.id, id);
        store_open(store);
        assert_int_equal(said, rows[i].at_start);
        struct told other;
        upload_attach(store, &told.id, "alice", &other);
        if (rows[i].kind != 's') {
            must_fail(other.status, rows[i].status, &other.error, id);
            if (aborted) {
                upload_abort(store, &told.id, "alice", &other);
                if (rows[i].status == TROVE_DATA_LOSS)
                    must(other.status, &other.error);
                else
                    must_fail(other.status, rows[i].status, &other.error, id);
            }
        } else {
            must(other.status, &other.error);
            must_fail(store->ops->upload_open(store->driver, &told.id, other.epoch, &put, &error), rows[i].status, &error, id);
        }
        /* It doesn't stand in anybody's way; of a later version it isn't collected: perhaps a newer troved can read it. */
        char *text = uploads_text(store, "bucket", NULL, 10);
        assert_non_null(strstr(text, "bucket/good"));
        free(text);
        put = must_attach(store, &good.id, B, &good);
        must_write(store, put, bytes, B, 2 * B);
        must_commit(store, put);
        must_hold(store, "bucket", "good", bytes, (size_t)(2 * B));
        must_collect(store, good.expires_ns + 100 * DAY_NS, 1000);
        must_be_gone(store, &good.id);
        if (rows[i].status == TROVE_DATA_LOSS)
            must_have_left_nothing(store, &told.id);
        if (rows[i].kind == 'j' && rows[i].status == TROVE_DATA_LOSS)
            assert_int_equal(count_files(store, NULL), 1 + kept_files);
        kept_files = count_files(store, NULL) - 1;
    }
}

static void test_damaged_rows(void **state) {
    char *bytes = bytes_make((size_t)(2 * B), 1);
    for (int aborted = 0; aborted < 2; aborted++) {
        damaged_rows(*state, bytes, aborted == 1);
        store_renew(*state);
    }
    free(bytes);
}

/* ---- failing calls ---------------------------------------------------------------------------------------------------- */

struct progress {
    struct tvs_upload_id id;
    bool begun;
    uint64_t durable_offset; /* told */
};

static trove_status flush_told(struct store *store, struct tvs_put *put, struct progress *progress, trove_error *error) {
    struct told told;
    upload_flush(store, put, &told);
    if (told.status != TROVE_OK)
        return tv_error_copy(error, &told.error);
    assert_true(told.durable_offset >= progress->durable_offset);
    progress->durable_offset = told.durable_offset;
    return TROVE_OK;
}

/* Goes on to `to`, with a flush there and now and then on the way. */
static trove_status write_and_flush(struct store *store, struct tvs_put *put, const char *bytes, uint64_t to,
                                    struct progress *progress, trove_error *error) {
    static const struct put_how how = {.write_bytes = 200001};
    trove_status status = TROVE_OK;
    for (uint64_t at = progress->durable_offset; at < to && status == TROVE_OK; at = progress->durable_offset) {
        uint64_t end = at + 400000 < to ? at + 400000 : to;
        status = put_more(store, put, bytes, (size_t)at, (size_t)end, &how, error);
        if (status == TROVE_OK)
            status = flush_told(store, put, progress, error);
    }
    return status;
}

static trove_status attach_and_open(struct store *store, struct progress *progress, struct tvs_put **put, trove_error *error) {
    struct told told;
    if (progress->begun)
        upload_attach(store, &progress->id, "alice", &told);
    else
        upload_begin(store, "bucket", "object", NULL, &told);
    if (told.status != TROVE_OK)
        return tv_error_copy(error, &told.error);
    progress->id = told.id;
    progress->begun = true;
    assert_int_equal(told.durable_offset, progress->durable_offset); /* never back, and nothing that wasn't told */
    return store->ops->upload_open(store->driver, &told.id, told.epoch, put, error);
}

#define FAULT_SIZE (4 * B + 100000)

/* One with a change of holders, one of which goes back, too. Each step of it may be what fails. */
static trove_status upload_in_steps(struct store *store, const char *bytes, struct progress *progress, trove_error *error) {
    static const uint64_t ends[] = {1000, B + 9, 2 * B};
    struct tvs_put *put = NULL;
    trove_status status = TROVE_OK;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && status == TROVE_OK; i++) {
        status = attach_and_open(store, progress, &put, error);
        if (status != TROVE_OK)
            return status;
        status = write_and_flush(store, put, bytes, ends[i], progress, error);
        if (status == TROVE_OK && i + 1 < sizeof ends / sizeof *ends)
            store->ops->put_abort(put);
    }
    static const struct put_how how = {.write_bytes = 0};
    if (status == TROVE_OK)
        status = put_more(store, put, bytes, (size_t)(2 * B), (size_t)(4 * B), &how, error);
    if (status == TROVE_OK)
        status = store->ops->put_rewind(put, 2 * B + 70000, error);
    if (status == TROVE_OK)
        status = put_more(store, put, bytes, (size_t)(2 * B + 70000), (size_t)FAULT_SIZE, &how, error);
    if (status == TROVE_OK)
        return put_commit_wait(store, put, NULL, error);
    store->ops->put_abort(put);
    return status;
}

static const struct {
    int number;
    trove_status status;
} errors[] = {{ENOSPC, TROVE_RESOURCE_EXHAUSTED}, {EIO, TROVE_DATA_LOSS}, {EMFILE, TROVE_RESOURCE_EXHAUSTED}};

/* What is left is gone on with, and ends as if nothing had been. */
static void finish(struct store *store, const char *bytes, struct progress *progress) {
    trove_error error = {0};
    struct tvs_put *put;
    must(attach_and_open(store, progress, &put, &error), &error);
    put_read_hold(store, put, bytes, 0, progress->durable_offset);
    must(write_and_flush(store, put, bytes, FAULT_SIZE, progress, &error), &error);
    must_commit(store, put);
}

/* A sync of the bytes that fails, unless for want of room, leaves nothing to trust. */
static bool loses(enum fault_call call, int number) {
    return call == FAULT_SYNC && number != ENOSPC;
}

static void faults_of(struct store *store, enum fault_call call, int number, trove_status expected, const char *old,
                      const char *new) {
    unsigned nth = 0;
    bool again = true;
    while (again) {
        trove_error error = {0};
        struct progress progress = {0};
        must_put(store, "bucket", "object", old, 400000);
        fault_plan_set((struct fault_plan){.call = call, .nth = ++nth, .error_number = number});
        trove_status status = upload_in_steps(store, new, &progress, &error);
        again = atomic_load(&fault_hits) > 0 && nth < 200;
        fault_plan_set((struct fault_plan){0});
        if (status == TROVE_OK) {
            must_hold(store, "bucket", "object", new, (size_t)FAULT_SIZE);
            continue;
        }
        must_fail(status, expected, &error, "object");
        must_hold(store, "bucket", "object", old, 400000);
        if (loses(call, number)) {
            struct told told;
            upload_attach(store, &progress.id, "alice", &told);
            must_fail(told.status, TROVE_DATA_LOSS, &told.error, "lost");
            must_abort(store, &progress.id);
            continue;
        }
        if (nth % 3 == 0)
            reopen(store);
        finish(store, new, &progress);
        must_hold(store, "bucket", "object", new, (size_t)FAULT_SIZE);
    }
    assert_true(nth > 1 && nth < 200);
    print_message("    %u of this call, error %d\n", nth - 1, number);
}

static void test_faults(void **state) {
    struct store *store = *state;
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_READ,           FAULT_WRITE, FAULT_SET_LENGTH,
                                            FAULT_SYNC, FAULT_SYNC_DIRECTORY, FAULT_UNLINK};
    char *old = bytes_make(400000, 1), *new = bytes_make((size_t)FAULT_SIZE, 2);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
            if (calls[c] == FAULT_OPEN || errors[e].number != EMFILE)
                faults_of(store, calls[c], errors[e].number, errors[e].status, old, new);
    print_message("    calls were made to fail at %u places of the source\n", fault_sites());
    must_collect(store, tvs_now_ns() + 100 * DAY_NS, 1000);
    reopen(store);
    assert_int_equal(count_files(store, NULL), 1);
    must_count(store, "bucket", 1, FAULT_SIZE);
    free(old);
    free(new);
}

/* A start that fails, or passes a file over that it can't look at, changes nothing. */
static void test_faults_of_the_start(void **state) {
    struct store *store = *state;
    char *bytes = bytes_make((size_t)FAULT_SIZE, 1);
    struct progress progress = {0};
    trove_error error = {0};
    struct tvs_put *put;
    must(attach_and_open(store, &progress, &put, &error), &error);
    must(write_and_flush(store, put, bytes, 3 * B + 7, &progress, &error), &error);
    store->ops->put_abort(put);
    unsigned before = atomic_load(&fault_counts[FAULT_OPEN]);
    reopen(store);
    unsigned opens = atomic_load(&fault_counts[FAULT_OPEN]) - before;
    static const int numbers[] = {EIO, EMFILE};
    for (unsigned i = 0; i < 8; i++) {
        store_close(store);
        fault_plan_set((struct fault_plan){.call = FAULT_OPEN, .nth = opens - i / 2, .error_number = numbers[i % 2]});
        trove_status status = store->ops->open(&store->config, &store->driver, &error);
        assert_int_equal(atomic_load(&fault_hits), 1);
        fault_plan_set((struct fault_plan){0});
        if (status != TROVE_OK) {
            store->driver = NULL;
            store_open(store);
        }
        struct told told;
        must(upload_stat(store, &progress.id, "alice", &told), &told.error);
        assert_int_equal(told.durable_offset, 3 * B + 7);
    }
    finish(store, bytes, &progress);
    must_hold(store, "bucket", "object", bytes, (size_t)FAULT_SIZE);
    free(bytes);
}

static int synced_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return store_setup(state);
}

static int unsynced_setup(void **state) {
    fault_plan_set((struct fault_plan){0});
    return relaxed_setup(state);
}

#define TEST(function)   cmocka_unit_test_setup_teardown(function, unsynced_setup, store_teardown)
#define SYNCED(function) cmocka_unit_test_setup_teardown(function, synced_setup, store_teardown)

int main(void) {
    fault_io_install();
    fault_io_without_syncs();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_that_is_too_short), TEST(test_damage_before_the_offset), TEST(test_damaged_rows), SYNCED(test_faults),
        TEST(test_faults_of_the_start),
    };
    return cmocka_run_group_tests_name("faults of resumable uploads in the local store", tests, NULL, NULL);
}
