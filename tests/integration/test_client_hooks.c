/* test_client_hooks.c - the whole API called from a hook of a real stream. (What hooks are told: test_client_hook_sets.c.)
 *
 * A check (tests/checks/hook_calls.py) sees to it that every function of trove.h and its like is called in here but
 * trove_close, which a hook may not call for its own client. It reads the text: what is called here has to be called from a hook.
 */
#include "client_test.h"

#include "elsewhere.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct call {
    const struct client_test *test;
    trove_stream *own; /* whose hook it is */
    void (*run)(struct call *call);
    atomic_bool written; /* only one thread at a time may write */
    atomic_bool began;
    atomic_bool done;
    atomic_uint answers; /* of asynchronous calls */
};

static void call_server(struct call *call) {
    trove_client *client = call->test->client;
    trove_error error;
    trove_server_info info;
    trove_client_metrics metrics;
    uint64_t round_trip_ns = 0;
    MUST_OK(trove_ping(client, 0, &round_trip_ns, &error), &error);
    MUST_OK(trove_server_info_get(client, 0, &info, &error), &error);
    trove_client_metrics_get(client, &metrics);
    MUST(metrics.frames_sent > 0 && round_trip_ns > 0 && info.streams_active > 0);
    MUST(strcmp(trove_status_name(TROVE_OK), "OK") == 0 && trove_version()[0] != '\0');
}

static void call_keys(struct call *call) {
    char path[512];
    char made[TROVE_KEY_TEXT_BYTES];
    char read_back[TROVE_KEY_TEXT_BYTES];
    trove_error error;
    snprintf(path, sizeof path, "%s/key", troved_folder(call->test->server));
    MUST_OK(trove_key_create(path, made, &error), &error);
    MUST_OK(trove_key_public(path, read_back, &error), &error);
    MUST(strcmp(made, read_back) == 0);
    unlink(path);
}

/* The server of this test has no key to tell. */
static void call_known_servers(struct call *call) {
    const char *url = call->test->url;
    char path[512];
    char key[TROVE_KEY_TEXT_BYTES];
    trove_error error;
    snprintf(path, sizeof path, "%s/known_servers", troved_folder(call->test->server));
    MUST(trove_server_key(url, 0, key, &error) == TROVE_FAILED_PRECONDITION);
    MUST(trove_known_server_find(path, "tcp://host:1", key, &error) == TROVE_NOT_FOUND);
    MUST_OK(trove_known_server_add(path, "tcp://host:1", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", &error), &error);
    MUST_OK(trove_known_server_find(path, "tcp://host:1", key, &error), &error);
    unlink(path);
}

/* What is open is the stream whose hook this is, and others; what isn't there can't be moved. */
static void call_server_streams(struct call *call) {
    trove_client *client = call->test->client;
    trove_error error;
    trove_server_pool *pools = NULL;
    trove_server_stream_options options;
    trove_server_stream_page *page = NULL;
    size_t count = 0;
    MUST_OK(trove_server_pool_list(client, 0, &pools, &count, &error), &error);
    MUST(count == 1);
    trove_server_pool_list_free(pools);
    trove_server_stream_options_init(&options);
    MUST_OK(trove_server_stream_list(client, &options, &page, &error), &error);
    MUST(page->count > 0);
    trove_server_stream_page_free(page);
    MUST(trove_server_stream_control(client, UINT32_MAX, TROVE_CONTROL_PAUSE, 0, NULL, &error) == TROVE_NOT_FOUND);
    MUST(trove_server_stream_seek(client, UINT32_MAX, 0, 0, NULL, &error) == TROVE_NOT_FOUND);
}

static void call_buckets(struct call *call) {
    trove_client *client = call->test->client;
    trove_error error;
    trove_bucket_info *buckets = NULL;
    size_t count = 0;
    MUST_OK(trove_bucket_create(client, "from-a-hook", 0, &error), &error);
    MUST_OK(trove_bucket_list(client, 0, &buckets, &count, &error), &error);
    MUST(count >= 2);
    trove_bucket_list_free(buckets);
    MUST_OK(trove_bucket_delete(client, "from-a-hook", 0, &error), &error);
}

static void call_objects(struct call *call) {
    trove_client *client = call->test->client;
    trove_error error;
    trove_object_info *info = NULL;
    trove_list_options options;
    trove_list_page *page = NULL;
    MUST_OK(trove_put_memory(client, BUCKET, "hook-list/a", "abc", 3, NULL, NULL, &error), &error);
    MUST_OK(trove_object_copy(client, BUCKET, "hook-list/a", BUCKET, "hook-list/b", NULL, 0, NULL, &error), &error);
    MUST_OK(trove_object_head(client, BUCKET, "hook-list/b", 0, &info, &error), &error);
    MUST(info->size == 3);
    trove_object_info_free(info);
    trove_list_options_init(&options);
    options.prefix = "hook-list/";
    MUST_OK(trove_list(client, BUCKET, &options, &page, &error), &error);
    MUST(page->count == 2);
    trove_list_page_free(page);
    trove_scrub_options scrub;
    trove_scrub_report report;
    trove_scrub_options_init(&scrub);
    scrub.prefix = "hook-list/";
    MUST_OK(trove_scrub(client, BUCKET, &scrub, &report, &error), &error);
    MUST(report.objects == 2 && report.bytes == 6 && report.damaged_objects == 0);
    MUST_OK(trove_object_delete(client, BUCKET, "hook-list/a", NULL, 0, &error), &error);
    MUST_OK(trove_object_delete(client, BUCKET, "hook-list/b", NULL, 0, &error), &error);
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
    MUST_OK(trove_stream_open(call->test->client, BUCKET, "hook/up", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), &error);
    MUST_OK(trove_stream_start(stream, &error), &error);
    MUST_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, &state, &error), &error);
    MUST(state == TROVE_STREAM_PAUSED && trove_stream_state_get(stream) == TROVE_STREAM_PAUSED);
    MUST_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, &state, &error), &error);
    for (int i = 0; i < 12; i++) {
        trove_chunk *chunk = NULL;
        MUST_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
        chunk->size = chunk->capacity;
        memcpy(chunk->data, call->test->bytes + (size_t)i * chunk->size, chunk->size);
        MUST_OK(i % 2 == 0 ? trove_stream_write(stream, &chunk, 0, &error)
                           : trove_stream_write_lossy(stream, &chunk, 0, NULL, &error),
                &error);
    }
    MUST(trove_stream_offset(stream) == 1200 * KIB && trove_stream_chunk_bytes(stream) == 100 * KIB);
    MUST(trove_stream_chunk_bytes_next(stream) == 100 * KIB);
    MUST_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    trove_stream_release(stream);
}

static void call_download(struct call *call) {
    trove_error error;
    trove_stream_options options;
    trove_stream *stream = NULL;
    trove_chunk *chunk = NULL;
    trove_stream_options_init(&options);
    options.chunk_bytes = 100 * KIB;
    options.channel_chunks = 2;
    MUST_OK(trove_put_memory(call->test->client, BUCKET, "hook/down", call->test->bytes, 1 * MIB, NULL, NULL, &error), &error);
    MUST_OK(trove_stream_open(call->test->client, BUCKET, "hook/down", TROVE_DIRECTION_DOWNLOAD, &options, &stream, &error),
            &error);
    MUST_OK(trove_stream_start(stream, &error), &error);
    MUST_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
    trove_stream_chunk_put(stream, chunk);
    MUST_OK(read_away(stream, call->test->bytes, &error), &error);
    MUST(trove_stream_object(stream)->size == 1 * MIB && trove_stream_offset(stream) == 1 * MIB);
    MUST(trove_stream_read_offset(stream) == 1 * MIB);
    MUST_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
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
    MUST_OK(trove_put_memory(call->test->client, BUCKET, "hook/both", call->test->bytes, 1 * MIB, NULL, NULL, &error), &error);
    MUST_OK(trove_stream_open(call->test->client, BUCKET, "hook/both", TROVE_DIRECTION_BIDI, &options, &stream, &error), &error);
    MUST_OK(trove_stream_start(stream, &error), &error);
    MUST_OK(write_bytes(stream, call->test->bytes, 2 * MIB, 0, &error), &error);
    MUST_OK(read_away(stream, call->test->bytes, &error), &error);
    MUST(trove_stream_offset(stream) == 2 * MIB && trove_stream_read_offset(stream) == 1 * MIB);
    MUST(!trove_stream_is_writer(stream));
    MUST(strcmp(trove_stream_upload_id(stream), "") == 0 && trove_stream_durable_offset(stream) == 0);
    MUST(!trove_stream_upload_survives_restart(stream));
    MUST_OK(trove_stream_complete(stream, 0, NULL, &error), &error);
    MUST(trove_stream_object(stream)->size == 2 * MIB);
    trove_stream_release(stream);
}

struct ends {
    unsigned count;
};

static void note_completed(void *context, const trove_object_info *info) {
    struct ends *ends = context;
    (void)info;
    ends->count++;
}

static void note_error(void *context, const trove_error *error) {
    struct ends *ends = context;
    (void)error;
    ends->count++;
}

/* Ended in other ways, and with hooks of its own, which can only be told when this one has returned. */
static void call_other_ends(struct call *call) {
    static struct ends ends[3];
    const struct client_test *test = call->test;
    trove_error error;
    for (int i = 0; i < 3; i++) {
        trove_stream_options options;
        trove_stream *stream = NULL;
        ends[i] = (struct ends){0};
        trove_stream_options_init(&options);
        options.hooks = (trove_stream_hooks){.context = &ends[i], .on_complete = note_completed, .on_error = note_error};
        MUST_OK(trove_stream_open(test->client, BUCKET, "hook/end", TROVE_DIRECTION_UPLOAD, &options, &stream, &error), &error);
        if (i == 0)
            trove_stream_fail(stream, TROVE_ABORTED, "from a hook");
        else if (i == 1)
            MUST_OK(trove_stream_control(stream, TROVE_CONTROL_CANCEL, 0, 0, NULL, &error), &error);
        trove_stream_release(stream);
        MUST(ends[i].count == 0);
    }
}

static void call_own(struct call *call) {
    static struct ends ends;
    trove_stream *own = call->own;
    trove_error error;
    trove_stream_metrics metrics;
    trove_chunk_stats stats;
    trove_stream_state state = TROVE_STREAM_IDLE;
    ends = (struct ends){0};
    const trove_stream_hooks hooks = {.context = &ends, .on_complete = note_completed, .on_error = note_error};
    trove_stream_metrics_get(own, &metrics);
    trove_stream_chunk_stats(own, &stats);
    MUST(metrics.chunks_acknowledged > 0 && stats.allocated > 0);
    MUST(trove_stream_id(own) > 0 && strcmp(trove_stream_state_name(trove_stream_state_get(own)), "active") == 0);
    MUST_OK(trove_stream_hooks_add(own, &hooks, &error), &error);
    MUST_OK(trove_stream_control(own, TROVE_CONTROL_PAUSE, 0, 0, &state, &error), &error);
    MUST_OK(trove_stream_control(own, TROVE_CONTROL_RESUME, 0, 0, &state, &error), &error);
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
    MUST_OK(trove_server_pool_list(client, 0, &pools, &count, &error), &error);
    MUST(count > 0 && pools[0].streams_active > 0);
    trove_server_pool_list_free(pools);
    trove_server_stream_options_init(&options);
    options.after_stream_id = id - 1;
    MUST_OK(trove_server_stream_list(client, &options, &page, &error), &error);
    MUST(page->count > 0 && page->streams[0].stream_id == id);
    trove_server_stream_page_free(page);
    MUST_OK(trove_server_stream_control(client, id, TROVE_CONTROL_PAUSE, 0, &state, &error), &error);
    MUST(state == TROVE_STREAM_PAUSED);
    MUST_OK(trove_server_stream_control(client, id, TROVE_CONTROL_RESUME, 0, &state, &error), &error);
    MUST(state == TROVE_STREAM_ACTIVE);
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
    MUST(status == TROVE_RESOURCE_EXHAUSTED && strstr(error.message, "hooks don't keep up") != NULL);
}

static void call_whole(struct call *call) {
    const struct client_test *test = call->test;
    trove_client *client = test->client;
    trove_error error;
    char path[512];
    static char got[2 * MIB];
    size_t got_bytes = 0;
    snprintf(path, sizeof path, "%s/file", troved_folder(test->server));
    MUST_OK(trove_put_memory(client, BUCKET, "hook/whole", test->bytes, sizeof got, NULL, NULL, &error), &error);
    MUST_OK(trove_get_file(client, BUCKET, "hook/whole", path, NULL, NULL, &error), &error);
    MUST_OK(trove_put_file(client, BUCKET, "hook/whole", path, NULL, NULL, &error), &error);
    int fd = open(path, O_RDWR);
    MUST(fd >= 0);
    MUST_OK(trove_put_fd(client, BUCKET, "hook/whole", fd, NULL, NULL, &error), &error);
    MUST_OK(trove_get_fd(client, BUCKET, "hook/whole", fd, NULL, NULL, &error), &error);
    MUST_OK(trove_get_rest(client, BUCKET, "hook/whole", fd, NULL, NULL, NULL, &error), &error);
    MUST_OK(trove_get_memory(client, BUCKET, "hook/whole", got, sizeof got, NULL, &got_bytes, NULL, &error), &error);
    MUST(got_bytes == sizeof got && memcmp(got, test->bytes, sizeof got) == 0);
    close(fd);
    unlink(path);
}

static void answered(void *context, const trove_error *error, const void *data, size_t size) {
    struct call *call = context;
    (void)data;
    (void)size;
    MUST(error == NULL);
    atomic_fetch_add(&call->answers, 1);
}

static void call_async(struct call *call) {
    trove_error error;
    MUST_OK(trove_put_async(call->test->client, BUCKET, "hook/async", "abc", 3, 0, answered, call, &error), &error);
    MUST_OK(trove_echo_async(call->test->client, "abc", 3, 0, answered, call, &error), &error);
}

static void call_other_client(struct call *call) {
    trove_client_options options;
    trove_client *client = NULL;
    trove_error error;
    trove_client_options_init(&options);
    MUST_OK(trove_connect(call->test->url, &options, &client, &error), &error);
    trove_close(client); /* another client's hooks have another thread */
    MUST_OK(trove_connect_wait(call->test->url, NULL, 1000, &client, &error), &error);
    trove_close(client);
}

static void call_uploads(struct call *call) {
    static const char nobodys[] = "0123456789abcdef0123456789abcdef";
    trove_client *client = call->test->client;
    trove_upload_list_options options;
    trove_upload_page *page = NULL;
    trove_upload *upload = NULL;
    trove_error error;
    trove_upload_list_options_init(&options);
    MUST_OK(trove_upload_list(client, &options, &page, &error), &error);
    MUST(page->next_cursor == NULL);
    trove_upload_page_free(page);
    MUST(trove_upload_stat(client, nobodys, 0, &upload, &error) == TROVE_NOT_FOUND);
    trove_upload_free(upload);
    MUST(trove_upload_abort(client, nobodys, 0, &error) == TROVE_NOT_FOUND);
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
    MUST_OK(trove_pool_create(call->test->client, "hooked", &options, &pool, &error), &error);
    for (int i = 0; i < 2; i++)
        MUST_OK(trove_pool_acquire(pool, BUCKET, "hook/pool", TROVE_DIRECTION_UPLOAD, NULL, 0, &streams[i], &error), &error);
    trove_stream *third = NULL;
    MUST(trove_pool_acquire(pool, BUCKET, "hook/pool", TROVE_DIRECTION_UPLOAD, NULL, TROVE_NO_TIMEOUT, &third, &error) ==
         TROVE_RESOURCE_EXHAUSTED);
    MUST(strstr(error.message, "a hook can't wait") != NULL && third == NULL);
    trove_pool_walk(pool, visit, &visited);
    trove_stream *got = trove_pool_borrow(pool, trove_stream_id(streams[1]));
    MUST(got == streams[1] && visited == streams[1]);
    trove_pool_give_back(pool, got);
    trove_pool_snapshot(pool, &metrics);
    MUST(metrics.active_streams == 2 && trove_pool_active_count(pool) == 2);
    trove_pool_release(pool, streams[0]);
    MUST(trove_pool_active_count(pool) == 1);
    MUST(trove_pool_close(pool, TROVE_NO_TIMEOUT) == 1);
    trove_pool_release(pool, streams[1]);
}

static const struct row {
    const char *name;
    void (*run)(struct call *call);
    unsigned answers;
} rows[] = {
    {"what the server and the connection tell", call_server, 0},
    {"the server's pools and other streams", call_server_streams, 0},
    {"keys", call_keys, 0},
    {"known servers", call_known_servers, 0},
    {"buckets", call_buckets, 0},
    {"objects and listings", call_objects, 0},
    {"an upload of another stream", call_upload, 0},
    {"a download of another stream", call_download, 0},
    {"a stream that goes both ways", call_two_way, 0},
    {"other ends of other streams", call_other_ends, 0},
    {"the own stream", call_own, 0},
    {"the own stream, from the server's side", call_server_view, 0},
    {"the own stream, whose hooks are behind", call_own_behind, 0},
    {"whole objects", call_whole, 0},
    {"asynchronous calls", call_async, 2},
    {"another client", call_other_client, 0},
    {"resumable uploads", call_uploads, 0},
    {"a pool", call_pool, 0},
};

/* A chunk of the caller is acknowledged, after which the rows run. */
static void set_off(struct call *call, trove_direction direction) {
    trove_chunk *chunk = NULL;
    trove_error error;
    if (direction == TROVE_DIRECTION_DOWNLOAD) {
        CHECK_OK(trove_stream_read(call->own, 0, &chunk, &error), &error);
        trove_stream_chunk_put(call->own, chunk);
    } else {
        CHECK_OK(write_bytes(call->own, call->test->bytes, 4 * KIB, 0, &error), &error);
    }
    atomic_store(&call->written, true);
}

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

static void check_calls(const struct client_test *test, trove_direction direction) {
    put_object(test, "caller", 1 * MIB);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call call = {.test = test, .run = rows[i].run};
        if (rows[i].run == call_own_behind && direction == TROVE_DIRECTION_DOWNLOAD)
            continue; /* which isn't written to */
        trove_stream_options options;
        trove_error error;
        print_message("    %s\n", rows[i].name);
        trove_stream_options_init(&options);
        options.chunk_bytes = 4 * KIB;
        options.channel_chunks = 4;
        options.hooks.context = &call;
        options.hooks.on_chunk = run_call;
        call.own = open_stream(call.test, direction == TROVE_DIRECTION_UPLOAD ? "caller-up" : "caller", direction, &options);
        set_off(&call, direction);
        WAIT_FOR(atomic_load(&call.done) && atomic_load(&call.answers) == rows[i].answers);
        if (direction != TROVE_DIRECTION_UPLOAD)
            CHECK_OK(read_away(call.own, test->bytes, &error), &error);
        CHECK_OK(trove_stream_complete(call.own, 0, NULL, &error), &error);
        trove_stream_release(call.own);
        if (direction == TROVE_DIRECTION_BIDI)
            put_object(test, "caller", 1 * MIB); /* what the next one reads */
    }
}

static void test_calls_of_an_upload(void **state) {
    check_calls(*state, TROVE_DIRECTION_UPLOAD);
}

static void test_calls_of_a_download(void **state) {
    check_calls(*state, TROVE_DIRECTION_DOWNLOAD);
}

static void test_calls_of_a_two_way_stream(void **state) {
    check_calls(*state, TROVE_DIRECTION_BIDI);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_of_an_upload),
        cmocka_unit_test(test_calls_of_a_download),
        cmocka_unit_test(test_calls_of_a_two_way_stream),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
