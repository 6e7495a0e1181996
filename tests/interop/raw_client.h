/* raw_client.h - a client of bytes: a plain blocking socket over tcp or a unix socket, so that a test can send what no library
 * would.
 *
 * Frames are packed with the stock generated code, and may be spoilt before they are sent. What can't be done fails the cmocka
 * test; that the server has closed the connection is no failure but the end of what can be received. One thread.
 */
#ifndef TROVE_TESTS_RAW_CLIENT_H
#define TROVE_TESTS_RAW_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <trove/v1/trove.pb-c.h>

typedef Trove__V1__Frame raw_frame;
#define RAW_BODY(name) TROVE__V1__FRAME__BODY_##name

struct raw_client {
    int fd;
    bool type_octet; /* SP over ipc */
    bool checksums;
    uint64_t last_id;
    bool collecting; /* what is sent is kept in `sent` instead */
    uint8_t *sent;
    size_t sent_bytes;
    size_t sent_capacity;
};

/* Connects; the SP greetings have been exchanged. */
void raw_open(struct raw_client *client, const char *url);
/* Connects and sends nothing. */
void raw_connect(struct raw_client *client, const char *url);
/* A client that isn't connected: what it sends is collected. */
void raw_collect(struct raw_client *client, bool type_octet);
void raw_close(struct raw_client *client);
/* Hello and welcome. The first only sends. */
void raw_send_hello(struct raw_client *client, bool checksums);
void raw_greet(struct raw_client *client, bool checksums);

void raw_bytes(struct raw_client *client, const void *bytes, size_t count);
void raw_greeting(struct raw_client *client);
/* Takes the server's SP greeting, which it sends in any case. */
void raw_skip_greeting(struct raw_client *client);
/* Length (and type), without and with what follows. */
void raw_prefix(struct raw_client *client, uint64_t message_bytes);
void raw_message(struct raw_client *client, const void *message, size_t count);
/* Packs and sends; with a header checksum if that was agreed. */
void raw_send(struct raw_client *client, raw_frame *frame);
/* Only packs; for free(). */
uint8_t *raw_pack(const struct raw_client *client, raw_frame *frame, size_t *count);

/* The next frame (for raw_free), NULL when the server has closed. */
raw_frame *raw_receive(struct raw_client *client);
/* The next one that is no acknowledgement and no credit of an upload: what it answered last. */
raw_frame *raw_receive_answer(struct raw_client *client);
void raw_free(raw_frame *frame);
/* Says that nothing more will be sent, and reads until the server has closed. */
void raw_expect_end(struct raw_client *client);
/* The same for whoever has sent nonsense: whatever the server says, as bytes. */
void raw_expect_end_of_bytes(struct raw_client *client);

/* Expects a frame for a call with this body; for raw_free. A status that wasn't expected fails the test with its message. */
raw_frame *raw_expect(struct raw_client *client, uint64_t call_id, Trove__V1__Frame__BodyCase body);
/* The same of the next one that is no acknowledgement and no credit, and lets go of it. */
void raw_expect_answer(struct raw_client *client, uint64_t call_id, Trove__V1__Frame__BodyCase body);
/* Expects `status` for a call (call_id 0: a go-away) with this code, and this word in its message. */
void raw_expect_failure(struct raw_client *client, uint64_t call_id, Trove__V1__Code code, const char *word);

/* ---- ready-made frames ---- */

uint64_t raw_new_id(struct raw_client *client);
/* A frame with nothing but this body, which may be any of the messages that belong to calls and streams. */
void raw_send_body(struct raw_client *client, uint64_t call_id, Trove__V1__Frame__BodyCase body, ProtobufCMessage *message);
/* Sends a call; `request` may be NULL. Returns its id. */
uint64_t raw_call(struct raw_client *client, const char *method, const ProtobufCMessage *request);
uint64_t raw_call_bytes(struct raw_client *client, const char *method, const void *request, size_t count);
/* Answer of a call that must succeed. */
ProtobufCMessage *raw_answer(struct raw_client *client, uint64_t call_id, const ProtobufCMessageDescriptor *type);
/* An echo there and back. */
void raw_echo(struct raw_client *client);

/* Fills in an Open for an upload (or download) of bucket/key with chunks of 1,000 bytes, 4 at once. */
void raw_init_open(Trove__V1__Open *open, const char *bucket, const char *key, bool upload);
uint64_t raw_open_stream(struct raw_client *client, Trove__V1__Open *open);
/* The same, and takes the opened. */
uint64_t raw_opened_stream(struct raw_client *client, Trove__V1__Open *open);
/* An upload that was opened and has credit for 4,000 bytes. */
uint64_t raw_upload(struct raw_client *client);

/* Fills in a whole chunk of `count` bytes, with its checksum. */
void raw_init_chunk(Trove__V1__Chunk *chunk, uint64_t call_id, uint64_t index, uint64_t offset, const void *bytes, size_t count);
void raw_send_chunk(struct raw_client *client, uint64_t call_id, Trove__V1__Chunk *chunk, const void *bytes, size_t count);
void raw_send_complete(struct raw_client *client, uint64_t call_id, uint64_t size, uint64_t chunks);
/* Of `count` chunks of a way down from `first` on, with credit for more. */
void raw_send_ack(struct raw_client *client, uint64_t call_id, uint64_t first, uint64_t count, uint64_t credit, bool not_taken);
void raw_send_credit(struct raw_client *client, uint64_t call_id, uint64_t bytes);
void raw_send_completed(struct raw_client *client, uint64_t call_id);
void raw_send_control(struct raw_client *client, uint64_t call_id, Trove__V1__ControlType type, uint64_t serial);

/* protobuf-c's strings aren't const. */
static inline char *raw_text(const char *text) {
    return (char *)(uintptr_t)text;
}

#endif
