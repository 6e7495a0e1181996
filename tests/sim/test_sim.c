/* test_sim.c - runs the simulation over many seeds, and over bugs put into it, which it has to find.
 *
 *     test_sim [--seeds COUNT] [--from SEED]          many runs; then each planted bug
 *     test_sim --seed SEED [--plant NAME] [--trace]   one run again
 */
#include "sim.h"

#include <string.h>

#define SEEDS       3000
#define PLANT_SEEDS 300 /* within which a planted bug has to be found */

static const char *const plants[] = {
#define PLANT_TEXT(name, text) text,
    SIM_PLANTS(PLANT_TEXT)
#undef PLANT_TEXT
};

static struct sim sim; /* too large for a stack */

static int run_one(uint64_t seed, enum sim_plant plant, bool trace) {
    bool good = sim_run(&sim, seed, plant, trace);
    printf("seed %llu, %s: %s\n", (unsigned long long)seed, plants[plant], good ? "good" : sim.failure);
    return good ? 0 : 1;
}

static int run_many(uint64_t from, uint64_t count) {
    for (uint64_t seed = from; seed < from + count; seed++)
        if (!sim_run(&sim, seed, SIM_PLANT_NONE, false)) {
            printf("FAILED %s\n    again: test_sim --seed %llu --trace\n", sim.failure, (unsigned long long)seed);
            return 1;
        }
    printf("%llu seeds from %llu: good. %llu streams completed, %llu claims and %llu turns waited, %llu grants expired, %llu "
           "chunks sent again, "
           "%llu lost\n",
           (unsigned long long)count, (unsigned long long)from, (unsigned long long)sim.completed_streams,
           (unsigned long long)sim.waited_claims, (unsigned long long)sim.waited_turns, (unsigned long long)sim.expired_grants,
           (unsigned long long)sim.resent_chunks, (unsigned long long)sim.dropped_chunks);
    bool met = sim.completed_streams > 0 && sim.waited_claims > 0 && sim.waited_turns > 0 && sim.expired_grants > 0 &&
               sim.resent_chunks > 0 && sim.dropped_chunks > 0;
    if (count >= 100 && !met)
        printf("FAILED: the runs are too tame to show anything\n");
    return count >= 100 && !met ? 1 : 0;
}

/* The test of the test. */
static int find_plants(uint64_t from) {
    int failed = 0;
    for (int plant = SIM_PLANT_NONE + 1; plant < SIM_PLANT_COUNT; plant++) {
        uint64_t seed = from;
        while (seed < from + PLANT_SEEDS && sim_run(&sim, seed, (enum sim_plant)plant, false))
            seed++;
        bool found = seed < from + PLANT_SEEDS;
        printf("%-16s %s", plants[plant], found ? "found" : "NOT FOUND\n");
        if (found)
            printf(" by seed %llu: %s\n", (unsigned long long)seed, sim.failure);
        failed |= !found;
    }
    return failed;
}

static int usage(void) {
    fprintf(stderr, "test_sim [--seeds COUNT] [--from SEED] | --seed SEED [--plant NAME] [--trace]\nbugs:");
    for (int plant = 0; plant < SIM_PLANT_COUNT; plant++)
        fprintf(stderr, " %s", plants[plant]);
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv) {
    uint64_t from = 1, seeds = SEEDS, seed = 0;
    int plant = SIM_PLANT_NONE;
    bool trace = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
            continue;
        }
        if (value == NULL)
            return usage();
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--from") == 0)
            from = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--plant") == 0)
            for (plant = SIM_PLANT_COUNT - 1; plant >= 0 && strcmp(plants[plant], value) != 0;)
                plant--;
        else
            return usage();
        i++;
    }
    if (plant < 0)
        return usage();
    if (seed != 0)
        return run_one(seed, (enum sim_plant)plant, trace);
    return run_many(from, seeds) | find_plants(from);
}
