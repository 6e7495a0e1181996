/* progress_line.h - the progress bar as a line of text, and the speed it shows. Pure: no terminal, no clock. */
#ifndef CLI_PROGRESS_LINE_H
#define CLI_PROGRESS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A speed that forgets: each sample weighs with the time since the one before, against a memory of some three seconds. */
struct cli_rate {
    bool begun;
    uint64_t last_ms;
    uint64_t last_bytes;
    double bytes_per_second;
};

void cli_rate_add(struct cli_rate *rate, uint64_t now_ms, uint64_t bytes);

struct cli_progress_view {
    const char *label; /* already safe for a terminal */
    uint64_t bytes;
    uint64_t total_bytes; /* TROVE_SIZE_UNKNOWN where nobody knows */
    double bytes_per_second;
    double elapsed_seconds;
    bool reconnecting; /* it stands still for want of a connection: that is told instead of speed and time */
};

/* Room for any line. */
#define CLI_PROGRESS_LINE_BYTES 1024

/* The line for a terminal of so many columns: it never takes more than columns - 1 cells, since writing the last one may wrap.
 * Where there is little room the bar goes first, then the label, the amounts, the time left, the speed. Without control
 * characters and newline; "" where nothing fits. */
void cli_progress_render(const struct cli_progress_view *view, unsigned columns, char line[CLI_PROGRESS_LINE_BYTES]);

#endif
