/* test_killed.c - kill -9 at any durability step: everything acknowledged is there, nothing is half, uploads go on where they
 * said, and no file is left that nobody owns. This program is its own victim: started again as `test_killed victim ...`, it opens
 * the store, runs a script and kills itself at the nth call by which the driver changes the disk, before or after it. (Not only
 * forked: RocksDB's threads don't survive that.) What it had acknowledged comes through a pipe.
 *
 * The victim syncs nothing: the kernel outlives it. What syncs are for is test_power_cut's business.
 *
 *   TROVE_TEST_SEED=SEED    the scripts and kills of an earlier run
 *   TROVE_TEST_ROUNDS=N     so many of them (TROVE_TEST_LONG=1: many)
 */
#include "crash_script.h"

#include "store_io.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the victim ------------------------------------------------------------------------------------------------------- */

#define ACKS_FD 3

static atomic_uint calls;
static atomic_uint deadly_call; /* 0: none */
static bool deadly_before;

static unsigned begin_call(void) {
    unsigned number = atomic_fetch_add(&calls, 1) + 1;
    if (deadly_before && number == atomic_load(&deadly_call))
        kill(getpid(), SIGKILL);
    return number;
}

static void end_call(unsigned number) {
    if (!deadly_before && number == atomic_load(&deadly_call))
        kill(getpid(), SIGKILL);
}

static int victim_open_at(int directory, const char *path, int flags, mode_t mode) {
    if ((flags & O_CREAT) == 0)
        return tvs_store_io_system.open_at(directory, path, flags, mode);
    unsigned number = begin_call();
    int fd = tvs_store_io_system.open_at(directory, path, flags, mode);
    end_call(number);
    return fd;
}

static int victim_unlink_at(int directory, const char *path, int flags) {
    unsigned number = begin_call();
    int result = tvs_store_io_system.unlink_at(directory, path, flags);
    end_call(number);
    return result;
}

static ssize_t victim_pwritev(int fd, const struct iovec *iov, int count, off_t offset) {
    unsigned number = begin_call();
    ssize_t result = tvs_store_io_system.pwritev(fd, iov, count, offset);
    end_call(number);
    return result;
}

static int victim_set_length(int fd, off_t length) {
    unsigned number = begin_call();
    int result = tvs_store_io_system.set_length(fd, length);
    end_call(number);
    return result;
}

static int victim_sync(int fd) {
    (void)fd;
    end_call(begin_call());
    return 0;
}

static void victim_index_write(rocksdb_t *db, const rocksdb_writeoptions_t *options, rocksdb_writebatch_t *batch, char **error) {
    (void)options;
    rocksdb_writeoptions_t *unsynced = rocksdb_writeoptions_create();
    unsigned number = begin_call();
    rocksdb_write(db, unsynced, batch, error);
    end_call(number);
    rocksdb_writeoptions_destroy(unsynced);
}

static void acknowledge(unsigned thread) {
    uint8_t byte = (uint8_t)thread;
    if (write(ACKS_FD, &byte, 1) != 1)
        _exit(4);
}

/* test_killed victim PATH SEED CALL before|after; SEED "-": only opens it, and that is what it dies of. */
static int be_victim(char **arguments) {
    struct tvs_store_io table = tvs_store_io_system;
    table.open_at = victim_open_at;
    table.unlink_at = victim_unlink_at;
    table.pwritev = victim_pwritev;
    table.set_length = victim_set_length;
    table.fdatasync = victim_sync;
    table.sync_directory = victim_sync;
    table.index_write = victim_index_write;
    tvs_store_io = &table;
    struct store store = {.ops = &tvs_local_driver, .config = {.path = arguments[0]}};
    bool only_open = strcmp(arguments[1], "-") == 0;
    deadly_before = strcmp(arguments[3], "before") == 0;
    unsigned call = (unsigned)atoi(arguments[2]);
    atomic_store(&deadly_call, only_open ? call : 0);
    store_open(&store);
    if (!only_open) {
        struct crash_script script;
        crash_script_make(strtoull(arguments[1], NULL, 0), &script);
        atomic_store(&deadly_call, atomic_load(&calls) + call);
        crash_script_run(&script, &store, acknowledge);
    }
    atomic_store(&deadly_call, 0);
    store_close(&store);
    return 0;
}

/* ---- the test --------------------------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *random, uint64_t below) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (*random >> 33) % below;
}

/* Whether it was killed; else it came to its end. */
static bool kill_one(const struct store *store, const char *script, unsigned call, bool before, unsigned acked[CRASH_THREADS]) {
    int acks[2];
    char call_text[16];
    snprintf(call_text, sizeof call_text, "%u", call);
    assert_int_equal(pipe2(acks, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (acks[1] == ACKS_FD)
            fcntl(acks[1], F_SETFD, 0);
        else
            dup2(acks[1], ACKS_FD);
        execl("/proc/self/exe", "test_killed", "victim", store->path, script, call_text, before ? "before" : "after",
              (char *)NULL);
        _exit(3);
    }
    close(acks[1]);
    uint8_t byte;
    while (read(acks[0], &byte, 1) == 1)
        acked[byte]++;
    close(acks[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        fail_msg("the victim of call %u of script %s died otherwise: %d", call, script, status);
    return killed;
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *given = getenv(name);
    return given != NULL ? strtoull(given, NULL, 0) : otherwise;
}

static void test_kills(void **state) {
    struct store *store = *state;
    uint64_t seed = number_from("TROVE_TEST_SEED", (uint64_t)time(NULL)), random = seed;
    uint64_t rounds = number_from("TROVE_TEST_ROUNDS", getenv("TROVE_TEST_LONG") != NULL ? 1000 : 20);
    unsigned killed_count = 0;
    print_message("TROVE_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (uint64_t round = 0; round < rounds; round++) {
        struct crash_script script;
        char text[32];
        unsigned acked[CRASH_THREADS] = {0}, call = 1 + (unsigned)draw(&random, 90);
        bool before = draw(&random, 2) == 0, again = draw(&random, 3) == 0;
        crash_script_make(seed + round, &script);
        snprintf(text, sizeof text, "%llu", (unsigned long long)script.seed);
        store_close(store);
        bool killed = kill_one(store, text, call, before, acked);
        killed_count += killed;
        print_message("    seed %s, %s call %u: %s after %u and %u steps\n", text, before ? "before" : "after", call,
                      killed ? "killed" : "done", acked[0], acked[1]);
        if (again) /* and once more while it recovers */
            (void)kill_one(store, "-", 1 + (unsigned)draw(&random, 4), before, acked);
        crash_script_check(&script, store, acked);
        store_renew(store);
    }
    assert_true(killed_count >= rounds / 4);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, relaxed_setup, store_teardown)

int main(int count, char **arguments) {
    if (count == 6 && strcmp(arguments[1], "victim") == 0)
        return be_victim(arguments + 2);
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {TEST(test_kills)};
    return cmocka_run_group_tests_name("kill -9", tests, NULL, NULL);
}
