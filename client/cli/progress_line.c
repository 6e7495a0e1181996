/* progress_line.c - see progress_line.h. */
#include "progress_line.h"

#include "human.h"
#include "text.h"
#include "trove.h"

#include <stdio.h>
#include <string.h>

enum {
    COLUMNS_MAX = 200, /* a longer line is no better to read, and UTF-8 labels still fit in CLI_PROGRESS_LINE_BYTES */
    LABEL_CELLS_MIN = 8,
    LABEL_CELLS_MAX = 32,
    BAR_CELLS_MIN = 12,
    BAR_CELLS_MAX = 42,
};

static const double RATE_MEMORY_MS = 3000;

void cli_rate_add(struct cli_rate *rate, uint64_t now_ms, uint64_t bytes) {
    if (!rate->begun) {
        *rate = (struct cli_rate){.begun = true, .last_ms = now_ms, .last_bytes = bytes};
        return;
    }
    if (now_ms <= rate->last_ms)
        return;
    double passed_ms = (double)(now_ms - rate->last_ms);
    /* A file that failed takes its bytes back: that is no negative speed. */
    double moved = bytes > rate->last_bytes ? (double)(bytes - rate->last_bytes) : 0;
    double current = moved * 1000 / passed_ms;
    double weight = rate->bytes_per_second > 0 ? passed_ms / (RATE_MEMORY_MS + passed_ms) : 1;
    rate->bytes_per_second += (current - rate->bytes_per_second) * weight;
    rate->last_ms = now_ms;
    rate->last_bytes = bytes;
}

static unsigned percent_of(const struct cli_progress_view *view) {
    if (view->bytes >= view->total_bytes)
        return 100;
    unsigned percent = (unsigned)((double)view->bytes * 100 / (double)view->total_bytes);
    return percent > 99 ? 99 : percent; /* 100 is said only when it is true */
}

static double seconds_left(const struct cli_progress_view *view) {
    if (view->bytes >= view->total_bytes)
        return 0;
    return view->bytes_per_second < 1 ? -1 : (double)(view->total_bytes - view->bytes) / view->bytes_per_second;
}

/* Appends `piece` if it fits in the cells that are left (pieces are ASCII). */
static bool append(char *line, size_t *cells_left, const char *piece) {
    size_t bytes = strlen(piece);
    if (bytes > *cells_left)
        return false;
    memcpy(line + strlen(line), piece, bytes + 1);
    *cells_left -= bytes;
    return true;
}

static void render_bar(char *bar, size_t cells, unsigned percent) {
    size_t inner = cells - 2;
    size_t filled = inner * percent / 100;
    bar[0] = '[';
    memset(bar + 1, ' ', inner);
    memset(bar + 1, '=', filled);
    if (filled < inner)
        bar[1 + filled] = '>';
    bar[1 + inner] = ']';
    bar[2 + inner] = 0;
}

void cli_progress_render(const struct cli_progress_view *view, unsigned columns, char line[CLI_PROGRESS_LINE_BYTES]) {
    line[0] = 0;
    if (columns < 2)
        return;
    size_t left = (columns < COLUMNS_MAX ? columns : COLUMNS_MAX) - 1;
    bool total_known = view->total_bytes != TROVE_SIZE_UNKNOWN;
    unsigned percent = total_known ? percent_of(view) : 0;

    char head[48] = "";
    char amounts[100] = "";
    char speed[64];
    char time[64];
    if (total_known) {
        snprintf(head, sizeof head, "%3u%%", percent);
        snprintf(amounts, sizeof amounts, "  %s/%s", cli_human_size(view->bytes).text, cli_human_size(view->total_bytes).text);
        snprintf(time, sizeof time, "  %s left", cli_human_span(seconds_left(view)).text);
    } else {
        snprintf(head, sizeof head, "%s", cli_human_size(view->bytes).text);
        snprintf(time, sizeof time, "  %s", cli_human_span(view->elapsed_seconds).text);
    }
    snprintf(speed, sizeof speed, "  %s/s", cli_human_size((uint64_t)view->bytes_per_second).text);
    if (view->reconnecting) {
        snprintf(speed, sizeof speed, "  reconnecting");
        time[0] = 0;
    }

    /* Room is given by importance; the pieces stand in the order of reading. */
    char tail[sizeof amounts + sizeof speed + sizeof time] = "";
    char kept_head[sizeof head] = "";
    if (!append(kept_head, &left, head))
        return;
    bool with_speed = strlen(speed) <= left;
    left -= with_speed ? strlen(speed) : 0;
    bool with_time = with_speed && strlen(time) <= left;
    left -= with_time ? strlen(time) : 0;
    bool with_amounts = with_time && strlen(amounts) <= left;
    left -= with_amounts ? strlen(amounts) : 0;
    snprintf(tail, sizeof tail, "%s%s%s", with_amounts ? amounts : "", with_speed ? speed : "", with_time ? time : "");

    size_t label_cells = cli_text_cells(view->label);
    size_t label_room = left < 2 ? 0 : left - 2;
    if (label_room > LABEL_CELLS_MAX)
        label_room = LABEL_CELLS_MAX;
    bool with_label = with_amounts && (label_cells <= label_room || label_room >= LABEL_CELLS_MIN);
    size_t label_bytes = with_label ? cli_text_fit(view->label, label_room) : 0;
    if (label_bytes > 0)
        left -= (label_cells < label_room ? label_cells : label_room) + 2;

    char bar[BAR_CELLS_MAX + 3] = "";
    if (total_known && with_amounts && left >= BAR_CELLS_MIN + 2) {
        size_t bar_cells = left - 2 < BAR_CELLS_MAX ? left - 2 : BAR_CELLS_MAX;
        render_bar(bar, bar_cells, percent);
    }
    snprintf(line, CLI_PROGRESS_LINE_BYTES, "%.*s%s%s%s%s%s", (int)label_bytes, view->label, label_bytes > 0 ? "  " : "", bar,
             bar[0] != 0 ? "  " : "", kept_head, tail);
}
