/* human.h - numbers for people: sizes, spans and points of time. Pure. */
#ifndef CLI_HUMAN_H
#define CLI_HUMAN_H

#include <stdint.h>

struct cli_human {
    char text[40];
};

/* "0 B", "1023 B", "1.0 KiB", "999.9 MiB", "16.0 EiB". */
struct cli_human cli_human_size(uint64_t bytes);

/* "0:07", "12:34", "3:00:00", "4d 02h" for seconds; "-:--" for less than 0 and for what isn't a number. */
struct cli_human cli_human_span(double seconds);

/* Local time "2024-05-31 13:45:00", for people. */
struct cli_human cli_human_time(uint64_t since_epoch_ns);

/* RFC 3339 in UTC with nanoseconds, for programs: "2024-05-31T11:45:00.123456789Z". */
struct cli_human cli_human_time_utc(uint64_t since_epoch_ns);

#endif
