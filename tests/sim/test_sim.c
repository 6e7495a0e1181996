/* test_sim.c - runs the simulation over many seeds, and over bugs put into the shipped code, which it has to find.
 *
 *     test_sim [--seeds COUNT] [--from SEED]          many runs
 *     test_sim --plants [--seeds COUNT] [--from SEED] each planted bug, until it is found
 *     test_sim --memory [--seeds COUNT] [--from SEED] few runs, again and again: each time the server is refused memory once
 *     test_sim --seed SEED [--plant NAME] [--refuse NTH] [--trace]
 *                                                     one run again; with --until MS of its time, to see how things stand then
 */
#include "sim.h"

#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS        2000 /* where none are given */
#define PLANT_SEEDS  400  /* within which a planted bug has to be found */
#define MEMORY_SEEDS 20   /* in which memory is refused, */
#define REFUSALS     5    /* so often at each place that asks for it */
#define AGAIN        20   /* runs that are made twice */

static const char *const plants[] = {
#define PLANT_TEXT(name, text) text,
    SIM_PLANTS(PLANT_TEXT)
#undef PLANT_TEXT
};

/* An assertion of the shipped code has failed, or worse. */
static void on_signal(int number) {
    char text[200];
    /* NOLINTBEGIN(bugprone-signal-handler): the process is lost already, and the seed worth the try */
    int length = snprintf(
        text, sizeof text, "FAILED by signal %d at %.6f s, in %s\n    again: test_sim --seed %llu%s%s --refuse %u --trace\n",
        number, (double)sim.now_ns / 1e9, sim_thread_name(), (unsigned long long)sim.seed,
        sim.plant != SIM_PLANT_NONE ? " --plant " : "", sim.plant != SIM_PLANT_NONE ? plants[sim.plant] : "", sim.memory.refuse);
    /* NOLINTEND(bugprone-signal-handler) */
    (void)!write(STDOUT_FILENO, text, (size_t)length);
    _exit(1);
}

/* A run that failed has left threads and memory behind: nothing more is done in this process. */
__attribute__((noreturn)) static void give_up(void) {
    printf("FAILED %s\n    again: test_sim --seed %llu%s%s --refuse %u --trace\n", sim.failure, (unsigned long long)sim.seed,
           sim.plant != SIM_PLANT_NONE ? " --plant " : "", sim.plant != SIM_PLANT_NONE ? plants[sim.plant] : "",
           sim.memory.refuse);
    fflush(stdout);
    _exit(1);
}

static int run_one(uint64_t seed, enum sim_plant plant, unsigned refuse, bool trace) {
    if (!sim_run(seed, plant, refuse, trace))
        give_up();
    printf("seed %llu, %s: good, %llu steps in %.3f s, %016llx\n", (unsigned long long)seed, plants[plant],
           (unsigned long long)sim.steps, (double)sim.now_ns / 1e9, (unsigned long long)sim.notes);
    return 0;
}

/* Whether every kind of thing has happened. */
static int judge_met(void) {
    int failed = 0;
#define MET(name, text)                                                                                                          \
    printf("    %8llu %s\n", (unsigned long long)sim_met.name, text);                                                            \
    failed |= sim_met.name == 0;
    SIM_MET(MET)
#undef MET
    if (failed)
        printf("FAILED: the runs are too tame to show anything\n");
    return failed;
}

static int run_many(uint64_t from, uint64_t count) {
    uint64_t steps = 0;
    for (uint64_t seed = from; seed < from + count; seed++) {
        if (!sim_run(seed, SIM_PLANT_NONE, 0, false))
            give_up();
        steps += sim.steps;
    }
    printf("%llu seeds from %llu: good, in %llu steps:\n", (unsigned long long)count, (unsigned long long)from,
           (unsigned long long)steps);
    int failed = count >= 100 ? judge_met() : 0;
    for (uint64_t seed = from; seed < from + AGAIN && seed < from + count; seed++) {
        sim_run(seed, SIM_PLANT_NONE, 0, false);
        uint64_t notes = sim.notes;
        sim_run(seed, SIM_PLANT_NONE, 0, false);
        if (notes != sim.notes) {
            printf("FAILED: seed %llu gives another run each time\n", (unsigned long long)seed);
            failed = 1;
        }
    }
    return failed;
}

/* In a process of its own, which it may ruin. */
static bool find_plant(enum sim_plant plant, uint64_t from, uint64_t count) {
    printf("%-22s ", plants[plant]);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(STDOUT_FILENO, STDERR_FILENO); /* what an assertion says */
        for (uint64_t seed = from; seed < from + count; seed++)
            if (!sim_run(seed, plant, 0, false))
                give_up();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status == 0)
        printf("NOT FOUND\n");
    return status != 0;
}

static int find_plants(uint64_t from, uint64_t count) {
    int failed = 0;
    for (int plant = SIM_PLANT_NONE + 1; plant < SIM_PLANT_COUNT; plant++)
        failed |= !find_plant((enum sim_plant)plant, from, count);
    return failed;
}

/* Each place in the code that asks for memory is refused it a few times, wherever runs come to it first. */
static int refuse_memory(uint64_t from, uint64_t count) {
    unsigned runs = 0;
    size_t refused;
    for (uint64_t seed = from; seed < from + count; seed++) {
        if (!sim_run(seed, SIM_PLANT_NONE, SIM_NO_REQUEST, false))
            give_up();
        unsigned requests = sim.memory.requests;
        for (unsigned nth = 0; (nth = sim_memory_next(nth + 1, REFUSALS, requests)) != 0; runs++)
            if (!sim_run(seed, SIM_PLANT_NONE, nth, false))
                give_up();
    }
    size_t places = sim_memory_places(&refused);
    printf("%u runs in which the server was refused memory once, at %zu of %zu places that ask for it\n", runs, refused, places);
    return 0;
}

static int usage(void) {
    fprintf(stderr, "test_sim [--plants | --memory] [--seeds COUNT] [--from SEED] |\n"
                    "         --seed SEED [--plant NAME] [--refuse NTH] [--trace] [--until MS]\nbugs:");
    for (int plant = 0; plant < SIM_PLANT_COUNT; plant++)
        fprintf(stderr, " %s", plants[plant]);
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv) {
    uint64_t from = 1, seeds = 0, seed = 0, refuse = 0;
    int plant = SIM_PLANT_NONE;
    bool trace = false, find = false, memory = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool is_trace = strcmp(argv[i], "--trace") == 0, is_find = strcmp(argv[i], "--plants") == 0;
        bool is_memory = strcmp(argv[i], "--memory") == 0;
        trace |= is_trace;
        find |= is_find;
        memory |= is_memory;
        if (is_trace || is_find || is_memory)
            continue;
        if (value == NULL)
            return usage();
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--from") == 0)
            from = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--until") == 0)
            sim_end_ns = strtoull(value, NULL, 0) * SIM_MS;
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--refuse") == 0)
            refuse = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--plant") == 0)
            for (plant = SIM_PLANT_COUNT - 1; plant >= 0 && strcmp(plants[plant], value) != 0;)
                plant--;
        else
            return usage();
        i++;
    }
    if (plant < 0)
        return usage();
    mallopt(M_MMAP_THRESHOLD, 1 << 30); /* what a run needs the next one needs, too */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    signal(SIGABRT, on_signal);
    if (seed != 0)
        return run_one(seed, (enum sim_plant)plant, (unsigned)refuse, trace);
    if (find)
        return find_plants(from, seeds != 0 ? seeds : PLANT_SEEDS);
    if (memory)
        return refuse_memory(from, seeds != 0 ? seeds : MEMORY_SEEDS);
    return run_many(from, seeds != 0 ? seeds : SEEDS);
}
