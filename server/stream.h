/* stream.h - one stream on the server: an upload has a way up, a download a way down, a two-way stream both.
 *
 * What happens where: frames come in on the connection's receiving thread and change the stream under its session's lock; frames
 * go out by pulls (stream_out.c); what may block runs as a strand, one for each way: one task on the workers, never twice at the
 * same time, that begins, writes, reads, commits and aborts (upload_store.c, download.c). With a driver that never blocks the
 * strand runs right where it is scheduled.
 * The two ways of a two-way stream share its state, its place in the pool and its end, and nothing else: each has its window, its
 * memory and its turns of the bandwidth. The way down begins when the way up has begun. What came up is published when the peer
 * has sent all of it and has got all that goes down.
 * (Rejected: a stream for each way, tied together: they would have to agree on every move of their state.)
 */
#ifndef TVS_STREAM_H
#define TVS_STREAM_H

#include "adaptive.h"
#include "feed.h"
#include "grant.h"
#include "read_ahead.h"
#include "receiver.h"
#include "sender.h"
#include "session.h"
#include "stream_metrics.h"
#include "stream_state.h"
#include "wire.h"

/* A fragment costs memory of its own besides its bytes: so many may wait for the store, by what is reserved for their bytes.
 * Those of 2 KiB and more always fit; of smaller ones what doesn't is sent again. */
#define TVS_FRAGMENTS_MAX(reserved_bytes) (64 + (uint32_t)((reserved_bytes) / (2 * TV_KIB)))
/* Controls that may be unanswered; a peer that sends more is not waiting for answers. */
#define TVS_CONTROL_ANSWERS_MAX 16
/* Controls from outside that the peer may have to be told of, besides. */
#define TVS_CONTROLS_OUTSIDE_MAX  4
#define TVS_FRAGMENT_SEGMENTS_MAX (TV_DATA_PIECES_MAX + 1)

struct tvs_resume;

/* A chunk's fragment that has come in: bytes in segments of the pool. */
struct tvs_fragment {
    struct tvs_fragment *next;
    struct tv_data data;
    uint64_t chunk_index;
    uint64_t generation;
    uint64_t lost_chunks; /* not 0: no fragment, but so many chunks, and data.bytes, that a lossy sender has lost */
    uint64_t checksum;
    uint64_t arrived_ns; /* its last byte */
    bool has_checksum;
    bool ends_chunk;
    uint32_t segment_count;
    void *segments[TVS_FRAGMENT_SEGMENTS_MAX]; /* one hold each */
};

/* What the peer is to be told of controls: the answer to one of its own, or one that came from outside. Allocated for as long as
 * it is due, for most streams never have one. */
struct tvs_control_answer {
    struct tvs_control_answer *next;
    bool is_control;            /* from outside */
    enum tv_stream_event event; /* its kind, unless it is a seek: */
    bool is_seek;
    uint64_t offset; /* of a seek, as the next one */
    uint64_t generation;
    uint64_t serial;          /* the peer's, or ours */
    trove_stream_state state; /* that it led to */
    trove_status status;      /* OK: done */
    char message[160];
};

/* A seek from outside that the peer has not answered. */
struct tvs_move {
    uint64_t serial; /* of the control; 0: none */
    uint64_t offset;
    uint64_t generation;
};

/* A stream's place in its pool. */
enum tvs_place {
    TVS_PLACE_NONE, /* not yet, or given back */
    TVS_PLACE_AWAITED,
    TVS_PLACE_HELD,
};

/* What each way of a stream has of its own, besides what comes or goes. Under the session's lock, but for the task. */
struct tvs_way {
    bool open;      /* constant: the stream has this way */
    bool begun;     /* the driver has begun */
    bool scheduled; /* the strand is submitted or running */
    bool cleaned;   /* the stream is terminal, and the strand has let go of everything */
    struct tvs_task task;

    struct tvs_bandwidth_waiter bandwidth; /* belongs to the throttle that it waits for while `awaiting_turn` */
    bool awaiting_turn;                    /* holds a reference */
    bool had_own_turn;                     /* of the principal's bandwidth, and not yet the pool's */

    struct tvs_claim claim;
    bool claiming; /* from a take that queued until `granted` has come in; `claim` belongs to the budget meanwhile */
};

/* Strands that are to run. */
#define TVS_RUN_UP   1u
#define TVS_RUN_DOWN 2u

struct tvs_stream {
    struct tv_flow flow; /* first: the connection's handle */
    struct tv_id_node node;
    struct tvs_listing listing;

    /* constant after creation */
    struct tvs_session *session;
    struct tvs_pool *pool;        /* with a reference */
    struct tvs_budget *budget;    /* the pool's at the opening; held */
    struct tvs_pool_limits terms; /* likewise */
    uint64_t id;
    trove_direction direction;
    char *bucket;
    char *key;
    uint64_t chunk_bytes;
    uint32_t channel_chunks;
    uint64_t declared_size; /* upload; TROVE_SIZE_UNKNOWN. Of a resumable one what it was begun with, once that is known */
    uint64_t range_offset;  /* download */
    uint64_t range_length;
    trove_backpressure backpressure; /* its own, or its pool's */
    bool lossy;
    bool drops;                         /* download: a full queue loses its oldest chunk */
    bool adapts;                        /* download: chunks have the size that goes best */
    bool allow_gaps;                    /* download */
    bool movable;                       /* its peer takes a seek from outside */
    bool follow;                        /* two-way: it writes for others to follow it, or follows (follow.c) */
    struct tvs_resume *resume;          /* a resumable upload; else NULL */
    struct tvs_put_options put_options; /* strings belong to `memory` */
    void *memory;
    uint64_t charged_bytes; /* to the server's stream_memory: the stream itself, `memory` and `resume` */

    atomic_uint references;

    /* under the session's lock */
    trove_stream_state state;
    trove_error failure; /* why it failed or was cancelled */
    bool refused;        /* it failed before it was opened, by its client's mistake */
    bool listed;         /* in the session's table, and in the server's list */
    enum tvs_place place;
    uint64_t acquired_ns; /* when it got its place */
    bool opened_sent;
    bool status_due;         /* terminal other than completed, and the peer must be told */
    bool damaged;            /* it has failed for what was damaged on the way: whoever attaches can send it again */
    bool commit_running;     /* the driver decides now: it is too late to cancel */
    uint64_t control_serial; /* counts controls from outside */
    unsigned outside_count;  /* of the answers */
    unsigned answer_count;
    struct tvs_control_answer *answer_first;
    struct tvs_control_answer *answer_last;
    uint64_t state_ns;    /* when it was paused or went on, or got its place */
    uint64_t progress_ns; /* when something last moved */
    uint64_t fast_ns;     /* when it last moved as fast as its pool wants it to, or couldn't */
    uint64_t granted_ns;  /* upload: when credit was last given */
    uint64_t generation;
    struct tvs_move move;
    struct tvs_stream_metrics metrics;
    struct tvs_way up;
    struct tvs_way down;

    /* the way up, under the session's lock */
    struct tv_receiver receiver;
    struct tvs_fragment *fragment_first;
    struct tvs_fragment *fragment_last;
    uint32_t fragment_count;   /* landing and queued */
    uint32_t landing_segments; /* of the fragment whose payload is coming in */
    uint32_t storing_segments; /* of the fragment that the strand has in its hands */
    struct tvs_grant grant;
    uint64_t untold_bytes; /* stored since an acknowledgement was last asked for, */
    uint64_t told_ns;      /* which was then */
    void *segment;         /* the one that is being filled; one hold */
    size_t segment_used_bytes;
    bool rewind_due; /* a seek: the strand is to bring the store back to `rewind_offset` */
    uint64_t rewind_offset;
    bool complete_received;
    uint64_t complete_size;
    uint64_t complete_chunks;
    char complete_etag[TROVE_ETAG_BYTES];
    struct tvs_declared_digest complete_digest;
    bool completed_due;

    /* the way down, under the session's lock */
    uint64_t reserved_bytes; /* of the budget */
    struct tv_sender sender;
    bool sender_ready;     /* it has begun, and not yet ended: the sender, and what goes with it, may be looked at */
    uint64_t early_credit; /* came before the sender was there */
    uint64_t early_expired;
    struct tvs_read_ahead ahead;
    struct tv_chunk *chunks;        /* for the window, without memory: channel_chunks of them */
    struct tv_chunk **spare_chunks; /* those that aren't in the window */
    uint32_t spare_chunk_count;
    struct tv_adaptive *adaptive; /* NULL: not begun, or they have the stream's size */
    uint64_t read_end;            /* where the range ends in the object; of a follower: how far it may read, as far as it knows */
    bool ends;                    /* nothing comes behind read_end, which is constant then: once begun, but for a follower */
    bool parked;                  /* its read-ahead was dropped for others: no reading until the transport asks for data */
    uint64_t pulled_ns;           /* when the transport last did */
    bool sends_nothing;           /* there is no object (yet): only its end is told; constant once begun */
    bool complete_sent;
    bool completed_received; /* two-way: the peer has all of it */

    /* opened to follow */
    struct tvs_feed *feed; /* with a reference; NULL: not yet. Constant, as the next one, once the way up has begun */
    bool follower;         /* another stream writes */
    struct tvs_follower following;
    bool awaits_news; /* it has read all that was written; `told` will come */
    bool feed_closed; /* a read was too late: what becomes of the object is waited for */
    bool settled;     /* that is decided */

    struct tvs_acquire acquire; /* belongs to the pool while the place is awaited; holds a reference then */

    struct tvs_stream *tick_next; /* the timer's alone */

    struct tvs_put *put; /* the way up's strand's alone, as the next one */
    uint64_t fits_bytes; /* an object of so many bytes fits the quota, when that was last looked at */
    struct tvs_get *get; /* the way down's strand's alone */

    /* written by a strand (or the commit), then constant */
    struct tvs_object published;         /* the way up: what became of it */
    struct tvs_wire_gaps published_gaps; /* what it has lost */
    struct tvs_object object;            /* the way down: what is read */
    struct tvs_wire_gaps gaps;           /* where it is read across them: what it has lost */
};

/* Every way that it has has begun: opened may be told. Under the lock. */
static inline bool tvs_stream_begun(const struct tvs_stream *stream) {
    return (!stream->up.open || stream->up.begun) && (!stream->down.open || stream->down.begun);
}

/* Every way that it has is closed: all has been sent. Under the lock. */
static inline bool tvs_stream_ways_closed(const struct tvs_stream *stream) {
    return (!stream->up.open || stream->complete_received) && (!stream->down.open || stream->complete_sent);
}

/* stream_open.c */
/* Opens a stream from an Open frame; answers errors itself. */
void tvs_stream_open(struct tvs_session *session, const tv_frame *frame);
/* Whether such a stream may be opened, or go on. Any thread, not under the lock. Errors: PERMISSION_DENIED. */
trove_status tvs_stream_authorize(struct tvs_session *session, trove_direction direction, bool follow, const char *bucket,
                                  const char *key, trove_error *error);

/* stream_in.c */
/* A frame for a stream that exists, other than its chunks. Not under the lock. */
void tvs_stream_frame(struct tvs_session *session, const tv_frame *frame);
/* Answers a frame for a call id that belongs to no stream: an error if it never did, silence if it has ended. */
void tvs_stream_unknown(struct tvs_session *session, const tv_frame *frame, const char *what);

/* stream.c */
/* The connection has ended: every stream fails. */
void tvs_streams_abandon(struct tvs_session *session, const trove_error *why);
/* Once a second, on the timer's thread: metrics, and the limits of time, which may end it. Not under the lock. */
void tvs_stream_tick(struct tvs_stream *stream, uint64_t now_ns);
/* Somebody waits for memory: gives back what the stream holds and doesn't use. */
void tvs_stream_relieve(struct tvs_stream *stream, uint64_t now_ns);

void tvs_stream_acquire(struct tvs_stream *stream);
void tvs_stream_release(struct tvs_stream *stream);

/* Lets the strands run that don't and have something to do. Under the lock; returns which (TVS_RUN_UP, TVS_RUN_DOWN; 0: none):
 * the caller calls tvs_stream_run with them after unlocking. */
unsigned tvs_stream_schedule(struct tvs_stream *stream) __attribute__((warn_unused_result));
void tvs_stream_run(struct tvs_stream *stream, unsigned strands);

/* Ends the stream (FAIL, CANCEL, COMPLETED), unless it has ended or is being committed. Under the lock; returns as schedule does.
 * The caller wakes the control ring afterwards. */
unsigned tvs_stream_end_locked(struct tvs_stream *stream, enum tv_stream_event event, const trove_error *why)
    __attribute__((warn_unused_result));
/* The same with everything around it. Not under the lock. */
void tvs_stream_end(struct tvs_stream *stream, enum tv_stream_event event, const trove_error *why);
/* Whether the bandwidth of its principal and of its pool lets `bytes` move on this way now; if not, it waits, and bandwidth.turn
 * will be called. What really moves is told by tvs_stream_spend. Under the lock. */
bool tvs_stream_take_turn_locked(struct tvs_stream *stream, struct tvs_way *way, uint64_t bytes);
static inline bool tvs_stream_limited(const struct tvs_stream *stream) {
    return tvs_throttle_limited(&stream->session->bandwidth->throttle) || tvs_throttle_limited(&stream->pool->throttle);
}
static inline void tvs_stream_spend(struct tvs_stream *stream, uint64_t bytes) {
    tvs_throttle_spend(&stream->session->bandwidth->throttle, bytes);
    tvs_throttle_spend(&stream->pool->throttle, bytes);
}
/* One line in the log. By a strand when it cleans up, for logging may wait and isn't done under a lock. */
void tvs_stream_log_end(const struct tvs_stream *stream);
/* Takes a stream that has nothing more to say out of its session. Under the lock; true: drop a reference after unlocking. */
bool tvs_stream_unlist_locked(struct tvs_stream *stream) __attribute__((warn_unused_result));

void tvs_stream_wake(struct tvs_stream *stream, unsigned wants);
/* For a new one. */
void tvs_stream_init_strands(struct tvs_stream *stream);

static inline struct tvs_stream *tvs_stream_of_flow(struct tv_flow *flow) {
    return (struct tvs_stream *)flow;
}

static inline struct tvs_stream *tvs_stream_of_node(struct tv_id_node *node) {
    return (struct tvs_stream *)((char *)node - offsetof(struct tvs_stream, node));
}

/* The stream of a call id, with a reference; NULL if there is none. Under the lock. */
struct tvs_stream *tvs_stream_find(struct tvs_session *session, uint64_t call_id);

/* stream_out.c */
extern const struct tv_flow_ops tvs_stream_flow_ops;

#endif
