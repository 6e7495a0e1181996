/* test_local_faults.c - every call of the local store to the system is made to fail, wherever in the source it stands: the right
 * status, the store old or new, what was acknowledged before intact, and nothing left behind at the next start.
 *
 * A script is run with one of its calls failing, again and again: of each place in the source the first call, the second and the
 * last (TROVE_TEST_LONG in the environment: every one), once with that one failing, and once with all from there on, as when a
 * disk is gone, which leads into what clears up behind a failure. Which error it is matters where a place tells them apart: of
 * those behind the first in the table it is enough to make each place fail once in each script, and each sync; a disk that is
 * full stays so there, too, and what of the others lasts is put to each place of the source once. At the end all places of the
 * source are listed that no script has made to fail: there must be none but those that are named here.
 */
#include "fault_io.h"
#include "local.h"
#include "local_disk.h"
#include "scratch.h"
#include "scrubs.h"
#include "uploads.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define B   ((size_t)TV_BLOCK_BYTES)
#define OLD 400000
#define NEW (4 * B + 100000)

static const struct {
    int number;
    trove_status status;
} errors[] = {{EIO, TROVE_DATA_LOSS},
              {ENOSPC, TROVE_RESOURCE_EXHAUSTED},
              {EDQUOT, TROVE_RESOURCE_EXHAUSTED},
              {EMFILE, TROVE_RESOURCE_EXHAUSTED}};

static char *old_bytes, *new_bytes;

/* ---- scripts --------------------------------------------------------------------------------------------------------- */

struct script {
    const char *name;
    trove_status (*run)(struct store *store, trove_error *error);
    /* What "object" is afterwards, if all went well; NULL: as before */
    void (*check)(struct store *store);
    struct fault_plan plan; /* what else is odd about the system */
    bool starts;            /* it opens the store, which takes its time: one error is enough */
    trove_status always;    /* what comes of it without a fault */
};

static void is_old(struct store *store) {
    must_hold(store, "bucket", "object", old_bytes, OLD);
}

static void is_new(struct store *store) {
    must_hold(store, "bucket", "object", new_bytes, NEW);
}

static void is_gone(struct store *store) {
    trove_error error = {0};
    struct tvs_object object;
    must_fail(store->ops->head(store->driver, "bucket", "object", &object, &error), TROVE_NOT_FOUND, &error, "object");
}

static trove_status run_put(struct store *store, trove_error *error) {
    static const struct put_how how = {.write_bytes = 400001};
    return put_object(store, "bucket", "object", new_bytes, NEW, &how, error);
}

static trove_status run_small_put(struct store *store, trove_error *error) {
    static const struct put_how how = {.small = true};
    return put_object(store, "bucket", "object", new_bytes, 1000, &how, error);
}

static void is_small(struct store *store) {
    must_hold(store, "bucket", "object", new_bytes, 1000);
}

static trove_status read_unfinished(struct store *store, struct tvs_put *put, trove_error *error) {
    static _Alignas(4096) char area[3 * TV_BLOCK_BYTES];
    struct tv_data data = {.offset = B, .bytes = 3 * B, .iov_count = 1, .iov[0] = {area, sizeof area}};
    return store->ops->put_read(put, &data, error);
}

/* Writes, loses some, reads, goes back into a block, writes on. */
static trove_status run_to_and_fro(struct store *store, trove_error *error) {
    static const struct put_how how = {.write_bytes = 300001};
    struct tvs_put *put;
    trove_status status = put_uncommitted(store, "bucket", "object", new_bytes, 3 * B, &how, &put, error);
    if (status != TROVE_OK)
        return status;
    status = store->ops->put_gap(put, 3 * B, 2 * B + 5, error);
    if (status == TROVE_OK)
        status = read_unfinished(store, put, error);
    if (status == TROVE_OK)
        status = store->ops->put_rewind(put, 2 * B + 7000, error);
    if (status == TROVE_OK)
        status = put_more(store, put, new_bytes, 2 * B + 7000, NEW, &how, error);
    if (status == TROVE_OK)
        status = read_unfinished(store, put, error);
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
    free(bytes);
    return TROVE_OK;
}

static trove_status run_get_of_a_short_file(struct store *store, trove_error *error) {
    char *bytes;
    size_t size;
    return get_object(store, "bucket", "short", 0, &bytes, &size, error);
}

static trove_status run_copy(struct store *store, trove_error *error) {
    struct tvs_object object = {0};
    trove_status status = copy_object(store, "bucket", "kept", "bucket", "object", NULL, &object, error);
    tvs_object_fini(&object);
    return status;
}

static trove_status run_delete(struct store *store, trove_error *error) {
    trove_status status = store->ops->delete (store->driver, "bucket", "object", NULL, error);
    (void)count_files(store, NULL); /* waits for the janitor */
    return status;
}

static trove_status run_scrub(struct store *store, trove_error *error) {
    struct scrubbed scrubbed;
    trove_status status = scrub_all(store, "kept", NULL, &scrubbed, error);
    /* Damage isn't its failure, but what it is to find; what was there at a second look isn't damaged. */
    if (status == TROVE_OK && scrubbed.text[0] != '\0')
        status = TV_FAIL(error, DATA_LOSS, "bucket/%s", scrubbed.text);
    return status;
}

/* ---- resumable uploads ---- */

static struct tvs_upload_id upload_id; /* of the script's, which the next run of it throws away */
static bool upload_is_there;

static trove_status take_told(const struct told *told, trove_error *error) {
    upload_id = told->status == TROVE_OK ? told->id : upload_id;
    upload_is_there |= told->status == TROVE_OK;
    return told->status == TROVE_OK ? TROVE_OK : tv_error_copy(error, &told->error);
}

static trove_status flush(struct store *store, struct tvs_put *put, trove_error *error) {
    struct told told;
    upload_flush(store, put, &told);
    return told.status == TROVE_OK ? TROVE_OK : tv_error_copy(error, &told.error);
}

/* Each holder goes on where the one before has flushed; the last one commits. */
static trove_status hold(struct store *store, uint64_t from, uint64_t to, bool last, trove_error *error) {
    static const struct put_how how = {.write_bytes = 300001};
    struct told told;
    struct tvs_put *put;
    if (from == 0)
        upload_begin(store, "bucket", "object", NULL, &told);
    else
        upload_attach(store, &upload_id, "alice", &told);
    trove_status status = take_told(&told, error);
    if (status == TROVE_OK)
        status = store->ops->upload_open(store->driver, &told.id, told.epoch, &put, error);
    if (status != TROVE_OK)
        return status;
    status = put_more(store, put, new_bytes, from, to, &how, error);
    if (status == TROVE_OK && last)
        return put_commit_wait(store, put, NULL, error);
    if (status == TROVE_OK)
        status = flush(store, put, error);
    if (status == TROVE_OK) /* what isn't flushed is cut off by the next holder */
        status = put_more(store, put, new_bytes, to, to + B, &how, error);
    store->ops->put_abort(put);
    return status;
}

static trove_status run_upload(struct store *store, trove_error *error) {
    trove_status status = hold(store, 0, 1000, false, error);
    if (status == TROVE_OK)
        status = hold(store, 1000, 2 * B + 9, false, error);
    return status == TROVE_OK ? hold(store, 2 * B + 9, NEW, true, error) : status;
}

/* Of nothing but zeros' worth of flushed bytes: what a holder before wrote is removed. */
static trove_status run_unflushed_upload(struct store *store, trove_error *error) {
    static const struct put_how how = {.write_bytes = 300001};
    struct told told;
    struct tvs_put *put;
    for (unsigned round = 0; round < 2; round++) {
        if (round == 0)
            upload_begin(store, "bucket", "object", NULL, &told);
        else
            upload_attach(store, &upload_id, "alice", &told);
        trove_status status = take_told(&told, error);
        if (status == TROVE_OK)
            status = store->ops->upload_open(store->driver, &told.id, told.epoch, &put, error);
        if (status != TROVE_OK)
            return status;
        status = put_more(store, put, new_bytes, 0, NEW, &how, error);
        if (status == TROVE_OK && round > 0)
            return put_commit_wait(store, put, NULL, error);
        store->ops->put_abort(put);
        if (status != TROVE_OK)
            return status;
    }
    return TROVE_OK;
}

static trove_status run_upload_abort(struct store *store, trove_error *error) {
    struct told told;
    trove_status status = hold(store, 0, 2 * B + 9, false, error);
    if (status != TROVE_OK)
        return status;
    upload_abort(store, &upload_id, "alice", &told);
    upload_is_there &= told.status != TROVE_OK;
    (void)count_files(store, NULL);
    return told.status == TROVE_OK ? TROVE_OK : tv_error_copy(error, &told.error);
}

/* ---- starts ---- */

static trove_status run_start(struct store *store, trove_error *error) {
    struct tvs_driver *driver = NULL;
    store->ops->close(store->driver);
    store->driver = NULL;
    trove_status status = store->ops->open(&store->config, &driver, error);
    store->driver = driver;
    return status;
}

static trove_status run_first_start(struct store *store, trove_error *error) {
    char path[256];
    struct tvs_driver *driver = NULL;
    snprintf(path, sizeof path, "%s.first", store->path);
    const struct tvs_driver_config config = {.path = path};
    trove_status status = store->ops->open(&config, &driver, error);
    if (status == TROVE_OK)
        store->ops->close(driver);
    (void)scratch_remove(path); /* it may never have been made */
    return status;
}

static trove_status run_second_start(struct store *store, trove_error *error) {
    struct tvs_driver *driver = NULL;
    return store->ops->open(&store->config, &driver, error);
}

static trove_status run_check(struct store *store, trove_error *error) {
    return store->ops->check(store->path, 1, error);
}

static const struct script scripts[] = {
    {.name = "put", .run = run_put, .check = is_new},
    {.name = "small put", .run = run_small_put, .check = is_small},
    {.name = "put to and fro", .run = run_to_and_fro, .check = is_new},
    {.name = "put without O_DIRECT", .run = run_put, .check = is_new, .plan = {.refuse_direct = true}},
    {.name = "put with alignment refused", .run = run_put, .check = is_new, .plan = {.refuse_alignment = true}},
    {.name = "put in short writes", .run = run_put, .check = is_new, .plan = {.short_moves = true}},
    {.name = "get", .run = run_get},
    {.name = "get in short reads", .run = run_get, .plan = {.short_moves = true}},
    {.name = "get of a short file", .run = run_get_of_a_short_file, .always = TROVE_DATA_LOSS},
    {.name = "copy", .run = run_copy, .check = is_new},
    {.name = "copy that shares blocks", .run = run_copy, .check = is_new, .plan = {.clone = true}},
    {.name = "delete", .run = run_delete, .check = is_gone},
    {.name = "scrub", .run = run_scrub},
    {.name = "upload", .run = run_upload, .check = is_new},
    {.name = "upload in short writes", .run = run_upload, .check = is_new, .plan = {.short_moves = true}},
    {.name = "upload that wasn't flushed", .run = run_unflushed_upload, .check = is_new},
    {.name = "upload that is aborted", .run = run_upload_abort},
    {.name = "start", .run = run_start, .starts = true},
    {.name = "first start", .run = run_first_start, .starts = true},
    {.name = "second start", .run = run_second_start, .starts = true, .always = TROVE_FAILED_PRECONDITION},
    {.name = "check", .run = run_check, .starts = true},
};

/* ---- running them ---------------------------------------------------------------------------------------------------- */

#define CALLS_MAX 2048

static void forget_upload(struct store *store) {
    struct told told;
    if (upload_is_there)
        upload_abort(store, &upload_id, "alice", &told); /* FAILED_PRECONDITION where it is complete */
    upload_is_there = false;
}

static bool is_prepared; /* the object is the old one */

static void prepare(struct store *store) {
    if (store->driver == NULL)
        store_open(store);
    forget_upload(store);
    if (!is_prepared)
        must_put(store, "bucket", "object", old_bytes, OLD);
    is_prepared = true;
    atomic_store(&tvs_local_of(store->driver)->files.direct, true);
}

static trove_status run(struct store *store, const struct script *script, unsigned nth, size_t e, bool lasting,
                        trove_error *error) {
    struct fault_plan plan = script->plan;
    plan.call = FAULT_ANY;
    plan.nth = nth;
    plan.error_number = errors[e].number;
    plan.lasting = lasting;
    prepare(store);
    fault_plan_set(plan);
    return script->run(store, error);
}

/* How a call is made to fail: not at all, in one way, in all. */
enum wanted {
    NOT,
    ONCE,
    ALWAYS
};

/* Which calls are to fail, and where each of them stands. */
static size_t choose(struct store *store, const struct script *script, enum wanted wanted[CALLS_MAX],
                     const struct tvs_io_site *trace[CALLS_MAX]) {
    trove_error error = {0};
    trove_status status = run(store, script, UINT32_MAX, 0, false, &error);
    size_t count = fault_trace(trace, CALLS_MAX);
    fault_plan_set((struct fault_plan){0});
    is_prepared = false;
    if (status != script->always)
        fail_msg("%s: %s", script->name, error.message);
    assert_true(count > 0 && count < CALLS_MAX);
    bool all = getenv("TROVE_TEST_LONG") != NULL && !script->starts;
    for (size_t i = 0; i < count; i++) {
        unsigned before = 0, behind = 0;
        for (size_t k = 0; k < count; k++) {
            before += k < i && trace[k] == trace[i];
            behind += k > i && trace[k] == trace[i];
        }
        bool first = before == 0 || strcmp(trace[i]->call, "fdatasync") == 0;
        wanted[i] = all || first ? ALWAYS : before < 2 || behind == 0 ? ONCE : NOT;
    }
    return count;
}

/* After one run: whatever it was, the store is one or the other. */
static void judge(struct store *store, const struct script *script, trove_status status, size_t e, const trove_error *error) {
    if (store->driver == NULL)
        store_open(store);
    if (status != TROVE_OK && status != script->always)
        must_fail(status, errors[e].status, error, "");
    is_prepared = status != TROVE_OK || script->check == NULL;
    if (is_prepared)
        is_old(store);
    else
        script->check(store);
}

static void fault(struct store *store, const struct script *script, size_t call, size_t e, bool lasting) {
    trove_error error = {0};
    trove_status status = run(store, script, (unsigned)call + 1, e, lasting, &error);
    fault_plan_set((struct fault_plan){0});
    judge(store, script, status, e, &error);
}

#define SITES_MAX 256
static bool has_lasted[SITES_MAX]; /* every error has, at this place, whichever script it was */

static bool lasts_first(const struct tvs_io_site *site) {
    unsigned calls, failed;
    size_t index = (size_t)(site - fault_site(0, &calls, &failed));
    assert_true(index < SITES_MAX);
    bool first = !has_lasted[index];
    has_lasted[index] = true;
    return first;
}

static void faults_of(struct store *store, const struct script *script) {
    static const struct tvs_io_site *trace[CALLS_MAX];
    enum wanted wanted[CALLS_MAX];
    size_t count = choose(store, script, wanted, trace);
    unsigned calls = 0;
    for (size_t i = 0; i < count; i++) {
        if (wanted[i] == NOT)
            continue;
        calls++;
        fault(store, script, i, 0, false);
        fault(store, script, i, 0, true);
        bool first = lasts_first(trace[i]);
        for (size_t e = 1; e < sizeof errors / sizeof *errors && wanted[i] == ALWAYS; e++) {
            if (!script->starts)
                fault(store, script, i, e, false);
            if (first || (errors[e].number == ENOSPC && !script->starts))
                fault(store, script, i, e, true);
        }
    }
    print_message("    %s: %u of %zu calls\n", script->name, calls, count);
}

/* An object whose file has lost its end. */
static void make_short(struct store *store) {
    char path[LOCAL_PATH_BYTES];
    must_put(store, "bucket", "short", new_bytes, NEW);
    assert_int_equal(count_files(store, path), 1);
    assert_int_equal(truncate(path, (off_t)B), 0);
}

static void test_every_call(void **state) {
    struct store *store = *state;
    struct told parked;
    old_bytes = bytes_make(OLD, 1);
    new_bytes = bytes_make(NEW + B, 2);
    make_short(store);
    must_put(store, "bucket", "kept", new_bytes, NEW);
    must_put(store, "bucket", "kept-small", new_bytes, 100);
    struct tvs_put *put = must_begin(store, "parked", NULL, &parked);
    must_write(store, put, new_bytes, 0, 2 * B + 7);
    must_flush(store, put, 2 * B + 7);
    store->ops->put_abort(put);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        faults_of(store, &scripts[i]);
        prepare(store);
        store_close(store);
        store_open(store);
        is_old(store);
        must_hold(store, "bucket", "kept", new_bytes, NEW);
        must_hold(store, "bucket", "kept-small", new_bytes, 100);
        must_count(store, "bucket", 4, OLD + 2 * NEW + 100);
        assert_int_equal(count_files(store, NULL), 4); /* of the parked one, too */
    }
    put = must_attach(store, &parked.id, 2 * B + 7, &parked);
    must_write(store, put, new_bytes, 2 * B + 7, NEW);
    must_commit(store, put);
    must_hold(store, "bucket", "parked", new_bytes, NEW);
    free(old_bytes);
    free(new_bytes);
}

/* ---- what was reached ------------------------------------------------------------------------------------------------ */

/* Places that no script can lead to. */
static const struct {
    const char *file, *call, *why;
} unreachable[] = {
    {"local_recover.c", "close", "what fdopendir says of a folder that was just opened"},
    {"local_unfinished.c", "close", "two readers that open the same file at the same time"},
    {"local_committer.c", "index_write", "it ends the process: see test_local_store"},
};

static const char *why_not(const struct tvs_io_site *site, const char *file) {
    for (size_t i = 0; i < sizeof unreachable / sizeof *unreachable; i++)
        if (strcmp(unreachable[i].file, file) == 0 && strcmp(unreachable[i].call, site->call) == 0)
            return unreachable[i].why;
    return NULL;
}

static void test_every_place(void **state) {
    (void)state;
    unsigned count = fault_sites_all(), missing = 0, excused = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned calls, failed;
        const struct tvs_io_site *site = fault_site(i, &calls, &failed);
        const char *slash = strrchr(site->file, '/');
        const char *file = slash != NULL ? slash + 1 : site->file;
        if (failed > 0)
            continue;
        const char *why = why_not(site, file);
        print_message("    %s:%u %s: %u calls, none made to fail; %s\n", file, site->line, site->call, calls,
                      why != NULL ? why : "UNEXPECTED");
        excused += why != NULL;
        missing += why == NULL;
    }
    print_message("    calls were made to fail at %u of %u places of the source\n", fault_sites(), count);
    assert_int_equal(missing, 0);
    assert_int_equal(excused, sizeof unreachable / sizeof *unreachable); /* no more than one place each */
}

int main(void) {
    fault_io_install();
    fault_io_without_syncs();
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_call, store_setup, store_teardown),
        cmocka_unit_test(test_every_place),
    };
    return cmocka_run_group_tests_name("faults of the local store", tests, NULL, NULL);
}
