/* human.c - see human.h. */
#include "human.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

struct cli_human cli_human_size(uint64_t bytes) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    struct cli_human human;
    if (bytes < 1024) {
        snprintf(human.text, sizeof human.text, "%" PRIu64 " B", bytes);
        return human;
    }
    double value = (double)bytes / 1024;
    size_t index = 0;
    /* 1023.95 would be written as 1024.0: it belongs to the next unit. */
    while (value >= 1023.95 && index + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        index++;
    }
    snprintf(human.text, sizeof human.text, "%.1f %s", value, units[index]);
    return human;
}

struct cli_human cli_human_span(double seconds) {
    struct cli_human human;
    /* Written so that NaN, too, is refused. A century and more is no estimate either. */
    if (!(seconds >= 0 && seconds < 100.0 * 366 * 86400)) {
        snprintf(human.text, sizeof human.text, "-:--");
        return human;
    }
    uint64_t whole = (uint64_t)(seconds + 0.5);
    unsigned days = (unsigned)(whole / 86400);
    unsigned hours = (unsigned)(whole / 3600 % 24);
    unsigned minutes = (unsigned)(whole / 60 % 60);
    unsigned rest = (unsigned)(whole % 60);
    if (days > 0)
        snprintf(human.text, sizeof human.text, "%ud %02uh", days, hours);
    else if (hours > 0)
        snprintf(human.text, sizeof human.text, "%u:%02u:%02u", hours, minutes, rest);
    else
        snprintf(human.text, sizeof human.text, "%u:%02u", minutes, rest);
    return human;
}

struct cli_human cli_human_time(uint64_t since_epoch_ns) {
    struct cli_human human;
    time_t seconds = (time_t)(since_epoch_ns / 1000000000);
    struct tm parts;
    if (localtime_r(&seconds, &parts) == NULL || strftime(human.text, sizeof human.text, "%F %T", &parts) == 0)
        snprintf(human.text, sizeof human.text, "-");
    return human;
}

struct cli_human cli_human_time_utc(uint64_t since_epoch_ns) {
    struct cli_human human;
    time_t seconds = (time_t)(since_epoch_ns / 1000000000);
    unsigned fraction = (unsigned)(since_epoch_ns % 1000000000);
    struct tm parts;
    char date[24];
    if (gmtime_r(&seconds, &parts) == NULL || strftime(date, sizeof date, "%FT%T", &parts) == 0)
        snprintf(human.text, sizeof human.text, "-");
    else
        snprintf(human.text, sizeof human.text, "%s.%09uZ", date, fraction);
    return human;
}
