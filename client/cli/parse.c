/* parse.c - see parse.h. */
#include "parse.h"

#include "trove.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* strtoull takes blanks, signs and wraps "-1" round; none of that is wanted here. Returns where the digits end, NULL if there
 * are none or too many. */
static const char *digits(const char *text, uint64_t *value) {
    uint64_t sum = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(sum, 10u, &sum) || __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum))
            return NULL;
    if (at == text)
        return NULL;
    *value = sum;
    return at;
}

bool cli_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *value) {
    uint64_t number = 0;
    const char *end = digits(text, &number);
    if (end == NULL || *end != 0 || number < min || number > max)
        return false;
    *value = number;
    return true;
}

static bool unit(const char *text, uint64_t *factor) {
    static const struct {
        const char *name;
        uint64_t factor;
    } units[] = {
        {"", 1},
        {"B", 1},
        {"K", UINT64_C(1) << 10},
        {"KiB", UINT64_C(1) << 10},
        {"KB", UINT64_C(1000)},
        {"M", UINT64_C(1) << 20},
        {"MiB", UINT64_C(1) << 20},
        {"MB", UINT64_C(1000000)},
        {"G", UINT64_C(1) << 30},
        {"GiB", UINT64_C(1) << 30},
        {"GB", UINT64_C(1000000000)},
        {"T", UINT64_C(1) << 40},
        {"TiB", UINT64_C(1) << 40},
        {"TB", UINT64_C(1000000000000)},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcasecmp(text, units[i].name) == 0) {
            *factor = units[i].factor;
            return true;
        }
    return false;
}

bool cli_parse_size(const char *text, uint64_t *bytes) {
    uint64_t number = 0;
    uint64_t factor = 0;
    const char *end = digits(text, &number);
    if (end == NULL || !unit(end, &factor) || __builtin_mul_overflow(number, factor, &number))
        return false;
    *bytes = number;
    return true;
}

/* What stands behind the divider. */
static const char *range_end(char divider, const char *text, struct cli_range *range) {
    uint64_t number = 0;
    uint64_t end = 0;
    if (divider == '-' && *text == 0) {
        range->length = UINT64_MAX;
        return NULL;
    }
    if (!cli_parse_size(text, &number))
        return divider == '-' ? "TO is no size" : "LENGTH is no size";
    if (divider == '-' && number < range->offset)
        return "TO is before FROM";
    if (divider == '+' && number == 0)
        return "it has no bytes";
    range->length = number;
    if (divider == '-' && __builtin_add_overflow(number - range->offset, 1u, &range->length))
        return "it is too long";
    if (range->length == UINT64_MAX || __builtin_add_overflow(range->offset, range->length, &end))
        return "it ends beyond 64 bits";
    return NULL;
}

const char *cli_parse_range(const char *text, struct cli_range *range) {
    struct cli_range found = {0};
    char first[32];
    size_t bytes = strcspn(text, "-+");
    const char *divider = text + bytes;
    if (*divider == 0)
        return "there is no '-' or '+' in it";
    if (bytes >= sizeof first)
        return "FROM is too long";
    memcpy(first, text, bytes);
    first[bytes] = 0;
    found.from_end = bytes == 0 && *divider == '-';
    if (found.from_end && !cli_parse_size(divider + 1, &found.length))
        return "SUFFIX is no size";
    if (found.from_end && (found.length == 0 || found.length == UINT64_MAX))
        return found.length == 0 ? "it has no bytes" : "it is too long";
    if (!found.from_end && !cli_parse_size(first, &found.offset))
        return "FROM is no size";
    const char *mistake = found.from_end ? NULL : range_end(*divider, divider + 1, &found);
    if (mistake == NULL)
        *range = found;
    return mistake;
}

bool cli_parse_seconds(const char *text, uint32_t *milliseconds) {
    uint64_t seconds = 0;
    const char *at = digits(text, &seconds);
    if (at == NULL || seconds > 1000000)
        return false;
    uint64_t total = seconds * 1000;
    if (*at == '.') {
        at++;
        uint64_t place = 100;
        if (*at == 0)
            return false;
        for (; *at >= '0' && *at <= '9' && place > 0; at++, place /= 10)
            total += (uint64_t)(*at - '0') * place;
    }
    if (*at != 0 || total == 0 || total > 1000000000)
        return false;
    *milliseconds = (uint32_t)total;
    return true;
}

bool cli_parse_etag(const char *text) {
    return strlen(text) == TROVE_ETAG_BYTES - 1 && strspn(text, "0123456789abcdef") == TROVE_ETAG_BYTES - 1;
}
