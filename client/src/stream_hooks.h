/* stream_hooks.h - what a stream's hooks are to be told: acknowledged chunks and drops in bounded rings, progress merged, the end
 * once.
 *
 * A stream has up to TROVE_HOOKS_MAX sets of hooks; sets are only added, so what was counted under the lock may be called without
 * it. Entries of the rings are numbered, and a set is told of those that came after it was added. The rings can't overflow. Each
 * has room for all chunks that may be unacknowledged and as many again, and a stream one of whose rings is half full takes no
 * more chunks until the hook thread has caught up (tvc_stream_hooks_keep_up). Drops that lie side by side are one entry while
 * they wait, so a write adds at most one; and between two that don't a chunk was taken, so those that come in with a download are
 * as few as its chunks. (A set that is added in between keeps two of them apart, but there are few sets.) Both ways of a stream
 * share the rings. The client's lock protects it all.
 */
#ifndef TVC_STREAM_HOOKS_H
#define TVC_STREAM_HOOKS_H

#include "job_thread.h"

struct tvc_hook_set {
    trove_stream_hooks program; /* constant */
    uint64_t first_ack;         /* numbers of the first entries it is told of */
    uint64_t first_drop;
};

/* Where the entries of a ring are; they lie in an array of `capacity`. */
struct tvc_ring {
    uint32_t capacity; /* 0: nobody wants to know */
    uint32_t half;     /* so many entries may wait before the next chunk has to */
    uint32_t first;
    uint32_t count;
    uint64_t number; /* of the first entry: as many have been told */
};

struct tvc_stream_hooks {
    struct tvc_hook_set first_set; /* most streams have no other */
    struct tvc_hook_set *more_sets;
    unsigned set_count;
    bool wants_progress;
    bool wants_chunks;
    bool wants_drops;
    bool wants_opened;
    bool wants_seeks;
    struct tvc_job job;
    trove_chunk_ack *acks;
    struct tvc_ring ack_ring;
    trove_drop *drops;
    struct tvc_ring drop_ring;
    uint64_t drop_merge_from; /* entries before it don't grow any more */
    uint64_t progress_next_ns;
    bool progress_due;
    bool progress_late; /* something moved too soon after the last report to be in one */
    bool opened_due;
    bool seek_due;
    uint64_t seek_offset;
    uint64_t seek_first_ack; /* the acknowledgements before this one are told before it */
    bool end_due;
    bool end_done; /* the last hook has returned */
};

/* Before the stream is opened. */
void tvc_stream_hooks_init(trove_stream *stream, const trove_stream_hooks *program);
/* When the stream's chunks are there, and when hooks are added: makes the rings that are wanted. Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_stream_hooks_size(trove_stream *stream, trove_error *error);
void tvc_stream_hooks_fini(struct tvc_stream_hooks *hooks);

/* All of these under the client's lock. */
void tvc_stream_hooks_chunk(trove_stream *stream, const trove_chunk_ack *ack);
/* Chunks that were dropped, in the order of their indexes; fills in the totals, which are the stream's counts, these included. */
void tvc_stream_hooks_drop(trove_stream *stream, trove_drop *drop);
void tvc_stream_hooks_progress(trove_stream *stream, uint64_t now_ns);
/* A resumable upload has an id, or another one. */
void tvc_stream_hooks_opened(trove_stream *stream);
/* The stream goes on at `offset`, for somebody has moved it from outside. */
void tvc_stream_hooks_moved(trove_stream *stream, uint64_t offset);
/* From time to time: a stream that stands still after a burst reports the last of it. */
void tvc_stream_hooks_tick(trove_stream *stream, uint64_t now_ns);
void tvc_stream_hooks_ended(trove_stream *stream);
/* False: no more chunks may be put under way until the hook thread has caught up. */
bool tvc_stream_hooks_keep_up(const trove_stream *stream);
/* Whether to wait for that: RESOURCE_EXHAUSTED on the hook thread, which would wait for itself. */
trove_status tvc_stream_hooks_may_wait(const trove_stream *stream, trove_error *error);
/* Waits until the last hook has returned; not on the hook thread, where it returns at once. */
void tvc_stream_hooks_wait(trove_stream *stream);

#endif
