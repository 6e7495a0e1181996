/* bench_client.h - the interface that every client of the benchmark shares, ours and the peers' alike: the same options in, the
 * same JSON line out, so that the runner (bench.py) treats all of them the same.
 *
 *   CLIENT MODE --server URL [--bytes N | --count N] [--connections N] [--window N] [--chunk BYTES] [ARG...]
 *
 * prints one line: {"bytes": N, "seconds": S, "ops": N, "cpu_client_s": S, "p50_us": U, "p99_us": U}
 *
 * Streams are moved by the modes up, down and both. both moves N bytes each way at once, and what it prints is both ways
 * together. Seconds and CPU seconds cover the transfer alone, never the connecting. A percentile that a mode doesn't measure is
 * null. The exit code is 0 only if every byte that came was verified: the answer of an echo call is compared with what was sent.
 * Each call is timed, in all call modes: two readings of the clock and a sample kept are a part of everybody's call.
 *
 * Threads: nothing here keeps state; a struct bench_latency belongs to one thread at a time.
 */
#ifndef TROVE_BENCH_CLIENT_H
#define TROVE_BENCH_CLIENT_H

#include <stdbool.h>
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
    uint32_t connections; /* default 1; bytes and count are shared out between them */
    uint32_t window;      /* chunks or calls under way on each connection; default 16, or 128 for unary-pipelined */
    size_t chunk_bytes;   /* default 1 MiB, or 1 KiB for unary and durable modes */
    char **arguments;     /* what follows the options */
    int arguments_count;
};

/* Either bytes or count rules; without any of them it is 1 GiB for streams, 10,000 calls for the other modes. Returns 0, or
 * -1 after a message on stderr. */
int bench_options_parse(int argc, char **argv, struct bench_options *options);

/* up, down or both. */
bool bench_mode_is_stream(const char *mode);

/* This connection's share of bytes, or of count * chunk_bytes. */
uint64_t bench_share(const struct bench_options *options, uint32_t connection_index);

/* Bytes of the next chunk, at most chunk_bytes, taken off what is left; 0: it is used up. */
size_t bench_take(uint64_t *bytes_left, size_t chunk_bytes);

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
/* All samples of another one. */
void bench_latency_merge(struct bench_latency *latency, const struct bench_latency *other);
/* fraction in [0, 1]. Sorts the samples. Returns microseconds, or -1 without samples. */
double bench_latency_percentile_us(struct bench_latency *latency, double fraction);
void bench_latency_fini(struct bench_latency *latency);

#ifdef __cplusplus
}
#endif
#endif
