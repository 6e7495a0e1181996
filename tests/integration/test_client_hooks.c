/* test_client_hooks.c - several sets of hooks on real streams, and the whole API called from a hook.
 *
 * A check (tests/checks/hook_calls.py) sees to it that every function of trove.h and trove_pools.h is called in here but
 * trove_close, which is the one that a hook may not call.
 */
#include "client_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- several sets ---- */

struct set {
    uint64_t next_index;
    uint64_t next_offset;
    uint64_t bytes;
    unsigned chunks;
    unsigned ends;
    unsigned wrong; /* out of order, or after the end */
    trove_status status;
};

static void set_chunk(void *context, const trove_chunk_ack *ack) {
    struct set *set = context;
    set->wrong += set->ends > 0 || ack->index != set->next_index || ack->offset != set->next_offset || ack->latency_ns == 0;
    set->next_index = ack->index + 1;
    set->next_offset = ack->offset + ack->size;
    set->bytes += ack->size;
    set->chunks++;
}

static void set_complete(void *context, const trove_object_info *info) {
    struct set *set = context;
    (void)info;
    set->status = TROVE_OK;
    set->ends++;
}

static void set_error(void *context, const trove_error *error) {
    struct set *set = context;
    set->status = error->status;
    set->ends++;
}

static trove_stream_hooks hooks_of(struct set *set) {
    return (trove_stream_hooks){.context = set, .on_chunk = set_chunk, .on_complete = set_complete, .on_error = set_error};
}

/* Reads to the end, or to an error. */
static trove_status read_away(trove_stream *stream, trove_error *error) {
    for (;;) {
        trove_chunk *chunk = NULL;
        trove_status status = trove_stream_read(stream, 0, &chunk, error);
        if (status != TROVE_OK || chunk == NULL)
            return status;
        trove_stream_chunk_put(stream, chunk);
    }
}

static void check_sets(const struct client_test *test, trove_direction direction, bool complete) {
    struct set sets[TROVE_HOOKS_MAX + 1] = {0};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.channel_chunks = 4;
    options.hooks = hooks_of(&sets[0]);
    trove_stream *stream = open_stream(test, "sets", direction, &options);
    for (int i = 1; i < TROVE_HOOKS_MAX; i++) {
        const trove_stream_hooks hooks = hooks_of(&sets[i]);
        CHECK_OK(trove_stream_hooks_add(stream, &hooks, &error), &error);
    }
    const trove_stream_hooks many = hooks_of(&sets[TROVE_HOOKS_MAX]);
    CHECK_FAILS(trove_stream_hooks_add(stream, &many, &error), RESOURCE_EXHAUSTED, "8 sets", &error);
    if (direction == TROVE_DIRECTION_UPLOAD)
        CHECK_OK(write_bytes(stream, test->bytes, 3 * MIB, 0, &error), &error);
    else
        CHECK_OK(read_away(stream, &error), &error);
    if (complete)
        CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    else
        trove_stream_fail(stream, TROVE_ABORTED, "as the test wants it");
    CHECK_FAILS(trove_stream_hooks_add(stream, &many, &error), FAILED_PRECONDITION, "no hook is called", &error);
    trove_stream_release(stream);
    for (int i = 0; i < TROVE_HOOKS_MAX; i++) {
        assert_int_equal(sets[i].wrong, 0);
        assert_int_equal(sets[i].ends, 1);
        assert_int_equal(sets[i].status, complete ? TROVE_OK : TROVE_ABORTED);
        assert_int_equal(sets[i].chunks, sets[0].chunks); /* all sets are told the same */
        if (complete)
            assert_int_equal(sets[i].bytes, 3 * MIB);
    }
    assert_int_equal(sets[TROVE_HOOKS_MAX].ends, 0);
}

static void test_sets(void **state) {
    const struct client_test *test = *state;
    check_sets(test, TROVE_DIRECTION_UPLOAD, true);
    check_sets(test, TROVE_DIRECTION_UPLOAD, false);
    check_object(test, "sets", test->bytes, 3 * MIB); /* the second one left the first one's alone */
    check_sets(test, TROVE_DIRECTION_DOWNLOAD, true);
}

/* A set that comes in the middle is told of what comes then. */
static void test_late_set(void **state) {
    const struct client_test *test = *state;
    struct set first = {0};
    struct set late = {0};
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.hooks = hooks_of(&first);
    trove_stream *stream = open_stream(test, "late", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(stream, test->bytes, 1000 * KIB, 0, &error), &error);
    do {
        trove_stream_metrics_get(stream, &metrics);
    } while (metrics.chunks_acknowledged < 10);
    const trove_stream_hooks hooks = hooks_of(&late);
    CHECK_OK(trove_stream_hooks_add(stream, &hooks, &error), &error);
    late.next_index = 10;
    late.next_offset = 1000 * KIB;
    CHECK_OK(write_bytes(stream, test->bytes, 500 * KIB, 0, &error), &error);
    CHECK_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
    assert_int_equal(first.chunks, 15);
    assert_int_equal(late.chunks, 5);
    assert_int_equal(first.wrong + late.wrong, 0);
    assert_int_equal(first.ends, 1);
    assert_int_equal(late.ends, 1);
}

/* Who has hooks is told, also of what else would go up in one flight. */
static void test_small_objects(void **state) {
    const struct client_test *test = *state;
    char path[512];
    trove_error error;
    snprintf(path, sizeof path, "%s/small", troved_folder(test->server));
    for (unsigned i = 0; i < 4; i++) {
        const size_t size = i % 2 * 10;
        const bool from_file = i >= 2;
        struct set set = {0};
        trove_stream_options options;
        trove_stream_options_init(&options);
        options.hooks = hooks_of(&set);
        FILE *file = fopen(path, "wb");
        assert_int_equal(fwrite(test->bytes, 1, size, file), size);
        fclose(file);
        trove_status status = from_file
                                  ? trove_put_file(test->client, BUCKET, "small", path, &options, NULL, &error)
                                  : trove_put_memory(test->client, BUCKET, "small", test->bytes, size, &options, NULL, &error);
        CHECK_OK(status, &error);
        assert_int_equal(set.ends, 1);
        assert_int_equal(set.status, TROVE_OK);
        assert_int_equal(set.chunks, size > 0);
        assert_int_equal(set.bytes, size);
        assert_int_equal(set.wrong, 0);
    }
    unlink(path);
}

/* ---- the API from a hook ---- */

struct call {
    const struct client_test *test;
    trove_stream *own; /* whose hook it is */
    void (*run)(struct call *call);
    atomic_bool written; /* only one thread at a time may write */
    atomic_bool began;
    atomic_bool done;
    atomic_uint answers; /* of asynchronous calls */
};

/* Failures in a hook thread can't unwind to cmocka: they end the test program, saying where. */
#define IN_HOOK(condition)                                                                                                       \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            fprintf(stderr, "%s:%d: in a hook: %s\n", __FILE__, __LINE__, #condition);                                           \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)

static void in_hook_ok(trove_status status, const trove_error *error, const char *what, int line) {
    if (status == TROVE_OK)
        return;
    fprintf(stderr, "%s:%d: in a hook: %s: %s\n", __FILE__, line, what, error->message);
    abort();
}

#define OK_IN_HOOK(expression, error) in_hook_ok((expression), (error), #expression, __LINE__)

static void call_server(struct call *call) {
    trove_client *client = call->test->client;
    trove_error error;
    trove_server_info info;
    trove_client_metrics metrics;
    uint64_t round_trip_ns = 0;
    OK_IN_HOOK(trove_ping(client, 0, &round_trip_ns, &error), &error);
    OK_IN_HOOK(trove_server_info_get(client, 0, &info, &error), &error);
    trove_client_metrics_get(client, &metrics);
    IN_HOOK(metrics.frames_sent > 0 && round_trip_ns > 0 && info.streams_active > 0);
    IN_HOOK(strcmp(trove_status_name(TROVE_OK), "OK") == 0 && trove_version()[0] != '\0');
}

/* What is open is the stream whose hook this is, and others; what isn't there can't be moved. */
static void call_server_streams(struct call *call) {
    trove_client *client = call->test->client;
    trove_error error;
    trove_server_pool *pools = NULL;
    trove_server_stream_options options;
    trove_server_stream_page *page = NULL;
    size_t count = 0;
    OK_IN_HOOK(trove_server_pool_list(client, 0, &pools, &count, &error), &error);
    IN_HOOK(count == 1);
    trove_server_pool_list_free(pools);
    trove_server_stream_options_init(&options);
    OK_IN_HOOK(trove_server_stream_list(client, &options, &page, &error), &error);
    IN_HOOK(page->count > 0);
    trove_server_stream_page_free(page);
    IN_HOOK(trove_server_stream_control(client, UINT32_MAX, TROVE_CONTROL_PAUSE, 0, NULL, &error) == TROVE_NOT_FOUND);
}

static void call_buckets(struct call *call) {
    trove_client *client = call->test->client;
    trove_error error;
    trove_bucket_info *buckets = NULL;
    size_t count = 0;
    OK_IN_HOOK(trove_bucket_create(client, "from-a-hook", 0, &error), &error);
    OK_IN_HOOK(trove_bucket_list(client, 0, &buckets, &count, &error), &error);
    IN_HOOK(count >= 2);
    trove_bucket_list_free(buckets);
    OK_IN_HOOK(trove_bucket_delete(client, "from-a-hook", 0, &error), &error);
}

static void call_objects(struct call *call) {
    trove_client *client = call->test->client;
    trove_error error;
    trove_object_info *info = NULL;
    trove_list_options options;
    trove_list_page *page = NULL;
    OK_IN_HOOK(trove_put_memory(client, BUCKET, "hook/a", "abc", 3, NULL, NULL, &error), &error);
    OK_IN_HOOK(trove_object_copy(client, BUCKET, "hook/a", BUCKET, "hook/b", NULL, 0, NULL, &error), &error);
    OK_IN_HOOK(trove_object_head(client, BUCKET, "hook/b", 0, &info, &error), &error);
    IN_HOOK(info->size == 3);
    trove_object_info_free(info);
    trove_list_options_init(&options);
    options.prefix = "hook/";
    OK_IN_HOOK(trove_list(client, BUCKET, &options, &page, &error), &error);
    IN_HOOK(page->count == 2);
    trove_list_page_free(page);
    OK_IN_HOOK(trove_object_delete(client, BUCKET, "hook/a", NULL, 0, &error), &error);
    OK_IN_HOOK(trove_object_delete(client, BUCKET, "hook/b", NULL, 0, &error), &error);
}

/* Another stream, from its opening to its release: more chunks than its window has, so that it waits for acknowledgements. */
static void call_upload(struct call *call) {
    trove_error error;
    trove_stream_options options;
    trove_stream_state state = TROVE_STREAM_IDLE;
    trove_stream *stream = NULL;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.channel_chunks = 2;
    OK_IN_HOOK(trove_stream_open(call->test->client, BUCKET, "hook/up", TROVE_DIRECTION_UPLOAD, &options, &stream, &error),
               &error);
    OK_IN_HOOK(trove_stream_start(stream, &error), &error);
    OK_IN_HOOK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, &state, &error), &error);
    IN_HOOK(state == TROVE_STREAM_PAUSED && trove_stream_state_get(stream) == TROVE_STREAM_PAUSED);
    OK_IN_HOOK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, &state, &error), &error);
    for (int i = 0; i < 12; i++) {
        trove_chunk *chunk = NULL;
        OK_IN_HOOK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
        chunk->size = chunk->capacity;
        memcpy(chunk->data, call->test->bytes + (size_t)i * chunk->size, chunk->size);
        OK_IN_HOOK(i % 2 == 0 ? trove_stream_write(stream, &chunk, 0, &error)
                              : trove_stream_write_lossy(stream, &chunk, 0, NULL, &error),
                   &error);
    }
    IN_HOOK(trove_stream_offset(stream) == 1200 * KIB && trove_stream_chunk_bytes(stream) == 100 * KIB);
    IN_HOOK(trove_stream_chunk_bytes_next(stream) == 100 * KIB);
    OK_IN_HOOK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

static void call_download(struct call *call) {
    trove_error error;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.channel_chunks = 2;
    OK_IN_HOOK(trove_put_memory(call->test->client, BUCKET, "hook/down", call->test->bytes, 1 * MIB, NULL, NULL, &error), &error);
    OK_IN_HOOK(trove_stream_open(call->test->client, BUCKET, "hook/down", TROVE_DIRECTION_DOWNLOAD, &options, &stream, &error),
               &error);
    OK_IN_HOOK(trove_stream_start(stream, &error), &error);
    OK_IN_HOOK(read_away(stream, &error), &error);
    IN_HOOK(trove_stream_object(stream)->size == 1 * MIB && trove_stream_offset(stream) == 1 * MIB);
    IN_HOOK(trove_stream_read_offset(stream) == 1 * MIB);
    OK_IN_HOOK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

/* Both ways in turn, of a stream whose window is smaller than what goes through it. */
static void call_two_way(struct call *call) {
    trove_error error;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.channel_chunks = 2;
    OK_IN_HOOK(trove_put_memory(call->test->client, BUCKET, "hook/both", call->test->bytes, 1 * MIB, NULL, NULL, &error), &error);
    OK_IN_HOOK(trove_stream_open(call->test->client, BUCKET, "hook/both", TROVE_DIRECTION_BIDI, &options, &stream, &error),
               &error);
    OK_IN_HOOK(trove_stream_start(stream, &error), &error);
    OK_IN_HOOK(write_bytes(stream, call->test->bytes, 2 * MIB, 0, &error), &error);
    OK_IN_HOOK(read_away(stream, &error), &error);
    IN_HOOK(trove_stream_offset(stream) == 2 * MIB && trove_stream_read_offset(stream) == 1 * MIB);
    IN_HOOK(!trove_stream_is_writer(stream));
    OK_IN_HOOK(trove_stream_complete(stream, 0, NULL, &error), &error);
    IN_HOOK(trove_stream_object(stream)->size == 2 * MIB);
    trove_stream_release(stream);
}

/* Ended in other ways, and with hooks of its own, which can only be told when this one has returned. */
static void call_other_ends(struct call *call) {
    static struct set sets[3];
    const struct client_test *test = call->test;
    trove_error error;
    for (int i = 0; i < 3; i++) {
        trove_stream_options options;
        trove_stream *stream = NULL;
        sets[i] = (struct set){0};
        trove_stream_options_init(&options);
        options.hooks = hooks_of(&sets[i]);
        OK_IN_HOOK(trove_stream_open(test->client, BUCKET, "hook/end", TROVE_DIRECTION_UPLOAD, &options, &stream, &error),
                   &error);
        if (i == 0)
            trove_stream_fail(stream, TROVE_ABORTED, "from a hook");
        else if (i == 1)
            OK_IN_HOOK(trove_stream_control(stream, TROVE_CONTROL_CANCEL, 0, 0, NULL, &error), &error);
        trove_stream_release(stream);
        IN_HOOK(sets[i].ends == 0);
    }
}

static void call_own(struct call *call) {
    static struct set set;
    trove_stream *own = call->own;
    trove_error error;
    trove_stream_metrics metrics;
    trove_chunk_stats stats;
    trove_stream_state state = TROVE_STREAM_IDLE;
    set = (struct set){0};
    const trove_stream_hooks hooks = {.context = &set, .on_complete = set_complete, .on_error = set_error};
    trove_stream_metrics_get(own, &metrics);
    trove_stream_chunk_stats(own, &stats);
    IN_HOOK(metrics.chunks_acknowledged > 0 && stats.allocated > 0);
    IN_HOOK(trove_stream_id(own) > 0 && strcmp(trove_stream_state_name(trove_stream_state_get(own)), "active") == 0);
    OK_IN_HOOK(trove_stream_hooks_add(own, &hooks, &error), &error);
    OK_IN_HOOK(trove_stream_control(own, TROVE_CONTROL_PAUSE, 0, 0, &state, &error), &error);
    OK_IN_HOOK(trove_stream_control(own, TROVE_CONTROL_RESUME, 0, 0, &state, &error), &error);
}

/* The server's view of this very stream, and what is done to it from there. */
static void call_server_view(struct call *call) {
    trove_client *client = call->test->client;
    trove_server_pool *pools = NULL;
    trove_server_stream_options options;
    trove_server_stream_page *page = NULL;
    trove_stream_state state = TROVE_STREAM_IDLE;
    trove_error error;
    size_t count = 0;
    uint64_t id = trove_stream_id(call->own);
    OK_IN_HOOK(trove_server_pool_list(client, 0, &pools, &count, &error), &error);
    IN_HOOK(count > 0 && pools[0].streams_active > 0);
    trove_server_pool_list_free(pools);
    trove_server_stream_options_init(&options);
    options.after_stream_id = id - 1;
    OK_IN_HOOK(trove_server_stream_list(client, &options, &page, &error), &error);
    IN_HOOK(page->count > 0 && page->streams[0].stream_id == id);
    trove_server_stream_page_free(page);
    OK_IN_HOOK(trove_server_stream_control(client, id, TROVE_CONTROL_PAUSE, 0, &state, &error), &error);
    IN_HOOK(state == TROVE_STREAM_PAUSED);
    OK_IN_HOOK(trove_server_stream_control(client, id, TROVE_CONTROL_RESUME, 0, &state, &error), &error);
    IN_HOOK(state == TROVE_STREAM_ACTIVE);
}

/* A stream whose hooks don't keep up can't be written to from here: that would wait for ever. */
static void call_own_behind(struct call *call) {
    trove_error error = {TROVE_OK, ""};
    trove_status status = TROVE_OK;
    for (int i = 0; i < 1000 && status == TROVE_OK; i++) {
        trove_chunk *chunk = NULL;
        status = trove_stream_chunk_get(call->own, 0, &chunk, &error);
        if (status != TROVE_OK)
            break;
        chunk->size = 1;
        memcpy(chunk->data, call->test->bytes, 1);
        status = trove_stream_write(call->own, &chunk, 0, &error);
        if (status != TROVE_OK)
            trove_stream_chunk_put(call->own, chunk);
    }
    IN_HOOK(status == TROVE_RESOURCE_EXHAUSTED && strstr(error.message, "hooks don't keep up") != NULL);
}

static void call_whole(struct call *call) {
    const struct client_test *test = call->test;
    trove_client *client = test->client;
    trove_error error;
    char path[512];
    static char got[2 * MIB];
    size_t got_bytes = 0;
    snprintf(path, sizeof path, "%s/file", troved_folder(test->server));
    OK_IN_HOOK(trove_put_memory(client, BUCKET, "hook/whole", test->bytes, sizeof got, NULL, NULL, &error), &error);
    OK_IN_HOOK(trove_get_file(client, BUCKET, "hook/whole", path, NULL, NULL, &error), &error);
    OK_IN_HOOK(trove_put_file(client, BUCKET, "hook/whole", path, NULL, NULL, &error), &error);
    int fd = open(path, O_RDWR);
    IN_HOOK(fd >= 0);
    OK_IN_HOOK(trove_put_fd(client, BUCKET, "hook/whole", fd, NULL, NULL, &error), &error);
    OK_IN_HOOK(trove_get_fd(client, BUCKET, "hook/whole", fd, NULL, NULL, &error), &error);
    OK_IN_HOOK(trove_get_memory(client, BUCKET, "hook/whole", got, sizeof got, NULL, &got_bytes, NULL, &error), &error);
    IN_HOOK(got_bytes == sizeof got && memcmp(got, test->bytes, sizeof got) == 0);
    close(fd);
    unlink(path);
}

static void answered(void *context, const trove_error *error, const void *data, size_t size) {
    struct call *call = context;
    (void)data;
    (void)size;
    IN_HOOK(error == NULL);
    atomic_fetch_add(&call->answers, 1);
}

static void call_async(struct call *call) {
    trove_error error;
    OK_IN_HOOK(trove_put_async(call->test->client, BUCKET, "hook/async", "abc", 3, 0, answered, call, &error), &error);
    OK_IN_HOOK(trove_echo_async(call->test->client, "abc", 3, 0, answered, call, &error), &error);
}

static void call_other_client(struct call *call) {
    trove_client_options options;
    trove_client *client = NULL;
    trove_error error;
    trove_client_options_init(&options);
    OK_IN_HOOK(trove_connect(call->test->url, &options, &client, &error), &error);
    trove_close(client); /* another client's hooks have another thread */
    OK_IN_HOOK(trove_connect_wait(call->test->url, NULL, 1000, &client, &error), &error);
    trove_close(client);
}

static bool visit(void *context, trove_stream *stream) {
    trove_stream **visited = context;
    *visited = stream;
    return true;
}

/* Nothing waits: neither for a place, nor for streams to end, which other hooks might bring about. */
static void call_pool(struct call *call) {
    trove_pool_options options;
    trove_pool_metrics metrics;
    trove_pool *pool = NULL;
    trove_stream *streams[2] = {NULL};
    trove_stream *visited = NULL;
    trove_error error;
    trove_pool_options_init(&options);
    options.max_streams = 2;
    OK_IN_HOOK(trove_pool_create(call->test->client, "hooked", &options, &pool, &error), &error);
    for (int i = 0; i < 2; i++)
        OK_IN_HOOK(trove_pool_acquire(pool, BUCKET, "hook/pool", TROVE_DIRECTION_UPLOAD, NULL, 0, &streams[i], &error), &error);
    trove_stream *third = NULL;
    IN_HOOK(trove_pool_acquire(pool, BUCKET, "hook/pool", TROVE_DIRECTION_UPLOAD, NULL, TROVE_NO_TIMEOUT, &third, &error) ==
            TROVE_RESOURCE_EXHAUSTED);
    IN_HOOK(strstr(error.message, "a hook can't wait") != NULL && third == NULL);
    trove_pool_walk(pool, visit, &visited);
    trove_stream *got = trove_pool_borrow(pool, trove_stream_id(streams[1]));
    IN_HOOK(got == streams[1] && visited == streams[1]);
    trove_pool_give_back(pool, got);
    trove_pool_snapshot(pool, &metrics);
    IN_HOOK(metrics.active_streams == 2 && trove_pool_active_count(pool) == 2);
    trove_pool_release(pool, streams[0]);
    IN_HOOK(trove_pool_active_count(pool) == 1);
    IN_HOOK(trove_pool_close(pool, TROVE_NO_TIMEOUT) == 1);
    trove_pool_release(pool, streams[1]);
}

static const struct row {
    const char *name;
    void (*run)(struct call *call);
    unsigned answers;
} rows[] = {
    {"what the server and the connection tell", call_server, 0},
    {"the server's pools and streams", call_server_streams, 0},
    {"buckets", call_buckets, 0},
    {"objects and listings", call_objects, 0},
    {"an upload of another stream", call_upload, 0},
    {"a download of another stream", call_download, 0},
    {"a stream that goes both ways", call_two_way, 0},
    {"other ends of other streams", call_other_ends, 0},
    {"the own stream", call_own, 0},
    {"the server's pools and streams", call_server_view, 0},
    {"the own stream, whose hooks are behind", call_own_behind, 0},
    {"whole objects", call_whole, 0},
    {"asynchronous calls", call_async, 2},
    {"another client", call_other_client, 0},
    {"a pool", call_pool, 0},
};

static void run_call(void *context, const trove_chunk_ack *ack) {
    struct call *call = context;
    (void)ack;
    if (atomic_exchange(&call->began, true))
        return;
    while (!atomic_load(&call->written))
        pause_ms(1);
    call->run(call);
    atomic_store(&call->done, true);
}

static void test_calls(void **state) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call call = {.test = *state, .run = rows[i].run};
        trove_stream_options options;
        trove_error error;
        print_message("    %s\n", rows[i].name);
        trove_stream_options_init(&options);
        options.chunk_bytes = 4 * KIB;
        options.channel_chunks = 4;
        options.hooks.context = &call;
        options.hooks.on_chunk = run_call;
        call.own = open_stream(call.test, "caller", TROVE_DIRECTION_UPLOAD, &options);
        CHECK_OK(write_bytes(call.own, call.test->bytes, 4 * KIB, 0, &error), &error);
        atomic_store(&call.written, true);
        while (!atomic_load(&call.done) || atomic_load(&call.answers) < rows[i].answers)
            pause_ms(1);
        CHECK_OK(trove_stream_complete(call.own, 0, NULL, &error), &error);
        trove_stream_release(call.own);
    }
}

/* ---- releasing in a hook ---- */

struct releaser {
    trove_stream *stream;
    unsigned ends;
    atomic_bool released;
};

static void release_on_chunk(void *context, const trove_chunk_ack *ack) {
    struct releaser *releaser = context;
    (void)ack;
    if (!atomic_exchange(&releaser->released, true))
        trove_stream_release(releaser->stream);
}

static void count_error(void *context, const trove_error *error) {
    struct releaser *releaser = context;
    releaser->ends += error->status == TROVE_CANCELLED;
}

/* Released in the middle, by a hook of its own; its end is told all the same, once. */
static void test_release_in_the_middle(void **state) {
    const struct client_test *test = *state;
    struct releaser releaser = {0};
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.hooks = (trove_stream_hooks){.context = &releaser, .on_chunk = release_on_chunk, .on_error = count_error};
    releaser.stream = open_stream(test, "middle", TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(write_bytes(releaser.stream, test->bytes, 1 * MIB, 0, &error), &error);
    while (!atomic_load(&releaser.released))
        pause_ms(1);
    trove_stream *after = open_stream(test, "after", TROVE_DIRECTION_UPLOAD, &options);
    trove_stream_release(after); /* waits for the hook thread, which has told the first one's end before */
    assert_int_equal(releaser.ends, 2);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_late_set),
        cmocka_unit_test(test_small_objects),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_release_in_the_middle),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
