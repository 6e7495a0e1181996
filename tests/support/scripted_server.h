/* scripted_server.h - for tests of libtrove: the other end of its connection, which does what the test says and nothing else.
 *
 * It greets by itself, and answers opens as it was told to. Every frame but the hello is kept until the test asks for one of its
 * kind; the test sends whatever it likes, in whatever order: what a real troved does at a moment that can't be hit, and what it
 * never does. One client at a time. Whatever can't be done fails the cmocka test that asked for it; waiting ends after a
 * deadline.
 */
#ifndef TROVE_TESTS_SCRIPTED_SERVER_H
#define TROVE_TESTS_SCRIPTED_SERVER_H

#include "frame.h"

struct scripted_server;

/* A frame of the client, without what its pointers pointed to. */
struct scripted_frame {
    uint64_t call_id;
    Trove__V1__Frame__BodyCase kind;
    union {
        Trove__V1__Open open;
        Trove__V1__Chunk chunk;
        Trove__V1__Gap gap;
        Trove__V1__Ack ack;
        Trove__V1__Demand demand;
        Trove__V1__Credit credit;
        Trove__V1__Control control;
        Trove__V1__State state;
        Trove__V1__Complete complete;
        Trove__V1__Completed completed;
    };
    Trove__V1__IndexRange range; /* of an ack */
    Trove__V1__Code reason;      /* of a control, or why a state refuses one */
    char etag[TROVE_ETAG_BYTES]; /* of a complete */
    uint64_t payload_bytes;
};

/* How it answers an open; zeroed chunk_bytes and channel_chunks are those that are asked for. */
struct scripted_opened {
    uint64_t chunk_bytes;
    uint32_t channel_chunks;
    uint64_t credit;
    bool has_object;
    uint64_t object_size;
    bool writer;
    bool resumable; /* it is an upload with an id, all zeros */
};

/* Listens on a unix socket in a folder of its own; `features` is what its welcome says. */
struct scripted_server *scripted_server_start(uint64_t features);
/* From now on opens are answered like this. */
void scripted_answer_opens(struct scripted_server *server, const struct scripted_opened *opened);
const char *scripted_server_url(const struct scripted_server *server);
/* Ends the connection, if there is one, and removes the folder. */
void scripted_server_stop(struct scripted_server *server);

/* The next open that hasn't been asked for yet. */
struct scripted_frame scripted_expect_open(struct scripted_server *server);
/* The next frame of this kind for this call that hasn't been asked for yet, whatever came in between. */
struct scripted_frame scripted_expect(struct scripted_server *server, uint64_t call_id, Trove__V1__Frame__BodyCase kind);
/* Whether one has come and wasn't asked for. */
bool scripted_has(struct scripted_server *server, uint64_t call_id, Trove__V1__Frame__BodyCase kind);

/* `body` is the message of the kind. The payload has at most TV_MESSAGE_BYTES_MAX. */
void scripted_send(struct scripted_server *server, uint64_t call_id, Trove__V1__Frame__BodyCase kind, void *body,
                   const void *payload, uint64_t payload_bytes);
/* A chunk in one frame, without a checksum, its bytes all alike. */
void scripted_send_chunk(struct scripted_server *server, uint64_t call_id, uint64_t index, uint64_t offset, uint64_t bytes,
                         bool final);
void scripted_send_ack(struct scripted_server *server, uint64_t call_id, uint64_t first, uint64_t count, uint64_t credit);
void scripted_send_complete(struct scripted_server *server, uint64_t call_id, uint64_t size, uint64_t chunks);
/* The server's completed, with an object of this size. */
void scripted_send_completed(struct scripted_server *server, uint64_t call_id, uint64_t size);
/* From now on the frame that comes next is the last one that is read (it isn't told before), or all are read again. */
void scripted_hold(struct scripted_server *server, bool hold);
/* Cuts the connection. */
void scripted_cut(struct scripted_server *server);

#endif
