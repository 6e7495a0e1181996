/* pool_queue.h - who may have a stream of a pool: so many at a time, then first come first served, each until its deadline.
 *
 * Pure: it is given the time and wakes nobody; the client's lock protects it. Tickets lie on the stacks of the threads that wait,
 * so the queue is as long as there are threads, and allocates nothing.
 */
#ifndef TVC_POOL_QUEUE_H
#define TVC_POOL_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum tvc_ticket_state {
    TVC_TICKET_WAITING,
    TVC_TICKET_GRANTED, /* a place is taken */
    TVC_TICKET_EXPIRED, /* the deadline passed first */
    TVC_TICKET_CLOSED,  /* the queue was closed */
};

struct tvc_pool_ticket {
    struct tvc_pool_ticket *previous;
    struct tvc_pool_ticket *next;
    enum tvc_ticket_state state;
    uint64_t deadline_ns;
};

struct tvc_pool_queue {
    uint32_t places; /* constant */
    uint32_t taken;
    uint32_t waiting;
    bool closed;
    struct tvc_pool_ticket *first; /* waiting longest */
    struct tvc_pool_ticket *last;
};

void tvc_pool_queue_init(struct tvc_pool_queue *queue, uint32_t places);

/* Sets the ticket up and takes a place for it, if one is free and nobody waits for it; else it waits (or the queue is closed). */
void tvc_pool_queue_ask(struct tvc_pool_queue *queue, struct tvc_pool_ticket *ticket, uint64_t deadline_ns);
/* Gives a place back. Returns the ticket that has it now, whose owner is to be woken; NULL: nobody waited. */
struct tvc_pool_ticket *tvc_pool_queue_give_back(struct tvc_pool_queue *queue);
/* Ends the wait of a ticket whose deadline has passed; a ticket that doesn't wait any more stays as it is. */
void tvc_pool_queue_expire(struct tvc_pool_queue *queue, struct tvc_pool_ticket *ticket, uint64_t now_ns);
/* No more places are given out, to those who wait neither. Returns the next ticket whose owner is to be woken, until NULL. */
struct tvc_pool_ticket *tvc_pool_queue_close(struct tvc_pool_queue *queue);

#endif
