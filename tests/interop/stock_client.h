/* stock_client.h - a client of Trove made of nothing but a stock nng PAIR0 socket, the code that protoc-c generates, and
 * libxxhash. It shares nothing with libtrove, so that what it finds is what trove.proto says.
 *
 * Every function that meets something it didn't expect fails the cmocka test. One thread; nng's own call the pipe hook.
 */
#ifndef TROVE_TESTS_STOCK_CLIENT_H
#define TROVE_TESTS_STOCK_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <pthread.h>
#include <trove/v1/trove.pb-c.h>

typedef Trove__V1__Frame stock_frame;
#define STOCK_BODY(name) TROVE__V1__FRAME__BODY_##name

struct stock_client {
    nng_socket socket;
    bool checksums; /* agreed on this connection */
    uint64_t last_id;
    Trove__V1__Welcome *welcome;
    pthread_mutex_t lock;
    /* under the lock */
    pthread_cond_t changed;
    unsigned connections; /* ever */
    nng_pipe pipe;        /* the latest */
};

/* Dials (it goes on dialling by itself when the connection is lost) and waits for the connection. */
void stock_open(struct stock_client *client, const char *url);
void stock_close(struct stock_client *client);
/* Closes the connection, not the socket. */
void stock_hang_up(struct stock_client *client);
/* Waits for the n-th connection, counted from 1. */
void stock_wait_connected(struct stock_client *client, unsigned n);
/* Hello and welcome; at the beginning of every connection. */
void stock_greet(struct stock_client *client, bool checksums);

uint64_t stock_new_id(struct stock_client *client);
void stock_send(struct stock_client *client, stock_frame *frame);
/* The next frame; for stock_free. */
stock_frame *stock_receive(struct stock_client *client);
/* The same; it must have this call id and body. */
stock_frame *stock_expect(struct stock_client *client, uint64_t call_id, Trove__V1__Frame__BodyCase body);
void stock_free(stock_frame *frame);

/* A unary call. Returns the code; where it is OK and `response` isn't NULL, *response is the answer
 * (protobuf_c_message_free_unpacked). */
Trove__V1__Code stock_call(struct stock_client *client, const char *method, const ProtobufCMessage *request,
                           const ProtobufCMessageDescriptor *type, ProtobufCMessage **response);

/* stock_stream.c */
struct stock_put {
    const char *bucket;
    const char *key;
    const uint8_t *bytes;
    size_t size;
    uint64_t chunk_bytes;
    bool demand_in_open; /* else by a demand frame */
};

/* An upload by chunks; checks the description in its answer. */
void stock_put(struct stock_client *client, const struct stock_put *put);
/* An inline object. */
void stock_put_inline(struct stock_client *client, const char *bucket, const char *key, const uint8_t *bytes, size_t size);
/* A download; compares with the bytes given. */
void stock_get(struct stock_client *client, const char *bucket, const char *key, const uint8_t *bytes, size_t size,
               uint64_t chunk_bytes);

/* As Chunk.checksum in trove.proto. */
uint64_t stock_chunk_checksum(uint64_t call_id, uint64_t index, uint64_t offset, const uint8_t *bytes, size_t count);
/* As ObjectInfo.etag. */
void stock_etag(const uint8_t *bytes, size_t count, char etag[33]);

#endif
