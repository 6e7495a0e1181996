/* test_power_cut.c - whenever the power goes, everything acknowledged is there, nothing is half, and uploads go on where they
 * said.
 *
 *   TROVE_TEST_SEED=SEED    the scripts and cuts of an earlier run
 *   TROVE_TEST_ROUNDS=N     so many cuts (TROVE_TEST_LONG=1: many)
 */
#include "crash_script.h"
#include "power_cut.h"

#include <stdlib.h>
#include <time.h>

#define CUTS_PER_SCRIPT 25

static void acknowledge(unsigned thread) {
    power_mark(thread);
}

/* Records a script on a store that has some objects already; returns how many moments it has. */
static size_t record(struct store *store, const struct crash_script *script) {
    store_close(store);
    power_record(store->path);
    store->config.relaxed = false;
    store_open(store);
    crash_script_run(script, store, acknowledge);
    store_close(store);
    return power_recorded();
}

static void cut_and_check(const struct crash_script *script, size_t moment, uint64_t seed, struct store *cut) {
    unsigned marks[POWER_MARKS];
    uint64_t random = seed;
    power_cut(moment, &random, cut->path, marks);
    print_message("    seed %llu, cut %llu at %s\n", (unsigned long long)script->seed, (unsigned long long)seed,
                  power_moment_text(moment));
    crash_script_check(script, cut, marks);
    store_close(cut);
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *given = getenv(name);
    return given != NULL ? strtoull(given, NULL, 0) : otherwise;
}

static void test_cuts(void **state) {
    struct store *store = *state;
    struct store cut = {.ops = store->ops};
    snprintf(cut.path, sizeof cut.path, "%.190s.cut", store->path);
    cut.config = (struct tvs_driver_config){.path = cut.path, .relaxed = true};
    uint64_t seed = number_from("TROVE_TEST_SEED", (uint64_t)time(NULL));
    uint64_t rounds = number_from("TROVE_TEST_ROUNDS", getenv("TROVE_TEST_LONG") != NULL ? 3000 : 2 * CUTS_PER_SCRIPT);
    print_message("TROVE_TEST_SEED=%llu\n", (unsigned long long)seed);
    uint64_t random = seed;
    for (uint64_t done = 0; done < rounds;) {
        struct crash_script script;
        crash_script_make(seed + done, &script);
        size_t moments = record(store, &script);
        for (unsigned i = 0; i < CUTS_PER_SCRIPT && done < rounds; i++, done++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            cut_and_check(&script, (size_t)((random >> 20) % moments), random, &cut);
        }
        power_forget();
        store->config.relaxed = true;
        store_renew(store);
    }
}

static int cuts_teardown(void **state) {
    const struct store *store = *state;
    char path[220];
    snprintf(path, sizeof path, "%s.cut", store->path);
    (void)scratch_remove(path);
    power_forget();
    return store_teardown(state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, relaxed_setup, cuts_teardown)

int main(void) {
    fixture_ops = &tvs_local_driver;
    const struct CMUnitTest tests[] = {TEST(test_cuts)};
    return cmocka_run_group_tests_name("power cuts", tests, NULL, NULL);
}
