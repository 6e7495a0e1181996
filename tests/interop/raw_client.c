/* raw_client.c - the connection: bytes, messages, frames. See raw_client.h. */
#include "raw_client.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <locale.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xxhash.h>

#define ANSWER_MS      30000
#define GREETING_BYTES 8
#define MESSAGE_MAX    ((uint64_t)2 << 20)

static const uint8_t greeting[GREETING_BYTES] = {0, 'S', 'P', 0, 0, 16, 0, 0};

/* ---- connecting ---- */

static int connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int connect_tcp(const char *place) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    unsigned port = 0;
    int no_delay = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(sscanf(place, "%63[^:]:%u", host, &port), 2);
    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    address.sin_port = htons((uint16_t)port);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay), 0);
    return fd;
}

void raw_connect(struct raw_client *client, const char *url) {
    bool ipc = strncmp(url, "ipc://", 6) == 0;
    *client = (struct raw_client){.type_octet = ipc};
    client->fd = ipc ? connect_unix(url + 6) : connect_tcp(url + 6);
}

void raw_collect(struct raw_client *client, bool type_octet) {
    *client = (struct raw_client){.fd = -1, .type_octet = type_octet, .collecting = true};
}

void raw_close(struct raw_client *client) {
    if (client->fd >= 0)
        close(client->fd);
    free(client->sent);
}

/* ---- sending ---- */

static void collect(struct raw_client *client, const void *bytes, size_t count) {
    size_t needed = client->sent_bytes + count;
    if (needed > client->sent_capacity) {
        client->sent_capacity = 2 * needed;
        client->sent = realloc(client->sent, client->sent_capacity);
    }
    assert_non_null(client->sent);
    memcpy(client->sent + client->sent_bytes, bytes, count);
    client->sent_bytes += count;
}

/* A server that has closed already isn't an error: what it said can still be read. */
void raw_bytes(struct raw_client *client, const void *bytes, size_t count) {
    const char *at = bytes;
    if (client->collecting) {
        if (count > 0)
            collect(client, bytes, count);
        return;
    }
    while (count > 0) {
        ssize_t step = send(client->fd, at, count, MSG_NOSIGNAL);
        if (step < 0 && errno == EINTR)
            continue;
        if (step < 0) {
            assert_true(errno == EPIPE || errno == ECONNRESET);
            return;
        }
        at += step;
        count -= (size_t)step;
    }
}

void raw_greeting(struct raw_client *client) {
    raw_bytes(client, greeting, sizeof greeting);
}

void raw_prefix(struct raw_client *client, uint64_t message_bytes) {
    uint8_t prefix[9] = {1};
    uint64_t length = htobe64(message_bytes);
    memcpy(prefix + 1, &length, sizeof length);
    if (client->type_octet)
        raw_bytes(client, prefix, 9);
    else
        raw_bytes(client, prefix + 1, 8);
}

void raw_message(struct raw_client *client, const void *message, size_t count) {
    raw_prefix(client, count);
    raw_bytes(client, message, count);
}

static void set_checksum(raw_frame *frame) {
    raw_frame header = *frame;
    header.header_checksum_given_case = TROVE__V1__FRAME__HEADER_CHECKSUM_GIVEN__NOT_SET;
    header.payload = (ProtobufCBinaryData){0};
    size_t header_bytes = trove__v1__frame__get_packed_size(&header);
    frame->header_checksum_given_case = TROVE__V1__FRAME__HEADER_CHECKSUM_GIVEN_HEADER_CHECKSUM;
    size_t bytes = trove__v1__frame__get_packed_size(frame);
    uint8_t *message = malloc(bytes);
    assert_non_null(message);
    trove__v1__frame__pack(frame, message);
    frame->header_checksum = XXH3_64bits_withSeed(message, header_bytes, bytes);
    free(message);
}

uint8_t *raw_pack(const struct raw_client *client, raw_frame *frame, size_t *count) {
    if (client->checksums)
        set_checksum(frame);
    *count = trove__v1__frame__get_packed_size(frame);
    uint8_t *message = malloc(*count + 1);
    assert_non_null(message);
    trove__v1__frame__pack(frame, message);
    return message;
}

void raw_send(struct raw_client *client, raw_frame *frame) {
    size_t count;
    uint8_t *message = raw_pack(client, frame, &count);
    raw_message(client, message, count);
    free(message);
}

/* ---- receiving ---- */

/* False: the server has closed before the first byte, or within. */
static bool read_all(struct raw_client *client, void *bytes, size_t count) {
    char *at = bytes;
    while (count > 0) {
        struct pollfd wait = {.fd = client->fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, ANSWER_MS), 1);
        ssize_t step = recv(client->fd, at, count, 0);
        if (step <= 0)
            return false;
        at += step;
        count -= (size_t)step;
    }
    return true;
}

void raw_skip_greeting(struct raw_client *client) {
    uint8_t answer[GREETING_BYTES];
    assert_true(read_all(client, answer, sizeof answer));
    assert_memory_equal(answer, greeting, sizeof greeting);
}

void raw_open(struct raw_client *client, const char *url) {
    raw_connect(client, url);
    raw_greeting(client);
    raw_skip_greeting(client);
}

static raw_frame *receive_any(struct raw_client *client) {
    uint8_t octet = 1;
    uint64_t length = 0;
    if (client->type_octet && !read_all(client, &octet, 1))
        return NULL;
    assert_int_equal(octet, 1);
    if (!read_all(client, &length, sizeof length))
        return NULL;
    length = be64toh(length);
    assert_in_range(length, 1, MESSAGE_MAX);
    uint8_t *message = malloc(length);
    assert_non_null(message);
    raw_frame *frame = NULL;
    if (read_all(client, message, length)) {
        frame = trove__v1__frame__unpack(NULL, length, message);
        assert_non_null(frame);
    }
    free(message);
    return frame;
}

/* Where a test takes long the server asks whether the client is still there. */
static void answer_ping(struct raw_client *client, const raw_frame *ping) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Pong pong = TROVE__V1__PONG__INIT;
    pong.token = ping->ping->token;
    frame.body_case = RAW_BODY(PONG);
    frame.pong = &pong;
    raw_send(client, &frame);
}

raw_frame *raw_receive(struct raw_client *client) {
    raw_frame *frame;
    while ((frame = receive_any(client)) != NULL && frame->body_case == RAW_BODY(PING)) {
        answer_ping(client, frame);
        raw_free(frame);
    }
    return frame;
}

raw_frame *raw_receive_answer(struct raw_client *client) {
    for (;;) {
        raw_frame *frame = raw_receive(client);
        if (frame == NULL || (frame->body_case != RAW_BODY(ACK) && frame->body_case != RAW_BODY(CREDIT)))
            return frame;
        raw_free(frame);
    }
}

void raw_free(raw_frame *frame) {
    if (frame != NULL)
        trove__v1__frame__free_unpacked(frame, NULL);
}

void raw_expect_end(struct raw_client *client) {
    raw_frame *frame;
    shutdown(client->fd, SHUT_WR);
    while ((frame = raw_receive(client)) != NULL)
        raw_free(frame);
}

void raw_expect_end_of_bytes(struct raw_client *client) {
    char byte;
    shutdown(client->fd, SHUT_WR);
    while (read_all(client, &byte, 1))
        continue;
}

static raw_frame *check_frame(raw_frame *frame, uint64_t call_id, Trove__V1__Frame__BodyCase body) {
    if (frame == NULL)
        fail_msg("the server closed the connection without a word");
    if (frame->body_case == RAW_BODY(STATUS) && frame->body_case != body)
        fail_msg("status %d: %s", (int)frame->status->code, frame->status->message);
    assert_int_equal(frame->body_case, body);
    assert_int_equal(frame->call_id, call_id);
    return frame;
}

raw_frame *raw_expect(struct raw_client *client, uint64_t call_id, Trove__V1__Frame__BodyCase body) {
    return check_frame(raw_receive(client), call_id, body);
}

void raw_expect_answer(struct raw_client *client, uint64_t call_id, Trove__V1__Frame__BodyCase body) {
    raw_free(check_frame(raw_receive_answer(client), call_id, body));
}

void raw_expect_failure(struct raw_client *client, uint64_t call_id, Trove__V1__Code code, const char *word) {
    raw_frame *frame = raw_receive_answer(client);
    if (frame == NULL)
        fail_msg("the server closed the connection without a word");
    Trove__V1__Frame__BodyCase body = call_id == 0 ? RAW_BODY(GO_AWAY) : RAW_BODY(STATUS);
    if (frame->body_case != body)
        fail_msg("body %d came for call %llu where %d was expected", (int)frame->body_case, (unsigned long long)frame->call_id,
                 (int)body);
    const Trove__V1__Status *status = call_id == 0 ? frame->go_away->status : frame->status;
    assert_int_equal(frame->call_id, call_id);
    print_message("    %d %s\n", (int)status->code, status->message);
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    if (mbstowcs(NULL, status->message, 0) == (size_t)-1)
        fail_msg("the message isn't UTF-8");
    if (status->code != code || strstr(status->message, word) == NULL)
        fail_msg("code %d and the word \"%s\" were expected", (int)code, word);
    raw_free(frame);
}

void raw_send_hello(struct raw_client *client, bool checksums) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello hello = TROVE__V1__HELLO__INIT;
    hello.version = 1;
    hello.features = checksums ? TROVE__V1__FEATURE__FEATURE_HEADER_CHECKSUM : 0;
    hello.agent = raw_text("raw bytes");
    frame.body_case = RAW_BODY(HELLO);
    frame.hello = &hello;
    raw_send(client, &frame);
    client->checksums = checksums;
}

void raw_greet(struct raw_client *client, bool checksums) {
    raw_send_hello(client, checksums);
    raw_frame *answer = raw_receive(client);
    assert_non_null(answer);
    assert_int_equal(answer->body_case, RAW_BODY(WELCOME));
    raw_free(answer);
}
