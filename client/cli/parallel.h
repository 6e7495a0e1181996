/* parallel.h - the same work for many items by several threads over one client. */
#ifndef CLI_PARALLEL_H
#define CLI_PARALLEL_H

#include "exit.h"

#include <stddef.h>

enum {
    CLI_PARALLEL_DEFAULT = 4,
    CLI_PARALLEL_MAX = 64,
};

/* Does item `index`; says by itself what went wrong and yields the code. Called from several threads at once. */
typedef enum cli_exit (*cli_parallel_fn)(void *context, size_t index);

/* Does the items 0 to count - 1, begun in this order, by at most `threads` threads (the caller's is one of them). A failed item
 * doesn't keep the others from being done, but for CLI_EXIT_UNAVAILABLE: without a server no other can succeed either. Yields the
 * worst code; *skipped is the number of items that weren't begun. */
enum cli_exit cli_parallel_run(size_t count, size_t threads, cli_parallel_fn work, void *context, size_t *skipped);

#endif
