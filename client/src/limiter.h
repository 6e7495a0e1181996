/* limiter.h - a limit of bytes per second that many share: a token bucket, and the queue of those who wait for it.
 *
 * Who wants to move bytes asks; when it may, it moves one piece and says how much that was; else it is put into the queue and
 * told when it may try again. Turns are numbered by when they were first refused: who was let out of the queue and hasn't moved
 * yet comes before all who came later, so equal wishes get equal shares, whatever their number. Whoever finds others waiting
 * waits behind them. Pure: it is given the time and wakes nobody; the client's lock protects it. (Rejected: a timer for each
 * stream, which come back in whatever order they fire; shares set aside for each stream, which idle ones waste.)
 */
#ifndef TVC_LIMITER_H
#define TVC_LIMITER_H

#include "token_bucket.h"

struct tvc_turn {
    struct tvc_turn *next;
    uint64_t number; /* 0: it wasn't refused since it last moved */
    bool waiting;    /* in the queue */
    void *owner;     /* constant: who is to be woken */
};

struct tvc_limiter {
    struct tv_token_bucket bucket;
    uint64_t piece_bytes; /* constant: at most so much is moved at a time */
    unsigned batch;       /* constant: so many are let out of the queue at once */
    unsigned let_out;     /* of this batch */
    struct tvc_turn *first;
    struct tvc_turn *last;
    uint64_t last_number;
    uint64_t due_ns; /* when the queue is to be looked at; UINT64_MAX while it is empty */
};

/* bytes_per_second isn't 0. */
void tvc_limiter_init(struct tvc_limiter *limiter, uint64_t bytes_per_second, uint64_t now_ns);

/* The size of pieces that goes well with a limit: sixteen a second, within what frames allow. */
uint64_t tvc_limiter_piece(uint64_t bytes_per_second);

/* Whether a piece may be moved now. False: the turn waits in the queue. */
bool tvc_limiter_ask(struct tvc_limiter *limiter, struct tvc_turn *turn, uint64_t now_ns);
/* What was moved after that. */
void tvc_limiter_moved(struct tvc_limiter *limiter, struct tvc_turn *turn, uint64_t bytes, uint64_t now_ns);
/* There is nothing to be moved any more. */
void tvc_limiter_leave(struct tvc_limiter *limiter, struct tvc_turn *turn);

/* Lets the turn out of the queue that may try now, and is to be woken; NULL: none. `due_ns` is moved when it returns NULL, so
 * that it is to be called until it does, or again later. */
struct tvc_turn *tvc_limiter_next(struct tvc_limiter *limiter, uint64_t now_ns);

#endif
