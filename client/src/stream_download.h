/* stream_download.h - the receiving side of a stream: chunks land in the pool's blocks, wait to be read, give credit back. See
 * stream.h.
 *
 * The transport's thread only puts bytes in their place; the reading thread hashes them, before the program sees them.
 */
#ifndef TVC_STREAM_DOWNLOAD_H
#define TVC_STREAM_DOWNLOAD_H

#include "block_sums.h"
#include "conn.h"
#include "receiver.h"
#include "stream_half.h"
#include "stream_metrics.h"

struct tvc_chunk;

struct tvc_download {
    struct tvc_half half;

    /* constant once the stream is open */
    trove_object_info *object; /* what is read; NULL: none, for a stream that goes both ways may be the first to write it */
    uint64_t range_offset;
    uint64_t range_length; /* TROVE_SIZE_UNKNOWN: to the end */
    uint64_t size;   /* of what comes down: as object and range have it. Following: TROVE_SIZE_UNKNOWN until `complete_seen`,
                              and so under the lock; nothing looks at it without */
    char *target;    /* the program's memory for the whole range; NULL: chunks have blocks of their own */
    size_t capacity; /* of the target */
    uint64_t window_bytes; /* credit given at the opening */
    uint64_t tell_bytes;   /* so much, or so many chunks, taken is worth telling the server */
    size_t tell_chunks;

    /* The whole object is read, and it has an etag. Gone with the first loss or seek: then the receiving thread clears it. */
    atomic_bool check_etag;

    /* the reading thread's alone */
    struct tvc_block_sums sums;

    /* under the client's lock */
    struct tv_receiver receiver;
    struct tvc_chunk *incoming; /* its first fragment has come */
    enum tv_receive verdict;    /* on the fragment whose payload is coming in */
    bool landing;               /* the transport is putting bytes into `incoming` */
    struct tvc_chunk *ready_first;
    struct tvc_chunk *ready_last;
    struct tvc_sum out;        /* what the program has */
    struct tvc_sum given_back; /* by the program */
    struct tvc_sum abandoned;  /* it had them not read, or not given back, when the stream ended or sought */
    uint64_t lost_chunks;      /* told by the server, and to be put before the next chunk */
    uint64_t lost_bytes;
    uint64_t verified_bytes;
    bool verifying;          /* the reader is checking a chunk that it has taken */
    bool damaged;            /* it was found damaged: all from there on is fetched again when the connection has ended */
    uint64_t call_id;        /* under which what is of interest comes; 0: nothing is, for the stream waits for a connection */
    uint64_t base_offset;    /* first byte that was asked for on this connection */
    uint64_t index_base;     /* index of a chunk as the program counts: this and the one on the wire */
    uint64_t next_index;     /* of the next chunk that the program reads */
    uint64_t reached_offset; /* how far it had got when its connection was lost */
    uint64_t credit_due;     /* to be given with the next acknowledgement */
    uint64_t expired_due;    /* taken back, to be told before it */
    bool starved;            /* a chunk found no room: nothing is granted until one comes back */
    size_t untold_chunks;    /* taken since the last one */
    uint64_t told_ns;        /* when one was last asked for */
    bool complete_seen;      /* the server has sent all, */
    bool resending;          /* but what wasn't taken of it comes again */
    uint64_t complete_chunks;
    bool finished;       /* all was read and given back, or the program wants to know no more of it */
    bool completed_due;  /* the server is to be told that all is here */
    bool completed_told; /* it was */
};

/* The next control frame. On whatever thread pumps, without the lock. */
bool tvc_download_pull(trove_stream *stream, struct tv_pulled *pulled);

/* The next chunk, verified; NULL at the end. Without the lock. */
trove_status tvc_download_read(trove_stream *stream, uint64_t deadline_ns, struct tvc_chunk **chunk, trove_error *error);
void tvc_download_put(trove_stream *stream, struct tvc_chunk *chunk);
/* Waits until all was received and read. Without the lock. */
trove_status tvc_download_complete(trove_stream *stream, uint64_t deadline_ns, trove_error *error);

/* On the receiving thread, without the lock. `land` says where a chunk frame's payload goes; `landed` takes the frame, whether
 * it had a payload (then `land` was called for it) or not. */
void tvc_download_land(trove_stream *stream, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink);
void tvc_download_landed(trove_stream *stream, const tv_frame *frame, uint64_t payload_bytes);
/* The connection has ended while a payload was coming in. */
void tvc_download_unland(trove_stream *stream);
void tvc_download_on_gap(trove_stream *stream, const Trove__V1__Gap *gap);
void tvc_download_on_complete(trove_stream *stream, const Trove__V1__Complete *complete);

/* Finishes the way down if everything has come, was read and was given back; `asked`: the reader wants to know no more of what it
 * still has. That completes a download. True: it is finished; where completed_due says so, the control ring is to be woken. Under
 * the lock. */
bool tvc_download_finish(trove_stream *stream, bool asked);
/* Goes on at the object's `offset`: what came before and was not read is forgotten. Under the lock. */
void tvc_download_seek(trove_stream *stream, uint64_t offset, uint64_t generation);
/* The connection is lost: what has come and was not read is forgotten. False: all has come, or was read, and the stream needs no
 * other connection. Under the lock. */
bool tvc_download_detach(trove_stream *stream);
/* Before the rest is asked for: sets up what will come, and returns the credit to be given. Under the lock. */
uint64_t tvc_download_begin_again(trove_stream *stream);
/* It has been opened: whether it still is the same object. Under the lock. */
trove_status tvc_download_attach(trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error);
/* Whether a chunk is of what is being read: not from before a seek, nor from a connection that was lost. Under the lock. */
bool tvc_download_current(const trove_stream *stream, const struct tvc_chunk *chunk);
/* Lets go of what has come and was not read. Under the lock. */
void tvc_download_forget(trove_stream *stream);
/* The stream has ended: lets go of what was not read. Under the lock. */
void tvc_download_end(trove_stream *stream);

#endif
