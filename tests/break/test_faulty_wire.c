/* test_faulty_wire.c - between client and server stands a proxy that delays, stalls, cuts and flips bits anywhere, in every round
 * by a seed: what libtrove does through it ends right, or fails clearly and in time; the server serves others on and, at the end,
 * holds nothing.
 */
#include "faulty_wire.h"

#include "proxy.h"
#include "troved.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS        32 /* that mostly wait */
#define OPERATIONS_MAX 6
#define CONNECTS_MAX   4
#define QUIET_MS       60000
#define MEMORY_MAX     ((uint64_t)256 << 20) /* 32 MiB of budget, the store's caches, and some hundred connections */

static const char config[] = "memory: 32MiB\n"
                             "connections: {keepalive: 1s, handshake_timeout: 1s, call_timeout: 5s}\n"
                             "pool: {idle_timeout: 5s, credit_expiry: 200ms}\n";

static struct seeded_run run;
static struct troved *server;
static atomic_uint_fast64_t next_round;

static trove_status (*const operations[])(struct faulty_worker *worker) = {
    faulty_put, faulty_get, faulty_list, faulty_two_way, faulty_seek_upload, faulty_seek_download,
};
#define OPERATION_COUNT (sizeof operations / sizeof operations[0])

/* ---- a round ---- */

static void draw_faults(struct seeded *random, struct proxy_faults *faults) {
    *faults = (struct proxy_faults){
        .seed = seeded_next(random),
        .span_bytes = 16 + seeded_size(random, (uint64_t)3 << 20),
        .delays = (unsigned)seeded_below(random, 4),
        .delay_ms = 1 + (unsigned)seeded_below(random, 50),
        .pieces = seeded_once_in(random, 4) ? (unsigned)seeded_below(random, 2000) : 0,
    };
    switch (seeded_below(random, 6)) {
    case 0:
        break;
    case 1:
        faults->flips = 1;
        break;
    case 2:
        faults->flips = 4;
        break;
    case 3:
        faults->cuts = 1;
        break;
    case 4:
        faults->stalls = 2;
        faults->stall_ms = 3000;
        break;
    default:
        faults->flips = faults->cuts = faults->black_holes = 1;
        break;
    }
}

static const char *draw_scheme(struct seeded *random) {
    uint64_t drawn = seeded_below(random, 10);
    return drawn < 1 ? "ws" : drawn < 5 ? "ipc" : "tcp";
}

static void run_round(struct faulty_worker *worker, uint64_t seed) {
    struct proxy_faults faults;
    seeded_round(seed, 1);
    seeded_init(&worker->random, seed);
    worker->seed = seed;
    worker->keys = 0;
    faulty_new_key(worker, worker->base.key);
    faulty_store(worker, &worker->base, faulty_draw_version(worker));
    draw_faults(&worker->random, &faults);
    struct proxy *proxy = proxy_start(troved_folder(server), troved_url(server, draw_scheme(&worker->random)), &faults);
    unsigned connects = 0;
    for (unsigned i = 0; i < OPERATIONS_MAX && connects < CONNECTS_MAX; i++) {
        if (worker->client == NULL) {
            connects++;
            if (faulty_connect(worker, proxy_url(proxy)) != TROVE_OK)
                continue;
        }
        if (operations[seeded_below(&worker->random, OPERATION_COUNT)](worker) != TROVE_OK) {
            trove_close(worker->client);
            worker->client = NULL;
        }
    }
    trove_close(worker->client);
    worker->client = NULL;
    proxy_stop(proxy);
}

/* ---- all rounds ---- */

static trove_client *connect_directly(void) {
    trove_client *client;
    trove_error error = {0};
    if (trove_connect(troved_url(server, "ipc"), NULL, &client, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    return client;
}

static void *work(void *argument) {
    struct faulty_worker *worker = argument;
    uint64_t round;
    worker->direct = connect_directly();
    worker->bytes = malloc(FAULTY_SIZE_MAX);
    worker->got = malloc(FAULTY_SIZE_MAX + 1);
    assert_true(worker->bytes != NULL && worker->got != NULL);
    while ((round = atomic_fetch_add(&next_round, 1)) < run.rounds)
        run_round(worker, run.seed + round);
    free(worker->bytes);
    free(worker->got);
    trove_close(worker->direct);
    return NULL;
}

static void make_list(trove_client *client) {
    uint8_t bytes[FAULTY_LIST_COUNT] = {0};
    trove_error error = {0};
    if (trove_bucket_create(client, FAULTY_BUCKET, 0, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    for (unsigned i = 0; i < FAULTY_LIST_COUNT; i++) {
        char key[64];
        snprintf(key, sizeof key, FAULTY_LIST "%05u", i);
        if (trove_put_memory(client, FAULTY_BUCKET, key, bytes, i, NULL, NULL, &error) != TROVE_OK)
            fail_msg("%s", error.message);
    }
}

/* Nothing of what was broken off stays, but the one connection that asks. */
static void check_quiet(trove_client *client) {
    trove_server_info info;
    trove_error error = {0};
    uint64_t until_ms = seeded_now_ms() + QUIET_MS;
    do {
        if (trove_server_info_get(client, 0, &info, &error) != TROVE_OK)
            fail_msg("%s", error.message);
        if (seeded_now_ms() > until_ms)
            fail_msg("there are still %llu streams, %llu connections, %llu bytes", (unsigned long long)info.streams_active,
                     (unsigned long long)info.connections, (unsigned long long)info.memory_in_use_bytes);
        usleep(1000);
    } while (info.streams_active > 0 || info.connections > 1 || info.memory_in_use_bytes > 0);
    trove_server_stream_page *page;
    if (trove_server_stream_list(client, NULL, &page, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    assert_int_equal(page->count, 0);
    trove_server_stream_page_free(page);
}

static void tell_statuses(const struct faulty_worker *workers) {
    for (trove_status status = TROVE_OK; status <= TROVE_UNAUTHENTICATED; status++) {
        unsigned count = 0;
        for (unsigned i = 0; i < WORKERS; i++)
            count += workers[i].statuses[status];
        if (count > 0)
            printf("    %u %s\n", count, trove_status_name(status));
    }
}

int main(int argc, char **argv) {
    static struct faulty_worker workers[WORKERS];
    pthread_t threads[WORKERS];
    seeded_begin(&run, argc, argv, 100, 5000);
    const struct troved_options options = {.listen = {"ipc://%s/socket", "tcp://127.0.0.1:0", "ws://127.0.0.1:0/trove"},
                                           .store = "local://%s/store",
                                           .config = config};
    server = troved_start(&options, NULL);
    trove_client *client = connect_directly();
    make_list(client);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    tell_statuses(workers);
    check_quiet(client);
    printf("    %llu MiB of memory at most\n", (unsigned long long)(troved_memory_high_water(server) >> 20));
#ifndef TROVE_SANITIZED
    assert_true(troved_memory_high_water(server) < MEMORY_MAX);
#endif
    trove_close(client);
    assert_int_equal(troved_stop(server, false), 0);
    return EXIT_SUCCESS;
}
