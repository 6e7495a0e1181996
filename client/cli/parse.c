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

bool cli_parse_range(const char *text, uint64_t *offset, uint64_t *length) {
    const char *dash = strchr(text, '-');
    char first[32];
    if (dash == NULL || (size_t)(dash - text) >= sizeof first)
        return false;
    memcpy(first, text, (size_t)(dash - text));
    first[dash - text] = 0;
    uint64_t from = 0;
    if (!cli_parse_size(first, &from))
        return false;
    uint64_t count = UINT64_MAX;
    if (dash[1] != 0) {
        uint64_t end = 0;
        if (!cli_parse_size(dash + 1, &count) || count == 0 || count == UINT64_MAX || __builtin_add_overflow(from, count, &end))
            return false;
    }
    *offset = from;
    *length = count;
    return true;
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
