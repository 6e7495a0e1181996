/* parse.h - values given on the command line: sizes, ranges, seconds, counts. Pure: text in, number or "no" out. */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* A number of bytes: digits and a unit, in any case. None or B: bytes; K, KiB: 1024; KB: 1000; so for M, G and T. False (and
 * *bytes untouched) for anything else: signs, blanks, fractions, more than 64 bits. */
bool cli_parse_size(const char *text, uint64_t *bytes);

/* OFFSET-LENGTH, both sizes as above: "100-50" are the 50 bytes that begin at byte 100 (not HTTP's first-last); "100-" is all
 * from byte 100 on, which *length tells as UINT64_MAX. False where the length is 0 or the end isn't in 64 bits. */
bool cli_parse_range(const char *text, uint64_t *offset, uint64_t *length);

/* Seconds with up to three decimals, such as 30 or 0.25, from 1 ms to 1,000,000 s. */
bool cli_parse_seconds(const char *text, uint32_t *milliseconds);

/* Whether it is an etag, as the server tells them: 32 hexadecimal digits in lower case. */
bool cli_parse_etag(const char *text);

/* Decimal digits, min <= value <= max. */
bool cli_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *value);

#endif
