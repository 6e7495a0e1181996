/* stream.h - streams, inside: what the way up (`upload`) and the way down (`download`) share. A stream goes one of them, or both.
 *
 * The table of stream_state.h says what moves the state; tvc_stream_move and tvc_stream_end are all that writes it. The server
 * orders crossing events: the first terminal one wins, and ends the stream once. A way that is closed while the other goes on is
 * a flag of its half (complete_sent, complete_seen) and doesn't move the state: see tvc_stream_closed.
 *
 * References: the program's handle, the client's table, a queued job of its hooks or of the drainer, the connection while it has
 * the flow in its rings, each chunk that is out (chunks.h), whoever waits in a call or visits streams without the lock. The last
 * one may free only without the client's lock: whoever holds the lock while giving references back has one of its own.
 */
#ifndef TVC_STREAM_H
#define TVC_STREAM_H

#include "chunks.h"
#include "client.h"
#include "pool.h"
#include "rate.h"
#include "stream_download.h"
#include "stream_hooks.h"
#include "stream_limit.h"
#include "stream_metrics.h"
#include "stream_resume.h"
#include "stream_state.h"
#include "stream_upload.h"

/* A control that a thread waits for; on its stack. */
struct tvc_control_wait {
    struct tvc_control_wait *next;
    uint64_t serial;
    bool answered;
    trove_stream_state state; /* what the server says that it led to */
    trove_error error;        /* it was refused */
};

/* A seek that the server hasn't answered: the stream acknowledges (download) and sends (upload) nothing until it has. */
struct tvc_seek {
    uint64_t serial; /* of the control; 0: none */
    uint64_t offset;
    uint64_t generation;
};

struct trove_stream {
    /* constant once the stream is open */
    struct tvc_entry entry; /* first */
    struct tv_flow flow;
    struct trove_client *client;
    trove_direction direction;
    char *bucket;
    char *key;
    uint64_t stream_id;
    uint64_t chunk_bytes;
    uint32_t channel_chunks; /* each way */
    bool lossy;
    trove_backpressure backpressure;
    bool follow;    /* opened to write, or to follow who does: */
    bool writer;    /* it was elected, and nothing comes down; else nothing goes up */
    bool own_bytes; /* the chunks' bytes are the program's: no memory is claimed for them */
    bool start_paused;
    bool sums_first; /* who opens it adds what comes before its first byte to the sums of the object */
    bool movable; /* somebody may have it go on elsewhere from outside; chunks that are written say which byte they begin with */

    atomic_uint references;

    /* under the client's lock */
    pthread_cond_t changed;
    trove_stream *next; /* in the client's list */
    trove_stream *previous;
    trove_stream_state state;
    bool opened;
    bool open_again;   /* its connection was lost before the server had opened it: another one may be opened in its place */
    trove_error error; /* why it failed or was cancelled; before that, what the program wants it to fail with */
    trove_object_info *published; /* what came of what went up; NULL until it has completed */
    uint64_t last_serial;         /* of a control of ours */
    uint64_t answered_serial;     /* the newest that the server has answered; it answers them in order */
    uint64_t pause_serial;        /* of the newest pause */
    struct tvc_control_wait *control_waits;
    struct tvc_seek seek;
    struct tv_rate rate;
    uint64_t ended_ns;
    struct tvc_counts counts;
    struct tvc_member member;
    struct tvc_stream_limit limit;
    struct tvc_stream_hooks hooks;
    struct tvc_upload upload;
    struct tvc_download download;
    struct tvc_resume resume;
};

/* Whether it waits for another connection. Under the lock, or on the receiving thread. */
static inline bool tvc_stream_detached(const trove_stream *stream) {
    return stream->resume.detached;
}

/* Whether it has lost its connection and needs no other: all of it has come. Under the lock. */
static inline bool tvc_stream_alone(const trove_stream *stream) {
    return stream->opened && !stream->entry.listed && !stream->resume.detached && !tv_stream_state_terminal(stream->state);
}

/* Which ways it goes. */
static inline bool tvc_stream_sends(const trove_stream *stream) {
    return stream->direction != TROVE_DIRECTION_DOWNLOAD;
}

static inline bool tvc_stream_receives(const trove_stream *stream) {
    return stream->direction != TROVE_DIRECTION_UPLOAD;
}

/* Its way up is closed from the beginning, for another stream writes what it reads. Once it is open. */
static inline bool tvc_stream_follows(const trove_stream *stream) {
    return stream->follow && !stream->writer;
}

static inline void tvc_stream_acquire(trove_stream *stream) {
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
}
/* Without the client's lock, unless another reference is sure to be left. */
void tvc_stream_release(trove_stream *stream);

/* ---- opening: stream_open.c ---- */

struct tvc_stream_request {
    const char *bucket;
    const char *key;
    trove_direction direction;
    trove_stream_options options; /* checked */
    bool paused;                  /* to be started by the program */
    bool own_bytes;               /* straight out of, or into, the program's memory */
    void *target;                 /* a download with own_bytes: where the first byte of the range goes */
    size_t capacity;              /* of the target; a larger range fails with OUT_OF_RANGE */
    bool sums_first;              /* an upload that goes on: see trove_stream */
    bool whole;                   /* for a whole object: the library itself reads or writes it, */
    bool replays;                 /* and can read what it sends again */
    bool unanswered;              /* it was asked for before, and the connection was lost */
};

/* Opens a stream and waits until the server has. */
trove_status tvc_stream_open(trove_client *client, const struct tvc_stream_request *request, uint64_t deadline_ns,
                             trove_stream **stream, trove_error *error);
/* Whether somebody may have such a stream go on elsewhere from outside: stream_seek.c. */
bool tvc_stream_may_be_moved(const struct tvc_stream_request *request);
/* On the receiving thread. */
void tvc_stream_opened(trove_stream *stream, const Trove__V1__Opened *opened);

/* ---- state ---- */

/* Moves a state that isn't terminal. Under the lock. */
trove_status tvc_stream_move(trove_stream *stream, enum tv_stream_event event, trove_error *error);
/* COMPLETED (`why` is NULL), FAIL or CANCEL: ends the stream if it hasn't ended, wakes everyone, queues the last hooks. Under
 * the lock; the caller has a reference. */
void tvc_stream_end(trove_stream *stream, enum tv_stream_event event, const trove_error *why);
/* The stream fails for a reason found at this end, which the server is told. Without the lock; the caller has a reference. */
void tvc_stream_break(trove_stream *stream, const trove_error *why);
/* All has been sent one way: that is the stream's last word if it goes no other way, or has come to the end of it. Under the
 * lock. */
trove_status tvc_stream_closed(trove_stream *stream, trove_error *error);
/* Why nothing more can be done with a stream that has ended, or is ending. Under the lock. */
trove_status tvc_stream_over(const trove_stream *stream, trove_error *error);

/* ---- controls: stream_control.c ---- */

/* Sends a control; `reason` only for FAIL. Without the lock. */
void tvc_stream_send_control(trove_stream *stream, Trove__V1__ControlType type, uint64_t serial, const trove_error *reason);
/* The server's word on the state, and its own controls. On the receiving thread. */
void tvc_stream_on_state(trove_stream *stream, const Trove__V1__State *state);
void tvc_stream_on_control(trove_stream *stream, const Trove__V1__Control *control);

/* ---- frames: stream.c ---- */

extern const struct tv_flow_ops tvc_stream_flow;

/* Frames of the stream but chunks. On the receiving thread; the caller has a reference. */
void tvc_stream_frame(trove_stream *stream, const tv_frame *frame);

/* Acknowledged (up) and received (down) so far. Under the lock. */
uint64_t tvc_stream_bytes_done(const trove_stream *stream);
/* What is known of the object: as it is read, then as it was published; NULL: nothing. Under the lock, or once it has
 * completed. */
const trove_object_info *tvc_stream_object(const trove_stream *stream);

/* Waits for a change. False: the deadline has passed. Under the lock. */
bool tvc_stream_wait(trove_stream *stream, uint64_t deadline_ns);

/* Ends a wait for `what` that took too long; on a stream that goes both ways the message names the way (BIDI: it is about
 * neither). */
trove_status tvc_stream_late(const trove_stream *stream, trove_direction way, const char *what, trove_error *error);

#endif
