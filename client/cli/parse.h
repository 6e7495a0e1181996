/* parse.h - values given on the command line: sizes, ranges, seconds, counts. Pure: text in, number or "no" out. */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* What messages say of sizes. The server's config has the same units, and is stricter with them. */
#define CLI_SIZE_UNITS "units are B, KiB, MiB, GiB, TiB (of 1024; K, M, G, T for short) and KB, MB, GB, TB (of 1000)"

/* A number of bytes: digits and a unit, in any case. None or B: bytes; K, KiB: 1024; KB: 1000; so for M, G and T. False (and
 * *bytes untouched) for anything else: signs, blanks, fractions, more than 64 bits. */
bool cli_parse_size(const char *text, uint64_t *bytes);

/* Bytes of an object. */
struct cli_range {
    bool from_end;   /* its last `length` bytes; `offset` is 0 */
    uint64_t offset; /* of the first one */
    uint64_t length; /* UINT64_MAX: all from there */
};

/* FROM-TO (both included, as HTTP and curl have it), FROM- (to the end), -SUFFIX (the last so many), FROM+LENGTH; numbers are
 * sizes as above. NULL; else what is wrong with it, and *range is untouched: no bytes at all, or an end that isn't in 64 bits,
 * are wrong. */
const char *cli_parse_range(const char *text, struct cli_range *range);

/* Seconds with up to three decimals, such as 30 or 0.25, from 1 ms to 1,000,000 s. */
bool cli_parse_seconds(const char *text, uint32_t *milliseconds);

/* Whether it is an etag, as the server tells them: 32 hexadecimal digits in lower case. */
bool cli_parse_etag(const char *text);

/* Decimal digits, min <= value <= max. */
bool cli_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *value);

#endif
