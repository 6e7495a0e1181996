/* stream_limit.h - how limits of bandwidth hold a stream back: its own, and that of its pool.
 *
 * Before it moves bytes a way of a stream asks; what may not be moved yet waits in the limiter's queue, and the stream's flow is
 * woken when it may try again. The way up asks for each frame of a chunk. The way down asks for each grant of credit, so the
 * server is never allowed more than may be moved. Each has turns of its own, so that neither starves the other. The client's lock
 * protects all of it.
 */
#ifndef TVC_STREAM_LIMIT_H
#define TVC_STREAM_LIMIT_H

#include "limiter.h"
#include "status.h"

/* A limiter that the client's alarm looks at while somebody waits for it. */
struct tvc_limit {
    struct tvc_limiter limiter;
    struct tvc_limit *previous;
    struct tvc_limit *next;
    bool listed;
};

struct tvc_half;

struct tvc_stream_limit {
    struct tvc_limit *own;    /* NULL: none */
    struct tvc_limit *shared; /* its pool's; NULL: none */
    uint64_t chunk_bytes;     /* what goes well with the limits, for a stream that doesn't say; 0: anything */
};

/* NULL: no memory. */
struct tvc_limit *tvc_limit_create(uint64_t bytes_per_second);

/* Before anyone else sees the stream. `shared` (may be NULL) is shared by up to shared_streams. Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_stream_limit_init(trove_stream *stream, uint64_t bytes_per_second, struct tvc_limit *shared,
                                   uint32_t shared_streams, trove_error *error);
void tvc_stream_limit_fini(struct tvc_stream_limit *limit);
static inline bool tvc_stream_limited(const struct tvc_stream_limit *limit) {
    return limit->own != NULL || limit->shared != NULL;
}

/* Of `bytes`, how many may be moved now; 0: the stream is woken when it is its turn. Under the lock. */
uint64_t tvc_stream_limit_ask(struct tvc_half *half, uint64_t bytes);
/* What was moved after that. Under the lock. */
void tvc_stream_limit_moved(struct tvc_half *half, uint64_t bytes);
/* There is nothing to be moved any more. Under the lock. */
void tvc_stream_limit_leave(struct tvc_half *half);
/* The way down: how much of the credit that is due may be granted now; it counts as moved. Under the lock. */
uint64_t tvc_stream_limit_grant(trove_stream *stream, uint64_t due_bytes);

/* Wakes those whose turn it is. Without the lock. */
void tvc_limits_look(struct trove_client *client, uint64_t now_ns);

#endif
