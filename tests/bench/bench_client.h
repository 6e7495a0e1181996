/*
 * The interface that every client of the benchmark shares, ours and the peers' alike: the same options in, the same JSON
 * line out, so that the runner (bench.py) treats all of them the same.
 *
 *   CLIENT MODE --server URL [--bytes N | --count N | --seconds S] [--connections N] [--window N] [--chunk BYTES] [ARG...]
 *
 * prints one line: {"bytes": N, "seconds": S, "ops": N, "cpu_client_s": S, "p50_us": U, "p99_us": U}
 *
 * Seconds and CPU seconds cover the transfer alone, never the connecting. A percentile that a mode doesn't measure is
 * null. The exit code is 0 only if every byte was verified.
 *
 * Threads: nothing here keeps state; a struct bench_latency belongs to one thread at a time.
 */
#ifndef TROVE_BENCH_CLIENT_H
#define TROVE_BENCH_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_options {
    const char *mode;
    const char *server;   /* tcp://HOST:PORT or ipc:///PATH */
    uint64_t bytes;       /* 0: no limit by bytes */
    uint64_t count;       /* chunks or calls; 0: no limit by count */
    double seconds;       /* 0: no limit by time */
    uint32_t connections; /* default 1; bytes and count are shared out between them */
    uint32_t window;      /* chunks or calls under way on each connection; default 16, or 128 for unary-pipelined */
    size_t chunk_bytes;   /* default 1 MiB, or 1 KiB for unary and durable modes */
    char **arguments;     /* what follows the options */
    int arguments_count;
};

/* Exactly one of bytes, count and seconds rules; without any of them it is 1 GiB for up and down, 10,000 calls for the
 * other modes. Returns 0, or -1 after a message on stderr. */
int bench_options_parse(int argc, char **argv, struct bench_options *options);

/* What is left to do for one connection. */
struct bench_budget {
    uint64_t bytes_left; /* UINT64_MAX: no limit by bytes */
    double deadline_s;   /* on bench_now_s's clock; 0: none */
};

/* This connection's share of bytes or count * chunk_bytes, and the deadline from now on. */
struct bench_budget bench_budget_share(const struct bench_options *options, uint32_t connection_index);

/* Bytes of the next chunk, at most chunk_bytes, taken off the budget; 0: the budget is used up. */
size_t bench_budget_take(struct bench_budget *budget, size_t chunk_bytes);

struct bench_report {
    uint64_t bytes;
    uint64_t ops;
    double seconds;
    double cpu_client_s;
    double p50_us; /* negative: not measured */
    double p99_us;
};

void bench_report_print(const struct bench_report *report);

/* Monotonic clock, and the CPU time (user and system) of this process with all its threads. */
double bench_now_s(void);
double bench_cpu_s(void);

/* Latencies of single calls. Grows by doubling; a sample that finds no memory is left out. */
struct bench_latency {
    uint32_t *samples_ns;
    size_t count;
    size_t capacity;
};

void bench_latency_add(struct bench_latency *latency, double seconds);
/* fraction in [0, 1]. Sorts the samples. Returns microseconds, or -1 without samples. */
double bench_latency_percentile_us(struct bench_latency *latency, double fraction);
void bench_latency_fini(struct bench_latency *latency);

#ifdef __cplusplus
}
#endif
#endif
