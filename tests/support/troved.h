/* troved.h - for tests: a real troved as a child process, in a temporary folder of its own.
 *
 * The program is $TROVED where that is set, else the one that was built. Whatever can't be done fails the cmocka test that asked
 * for it. The server's log is collected by a thread and printed when the server ends in another way than it should, so that a
 * sanitizer's report is seen; TROVE_TEST_LOG in the environment has it printed always.
 */
#ifndef TROVE_TESTS_TROVED_H
#define TROVE_TESTS_TROVED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TROVED_LISTEN_MAX 4

struct troved_options {
    /* In them and in `store`, %s stands for the folder: "ipc://%s/socket", "tcp://127.0.0.1:0". NULL ends the list early. */
    const char *listen[TROVED_LISTEN_MAX];
    const char *store;  /* NULL: mem:// */
    const char *config; /* text of a config file, NULL: none */
};

struct troved;

/* Starts it and waits until it is ready. `folder` NULL: in a new one; else in that of a server before it, so that a store goes
 * on. */
struct troved *troved_start(const struct troved_options *options, const char *folder);
/* Asks it to end (SIGTERM) and doesn't wait. */
void troved_ask_to_end(struct troved *troved);
/* Has it stand still, as a machine that is far too busy would, and go on. */
void troved_hold(struct troved *troved);
void troved_let_go(struct troved *troved);
/* Asks, where that hasn't been done yet, waits, and removes the folder unless `keep_folder`. Returns the exit code; 128 and the
 * signal's number for one that was killed. */
int troved_stop(struct troved *troved, bool keep_folder);

/* kill -9. Keeps the folder, and its log for itself. */
void troved_kill(struct troved *troved);

/* The bound address of a scheme ("tcp", "ipc", "ws"); belongs to the server. */
const char *troved_url(const struct troved *troved, const char *scheme);
const char *troved_folder(const struct troved *troved);
pid_t troved_pid(const struct troved *troved);
/* What it has in memory now; the most that it ever had. */
uint64_t troved_memory(const struct troved *troved);
uint64_t troved_memory_high_water(const struct troved *troved);

/* Removes a folder that was kept. */
void troved_remove_folder(const char *folder);

#endif
