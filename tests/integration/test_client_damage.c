/* test_client_damage.c - a bit that flips on the way: between libtrove and a real troved stands a proxy that flips one. No
 * damaged byte may reach the store or the program, the error must say what happened, and a flip in the bytes of an object costs
 * that transfer only.
 */
#include "client_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One direction of a connection through the proxy. */
struct pipe_end {
    int from;
    int to;
    uint64_t flip_at; /* the byte whose lowest bit is flipped, counted from the connection's start; UINT64_MAX: none */
};

struct proxy {
    int listener;
    char server_path[512];
    uint64_t flip_up;
    uint64_t flip_down;
    pthread_t thread;
};

static void fill_address(struct sockaddr_un *address, const char *path) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof address->sun_path);
    snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
}

static bool write_all(int fd, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t step = send(fd, bytes, size, MSG_NOSIGNAL);
        if (step <= 0)
            return false;
        bytes += step;
        size -= (size_t)step;
    }
    return true;
}

static void *pump(void *argument) {
    struct pipe_end *end = argument;
    static _Thread_local char bytes[65536];
    uint64_t at = 0;
    for (;;) {
        ssize_t count = recv(end->from, bytes, sizeof bytes, 0);
        if (count <= 0)
            break;
        if (end->flip_at >= at && end->flip_at - at < (uint64_t)count)
            bytes[end->flip_at - at] ^= 1;
        at += (uint64_t)count;
        if (!write_all(end->to, bytes, (size_t)count))
            break;
    }
    shutdown(end->to, SHUT_WR);
    shutdown(end->from, SHUT_RD);
    return NULL;
}

/* Serves one connection, in both directions. */
static void *serve(void *argument) {
    struct proxy *proxy = argument;
    struct sockaddr_un address;
    int client = accept(proxy->listener, NULL, NULL);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fill_address(&address, proxy->server_path);
    if (client >= 0 && connect(server, (struct sockaddr *)&address, sizeof address) == 0) {
        struct pipe_end up = {client, server, proxy->flip_up};
        struct pipe_end down = {server, client, proxy->flip_down};
        pthread_t thread;
        pthread_create(&thread, NULL, pump, &up);
        pump(&down);
        pthread_join(thread, NULL);
    }
    close(server);
    close(client);
    return NULL;
}

/* Connects a client through a proxy that flips bits at these places. */
static trove_client *connect_damaged(const struct client_test *test, struct proxy *proxy, uint64_t flip_up, uint64_t flip_down) {
    struct sockaddr_un address;
    char path[512];
    char url[600];
    trove_client *client = NULL;
    trove_error error;
    snprintf(path, sizeof path, "%s/proxy", troved_folder(test->server));
    snprintf(url, sizeof url, "ipc://%s", path);
    snprintf(proxy->server_path, sizeof proxy->server_path, "%s", test->url + strlen("ipc://"));
    proxy->flip_up = flip_up;
    proxy->flip_down = flip_down;
    proxy->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fill_address(&address, path);
    assert_int_equal(bind(proxy->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(proxy->listener, 1), 0);
    assert_int_equal(pthread_create(&proxy->thread, NULL, serve, proxy), 0);
    CHECK_OK(trove_connect(url, NULL, &client, &error), &error);
    unlink(path);
    return client;
}

static void disconnect(trove_client *client, struct proxy *proxy) {
    trove_close(client);
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
}

/* ---- in an object's bytes ---- */

static void test_download(void **state) {
    const struct client_test *test = *state;
    struct proxy proxy;
    trove_error error;
    uint8_t *got = malloc(10 * MIB);
    size_t size = 0;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "down", test->bytes, 10 * MIB, NULL, NULL, &error), &error);
    trove_client *client = connect_damaged(test, &proxy, UINT64_MAX, 4 * MIB + 1000);
    CHECK_FAILS(trove_get_memory(client, BUCKET, "down", got, 10 * MIB, NULL, &size, NULL, &error), DATA_LOSS, "checksum",
                &error);
    CHECK_OK(trove_get_memory(client, BUCKET, "down", got, 10 * MIB, NULL, &size, NULL, &error),
             &error); /* the connection goes on */
    assert_true(size == 10 * MIB && memcmp(got, test->bytes, size) == 0);
    disconnect(client, &proxy);
    free(got);
}

/* What the program has read before the damage is right, and it sees none of it. */
static void test_stream(void **state) {
    const struct client_test *test = *state;
    struct proxy proxy;
    struct client_test damaged = *test;
    trove_error error;
    trove_status status;
    trove_chunk *chunk = NULL;
    size_t at = 0;
    CHECK_OK(trove_put_memory(test->client, BUCKET, "down", test->bytes, 10 * MIB, NULL, NULL, &error), &error);
    damaged.client = connect_damaged(test, &proxy, UINT64_MAX, 4 * MIB + 1000);
    trove_stream *stream = open_stream(&damaged, "down", TROVE_DIRECTION_DOWNLOAD, NULL);
    while ((status = trove_stream_read(stream, 0, &chunk, &error)) == TROVE_OK && chunk != NULL) {
        assert_true(memcmp(chunk->data, test->bytes + at, chunk->size) == 0);
        at += chunk->size;
        trove_stream_chunk_put(stream, chunk);
    }
    CHECK_FAILS(status, DATA_LOSS, "checksum", &error);
    assert_in_range(at, 1, 4 * MIB);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_FAILED);
    trove_stream_release(stream);
    disconnect(damaged.client, &proxy);
}

static void test_upload(void **state) {
    const struct client_test *test = *state;
    struct proxy proxy;
    trove_error error;
    trove_object_info *info = NULL;
    trove_client *client = connect_damaged(test, &proxy, 4 * MIB + 1000, UINT64_MAX);
    CHECK_FAILS(trove_put_memory(client, BUCKET, "up", test->bytes, 10 * MIB, NULL, NULL, &error), DATA_LOSS, "", &error);
    CHECK_FAILS(trove_object_head(client, BUCKET, "up", 0, &info, &error), NOT_FOUND, "up", &error); /* nothing is stored */
    CHECK_OK(trove_put_memory(client, BUCKET, "up", test->bytes, 10 * MIB, NULL, NULL, &error), &error);
    check_object(test, "up", test->bytes, 10 * MIB);
    disconnect(client, &proxy);
}

/* ---- anywhere ---- */

/* Wherever the bit flips, in the greeting, a length, a header, bytes: there is an error, or what comes is right. */
static void test_anywhere(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    uint8_t got[20000];
    CHECK_OK(trove_put_memory(test->client, BUCKET, "small", test->bytes, sizeof got, NULL, NULL, &error), &error);
    for (uint64_t at = 150; at < 1100; at += 37) { /* behind the greetings, which a client checks when it connects */
        struct proxy proxy;
        trove_stream_options options;
        size_t size = 0;
        trove_stream_options_init(&options);
        options.timeout_ms = 300;
        trove_client *client = connect_damaged(test, &proxy, UINT64_MAX, at);
        trove_status status = trove_get_memory(client, BUCKET, "small", got, sizeof got, &options, &size, NULL, &error);
        if (status == TROVE_OK)
            assert_true(size == sizeof got && memcmp(got, test->bytes, size) == 0);
        disconnect(client, &proxy);
    }
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_download),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_upload),
        cmocka_unit_test(test_anywhere),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
