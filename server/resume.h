/* resume.h - what a resumable upload has besides an upload: how it is begun or attached to, made durable on its way, and parked
 * when its stream ends. See stream.h, and driver.h for what the store does.
 *
 * The strand asks the store for the upload, whose answer comes later and from elsewhere; then it ends the streams that held it
 * before, opens the put, and goes on like any upload. While such a stream is still in the store the next one waits: it is told
 * when they have let go, within a bounded time. No worker waits, and nothing waits under a lock.
 * When the stream ends otherwise than by completing, what it has taken is flushed and the put let go of: the upload stays. Only a
 * client's cancel aborts it.
 */
#ifndef TVS_RESUME_H
#define TVS_RESUME_H

#include "flush_policy.h"
#include "holders.h"
#include "rpc.h"

/* Calls of Uploads/Flush that may wait for one upload. */
#define TVS_FLUSH_CALLS_MAX 16

enum tvs_resume_phase {
    TVS_RESUME_ASK,   /* the store is to be asked for the upload */
    TVS_RESUME_ASKED, /* its answer will come */
    TVS_RESUME_OPEN,  /* it has come: the put is to be opened */
    TVS_RESUME_WAIT,  /* an older holder is still in the store: it will say when not any more */
    TVS_RESUME_HELD,  /* the put is there */
    TVS_RESUME_OVER,  /* the upload was complete already */
};

/* A call of Uploads/Flush that waits; malloc'd. */
struct tvs_flush_call {
    struct tvs_flush_call *next;
    struct tvs_rpc rpc;
    uint64_t offset; /* that it waits for */
};

struct tvs_resume {
    struct tvs_holder holder; /* id and epoch: constant once the store has answered */

    /* constant */
    bool attaches; /* by the upload's id, which the holder has from the beginning; else by the request's */
    uint8_t request_id[TVS_REQUEST_ID_BYTES];
    uint64_t keep_bytes;
    uint64_t written; /* attaches: who does has no more than that; UINT64_MAX: it goes on anywhere */

    /* under the session's lock */
    enum tvs_resume_phase phase;
    bool busy;             /* the store was asked something; its answer will come */
    bool again;            /* an older holder has let go since the put was tried */
    uint64_t wait_ends_ns; /* no longer for older holders */
    uint64_t first_offset; /* where this stream has gone on */
    uint64_t durable_offset;
    uint64_t expires_ns;
    bool durable_due; /* the peer is to be told */
    struct tvs_flush_policy flush;
    bool fenced;   /* by a younger holder: the store would refuse everything */
    bool broken;   /* the put has failed, and is good for nothing */
    bool parked;   /* the last flush was tried, where one was needed */
    bool given_up; /* by the client, or it fits no quota: the upload goes as well */
    struct tvs_flush_call *calls;
    unsigned call_count;
};

/* What an open asks for. *resume is NULL for a stream that isn't resumable. Errors: INVALID_ARGUMENT, UNIMPLEMENTED (not with
 * this store), RESOURCE_EXHAUSTED. */
trove_status tvs_resume_create(struct tvs_server *server, const Trove__V1__Open *open, struct tvs_resume **resume,
                               trove_error *error);

/* Of streams that have one; under the lock. */
bool tvs_resume_begins_locked(const struct tvs_stream *stream); /* there is something to do before the way up has begun */
bool tvs_resume_flush_due_locked(const struct tvs_stream *stream);
/* From here on nobody seeks to below what the flush will make durable: by the same hold of the lock that has found it due. */
void tvs_resume_flush_begin_locked(struct tvs_stream *stream);
/* Where the stream may still go back to. */
uint64_t tvs_resume_least_offset_locked(const struct tvs_stream *stream);
/* Frames that carry an epoch: ABORTED for another one. */
trove_status tvs_resume_check_epoch_locked(const struct tvs_stream *stream, uint64_t epoch, trove_error *error);
/* Once a second; returns as schedule does. */
unsigned tvs_resume_tick_locked(struct tvs_stream *stream, uint64_t now_ns) __attribute__((warn_unused_result));

/* For the strand: a step towards the put; a flush that has begun; whether the end has to wait for one (then the strand comes
 * again); and when the put was let go of. */
void tvs_resume_begin(struct tvs_stream *stream);
void tvs_resume_flush(struct tvs_stream *stream);
bool tvs_resume_park(struct tvs_stream *stream);
void tvs_resume_leave(struct tvs_stream *stream);

/* Calls of Uploads/Flush that wait are answered, where `why` is NULL with what is durable now: nothing more will be. Not under
 * the lock. */
void tvs_resume_answer_all(struct tvs_stream *stream, uint64_t durable_offset, const trove_error *why);
/* The server ends: the stream is parked, unless it is being published. Not under the lock. */
void tvs_resume_drain(struct tvs_stream *stream);
/* A call of Uploads/Flush: answered when all that was taken is durable, perhaps at once. Not under the lock.
 * Errors: ABORTED (another epoch, or it has ended), RESOURCE_EXHAUSTED. */
trove_status tvs_resume_flush_call(struct tvs_stream *stream, uint64_t epoch, struct tvs_rpc *rpc, trove_error *error);

#endif
