/* bench_client.c - options, shares, clocks and the JSON line that the benchmark's clients have in common. See bench_client.h. */
#include "bench_client.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KIB = 1024,
    MIB = 1024 * 1024
};

bool bench_mode_is_stream(const char *mode) {
    return strcmp(mode, "up") == 0 || strcmp(mode, "down") == 0 || strcmp(mode, "both") == 0;
}

static int parse_u64(const char *name, const char *text, uint64_t max, uint64_t *value) {
    char *end = NULL;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || strchr(text, '-') != NULL || parsed == 0 || parsed > max) {
        fprintf(stderr, "--%s %s: expected a number from 1 to %" PRIu64 "\n", name, text, max);
        return -1;
    }
    *value = parsed;
    return 0;
}

static int parse_one(const struct option *option, const char *text, struct bench_options *options) {
    uint64_t value = 0;
    switch (option->val) {
    case 's':
        options->server = text;
        return 0;
    case 'b':
        return parse_u64(option->name, text, UINT64_MAX / 2, &options->bytes);
    case 'n':
        return parse_u64(option->name, text, UINT32_MAX, &options->count);
    case 'c':
        if (parse_u64(option->name, text, 1024, &value) != 0)
            return -1;
        options->connections = (uint32_t)value;
        return 0;
    case 'w':
        if (parse_u64(option->name, text, 65536, &value) != 0)
            return -1;
        options->window = (uint32_t)value;
        return 0;
    default:
        if (parse_u64(option->name, text, 64 * MIB, &value) != 0)
            return -1;
        options->chunk_bytes = value;
        return 0;
    }
}

static int options_complete(struct bench_options *options) {
    int limits = (options->bytes != 0) + (options->count != 0);
    if (options->server == NULL || limits > 1) {
        fprintf(stderr, "%s: needs --server URL and at most one of --bytes and --count\n", options->mode);
        return -1;
    }
    bool stream = bench_mode_is_stream(options->mode);
    if (limits == 0 && stream)
        options->bytes = (uint64_t)KIB * MIB;
    else if (limits == 0)
        options->count = 10000;
    if (options->window == 0)
        options->window = strcmp(options->mode, "unary-pipelined") == 0 ? 128 : 16;
    if (options->chunk_bytes == 0)
        options->chunk_bytes = stream ? MIB : KIB;
    return 0;
}

int bench_options_parse(int argc, char **argv, struct bench_options *options) {
    static const struct option table[] = {
        {"server", required_argument, NULL, 's'},
        {"bytes", required_argument, NULL, 'b'},
        {"count", required_argument, NULL, 'n'},
        {"window", required_argument, NULL, 'w'},
        {"connections", required_argument, NULL, 'c'},
        {"chunk", required_argument, NULL, 'k'},
        {NULL, 0, NULL, 0},
    };
    if (argc < 2) {
        fprintf(stderr, "usage: MODE --server URL [--bytes N | --count N] [--connections N] [--window N] "
                        "[--chunk BYTES]\n");
        return -1;
    }
    *options = (struct bench_options){.mode = argv[1], .connections = 1};
    int index = 0;
    int letter = 0;
    while ((letter = getopt_long(argc - 1, argv + 1, "", table, &index)) != -1)
        if (letter == '?' || parse_one(&table[index], optarg, options) != 0)
            return -1;
    options->arguments = argv + 1 + optind;
    options->arguments_count = argc - 1 - optind;
    return options_complete(options);
}

uint64_t bench_share(const struct bench_options *options, uint32_t connection_index) {
    uint64_t connections = options->connections;
    if (options->bytes != 0)
        return options->bytes / connections + (connection_index < options->bytes % connections);
    uint64_t count = options->count / connections + (connection_index < options->count % connections);
    return count * options->chunk_bytes;
}

size_t bench_take(uint64_t *bytes_left, size_t chunk_bytes) {
    size_t taken = *bytes_left < chunk_bytes ? (size_t)*bytes_left : chunk_bytes;
    *bytes_left -= taken;
    return taken;
}

static void print_percentile(const char *name, double us) {
    if (us < 0.0)
        printf(", \"%s\": null", name);
    else
        printf(", \"%s\": %.2f", name, us);
}

void bench_report_print(const struct bench_report *report) {
    printf("{\"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"ops\": %" PRIu64 ", \"cpu_client_s\": %.6f", report->bytes,
           report->seconds, report->ops, report->cpu_client_s);
    print_percentile("p50_us", report->p50_us);
    print_percentile("p99_us", report->p99_us);
    printf("}\n");
    fflush(stdout);
}

static double clock_s(clockid_t clock) {
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double bench_now_s(void) {
    return clock_s(CLOCK_MONOTONIC);
}

double bench_cpu_s(void) {
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

static void add_ns(struct bench_latency *latency, uint32_t ns) {
    if (latency->count == latency->capacity) {
        size_t capacity = latency->capacity == 0 ? 64 * KIB : latency->capacity * 2;
        uint32_t *grown = realloc(latency->samples_ns, capacity * sizeof *grown);
        if (grown == NULL)
            return;
        latency->samples_ns = grown;
        latency->capacity = capacity;
    }
    latency->samples_ns[latency->count++] = ns;
}

void bench_latency_add(struct bench_latency *latency, double seconds) {
    add_ns(latency, (uint32_t)fmin(seconds * 1e9, (double)UINT32_MAX));
}

void bench_latency_merge(struct bench_latency *latency, const struct bench_latency *other) {
    for (size_t i = 0; i < other->count; i++)
        add_ns(latency, other->samples_ns[i]);
}

static int compare_u32(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

double bench_latency_percentile_us(struct bench_latency *latency, double fraction) {
    if (latency->count == 0)
        return -1.0;
    qsort(latency->samples_ns, latency->count, sizeof *latency->samples_ns, compare_u32);
    size_t index = (size_t)(fraction * (double)(latency->count - 1));
    return (double)latency->samples_ns[index] / 1000.0;
}

void bench_latency_fini(struct bench_latency *latency) {
    free(latency->samples_ns);
    *latency = (struct bench_latency){0};
}
