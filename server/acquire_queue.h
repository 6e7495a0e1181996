/* acquire_queue.h - places for streams, and who waits for one: first come, first served, each until its deadline.
 *
 * Pure: it decides who gets a place; it tells nobody and knows no clock. The owner's lock protects it. A raised limit is served
 * by tvs_acquire_queue_next, a lowered one takes nobody's place away.
 */
#ifndef TVS_ACQUIRE_QUEUE_H
#define TVS_ACQUIRE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in what waits; zeroed before the first use. */
struct tvs_waiter {
    struct tvs_waiter *next;
    struct tvs_waiter *previous;
    uint64_t deadline_ns;
    uint32_t place; /* from 1 on; at its entry, or as tvs_acquire_queue_number found it */
    bool queued;
};

struct tvs_acquire_queue {
    struct tvs_waiter *first;
    struct tvs_waiter *last;
    uint32_t waiting;
    uint32_t held; /* places that are taken */
};

enum tvs_acquired {
    TVS_ACQUIRED,       /* the place is the caller's, to be given back by tvs_acquire_queue_release */
    TVS_ACQUIRE_QUEUED, /* the waiter is in the queue */
    TVS_ACQUIRE_FULL,   /* as many as `waiting_max` wait already */
};

/* Takes one of `places` if there is one and nobody waits for it; else queues. */
enum tvs_acquired tvs_acquire_queue_enter(struct tvs_acquire_queue *queue, struct tvs_waiter *waiter, uint32_t places,
                                          uint32_t waiting_max, uint64_t deadline_ns);
/* Out of the queue, without a place. False: it wasn't in it. */
bool tvs_acquire_queue_leave(struct tvs_acquire_queue *queue, struct tvs_waiter *waiter);
/* Gives a place back. */
void tvs_acquire_queue_release(struct tvs_acquire_queue *queue);

/* Takes out the one whose turn it is; a place is its own now. NULL: nobody waits, or no place is free. */
struct tvs_waiter *tvs_acquire_queue_next(struct tvs_acquire_queue *queue, uint32_t places);
/* Takes out all whose deadline has passed (UINT64_MAX: all), without a place: a list linked by `next`, in order; NULL: none. */
struct tvs_waiter *tvs_acquire_queue_expired(struct tvs_acquire_queue *queue, uint64_t now_ns);

/* The earliest deadline; UINT64_MAX: nobody waits. */
uint64_t tvs_acquire_queue_deadline(const struct tvs_acquire_queue *queue);
/* Sets `place` of all that wait: a walk for whoever lists many, rather than one for each of them. */
void tvs_acquire_queue_number(struct tvs_acquire_queue *queue);

#endif
