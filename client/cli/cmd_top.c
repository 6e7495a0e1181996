/* cmd_top.c - trove top: pools and the busiest streams, live on a terminal.
 *
 * Each second everything is asked for and drawn anew, from the upper left corner on, each line ending with "erase to its end": so
 * nothing flickers, and nothing is left of what was there. Keys come one by one without an echo meanwhile; Ctrl-C is one of them.
 */
#include "commands.h"
#include "options.h"
#include "server_output.h"
#include "text.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define PERIOD_MS 1000
#define CTRL_C    3
/* More streams than anybody reads; the busiest of the first so many are shown. */
#define PAGES_MAX 10

enum {
    KEY_ONCE = CLI_KEYS_OF_VERB,
};

static const struct argp_option options[] = {
    {"once", KEY_ONCE, NULL, 0, "Show it once and end; so it is where standard output is no terminal, unless with --json", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *argument, struct argp_state *state, void *input) {
    (void)argument;
    (void)state;
    if (key != KEY_ONCE)
        return ARGP_ERR_UNKNOWN;
    *(bool *)input = true;
    return 0;
}

/* ---- what there is to see ---- */

struct view {
    trove_server_pool *pools;
    size_t pool_count;
    trove_server_stream_page *pages[PAGES_MAX]; /* own the streams' strings */
    size_t page_count;
    const trove_server_stream **streams;
    size_t stream_count;
};

static void drop(struct view *view) {
    trove_server_pool_list_free(view->pools);
    for (size_t i = 0; i < view->page_count; i++)
        trove_server_stream_page_free(view->pages[i]);
    free(view->streams);
    *view = (struct view){0};
}

/* The fastest first; among equals the older. */
static int compare(const void *left, const void *right) {
    const trove_server_stream *a = *(const trove_server_stream *const *)left;
    const trove_server_stream *b = *(const trove_server_stream *const *)right;
    if (a->bytes_per_second != b->bytes_per_second)
        return a->bytes_per_second > b->bytes_per_second ? -1 : 1;
    return a->stream_id < b->stream_id ? -1 : 1;
}

static trove_status fetch_streams(trove_client *client, struct view *view, trove_error *error) {
    trove_server_stream_options page_options;
    trove_server_stream_options_init(&page_options);
    size_t room = 0;
    for (bool more = true; more && view->page_count < PAGES_MAX;) {
        trove_server_stream_page *page = NULL;
        trove_status status = trove_server_stream_list(client, &page_options, &page, error);
        if (status != TROVE_OK)
            return status;
        view->pages[view->page_count++] = page;
        view->streams = cli_grow(view->streams, &room, view->stream_count + page->count + 1, sizeof *view->streams);
        for (size_t i = 0; i < page->count; i++)
            view->streams[view->stream_count++] = &page->streams[i];
        more = page->more && page->count > 0;
        if (more)
            page_options.after_stream_id = page->streams[page->count - 1].stream_id;
    }
    qsort(view->streams, view->stream_count, sizeof *view->streams, compare);
    return TROVE_OK;
}

static trove_status fetch(trove_client *client, struct view *view, trove_error *error) {
    trove_status status = trove_server_pool_list(client, 0, &view->pools, &view->pool_count, error);
    return status == TROVE_OK ? fetch_streams(client, view, error) : status;
}

/* ---- showing it ---- */

static void show_json(struct cli_output *output, const struct view *view) {
    json_t *whole = json_object();
    json_t *pools = json_array();
    json_t *streams = json_array();
    for (size_t i = 0; i < view->pool_count; i++)
        json_array_append_new(pools, cli_pool_json(&view->pools[i]));
    for (size_t i = 0; i < view->stream_count; i++)
        json_array_append_new(streams, cli_stream_json(view->streams[i]));
    json_object_set_new(whole, "pools", pools);
    json_object_set_new(whole, "streams", streams);
    cli_output_json(output, whole);
    fflush(stdout); /* a script reads it as it comes */
}

/* A line, cut to the terminal's width, with what must not reach it escaped. */
static void draw_line(char *text_move, size_t columns) {
    char *escaped = cli_text_escape(text_move);
    printf("%.*s\033[K\n", (int)cli_text_fit(escaped, columns), escaped);
    free(escaped);
    free(text_move);
}

static void draw(const struct cli_context *context, const struct view *view) {
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    size_t columns = size.ws_col;
    size_t rows = size.ws_row;
    fputs("\033[H", stdout);
    draw_line(cli_format("%s: %zu streams. q ends.", context->server, view->stream_count), columns);
    draw_line(cli_pool_head(), columns);
    for (size_t i = 0; i < view->pool_count; i++)
        draw_line(cli_pool_row(&view->pools[i]), columns);
    draw_line(cli_copy(""), columns);
    draw_line(cli_stream_head(columns), columns);
    size_t used = view->pool_count + 5; /* the last row stays free: a newline there would scroll */
    for (size_t i = 0; i < view->stream_count && used + i < rows; i++)
        draw_line(cli_stream_row(view->streams[i], columns), columns);
    fputs("\033[J", stdout);
    fflush(stdout);
}

static void print_all(struct cli_output *output, const struct view *view) {
    cli_output_text(output, cli_pool_head());
    for (size_t i = 0; i < view->pool_count; i++)
        cli_output_text(output, cli_pool_row(&view->pools[i]));
    cli_output_line(output, "%s", "");
    cli_output_text(output, cli_stream_head(SIZE_MAX));
    for (size_t i = 0; i < view->stream_count; i++)
        cli_output_text(output, cli_stream_row(view->streams[i], SIZE_MAX));
}

/* ---- the keyboard ---- */

/* Keys one by one, unechoed; false where standard input is no terminal. */
static bool take_keys(struct cli_interrupt *interrupt, struct termios *before) {
    if (tcgetattr(STDIN_FILENO, before) != 0)
        return false;
    struct termios single = *before;
    single.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    single.c_cc[VMIN] = 0;
    single.c_cc[VTIME] = 0;
    cli_interrupt_keep_terminal(interrupt, before);
    return tcsetattr(STDIN_FILENO, TCSANOW, &single) == 0;
}

/* Waits for the next period. False: a key ends it. */
static bool wait_for_period(bool keys) {
    struct pollfd input = {.fd = keys ? STDIN_FILENO : -1, .events = POLLIN};
    if (poll(&input, 1, PERIOD_MS) <= 0)
        return true;
    char key;
    ssize_t got = read(STDIN_FILENO, &key, 1);
    return got > 0 && key != 'q' && key != 'Q' && key != CTRL_C;
}

static enum cli_exit run(struct cli_context *context, bool once, bool keys) {
    struct cli_output *output = &context->output;
    bool live = !once && !output->json;
    if (live)
        fputs("\033[2J", stdout);
    do {
        struct view view = {0};
        trove_error error = {0};
        trove_status status = fetch(context->client, &view, &error);
        if (status == TROVE_OK && output->json)
            show_json(output, &view);
        else if (status == TROVE_OK && live)
            draw(context, &view);
        else if (status == TROVE_OK)
            print_all(output, &view);
        drop(&view);
        if (status != TROVE_OK)
            return cli_fail_call(context, "top", NULL, NULL, NULL, &error);
    } while (!once && cli_output_works(output) && wait_for_period(keys));
    return CLI_EXIT_OK;
}

enum cli_exit cmd_top(struct cli_context *context, int argc, char **argv) {
    const struct cli_usage usage = {
        .operands = "",
        .doc = "Shows the server's pools and its busiest streams, anew each second, until q or Ctrl-C.\v"
               "With --json each look is one object on a line of its own: {\"pools\": [...], \"streams\": [...]}.",
        .options = options,
        .parse = parse,
    };
    bool once = false;
    cli_options_parse_verb(context, &usage, argc, argv, &once);
    enum cli_exit code = cli_connect(context, 0);
    if (code != CLI_EXIT_OK)
        return code;
    once |= !context->output.json && !context->output.stdout_is_terminal;
    struct termios before;
    bool keys = !once && context->output.stdout_is_terminal && take_keys(&context->interrupt, &before);
    code = run(context, once, keys);
    if (keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return code;
}
