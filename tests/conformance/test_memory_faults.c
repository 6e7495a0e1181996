/* test_memory_faults.c - every piece of memory that a driver asks for is refused once: the right status, the store old or new,
 * what was acknowledged before intact, nothing held on to.
 *
 * A script is run with its first request refused, its second, and so on until a run meets no refusal: each time once with that
 * one alone, and once with all from there on. What RocksDB asks for isn't refused: see memory_faults.h. For the same reason
 * nothing of the server that stands on nng is in here, but what the drivers use.
 */
#include "fault_io.h"
#include "memory_faults.h"
#include "scrubs.h"
#include "uploads.h"

#include <errno.h>

#define B   ((size_t)TV_BLOCK_BYTES)
#define OLD 100000
#define NEW (2 * B + 1000)

static char *old_bytes, *new_bytes;

static const trove_metadata metadata[] = {{"colour", "red"}, {"size", "large"}};
static const struct put_how odd = {.write_bytes = 100003,
                                   .options = {.content_type = "text/plain", .metadata = metadata, .metadata_count = 2}};

/* ---- scripts --------------------------------------------------------------------------------------------------------- */

struct script {
    const char *name;
    trove_status (*run)(struct store *store, trove_error *error);
    /* What "object" is afterwards, if all went well; NULL: as before */
    void (*check)(struct store *store);
    bool resumes; /* only where uploads can be resumed */
};

static void is_old(struct store *store) {
    must_hold(store, "bucket", "object", old_bytes, OLD);
}

static void is_new(struct store *store) {
    must_hold(store, "bucket", "object", new_bytes, NEW);
}

static void is_small(struct store *store) {
    must_hold(store, "bucket", "object", new_bytes, 1000);
}

static void is_gone(struct store *store) {
    trove_error error = {0};
    struct tvs_object object;
    must_fail(store->ops->head(store->driver, "bucket", "object", &object, &error), TROVE_NOT_FOUND, &error, "object");
}

static trove_status run_bucket(struct store *store, trove_error *error) {
    trove_status status = store->ops->bucket_create(store->driver, "other", error);
    return status == TROVE_OK ? store->ops->bucket_delete(store->driver, "other", error) : status;
}

static trove_status run_put(struct store *store, trove_error *error) {
    return put_object(store, "bucket", "object", new_bytes, NEW, &odd, error);
}

static trove_status run_small_put(struct store *store, trove_error *error) {
    static const struct put_how how = {.small = true, .options = {.metadata = metadata, .metadata_count = 2}};
    return put_object(store, "bucket", "object", new_bytes, 1000, &how, error);
}

static trove_status run_put_of_few(struct store *store, trove_error *error) {
    return put_object(store, "bucket", "object", new_bytes, 1000, &odd, error);
}

/* With a declared digest: hashed anew when it goes back, and wrong in the end. */
static trove_status run_put_with_digest(struct store *store, trove_error *error) {
    static const struct tvs_declared_digest digest = {.kind = TVS_DIGEST_SHA256, .has_value = true};
    struct put_how how = odd;
    struct tvs_put *put;
    how.options.digest = &digest;
    trove_status status = put_uncommitted(store, "bucket", "object", new_bytes, NEW, &how, &put, error);
    if (status != TROVE_OK)
        return status;
    status = store->ops->put_rewind(put, B + 5, error);
    if (status != TROVE_OK) {
        store->ops->put_abort(put);
        return status;
    }
    status = put_commit_wait(store, put, NULL, error);
    assert_int_not_equal(status, TROVE_OK);
    return status == TROVE_DATA_LOSS ? TROVE_OK : status;
}

static trove_status run_to_and_fro(struct store *store, trove_error *error) {
    static char area[TV_BLOCK_BYTES];
    struct tv_data data = {.offset = B, .bytes = B, .iov_count = 1, .iov[0] = {area, sizeof area}};
    struct tvs_put *put;
    trove_status status = put_uncommitted(store, "bucket", "object", new_bytes, 2 * B, &odd, &put, error);
    if (status != TROVE_OK)
        return status;
    status = store->ops->put_gap(put, 2 * B, 200 * B + 5, error);
    if (status == TROVE_OK)
        status = store->ops->put_read(put, &data, error);
    if (status == TROVE_OK)
        status = store->ops->put_rewind(put, B + 7000, error);
    if (status == TROVE_OK)
        status = put_more(store, put, new_bytes, B + 7000, NEW, &odd, error);
    if (status == TROVE_OK)
        return put_commit_wait(store, put, NULL, error);
    store->ops->put_abort(put);
    return status;
}

static trove_status run_get(struct store *store, trove_error *error) {
    char *bytes;
    size_t size;
    trove_status status = get_object(store, "bucket", "kept", 0, &bytes, &size, error);
    if (status != TROVE_OK)
        return status;
    assert_int_equal(size, NEW);
    assert_memory_equal(bytes, new_bytes, NEW);
    __real_free(bytes);
    struct tvs_object object;
    uint64_t sums[4];
    status = store->ops->block_sums(store->driver, "bucket", "kept", 0, 4, sums, &size, &object, error);
    if (status == TROVE_OK)
        tvs_object_fini(&object);
    return status;
}

static bool take_entry(void *context, const struct tvs_list_entry *entry) {
    (void)entry;
    ++*(unsigned *)context;
    return true;
}

static trove_status run_look(struct store *store, trove_error *error) {
    static const struct tvs_list_query query = {.prefix = "", .delimiter = "/", .after = "", .limit = 10};
    struct tvs_object object;
    struct tvs_bucket *buckets;
    size_t count;
    unsigned entries = 0;
    bool more;
    trove_status status = store->ops->head(store->driver, "bucket", "kept", &object, error);
    if (status != TROVE_OK)
        return status;
    tvs_object_fini(&object);
    status = store->ops->bucket_list(store->driver, &buckets, &count, error);
    if (status != TROVE_OK)
        return status;
    assert_int_equal(count, 1);
    free(buckets);
    status = store->ops->list(store->driver, "bucket", &query, take_entry, &entries, &more, error);
    if (status == TROVE_OK)
        assert_int_equal(entries, 2);
    return status;
}

static trove_status run_copy(struct store *store, trove_error *error) {
    return copy_object(store, "bucket", "kept", "bucket", "object", NULL, NULL, error);
}

static trove_status run_delete(struct store *store, trove_error *error) {
    return store->ops->delete (store->driver, "bucket", "object", NULL, error);
}

static trove_status run_scrub(struct store *store, trove_error *error) {
    struct scrubbed scrubbed;
    trove_status status = scrub_all(store, "", NULL, &scrubbed, error);
    if (status == TROVE_OK)
        assert_string_equal(scrubbed.text, "");
    return status;
}

static trove_status run_start(struct store *store, trove_error *error) {
    struct tvs_driver *driver = NULL;
    store->ops->close(store->driver);
    store->driver = NULL;
    trove_status status = store->ops->open(&store->config, &driver, error);
    store->driver = driver;
    return status;
}

/* ---- resumable uploads ---- */

static struct tvs_upload_id upload_id; /* of the script's, which the next run of it throws away */
static bool upload_is_there;

static trove_status take_told(const struct told *told, trove_error *error) {
    return told->status == TROVE_OK ? TROVE_OK : tv_error_copy(error, &told->error);
}

/* Goes on where the holder before has flushed; flushes, writes some more that is lost, and lets go, or commits. */
static trove_status hold(struct store *store, size_t from, size_t to, bool last, trove_error *error) {
    struct told told;
    struct tvs_put *put;
    if (upload_is_there)
        upload_attach(store, &upload_id, "alice", &told);
    else
        upload_begin(store, "bucket", "object", NULL, &told);
    trove_status status = take_told(&told, error);
    if (status != TROVE_OK)
        return status;
    upload_id = told.id;
    upload_is_there = true;
    assert_int_equal(told.durable_offset, from);
    status = store->ops->upload_open(store->driver, &told.id, told.epoch, &put, error);
    if (status != TROVE_OK)
        return status;
    status = put_more(store, put, new_bytes, from, to, &odd, error);
    if (status == TROVE_OK && last)
        return put_commit_wait(store, put, NULL, error);
    if (status == TROVE_OK) {
        upload_flush(store, put, &told);
        status = take_told(&told, error);
    }
    if (status == TROVE_OK)
        status = put_more(store, put, new_bytes, to, to + B, &odd, error);
    store->ops->put_abort(put);
    return status;
}

static trove_status run_upload(struct store *store, trove_error *error) {
    trove_status status = hold(store, 0, 10000, false, error);
    if (status == TROVE_OK)
        status = hold(store, 10000, B + 9, false, error);
    return status == TROVE_OK ? hold(store, B + 9, NEW, true, error) : status;
}

static bool take_upload(void *context, const struct tvs_upload_info *info) {
    (void)info;
    ++*(unsigned *)context;
    return true;
}

static trove_status run_uploads(struct store *store, trove_error *error) {
    struct tvs_upload_cursor cursor = {0};
    struct told told;
    unsigned found = 0;
    bool more;
    trove_status status = hold(store, 0, B + 9, false, error);
    if (status == TROVE_OK)
        status = store->ops->upload_stat(store->driver, &upload_id, "alice", take_upload, &found, error);
    if (status == TROVE_OK)
        status = store->ops->upload_list(store->driver, "bucket", &cursor, 10, take_upload, &found, &more, error);
    uint32_t removed;
    if (status == TROVE_OK)
        status = store->ops->upload_collect(store->driver, 1, 10, &removed, &more, error);
    if (status != TROVE_OK)
        return status;
    upload_abort(store, &upload_id, "alice", &told);
    upload_is_there = told.status != TROVE_OK;
    return take_told(&told, error);
}

static const struct script scripts[] = {
    {.name = "bucket", .run = run_bucket},
    {.name = "put", .run = run_put, .check = is_new},
    {.name = "small put", .run = run_small_put, .check = is_small},
    {.name = "put of few bytes", .run = run_put_of_few, .check = is_small},
    {.name = "put with a digest", .run = run_put_with_digest},
    {.name = "put to and fro", .run = run_to_and_fro, .check = is_new},
    {.name = "get", .run = run_get},
    {.name = "look", .run = run_look},
    {.name = "copy", .run = run_copy, .check = is_new},
    {.name = "delete", .run = run_delete, .check = is_gone},
    {.name = "scrub", .run = run_scrub},
    {.name = "upload", .run = run_upload, .check = is_new, .resumes = true},
    {.name = "uploads", .run = run_uploads, .resumes = true},
    {.name = "start", .run = run_start},
};

/* ---- running them ---------------------------------------------------------------------------------------------------- */

static void prepare(struct store *store) {
    struct told told;
    if (store->driver == NULL)
        store_open(store);
    if (upload_is_there)
        upload_abort(store, &upload_id, "alice", &told); /* FAILED_PRECONDITION where it is complete */
    upload_is_there = false;
    (void)!store->ops->bucket_create(store->driver, "bucket", NULL);
    (void)!store->ops->bucket_delete(store->driver, "other", NULL);
    must_put(store, "bucket", "object", old_bytes, OLD);
    must_put(store, "bucket", "kept", new_bytes, NEW);
}

/* Returns how many requests it has, all of which were refused. */
static unsigned faults_of(struct store *store, const struct script *script, bool lasting) {
    for (unsigned nth = 1;; nth++) {
        trove_error error = {0};
        prepare(store);
        memory_fault_set(nth, lasting);
        trove_status status = script->run(store, &error);
        bool met = memory_faults() > 0;
        memory_fault_set(0, false);
        if (status != TROVE_OK)
            must_fail(status, TROVE_RESOURCE_EXHAUSTED, &error, "");
        assert_true(met || status == TROVE_OK);
        if (script->run == run_start) {
            store_close(store);
            assert_int_equal(memory_held(true), 0);
            store_open(store);
        }
        if (script->run != run_start || survives_restart()) {
            must_hold(store, "bucket", "kept", new_bytes, NEW);
            if (status == TROVE_OK && script->check != NULL)
                script->check(store);
            else
                is_old(store);
        }
        if (!met)
            return nth - 1;
        assert_true(nth < 1000);
    }
}

static void test_every_request(void **state) {
    struct store *store = *state;
    old_bytes = bytes_make(OLD, 1);
    new_bytes = bytes_make(NEW + B, 2);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        if (scripts[i].resumes && !can_resume())
            continue;
        unsigned count = faults_of(store, &scripts[i], false);
        (void)faults_of(store, &scripts[i], true);
        print_message("    %s: %u requests for memory\n", scripts[i].name, count);
        store_close(store);
        assert_int_equal(memory_held(true), 0);
        store_open(store);
    }
    __real_free(old_bytes);
    __real_free(new_bytes);
}

/* ---- two misfortunes at once ----------------------------------------------------------------------------------------- */

static trove_status flush_or_commit(struct store *store, struct tvs_put *put_move, bool commits, trove_error *error) {
    struct told told;
    if (commits)
        return put_commit_wait(store, put_move, NULL, error);
    upload_flush(store, put_move, &told);
    store->ops->put_abort(put_move);
    return take_told(&told, error);
}

/* A sync of an upload's bytes fails, and from its nth request on there is no memory, either: the upload is lost all the same, now
 * and after a start. Returns whether a request was refused. */
static bool lose_upload(struct store *store, unsigned nth, bool commits) {
    struct told told, other;
    trove_error error = {0};
    struct tvs_put *put = must_begin(store, "object", NULL, &told);
    must_write(store, put, new_bytes, 0, B + 9);
    must_flush(store, put, B + 9);
    must_write(store, put, new_bytes, B + 9, NEW);
    fault_plan_set((struct fault_plan){.call = FAULT_SYNC, .nth = 1, .error_number = EIO});
    memory_fault_set(nth, true);
    trove_status status = flush_or_commit(store, put, commits, &error);
    bool refused = memory_faults() > 0, failed = atomic_load(&fault_hits) > 0;
    memory_fault_set(0, false);
    fault_plan_set((struct fault_plan){0});
    must_fail(status, failed ? TROVE_DATA_LOSS : TROVE_RESOURCE_EXHAUSTED, &error, "object");
    for (int round = 0; round < 2 && failed; round++) {
        upload_attach(store, &told.id, "alice", &other);
        must_fail(other.status, TROVE_DATA_LOSS, &other.error, "lost");
        store_close(store);
        assert_int_equal(memory_held(true), 0);
        store_open(store);
    }
    must_abort(store, &told.id);
    assert_true(refused || failed);
    return refused;
}

static void test_a_failed_sync(void **state) {
    if (fixture_ops != &tvs_local_driver)
        return; /* it has no syncs */
    new_bytes = bytes_make(NEW, 2);
    for (int commits = 0; commits < 2; commits++)
        for (unsigned nth = 1; lose_upload(*state, nth, commits == 1); nth++)
            assert_true(nth < 100);
    __real_free(new_bytes);
}

int main(int count, char **arguments) {
    fixture_choose(count, arguments);
    fault_io_install();
    fault_io_without_syncs();
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_every_request, relaxed_setup, store_teardown),
                                       cmocka_unit_test_setup_teardown(test_a_failed_sync, store_setup, store_teardown)};
    return cmocka_run_group_tests_name("memory that isn't there", tests, NULL, NULL);
}
