/* thread.h - starts a thread: with a name, which tools show, and with all signals blocked, which are the program's own affair. */
#ifndef TV_THREAD_H
#define TV_THREAD_H

#include "status.h"

#include <pthread.h>

/* `name`: at most 15 bytes. *thread is to be joined; NULL: nobody joins it, for it may never end. Any thread.
 * Errors: RESOURCE_EXHAUSTED (memory, or as many threads as the system allows). */
trove_status tv_thread_start(const char *name, void *(*run)(void *), void *argument, pthread_t *thread, trove_error *error);

#endif
