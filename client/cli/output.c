/* output.c - see output.h. */
#include "output.h"

#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ERASE_LINE "\r\033[K"

void cli_output_init(struct cli_output *output) {
    *output = (struct cli_output){
        .stdout_is_terminal = isatty(STDOUT_FILENO) == 1,
        .stderr_is_terminal = isatty(STDERR_FILENO) == 1,
    };
    pthread_mutex_init(&output->lock, NULL);
}

void cli_output_fini(struct cli_output *output) {
    free(output->status_line);
    pthread_mutex_destroy(&output->lock);
}

static void erase_status(const struct cli_output *output) {
    if (output->status_line != NULL)
        fputs(ERASE_LINE, stderr);
}

static void redraw_status(const struct cli_output *output) {
    if (output->status_line != NULL)
        fputs(output->status_line, stderr);
}

static void print_locked(struct cli_output *output, FILE *stream, const char *text) {
    bool terminal = stream == stdout ? output->stdout_is_terminal : output->stderr_is_terminal;
    char *escaped = terminal ? cli_text_escape(text) : NULL;
    erase_status(output);
    errno = 0;
    bool failed = fputs(escaped != NULL ? escaped : text, stream) < 0 || fputc('\n', stream) < 0;
    /* The line must be out before the progress line follows it on the same terminal. */
    if (output->status_line != NULL)
        failed = fflush(stream) != 0 || failed;
    if (failed && stream == stdout && output->stdout_error == 0)
        output->stdout_error = errno != 0 ? errno : EIO;
    redraw_status(output);
    free(escaped);
}

static void print(struct cli_output *output, FILE *stream, const char *text) {
    pthread_mutex_lock(&output->lock);
    print_locked(output, stream, text);
    pthread_mutex_unlock(&output->lock);
}

static char *format_list(const char *format, va_list arguments) {
    char *text = NULL;
    return vasprintf(&text, format, arguments) < 0 ? cli_copy("(out of memory)") : text;
}

void cli_output_line(struct cli_output *output, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = format_list(format, arguments);
    va_end(arguments);
    print(output, stdout, text);
    free(text);
}

void cli_output_text(struct cli_output *output, char *line_move) {
    print(output, stdout, line_move);
    free(line_move);
}

void cli_output_done(struct cli_output *output, const char *format, ...) {
    if (output->quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    char *text = format_list(format, arguments);
    va_end(arguments);
    print(output, stdout, text);
    free(text);
}

static void print_json(struct cli_output *output, FILE *stream, json_t *value) {
    bool terminal = stream == stdout ? output->stdout_is_terminal : output->stderr_is_terminal;
    /* On a terminal everything beyond ASCII is written as \uXXXX: C1 controls would pass as valid JSON otherwise. */
    char *text = json_dumps(value, JSON_COMPACT | (terminal ? JSON_ENSURE_ASCII : 0u));
    json_decref(value);
    if (text == NULL)
        cli_out_of_memory();
    print(output, stream, text);
    free(text);
}

void cli_output_json(struct cli_output *output, json_t *value_move) {
    print_json(output, stdout, value_move);
}

void cli_output_json_note(struct cli_output *output, json_t *value_move) {
    print_json(output, stderr, value_move);
}

bool cli_output_works(struct cli_output *output) {
    pthread_mutex_lock(&output->lock);
    bool works = output->stdout_error == 0;
    pthread_mutex_unlock(&output->lock);
    return works;
}

enum cli_exit cli_output_failure(struct cli_output *output, const struct cli_failure *failure) {
    if (output->json) {
        print_json(output, stderr, cli_failure_json(failure));
    } else {
        char *text = cli_failure_text(failure);
        char *line = cli_format("trove: %s", text);
        print(output, stderr, line);
        free(line);
        free(text);
    }
    return cli_exit_from_status(failure->error->status);
}

void cli_output_note(struct cli_output *output, const char *format, ...) {
    if (output->quiet || output->json)
        return;
    va_list arguments;
    va_start(arguments, format);
    char *text = format_list(format, arguments);
    va_end(arguments);
    char *line = cli_format("trove: %s", text);
    print(output, stderr, line);
    free(line);
    free(text);
}

void cli_output_status(struct cli_output *output, const char *line) {
    pthread_mutex_lock(&output->lock);
    erase_status(output);
    free(output->status_line);
    output->status_line = line != NULL ? cli_copy(line) : NULL;
    redraw_status(output);
    fflush(stderr);
    pthread_mutex_unlock(&output->lock);
}

enum cli_exit cli_output_finish(struct cli_output *output, enum cli_exit code) {
    pthread_mutex_lock(&output->lock);
    errno = 0;
    if (fflush(stdout) != 0 && output->stdout_error == 0)
        output->stdout_error = errno != 0 ? errno : EIO;
    int error_number = output->stdout_error;
    pthread_mutex_unlock(&output->lock);
    if (error_number == 0)
        return code;
    if (error_number == EPIPE)
        return cli_exit_worst(code, CLI_EXIT_PIPE);
    trove_error error;
    cli_error_errno(&error, error_number, "standard output can't be written");
    return cli_exit_worst(code, cli_output_failure(output, &(struct cli_failure){.action = "print", .error = &error}));
}

void cli_output_abandon(struct cli_output *output, const char *action, int exit_code, const char *reason) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    /* Never unlocked: nobody is to print behind this. */
    if (pthread_mutex_timedlock(&output->lock, &until) != 0)
        return;
    fflush(stdout);
    erase_status(output);
    if (output->json)
        fprintf(stderr, "{\"error\":{\"action\":\"%s\",\"status\":\"CANCELLED\",\"message\":\"%s\",\"exit\":%d}}\n", action,
                reason, exit_code);
    else if (!output->quiet)
        fprintf(stderr, "trove: %s\n", reason);
    fflush(stderr);
}
