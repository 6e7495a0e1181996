/* sim_threads.h - virtual threads and a virtual clock under the shipped code.
 *
 * The linker puts what is here in the place of pthread_create, pthread_join, pthread_cond_*, pthread_mutex_lock, clock_gettime
 * and usleep (-Wl,--wrap), so that server and client run as they are, with all their threads, on one thread of the kernel's. A
 * virtual thread runs until it waits; by chance it is interrupted before it takes a lock, too. Who runs next is drawn. Time
 * stands still as long as anybody runs, and then jumps to the next thing that is due. So the seed decides everything, and the
 * same seed gives the same run. (Rejected: a model of both ends' shells, which then is what is tested; real threads that hand on
 * a baton, which is many times slower.)
 */
#ifndef TROVE_TESTS_SIM_THREADS_H
#define TROVE_TESTS_SIM_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NEVER UINT64_MAX

struct sim_thread;

/* Threads are named for traces. */
struct sim_thread *sim_spawn(const char *name, void (*run)(void *argument), void *argument);
/* Waits for its end; each thread once. */
void sim_join(struct sim_thread *thread);
/* Lets others run. */
void sim_yield(void);
void sim_sleep(uint64_t ns);
/* Waits until somebody wakes those who wait for `what`, an address. False: until_ns has come first. */
bool sim_wait(const void *what, uint64_t until_ns);
void sim_wake(const void *what);
const struct sim_thread *sim_self(void);
/* Whether the one that runs does what is the server's; and from now on, returning what was. Threads that the shipped code makes
 * are as who makes them. */
bool sim_serves(void);
bool sim_serve(bool serves);
/* The name of the one that runs; "world" when none does. */
const char *sim_thread_name(void);

/* Calls `fire` at that time, when no thread runs. It may wake threads, and must not wait. */
void sim_at(uint64_t due_ns, void (*fire)(void *object), void *object);

/* Runs `run` as the first thread, and all that it makes, until it returns or the run has failed. `step` is called after every
 * step, `idle` whenever nobody can run and time is about to go on. All threads must have ended when the first one returns. */
void sim_threads_run(void (*run)(void *argument), void *argument, void (*step)(void), void (*idle)(void));

#endif
