/* proxy_main.c - a proxy (see proxy.h) as a program, for tests in other languages: prints what clients dial and runs until its
 * standard input ends.
 *
 *   trove_proxy UPSTREAM FOLDER SEED SPAN_BYTES FLIPS CUTS DELAYS DELAY_MS
 */
#include "proxy.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned number(const char *text) {
    return (unsigned)strtoul(text, NULL, 0);
}

int main(int argc, char **argv) {
    char byte;
    if (argc != 9) {
        fprintf(stderr, "usage: %s UPSTREAM FOLDER SEED SPAN_BYTES FLIPS CUTS DELAYS DELAY_MS\n", argv[0]);
        return 64;
    }
    const struct proxy_faults faults = {
        .seed = strtoull(argv[3], NULL, 0),
        .span_bytes = strtoull(argv[4], NULL, 0),
        .flips = number(argv[5]),
        .cuts = number(argv[6]),
        .delays = number(argv[7]),
        .delay_ms = number(argv[8]),
    };
    struct proxy *proxy = proxy_start(argv[2], argv[1], &faults);
    puts(proxy_url(proxy));
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    struct proxy_counts counts;
    proxy_get_counts(proxy, &counts);
    printf("%llu connections, %llu bytes up, %llu bytes down, %llu flips, %llu cuts\n", (unsigned long long)counts.connections,
           (unsigned long long)counts.bytes_up, (unsigned long long)counts.bytes_down, (unsigned long long)counts.flips,
           (unsigned long long)counts.cuts);
    proxy_stop(proxy);
    return EXIT_SUCCESS;
}
