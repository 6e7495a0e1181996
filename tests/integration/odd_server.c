/* odd_server.c - see odd_server.h. */
#include "odd_server.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- connecting ---- */

void odd_init_welcome(Trove__V1__Welcome *welcome) {
    trove__v1__welcome__init(welcome);
    welcome->version = 1;
    welcome->payload_bytes_max = 1 * MIB;
    welcome->early_data_bytes = 1 * MIB;
    welcome->inline_bytes_max = 64 * KIB;
    welcome->calls_max = 1024;
    welcome->streams_max = 1024;
    welcome->chunk_bytes_max = 64 * MIB;
    welcome->agent = raw_text("odd");
    welcome->keepalive_ms = 15000;
}

void odd_listen(struct odd_server *server) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *base = getenv("TMPDIR");
    *server = (struct odd_server){.peer.fd = -1};
    snprintf(server->folder, sizeof server->folder, "%s/trove-odd-XXXXXX", base != NULL && *base != 0 ? base : "/tmp");
    assert_non_null(mkdtemp(server->folder));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", server->folder);
    snprintf(server->url, sizeof server->url, "ipc://%s", address.sun_path);
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->listener >= 0);
    assert_int_equal(bind(server->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->listener, 4), 0);
}

void odd_listen_tcp(struct odd_server *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    *server = (struct odd_server){.tcp = true, .peer.fd = -1};
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->listener >= 0);
    assert_int_equal(bind(server->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->listener, 0), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &bytes), 0);
    snprintf(server->url, sizeof server->url, "tcp://127.0.0.1:%u", ntohs(address.sin_port));
}

int odd_fill_queue(const struct odd_server *server) {
    struct sockaddr_in address;
    socklen_t bytes = sizeof address;
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &bytes), 0);
    int filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(filler >= 0);
    assert_int_equal(connect(filler, (const struct sockaddr *)&address, sizeof address), 0);
    return filler;
}

void odd_end(struct odd_server *server) {
    close(server->listener);
    if (server->tcp)
        return;
    unlink(server->url + strlen("ipc://"));
    assert_int_equal(rmdir(server->folder), 0);
}

void odd_take(struct odd_server *server) {
    server->peer = (struct raw_client){.type_octet = !server->tcp};
    server->peer.fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server->peer.fd >= 0);
    raw_greeting(&server->peer);
    raw_skip_greeting(&server->peer);
}

void odd_accept(struct odd_server *server) {
    odd_take(server);
    raw_free(odd_expect(server, RAW_BODY(HELLO)));
}

void odd_welcome(struct odd_server *server, Trove__V1__Welcome *welcome) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    frame.body_case = RAW_BODY(WELCOME);
    frame.welcome = welcome;
    raw_send(&server->peer, &frame);
}

struct connecting {
    const char *url;
    const trove_client_options *options;
    trove_client *client;
    trove_error error;
};

static void *run_connect(void *argument) {
    struct connecting *connecting = argument;
    (void)!trove_connect(connecting->url, connecting->options, &connecting->client, &connecting->error);
    return NULL;
}

trove_client *odd_connect(struct odd_server *server, Trove__V1__Welcome *welcome, const trove_client_options *options) {
    trove_client_options once;
    trove_client_options_init(&once);
    once.retry_for_ms = TROVE_NO_RETRY; /* the test takes the connections that it asks for */
    struct connecting connecting = {.url = server->url, .options = options != NULL ? options : &once};
    Trove__V1__Welcome usual;
    pthread_t thread;
    odd_init_welcome(&usual);
    assert_int_equal(pthread_create(&thread, NULL, run_connect, &connecting), 0);
    odd_accept(server);
    odd_welcome(server, welcome != NULL ? welcome : &usual);
    pthread_join(thread, NULL);
    if (connecting.client == NULL)
        fail_msg("%s", connecting.error.message);
    return connecting.client;
}

void odd_disconnect(struct odd_server *server, trove_client *client) {
    trove_close(client);
    raw_close(&server->peer);
    server->peer.fd = -1;
}

/* ---- frames ---- */

raw_frame *odd_expect(struct odd_server *server, Trove__V1__Frame__BodyCase body) {
    for (;;) {
        raw_frame *frame = raw_receive(&server->peer);
        if (frame == NULL)
            fail_msg("the client has gone; a frame of kind %d was expected", (int)body);
        if (frame->body_case == body)
            return frame;
        raw_free(frame);
    }
}

void odd_settle(struct odd_server *server) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Ping ping = TROVE__V1__PING__INIT;
    frame.body_case = RAW_BODY(PING);
    frame.ping = &ping;
    raw_send(&server->peer, &frame);
    raw_free(odd_expect(server, RAW_BODY(PONG)));
}

void odd_send_status(struct odd_server *server, uint64_t call_id, Trove__V1__Code code, const char *message, bool not_taken) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    Trove__V1__Entry detail = TROVE__V1__ENTRY__INIT;
    Trove__V1__Entry *details[] = {&detail};
    detail.key = raw_text("not_taken");
    detail.value = raw_text("1");
    status.code = code;
    status.message = raw_text(message);
    status.details = details;
    status.n_details = not_taken ? 1 : 0;
    frame.call_id = call_id;
    frame.body_case = RAW_BODY(STATUS);
    frame.status = &status;
    raw_send(&server->peer, &frame);
}

void odd_send_opened(struct odd_server *server, uint64_t call_id, const Trove__V1__Open *open, uint64_t size) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Opened opened = TROVE__V1__OPENED__INIT;
    Trove__V1__ObjectInfo object = TROVE__V1__OBJECT_INFO__INIT;
    object.bucket = open->bucket;
    object.key = open->key;
    object.size = size;
    opened.stream_id = call_id;
    opened.chunk_bytes = open->chunk_bytes != 0 ? open->chunk_bytes : 1 * MIB;
    opened.channel_chunks = open->channel_chunks != 0 ? open->channel_chunks : 16;
    if (open->direction == TROVE__V1__DIRECTION__UPLOAD)
        opened.credit = size;
    else
        opened.object = &object;
    frame.call_id = call_id;
    frame.body_case = RAW_BODY(OPENED);
    frame.opened = &opened;
    raw_send(&server->peer, &frame);
}
