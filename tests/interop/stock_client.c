/* stock_client.c - the connection and unary calls. See stock_client.h. */
#include "stock_client.h"

#include <endian.h>
#include <stdio.h>
#include <xxhash.h>

#define RECONNECT_MS 10
#define ANSWER_MS    30000
#define CONNECT_S    30

/* ---- the connection ---- */

static void on_connected(nng_pipe pipe, nng_pipe_ev event, void *argument) {
    struct stock_client *client = argument;
    (void)event;
    pthread_mutex_lock(&client->lock);
    client->connections++;
    client->pipe = pipe;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

void stock_open(struct stock_client *client, const char *url) {
    *client = (struct stock_client){.welcome = NULL};
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->changed, NULL);
    assert_int_equal(nng_pair0_open(&client->socket), 0);
    assert_int_equal(nng_socket_set_ms(client->socket, NNG_OPT_RECVTIMEO, ANSWER_MS), 0);
    assert_int_equal(nng_socket_set_ms(client->socket, NNG_OPT_SENDTIMEO, ANSWER_MS), 0);
    assert_int_equal(nng_socket_set_ms(client->socket, NNG_OPT_RECONNMINT, RECONNECT_MS), 0);
    assert_int_equal(nng_socket_set_ms(client->socket, NNG_OPT_RECONNMAXT, RECONNECT_MS), 0);
    assert_int_equal(nng_pipe_notify(client->socket, NNG_PIPE_EV_ADD_POST, on_connected, client), 0);
    assert_int_equal(nng_dial(client->socket, url, NULL, 0), 0);
    stock_wait_connected(client, 1);
}

void stock_close(struct stock_client *client) {
    nng_close(client->socket);
    if (client->welcome != NULL)
        trove__v1__welcome__free_unpacked(client->welcome, NULL);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
}

void stock_hang_up(struct stock_client *client) {
    pthread_mutex_lock(&client->lock);
    nng_pipe pipe = client->pipe;
    pthread_mutex_unlock(&client->lock);
    nng_pipe_close(pipe);
}

void stock_wait_connected(struct stock_client *client, unsigned n) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += CONNECT_S;
    int code = 0;
    pthread_mutex_lock(&client->lock);
    while (client->connections < n && code == 0)
        code = pthread_cond_timedwait(&client->changed, &client->lock, &end);
    pthread_mutex_unlock(&client->lock);
    assert_int_equal(code, 0);
}

/* ---- frames ---- */

/* Everything before the checksum: protobuf-c packs fields by their tags, and these two have the highest. */
static size_t header_bytes(const stock_frame *frame) {
    stock_frame header = *frame;
    header.header_checksum_given_case = TROVE__V1__FRAME__HEADER_CHECKSUM_GIVEN__NOT_SET;
    header.payload = (ProtobufCBinaryData){0};
    return trove__v1__frame__get_packed_size(&header);
}

static void set_checksum(stock_frame *frame) {
    frame->header_checksum_given_case = TROVE__V1__FRAME__HEADER_CHECKSUM_GIVEN_HEADER_CHECKSUM;
    size_t bytes = trove__v1__frame__get_packed_size(frame);
    uint8_t *message = malloc(bytes);
    assert_non_null(message);
    trove__v1__frame__pack(frame, message);
    frame->header_checksum = XXH3_64bits_withSeed(message, header_bytes(frame), bytes);
    free(message);
}

static void check_checksum(const struct stock_client *client, const stock_frame *frame, nng_msg *message) {
    bool given = frame->header_checksum_given_case == TROVE__V1__FRAME__HEADER_CHECKSUM_GIVEN_HEADER_CHECKSUM;
    if (frame->body_case != STOCK_BODY(WELCOME)) /* it has one if it likes */
        assert_int_equal(given, client->checksums);
    if (given)
        assert_int_equal(frame->header_checksum,
                         XXH3_64bits_withSeed(nng_msg_body(message), header_bytes(frame), nng_msg_len(message)));
}

void stock_send(struct stock_client *client, stock_frame *frame) {
    if (client->checksums)
        set_checksum(frame);
    nng_msg *message = NULL;
    assert_int_equal(nng_msg_alloc(&message, trove__v1__frame__get_packed_size(frame)), 0);
    trove__v1__frame__pack(frame, nng_msg_body(message));
    assert_int_equal(nng_sendmsg(client->socket, message, 0), 0);
}

stock_frame *stock_receive(struct stock_client *client) {
    nng_msg *message = NULL;
    assert_int_equal(nng_recvmsg(client->socket, &message, 0), 0);
    stock_frame *frame = trove__v1__frame__unpack(NULL, nng_msg_len(message), nng_msg_body(message));
    assert_non_null(frame);
    check_checksum(client, frame, message);
    nng_msg_free(message);
    return frame;
}

stock_frame *stock_expect(struct stock_client *client, uint64_t call_id, Trove__V1__Frame__BodyCase body) {
    stock_frame *frame = stock_receive(client);
    if (frame->body_case == STOCK_BODY(STATUS) && body != STOCK_BODY(STATUS))
        fail_msg("status %d: %s", (int)frame->status->code, frame->status->message);
    assert_int_equal(frame->body_case, body);
    assert_int_equal(frame->call_id, call_id);
    return frame;
}

void stock_free(stock_frame *frame) {
    trove__v1__frame__free_unpacked(frame, NULL);
}

/* ---- hello, calls ---- */

void stock_greet(struct stock_client *client, bool checksums) {
    stock_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello hello = TROVE__V1__HELLO__INIT;
    hello.version = 1;
    hello.features = TROVE__V1__FEATURE__FEATURE_LOSSY | TROVE__V1__FEATURE__FEATURE_BIDI;
    if (checksums)
        hello.features |= TROVE__V1__FEATURE__FEATURE_HEADER_CHECKSUM;
    hello.agent = (char[]){"stock pair0"};
    frame.body_case = STOCK_BODY(HELLO);
    frame.hello = &hello;
    client->checksums = false;
    client->last_id = 0;
    stock_send(client, &frame);
    stock_frame *answer = stock_expect(client, 0, STOCK_BODY(WELCOME));
    assert_int_equal(answer->welcome->version, 1);
    assert_int_equal(answer->welcome->features, hello.features);
    assert_int_equal(answer->welcome->payload_bytes_max, 524288);
    if (client->welcome != NULL)
        trove__v1__welcome__free_unpacked(client->welcome, NULL);
    client->welcome = answer->welcome;
    answer->body_case = TROVE__V1__FRAME__BODY__NOT_SET;
    answer->welcome = NULL;
    stock_free(answer);
    client->checksums = checksums;
}

uint64_t stock_new_id(struct stock_client *client) {
    return ++client->last_id;
}

Trove__V1__Code stock_call(struct stock_client *client, const char *method, const ProtobufCMessage *request,
                           const ProtobufCMessageDescriptor *type, ProtobufCMessage **response) {
    stock_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    char name[128];
    snprintf(name, sizeof name, "trove.v1.%s", method);
    call.method = name;
    call.deadline_ms = ANSWER_MS;
    frame.call_id = stock_new_id(client);
    frame.body_case = STOCK_BODY(CALL);
    frame.call = &call;
    frame.payload.len = protobuf_c_message_get_packed_size(request);
    frame.payload.data = malloc(frame.payload.len + 1);
    assert_non_null(frame.payload.data);
    protobuf_c_message_pack(request, frame.payload.data);
    stock_send(client, &frame);
    free(frame.payload.data);
    stock_frame *answer = stock_expect(client, frame.call_id, STOCK_BODY(STATUS));
    Trove__V1__Code code = answer->status->code;
    if (code != TROVE__V1__CODE__OK)
        print_message("    %s: %d %s\n", method, (int)code, answer->status->message);
    if (code == TROVE__V1__CODE__OK && response != NULL) {
        *response = protobuf_c_message_unpack(type, NULL, answer->payload.len, answer->payload.data);
        assert_non_null(*response);
    }
    stock_free(answer);
    return code;
}
