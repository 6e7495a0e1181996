/* units.h - sizes and times as people write them in a config file. Pure; any thread. */
#ifndef TVS_UNITS_H
#define TVS_UNITS_H

#include "status.h"

/* Digits and a unit: B; KiB, MiB, GiB, TiB (powers of 1024: "256MiB"); KB, MB, GB, TB (of 1000). Strict: a number alone, a sign,
 * a blank, a fraction, another spelling or more than 64 bits are INVALID_ARGUMENT, with a message that says what would be
 * right. */
trove_status tvs_parse_bytes(const char *text, uint64_t *bytes, trove_error *error);

/* Digits and a unit: ms, s, m, h ("500ms", "5m"). As strict; at most what 32 bits hold (49 days). */
trove_status tvs_parse_ms(const char *text, uint32_t *milliseconds, trove_error *error);

/* Decimal digits alone, at most what 32 bits hold. */
trove_status tvs_parse_count(const char *text, uint32_t *count, trove_error *error);

/* The way back, exact: the largest unit that divides it ("256MiB", "90s"). */
void tvs_format_bytes(uint64_t bytes, char text[static 32]);
void tvs_format_ms(uint64_t milliseconds, char text[static 32]);

#endif
