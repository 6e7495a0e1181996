/* stream_hooks.h - what a stream's hooks are to be told: acknowledged chunks in a bounded ring, progress merged, the end once.
 *
 * The ring can't overflow: it has room for all chunks that may be unacknowledged and as many again, and a stream whose ring is
 * half full takes no more chunks until the hook thread has caught up (tvc_stream_hooks_keep_up). The client's lock protects it.
 */
#ifndef TVC_STREAM_HOOKS_H
#define TVC_STREAM_HOOKS_H

#include "hooks.h"

struct tvc_stream_hooks {
    trove_stream_hooks program; /* constant */
    bool any;                   /* constant: there is a hook at all */
    struct tvc_hook_job job;
    trove_chunk_ack *acks; /* only where there is on_chunk */
    uint32_t ack_capacity;
    uint32_t ack_first;
    uint32_t ack_count;
    uint64_t progress_next_ns;
    bool progress_due;
    bool progress_late; /* something moved too soon after the last report to be in one */
    bool end_due;
    bool end_done; /* the last hook has returned */
};

/* Before the stream is opened. */
void tvc_stream_hooks_init(trove_stream *stream, const trove_stream_hooks *program);
/* When the number of chunks is agreed on. Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_stream_hooks_size(trove_stream *stream, uint32_t channel_chunks, trove_error *error);
void tvc_stream_hooks_fini(struct tvc_stream_hooks *hooks);

/* All of these under the client's lock. */
void tvc_stream_hooks_chunk(trove_stream *stream, const trove_chunk_ack *ack);
void tvc_stream_hooks_progress(trove_stream *stream, uint64_t now_ns);
/* From time to time: a stream that stands still after a burst reports the last of it. */
void tvc_stream_hooks_tick(trove_stream *stream, uint64_t now_ns);
void tvc_stream_hooks_ended(trove_stream *stream);
/* False: no more chunks may be put under way until the hook thread has caught up. */
bool tvc_stream_hooks_keep_up(const trove_stream *stream);
/* Waits until the last hook has returned; not on the hook thread, where it returns at once. */
void tvc_stream_hooks_wait(trove_stream *stream);

#endif
