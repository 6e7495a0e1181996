/* pool_queue.c - see pool_queue.h. */
#include "pool_queue.h"

#include "status.h"

#include <stddef.h>

void tvc_pool_queue_init(struct tvc_pool_queue *queue, uint32_t places) {
    TV_ASSERT(places > 0);
    *queue = (struct tvc_pool_queue){.places = places};
}

static void check(const struct tvc_pool_queue *queue) {
    TV_ASSERT(queue->taken <= queue->places);
    TV_ASSERT((queue->waiting == 0) == (queue->first == NULL));
    TV_ASSERT(queue->waiting == 0 || (queue->taken == queue->places && !queue->closed)); /* nobody waits without need */
}

/* Ends a wait: the one function that takes a ticket out. */
static void settle(struct tvc_pool_queue *queue, struct tvc_pool_ticket *ticket, enum tvc_ticket_state state) {
    TV_ASSERT(ticket->state == TVC_TICKET_WAITING);
    if (ticket->previous != NULL)
        ticket->previous->next = ticket->next;
    else
        queue->first = ticket->next;
    if (ticket->next != NULL)
        ticket->next->previous = ticket->previous;
    else
        queue->last = ticket->previous;
    queue->waiting--;
    ticket->previous = ticket->next = NULL;
    ticket->state = state;
}

void tvc_pool_queue_ask(struct tvc_pool_queue *queue, struct tvc_pool_ticket *ticket, uint64_t deadline_ns) {
    *ticket = (struct tvc_pool_ticket){.deadline_ns = deadline_ns};
    if (queue->closed) {
        ticket->state = TVC_TICKET_CLOSED;
    } else if (queue->taken < queue->places) {
        ticket->state = TVC_TICKET_GRANTED;
        queue->taken++;
    } else {
        ticket->state = TVC_TICKET_WAITING;
        ticket->previous = queue->last;
        if (queue->last != NULL)
            queue->last->next = ticket;
        else
            queue->first = ticket;
        queue->last = ticket;
        queue->waiting++;
    }
    check(queue);
}

struct tvc_pool_ticket *tvc_pool_queue_give_back(struct tvc_pool_queue *queue) {
    struct tvc_pool_ticket *next = queue->first;
    TV_ASSERT(queue->taken > 0);
    if (next != NULL)
        settle(queue, next, TVC_TICKET_GRANTED); /* the place goes over */
    else
        queue->taken--;
    check(queue);
    return next;
}

void tvc_pool_queue_expire(struct tvc_pool_queue *queue, struct tvc_pool_ticket *ticket, uint64_t now_ns) {
    if (ticket->state == TVC_TICKET_WAITING && now_ns >= ticket->deadline_ns)
        settle(queue, ticket, TVC_TICKET_EXPIRED);
    check(queue);
}

struct tvc_pool_ticket *tvc_pool_queue_close(struct tvc_pool_queue *queue) {
    struct tvc_pool_ticket *next = queue->first;
    if (next != NULL)
        settle(queue, next, TVC_TICKET_CLOSED);
    queue->closed = queue->first == NULL;
    check(queue);
    return next;
}
