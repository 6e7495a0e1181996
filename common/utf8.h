/* utf8.h - text as it travels: UTF-8. Pure; any thread. */
#ifndef TV_UTF8_H
#define TV_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Valid UTF-8 of `bytes` bytes without NUL (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
bool tv_utf8_valid(const char *text, size_t bytes);

/* Puts '?' for each byte that doesn't belong to a valid character. */
void tv_utf8_scrub(char *text);

/* Takes what is left of a character that was cut in two off the text's end. */
void tv_utf8_trim(char *text);

/* Copies what fits `capacity` bytes with the NUL (at least 1) of valid text, cut at a character. */
void tv_utf8_copy(char *to, size_t capacity, const char *text);

#endif
