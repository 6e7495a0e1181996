/* progress.c - see progress.h. */
#include "progress.h"

#include "progress_line.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    DRAW_EVERY_MS = 100,
    QUIET_MS = 300,
    COLUMNS_DEFAULT = 80,
};

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned terminal_columns(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return COLUMNS_DEFAULT;
    return size.ws_col;
}

static void draw(struct cli_progress *progress, struct cli_rate *rate) {
    uint64_t now = now_ms();
    uint64_t bytes = progress->bytes;
    cli_rate_add(rate, now, bytes);
    if (now - progress->began_ms < QUIET_MS)
        return;
    char count[64];
    snprintf(count, sizeof count, "%" PRIu64 "/%" PRIu64 " files", (uint64_t)progress->files_done, progress->files_total);
    trove_client_metrics metrics;
    trove_client_metrics_get(progress->client, &metrics);
    struct cli_progress_view view = {
        .label = progress->label != NULL ? progress->label : count,
        .bytes = bytes,
        .total_bytes = progress->total_unknown ? TROVE_SIZE_UNKNOWN : progress->total_bytes,
        .bytes_per_second = rate->bytes_per_second,
        .elapsed_seconds = (double)(now - progress->began_ms) / 1000,
        .reconnecting = metrics.reconnecting,
    };
    char line[CLI_PROGRESS_LINE_BYTES];
    cli_progress_render(&view, terminal_columns(), line);
    cli_output_status(progress->output, line);
}

static void *draw_until_end(void *context) {
    struct cli_progress *progress = context;
    struct cli_rate rate = {0};
    pthread_mutex_lock(&progress->lock);
    while (!progress->ending) {
        pthread_mutex_unlock(&progress->lock);
        draw(progress, &rate);
        pthread_mutex_lock(&progress->lock);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += DRAW_EVERY_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (!progress->ending)
            pthread_cond_clockwait(&progress->wake, &progress->lock, CLOCK_MONOTONIC, &until);
    }
    pthread_mutex_unlock(&progress->lock);
    cli_output_status(progress->output, NULL);
    return NULL;
}

static bool is_wanted(const struct cli_output *output) {
    const char *terminal = getenv("TERM");
    return output->stderr_is_terminal && !output->json && !output->quiet && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

void cli_progress_start(struct cli_progress *progress, struct cli_context *context, const char *name, uint64_t files_total) {
    struct cli_output *output = &context->output;
    *progress = (struct cli_progress){
        .output = output,
        .client = context->client,
        .label = name != NULL ? cli_text_escape(name) : NULL,
        .files_total = files_total,
        .began_ms = now_ms(),
    };
    pthread_mutex_init(&progress->lock, NULL);
    pthread_cond_init(&progress->wake, NULL);
    progress->shown = is_wanted(output) && pthread_create(&progress->thread, NULL, draw_until_end, progress) == 0;
}

void cli_progress_stop(struct cli_progress *progress) {
    if (progress->shown) {
        pthread_mutex_lock(&progress->lock);
        progress->ending = true;
        pthread_cond_signal(&progress->wake);
        pthread_mutex_unlock(&progress->lock);
        pthread_join(progress->thread, NULL);
    }
    pthread_cond_destroy(&progress->wake);
    pthread_mutex_destroy(&progress->lock);
    free(progress->label);
}

void cli_progress_expect(struct cli_progress *progress, uint64_t bytes) {
    if (bytes == TROVE_SIZE_UNKNOWN)
        progress->total_unknown = true;
    else
        progress->total_bytes += bytes;
}

/* Runs on the library's one hook thread. */
static void on_progress(void *context, const trove_progress *report) {
    struct cli_progress_item *item = context;
    struct cli_progress *progress = item->progress;
    /* Modulo 2^64, so a report below the last one (bytes sent again) is subtracted. */
    progress->bytes += report->bytes - item->bytes;
    item->bytes = report->bytes;
    if (report->total_bytes != TROVE_SIZE_UNKNOWN && report->total_bytes != item->total_bytes) {
        uint64_t before = item->total_bytes == TROVE_SIZE_UNKNOWN ? 0 : item->total_bytes;
        progress->total_bytes += report->total_bytes - before;
        item->total_bytes = report->total_bytes;
        /* A single download learns its size only when it is open. */
        if (progress->files_total == 1)
            progress->total_unknown = false;
    }
}

void cli_progress_item_begin(struct cli_progress_item *item, struct cli_progress *progress, uint64_t expected_bytes,
                             trove_stream_hooks *hooks) {
    *item = (struct cli_progress_item){.progress = progress, .total_bytes = expected_bytes};
    if (progress->shown)
        *hooks = (trove_stream_hooks){.context = item, .on_progress = on_progress};
}

void cli_progress_item_end(struct cli_progress_item *item, bool ok) {
    struct cli_progress *progress = item->progress;
    progress->files_done++;
    if (ok && item->total_bytes != TROVE_SIZE_UNKNOWN) {
        progress->bytes += item->total_bytes - item->bytes;
    } else if (!ok) {
        progress->bytes -= item->bytes;
        if (item->total_bytes != TROVE_SIZE_UNKNOWN)
            progress->total_bytes -= item->total_bytes;
    }
}
