/* stream_upload.h - the sending side of a stream: the window of chunks, demand, the end. See stream.h. */
#ifndef TVC_STREAM_UPLOAD_H
#define TVC_STREAM_UPLOAD_H

#include "adaptive.h"
#include "block_sums.h"
#include "conn.h"
#include "digest.h"
#include "sender.h"
#include "stream_half.h"
#include "stream_keep.h"
#include "stream_spill.h"

struct tvc_chunk;

struct tvc_upload {
    struct tvc_half half;
    uint64_t size;       /* constant: as the program declared it; TROVE_SIZE_UNKNOWN */
    uint64_t keep_bytes; /* constant: 0 where it isn't resumable */

    /* the writing thread's alone */
    struct tvc_block_sums sums;
    struct tvc_digest_state *digesting; /* NULL: no digest is computed */

    /* Written under the client's lock by the writing thread, which may read it without it; and by a seek, while nobody writes.
     * (If the stream is movable it may change at any time, so there it is read under the lock.) */
    uint64_t next_offset;

    /* under the client's lock */
    struct tv_sender sender;       /* until the stream has ended */
    bool finishing;                /* the program will write no more */
    bool complete_sent;            /* and the server knows that it has all */
    bool sought;                   /* then `sums` are not those of the object */
    bool moved;                    /* from outside; nothing was written since, so whoever writes may not know */
    char etag[TROVE_ETAG_BYTES];   /* "": not known */
    trove_digest digest;           /* that was computed; its kind is NONE while it isn't known */
    Trove__V1__Digest wire_digest; /* of a complete that goes out */
    struct tvc_keep keep;          /* resumable */
    uint64_t demand_bytes;         /* as the server knows it, or is about to be told: */
    bool demand_due;
    uint64_t busy_ns;      /* last write or acknowledgement */
    uint64_t acked_offset; /* of the object: all below it is acknowledged, or was lost */
    uint64_t received_offset;
    uint64_t durable_offset;
    uint64_t bytes_sent;
    uint64_t chunks_sent;

    struct tv_adaptive *adaptive; /* NULL: chunks have the stream's size; constant once the stream is open */

    struct tvc_spill spill; /* its own rules */
};

/* The next data frame, the next control frame. On whatever thread pumps, without the lock. */
bool tvc_upload_pull(trove_stream *stream, uint64_t payload_bytes_max, struct tv_pulled *pulled);
bool tvc_upload_pull_control(trove_stream *stream, struct tv_pulled *pulled);

/* Queues a filled chunk (wire.offset, wire.bytes and iov are set). On OK the chunk is the stream's. Blocks while the window is
 * full or the stream is paused, unless its backpressure is to do something else. *lost (may be NULL) tells which chunk was
 * dropped for it, count 0: none. Without the lock. Errors: OUT_OF_RANGE (its bytes aren't the next ones, for the stream was moved
 * from outside). */
trove_status tvc_upload_write(trove_stream *stream, struct tvc_chunk *chunk, uint64_t deadline_ns, trove_drop *lost,
                              trove_error *error);
/* No more chunks. Waits for room for the last one. Without the lock. */
trove_status tvc_upload_finish(trove_stream *stream, uint64_t deadline_ns, trove_error *error);
/* Then waits for the server's word. Without the lock. */
trove_status tvc_upload_wait(trove_stream *stream, uint64_t deadline_ns, trove_error *error);

/* Puts a hashed chunk into the window, which has room, and takes the caller's reference. Under the lock. Returns which rings of
 * the flow are to be woken afterwards: TV_WANTS_... */
unsigned tvc_upload_push(trove_stream *stream, struct tv_chunk *wire);

/* Goes on at the object's `offset`: chunks that weren't acknowledged are given up. Under the lock. Never blocks. */
void tvc_upload_seek(trove_stream *stream, uint64_t offset, uint64_t generation);
/* The same from outside, while somebody may be writing or completing, who is told by the next call that writes or completes. */
void tvc_upload_move(trove_stream *stream, uint64_t offset, uint64_t generation);
/* For whoever was told so and writes what can be read again. True: the sums of the whole are empty now, what comes before
 * trove_stream_offset is to be added to them (tvc_upload_sum), and the rest to be written. By the writing thread. */
bool tvc_upload_take_move(trove_stream *stream);
/* A chunk, or the end, was for another place. Under the lock. */
trove_status tvc_upload_elsewhere(const trove_stream *stream, trove_error *error);

/* What the next chunk should have: the stream's size, or what its adaptive backpressure says. A change of size is made good for
 * at once, by one chunk that ends on a multiple of it: chunks that begin inside a block would be hashed twice ever after. Without
 * the lock. */
uint64_t tvc_upload_chunk_bytes(const trove_stream *stream);
/* The stream stands still, or stood, for a reason that isn't the server's speed. Under the lock. */
void tvc_upload_interrupted(trove_stream *stream);

/* Bytes that the window may hold. */
uint64_t tvc_upload_window(const trove_stream *stream);

/* On the receiving thread, without the lock. */
void tvc_upload_on_ack(trove_stream *stream, const Trove__V1__Ack *ack);
void tvc_upload_on_credit(trove_stream *stream, const Trove__V1__Credit *credit);
void tvc_upload_on_completed(trove_stream *stream, const Trove__V1__Completed *completed);

/* Adds a chunk to the sums of the whole that isn't sent, for the server has it. By the writing thread. */
void tvc_upload_sum(trove_stream *stream, struct tvc_chunk *chunk, uint64_t offset, uint64_t bytes);
/* A chunk for the program to fill. A resumable upload whose chunks all wait for being durable has the server see to that. Without
 * the lock. */
trove_status tvc_upload_chunk(trove_stream *stream, uint64_t deadline_ns, struct tvc_chunk **chunk, trove_error *error);
/* The server's store has taken a chunk: hooks and metrics. Under the lock. */
void tvc_upload_acked(trove_stream *stream, const struct tv_chunk *chunk, uint64_t now_ns);
/* The server goes on at `offset`, so it has taken all below, whose acknowledgements don't come any more. Under the lock. */
void tvc_upload_taken(trove_stream *stream, uint64_t offset);
/* All below it is durable. Under the lock. */
void tvc_upload_durable(trove_stream *stream, uint64_t durable_offset);
/* The connection is lost, and there will be another one; then it goes on as the server has opened it. Returns which rings are to
 * be woken. Under the lock. */
void tvc_upload_detach(trove_stream *stream);
unsigned tvc_upload_attach(trove_stream *stream, const Trove__V1__Opened *opened);

/* Whether the stream has had nothing to send for a while: then its demand is withdrawn, and the caller wakes the control ring.
 * Under the lock. */
bool tvc_upload_idle(trove_stream *stream, uint64_t now_ns);

/* The stream has ended: lets go of the window. Under the lock. */
void tvc_upload_end(trove_stream *stream);

#endif
