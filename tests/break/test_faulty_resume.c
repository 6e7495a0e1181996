/* test_faulty_resume.c - resumable transfers of libtrove while connections are cut, stall and flip bits, in every round by a
 * seed: they end by themselves, and right. The first connections of a round are bad ones, those behind them aren't.
 */
#include "faulty_wire.h"

#include "proxy.h"
#include "troved.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS         12
#define BAD_CONNECTIONS 4
#define CONNECTS_MAX    (BAD_CONNECTIONS + 4)
#define WAIT_MS         60000

static const char config[] = "memory: 64MiB\n"
                             "connections: {keepalive: 1s, handshake_timeout: 1s}\n";

static struct seeded_run run;
static struct troved *server;
static atomic_uint_fast64_t next_round, reconnect_count;

static trove_client *connect_to(const char *url, trove_error *error) {
    trove_client *client = NULL;
    trove_client_options options;
    trove_client_options_init(&options);
    options.connect_timeout_ms = 3000;
    options.keepalive_ms = 1000;
    options.retry_for_ms = WAIT_MS;
    return trove_connect(url, &options, &client, error) == TROVE_OK ? client : NULL;
}

/* The first connection isn't made again by itself. */
static trove_client *connect_at_last(const char *url) {
    trove_client *client = NULL;
    trove_error error = {0};
    for (unsigned i = 0; i < CONNECTS_MAX && client == NULL; i++)
        client = connect_to(url, &error);
    if (client == NULL)
        fail_msg("%s", error.message);
    return client;
}

static void count_reconnects(const trove_client *client) {
    trove_client_metrics metrics;
    trove_client_metrics_get((trove_client *)(uintptr_t)client, &metrics);
    atomic_fetch_add(&reconnect_count, metrics.reconnects);
}

static void init_options(trove_stream_options *options, struct seeded *random) {
    trove_stream_options_init(options);
    options->resumable = true;
    options->timeout_ms = WAIT_MS;
    options->chunk_bytes = 4096 + seeded_size(random, 1 << 20);
}

static void put(struct faulty_worker *worker) {
    struct faulty_object object = {0};
    struct faulty_version next = faulty_draw_version(worker);
    trove_stream_options options;
    trove_error error = {0};
    faulty_new_key(worker, object.key);
    init_options(&options, &worker->random);
    options.keep_bytes = seeded_once_in(&worker->random, 2) ? 2 * options.chunk_bytes + 65536 : 0;
    seeded_fill(next.content, 0, worker->bytes, next.size);
    if (trove_put_memory(worker->client, FAULTY_BUCKET, object.key, worker->bytes, next.size, &options, NULL, &error) != TROVE_OK)
        fail_msg("put: %s: %s", trove_status_name(error.status), error.message);
    faulty_check_object(worker, &object, next, TROVE_OK);
}

static void get(struct faulty_worker *worker) {
    const struct faulty_version *version = &worker->base.now;
    trove_stream_options options;
    trove_error error = {0};
    size_t got = 0;
    init_options(&options, &worker->random);
    if (trove_get_memory(worker->client, FAULTY_BUCKET, worker->base.key, worker->got, FAULTY_SIZE_MAX, &options, &got, NULL,
                         &error) != TROVE_OK)
        fail_msg("get: %s: %s", trove_status_name(error.status), error.message);
    if (got != version->size || !seeded_is(version->content, 0, worker->got, got))
        fail_msg("%zu bytes of %s are other ones", got, worker->base.key);
}

static void run_round(struct faulty_worker *worker, uint64_t seed) {
    static const char *const schemes[] = {"ipc", "tcp"};
    seeded_round(seed, 1);
    seeded_init(&worker->random, seed);
    worker->seed = seed;
    worker->keys = 0;
    faulty_new_key(worker, worker->base.key);
    faulty_store(worker, &worker->base, faulty_draw_version(worker));
    const struct proxy_faults faults = {
        .seed = seed,
        .span_bytes = 1000 + seeded_size(&worker->random, FAULTY_SIZE_MAX),
        .connections = BAD_CONNECTIONS,
        .flips = (unsigned)seeded_below(&worker->random, 3),
        .cuts = (unsigned)seeded_below(&worker->random, 2),
        .black_holes = seeded_once_in(&worker->random, 6),
        .delays = 2,
        .delay_ms = 20,
    };
    const char *url = troved_url(server, schemes[seeded_below(&worker->random, 2)]);
    struct proxy *proxy = proxy_start(troved_folder(server), url, &faults);
    worker->client = connect_at_last(proxy_url(proxy));
    put(worker);
    get(worker);
    put(worker);
    count_reconnects(worker->client);
    trove_close(worker->client);
    proxy_stop(proxy);
}

static void *work(void *argument) {
    struct faulty_worker *worker = argument;
    trove_error error = {0};
    uint64_t round;
    worker->direct = connect_to(troved_url(server, "ipc"), &error);
    worker->bytes = malloc(FAULTY_SIZE_MAX);
    worker->got = malloc(FAULTY_SIZE_MAX + 1);
    assert_true(worker->direct != NULL && worker->bytes != NULL && worker->got != NULL);
    while ((round = atomic_fetch_add(&next_round, 1)) < run.rounds)
        run_round(worker, run.seed + round);
    free(worker->bytes);
    free(worker->got);
    trove_close(worker->direct);
    return NULL;
}

/* All that was begun was completed. */
static void check_uploads(trove_client *client) {
    trove_upload_page *page;
    trove_error error = {0};
    if (trove_upload_list(client, NULL, &page, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    if (page->count > 0)
        fail_msg("%zu uploads are left, such as that of %s", page->count, page->uploads[0].key);
    trove_upload_page_free(page);
}

int main(int argc, char **argv) {
    static struct faulty_worker workers[WORKERS];
    pthread_t threads[WORKERS];
    trove_error error = {0};
    const struct troved_options options = {
        .listen = {"ipc://%s/socket", "tcp://127.0.0.1:0"}, .store = "local://%s/store", .config = config};
    seeded_begin(&run, argc, argv, 40, 2000);
    server = troved_start(&options, NULL);
    trove_client *client = connect_to(troved_url(server, "ipc"), &error);
    if (client == NULL || trove_bucket_create(client, FAULTY_BUCKET, 0, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    check_uploads(client);
    printf("    %llu connections were made again\n", (unsigned long long)atomic_load(&reconnect_count));
    trove_close(client);
    assert_int_equal(troved_stop(server, false), 0);
    return EXIT_SUCCESS;
}
