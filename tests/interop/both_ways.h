/* both_ways.h - the client's end of streams that move both ways (and of plain uploads and downloads), frame by frame.
 *
 * A peer keeps what has come for its stream: whoever waits for something takes frames until it is there. Several peers may share
 * a connection. What comes down is checked as it comes (order, offsets, checksums) and acknowledged with new credit for as much,
 * unless `holds` is set. A status that wasn't expected fails the test with its message. One thread.
 */
#ifndef TROVE_TESTS_BOTH_WAYS_H
#define TROVE_TESTS_BOTH_WAYS_H

#include "raw_client.h"

#define BOTH_DOWN_BYTES_MAX ((size_t)4 << 20)
#define BOTH_ANSWERS_MAX    16
#define BOTH_GAPS_MAX       64

struct both_ways {
    struct raw_client *client;
    uint64_t id;
    bool holds;    /* what comes down isn't acknowledged; raw_send_ack does it later */
    bool may_fail; /* a status is kept instead of failing the test */

    bool opened;
    uint64_t stream_id;
    bool has_object;
    uint64_t object_size;
    bool writer;

    /* up */
    uint64_t credit_bytes; /* what may be begun */
    uint64_t sent_bytes;
    uint64_t sent_chunks;
    uint64_t acked_chunks;

    /* down */
    uint8_t *bytes; /* of the object from the first chunk's offset on; what was lost is zeros */
    uint64_t first_offset;
    uint64_t came_bytes; /* lost ones included */
    uint64_t came_chunks;
    uint64_t lost_chunks;
    bool final_came;
    bool complete;
    uint64_t complete_size;
    uint64_t complete_chunks;
    char complete_etag[33];

    /* the end */
    bool completed;
    uint64_t published_size;
    uint64_t published_generation;
    char published_etag[33];
    uint64_t dropped_chunks;
    uint64_t dropped_bytes;
    bool ended; /* by a status */
    Trove__V1__Code code;
    char message[512];

    /* controls */
    unsigned answers;
    Trove__V1__StreamState state; /* of the last answer */
    Trove__V1__Code refusal;      /* likewise; OK: done */
    unsigned controls;            /* that came from outside */
    Trove__V1__ControlType control;
};

/* An Open for both ways: chunks of 64 KiB, 4 at once, demand and credit for as many. */
void both_init_open(Trove__V1__Open *open, const char *bucket, const char *key);
/* Sends it. */
void both_open(struct both_ways *peer, struct raw_client *client, Trove__V1__Open *open);
void both_close(struct both_ways *peer);

/* Takes the next frame, which belongs to one of them: all those of a connection. */
void both_take(struct both_ways *peers, size_t count);
#define BOTH_UNTIL(peer, condition)                                                                                              \
    do {                                                                                                                         \
        while (!(condition))                                                                                                     \
            both_take((peer), 1);                                                                                                \
    } while (false)

/* Sends the next chunk without looking at the credit. */
void both_send(struct both_ways *peer, const void *bytes, size_t count, bool final);
/* Sends all of it, in chunks, as credit comes; `final`: the last one ends the way up, and Complete follows. */
void both_send_all(struct both_ways *peer, const uint8_t *bytes, size_t count, size_t chunk_bytes, bool final);
/* Ends the way up; both_send has sent the final chunk, or there was none. */
void both_send_complete(struct both_ways *peer);
/* Sends a control, takes its answer and returns the state that it led to. */
Trove__V1__StreamState both_control(struct both_ways *peer, Trove__V1__ControlType type);
/* Takes the rest of the way down, tells that all is there, and takes what was published. */
void both_finish(struct both_ways *peer);
/* Takes the status that ends the stream. */
void both_expect_end(struct both_ways *peer, Trove__V1__Code code, const char *word);

/* ---- whole objects, on a connection without peers ---- */

void both_make_bucket(struct raw_client *client, const char *bucket);
void both_put(struct raw_client *client, const char *bucket, const char *key, const uint8_t *bytes, size_t count);
/* The object must be exactly this. */
void both_check(struct raw_client *client, const char *bucket, const char *key, const uint8_t *bytes, size_t count);
void both_check_absent(struct raw_client *client, const char *bucket, const char *key);
/* NULL if there is none; for protobuf_c_message_free_unpacked. */
Trove__V1__ObjectHeadResponse *both_head(struct raw_client *client, const char *bucket, const char *key);

/* The pool of this name; for protobuf_c_message_free_unpacked of *answer. */
const Trove__V1__PoolInfo *both_pool(struct raw_client *client, const char *name, ProtobufCMessage **answer);
Trove__V1__StreamListResponse *both_streams(struct raw_client *client);
/* Waits until no stream is open, no buffer is out and the memory is whole: each look is a round trip. */
void both_wait_until_quiet(struct raw_client *client);

#endif
