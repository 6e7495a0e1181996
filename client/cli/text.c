/* text.c - see text.h. */
#include "text.h"

#include "exit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_out_of_memory(void) {
    fputs("trove: out of memory\n", stderr);
    exit(CLI_EXIT_FAILURE);
}

void *cli_alloc(size_t bytes) {
    void *memory = calloc(1, bytes > 0 ? bytes : 1);
    if (memory == NULL)
        cli_out_of_memory();
    return memory;
}

void *cli_grow(void *array, size_t *room, size_t count, size_t element_bytes) {
    if (count <= *room)
        return array;
    size_t wanted = *room < 8 ? 16 : *room * 2;
    if (wanted < count)
        wanted = count;
    void *moved = reallocarray(array, wanted, element_bytes);
    if (moved == NULL)
        cli_out_of_memory();
    *room = wanted;
    return moved;
}

char *cli_copy(const char *text) {
    char *copy = strdup(text);
    if (copy == NULL)
        cli_out_of_memory();
    return copy;
}

char *cli_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        cli_out_of_memory();
    va_end(arguments);
    return text;
}

size_t cli_text_next(const char *text, unsigned *code_point) {
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] == 0)
        return 0;
    if (at[0] < 0x80) {
        *code_point = at[0];
        return 1;
    }
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0;
    size_t bytes = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    unsigned value = at[0] & (0x7Fu >> bytes);
    /* The NUL at the end is no continuation byte, so this never reads past it. */
    for (size_t i = 1; i < bytes; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3Fu);
    }
    bool overlong = (bytes == 3 && value < 0x800) || (bytes == 4 && value < 0x10000);
    if (overlong || (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF)
        return 0;
    *code_point = value;
    return bytes;
}

static bool is_unsafe(unsigned code_point) {
    bool control = code_point < 0x20 || (code_point >= 0x7F && code_point <= 0x9F);
    bool separator = code_point == 0x2028 || code_point == 0x2029;
    bool direction = code_point == 0x061C || code_point == 0x200E || code_point == 0x200F ||
                     (code_point >= 0x202A && code_point <= 0x202E) || (code_point >= 0x2066 && code_point <= 0x2069);
    return control || separator || direction;
}

char *cli_text_escape(const char *text) {
    /* The longest escape, \u{2028}, stands for 3 bytes; \xHH for 1. */
    char *escaped = cli_alloc(strlen(text) * 4 + 1);
    char *to = escaped;
    while (*text != 0) {
        unsigned code_point = 0;
        size_t bytes = cli_text_next(text, &code_point);
        if (bytes == 0) {
            to += sprintf(to, "\\x%02x", (unsigned)(unsigned char)*text);
            bytes = 1;
        } else if (!is_unsafe(code_point)) {
            memcpy(to, text, bytes);
            to += bytes;
        } else if (code_point < 0x80) {
            to += sprintf(to, "\\x%02x", code_point);
        } else {
            to += sprintf(to, "\\u{%x}", code_point);
        }
        text += bytes;
    }
    *to = 0;
    return escaped;
}

char *cli_text_to_utf8(const char *text) {
    char *clean = cli_alloc(strlen(text) * 3 + 1);
    char *to = clean;
    while (*text != 0) {
        unsigned code_point = 0;
        size_t bytes = cli_text_next(text, &code_point);
        if (bytes == 0) {
            memcpy(to, "\xEF\xBF\xBD", 3);
            to += 3;
            text++;
            continue;
        }
        memcpy(to, text, bytes);
        to += bytes;
        text += bytes;
    }
    *to = 0;
    return clean;
}

static size_t cells_of(unsigned code_point) {
    return code_point < 0x80 ? 1 : 2;
}

size_t cli_text_cells(const char *text) {
    size_t cells = 0;
    while (*text != 0) {
        unsigned code_point = 0;
        size_t bytes = cli_text_next(text, &code_point);
        cells += bytes == 0 ? 1 : cells_of(code_point);
        text += bytes == 0 ? 1 : bytes;
    }
    return cells;
}

size_t cli_text_fit(const char *text, size_t cells) {
    size_t fit = 0;
    while (text[fit] != 0) {
        unsigned code_point = 0;
        size_t bytes = cli_text_next(text + fit, &code_point);
        size_t need = bytes == 0 ? 1 : cells_of(code_point);
        if (need > cells)
            break;
        cells -= need;
        fit += bytes == 0 ? 1 : bytes;
    }
    return fit;
}
