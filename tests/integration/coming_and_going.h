/* coming_and_going.h - for tests of what outlives a connection: a troved that is killed and started again in the same folder, by
 * the test or behind its back.
 */
#ifndef COMING_AND_GOING_H
#define COMING_AND_GOING_H

#include "client_test.h"

#include <pthread.h>

#define RESTARTS_MAX 16 /* that are made by other threads */

struct restarted {
    struct client_test test; /* with the bytes of the group's, and a client of its own */
    struct troved_options options;
    /* A server dies with the thread that started it: they stay until the end. */
    pthread_t threads[RESTARTS_MAX];
    unsigned count;
    unsigned pause_ms;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    unsigned started;
    bool over;
};

/* Starts it, with a client that has these options (NULL: the usual), and makes the bucket. */
void restarted_begin(struct restarted *own, const struct client_test *group, const trove_client_options *options);
/* Closes the client; the server must exit with 0. */
void restarted_end(struct restarted *own);

void restarted_kill(struct restarted *own);
void restarted_start(struct restarted *own);
/* Starts it by another thread, after a while. */
void restarted_start_soon(struct restarted *own, unsigned pause_ms);
void restarted_wait_for_start(struct restarted *own);

/* Whether what was stored is still there after a kill. */
bool restarted_keeps(void);

#endif
