/* units.c - see units.h. Pure.
 *
 * A unit must be given: "256" for a memory size or "10" for a time would be read differently by everyone who writes it.
 * The units are those of the command's own options, so that 10MB is the same on both sides.
 * (Rejected: the command's parser in client/cli, which is lenient for typing: K for KiB, any case; and plain integers by
 * libcyaml, whose strtoull takes "010" for eight.)
 */
#include "units.h"

#include <inttypes.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* From small to large, 0 at the end. */
static const struct unit byte_units[] = {
    {"B", 1},  {"KiB", UINT64_C(1) << 10}, {"MiB", UINT64_C(1) << 20}, {"GiB", UINT64_C(1) << 30}, {"TiB", UINT64_C(1) << 40},
    {NULL, 0},
};

/* What those mean who mean powers of ten; the way back is never in these. */
static const struct unit decimal_units[] = {
    {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {"TB", UINT64_C(1000000000000)}, {NULL, 0},
};

static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", UINT64_C(60) * 1000}, {"h", UINT64_C(3600) * 1000}, {NULL, 0},
};

/* The digits at the beginning; returns where they end, or NULL if there are none or too many. */
static const char *digits(const char *text, uint64_t *value) {
    uint64_t sum = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(sum, 10U, &sum) || __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum))
            return NULL;
    if (at == text)
        return NULL;
    *value = sum;
    return at;
}

static bool parse(const char *text, const struct unit *units, uint64_t *value) {
    uint64_t number = 0;
    const char *end = digits(text, &number);
    if (end == NULL)
        return false;
    for (const struct unit *unit = units; unit->name != NULL; unit++)
        if (strcmp(end, unit->name) == 0)
            return !__builtin_mul_overflow(number, unit->factor, value);
    return false;
}

trove_status tvs_parse_bytes(const char *text, uint64_t *bytes, trove_error *error) {
    uint64_t value = 0;
    if (!parse(text, byte_units, &value) && !parse(text, decimal_units, &value))
        return TV_FAIL(
            error, INVALID_ARGUMENT,
            "\"%.40s\" is no size; write digits and one of B, KiB, MiB, GiB, TiB (of 1024), KB, MB, GB, TB (of 1000), such "
            "as 256MiB",
            text);
    *bytes = value;
    return TROVE_OK;
}

trove_status tvs_parse_ms(const char *text, uint32_t *milliseconds, trove_error *error) {
    uint64_t value = 0;
    if (!parse(text, time_units, &value) || value > UINT32_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "\"%.40s\" is no time; write digits and one of ms, s, m, h, such as 10s (at most 49 days)", text);
    *milliseconds = (uint32_t)value;
    return TROVE_OK;
}

trove_status tvs_parse_count(const char *text, uint32_t *count, trove_error *error) {
    uint64_t value = 0;
    const char *end = digits(text, &value);
    if (end == NULL || *end != '\0' || value > UINT32_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "\"%.40s\" is no count; write decimal digits alone", text);
    *count = (uint32_t)value;
    return TROVE_OK;
}

static void format(uint64_t value, const struct unit *units, char *text, size_t bytes) {
    const struct unit *best = units;
    for (const struct unit *unit = units; unit->name != NULL && value != 0; unit++)
        if (value % unit->factor == 0)
            best = unit;
    snprintf(text, bytes, "%" PRIu64 "%s", value / best->factor, best->name);
}

void tvs_format_bytes(uint64_t bytes, char text[static 32]) {
    format(bytes, byte_units, text, 32);
}

void tvs_format_ms(uint64_t milliseconds, char text[static 32]) {
    format(milliseconds, time_units, text, 32);
}
