/* text.h - text that others named, made safe for where it goes, and the allocations of a short-lived program. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Says so, and ends with CLI_EXIT_FAILURE. */
_Noreturn void cli_out_of_memory(void);

/* These never return NULL: they end that way. */
void *cli_alloc(size_t bytes);
/* Room for `count` elements where `*room` counts what there is; doubles. Returns the (moved) array. */
void *cli_grow(void *array, size_t *room, size_t count, size_t element_bytes);
char *cli_copy(const char *text);
char *cli_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The next UTF-8 sequence's length, 0 at an invalid byte or the end. *code_point is set when the length isn't 0. */
size_t cli_text_next(const char *text, unsigned *code_point);

/* What a terminal may be shown: control characters (C0, DEL, C1), characters that turn the writing direction, and bytes that
 * aren't UTF-8 become \xHH or \u{HHHH}, so that a name can't move the cursor, recolour or rename the window. The result is the
 * caller's to free. */
char *cli_text_escape(const char *text);

/* The text with every byte that isn't UTF-8 replaced by U+FFFD, for JSON, which can't carry them. The caller's to free. */
char *cli_text_to_utf8(const char *text);

/* How many terminal cells the text takes at most: ASCII counts 1, anything else 2. */
size_t cli_text_cells(const char *text);

/* How many bytes of the text fit in `cells`; whole characters. */
size_t cli_text_fit(const char *text, size_t cells);

#endif
