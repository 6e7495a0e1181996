/* progress.h - the progress line: the sum over all transfers of a command, drawn on standard error if that is a terminal.
 *
 * The library's hooks only add to counters; one thread of this module draws ten times a second, so that the speed falls when
 * nothing comes any more and a resized terminal is seen. Nothing is drawn in the first moments: short transfers don't flicker.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "context.h"

#include <stdatomic.h>
#include <stdint.h>

struct cli_progress {
    struct cli_output *output;
    bool shown;
    /* Constant while it runs. */
    trove_client *client;
    char *label; /* for one file its name; NULL: the count of files */
    uint64_t files_total;
    uint64_t began_ms;
    pthread_t thread;
    /* Anyone's. */
    atomic_uint_fast64_t files_done;
    atomic_uint_fast64_t bytes;
    atomic_uint_fast64_t total_bytes;
    atomic_bool total_unknown;
    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ending;
};

/* One transfer's part in the sum. In the caller's memory for as long as the transfer lasts. */
struct cli_progress_item {
    struct cli_progress *progress;
    uint64_t bytes;
    uint64_t total_bytes;
};

/* `name` stands for a single file; with more, `files_total` counts. The client must be connected, and outlive it. */
void cli_progress_start(struct cli_progress *progress, struct cli_context *context, const char *name, uint64_t files_total);
void cli_progress_stop(struct cli_progress *progress);

/* `bytes` is what is known of the size before, TROVE_SIZE_UNKNOWN for a pipe. To be called for every file before the first one
 * starts, so that the total doesn't grow on the way. */
void cli_progress_expect(struct cli_progress *progress, uint64_t bytes);

/* Sets the hooks so that the transfer counts. `expected_bytes` is what cli_progress_expect was told of it. */
void cli_progress_item_begin(struct cli_progress_item *item, struct cli_progress *progress, uint64_t expected_bytes,
                             trove_stream_hooks *hooks);

/* The transfer is over. One that failed takes its bytes out of the sum again. */
void cli_progress_item_end(struct cli_progress_item *item, bool ok);

#endif
