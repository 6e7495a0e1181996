/* acquire_queue.c - see acquire_queue.h. Pure; under the owner's lock.
 *
 * A list. Deadlines are looked for by walking it: the owner does that once for each deadline, at most some hundred times a
 * second. (Rejected: a timer for each that waits; it would have to be cancelled without the locks under which the queue is left.)
 */
#include "acquire_queue.h"

enum tvs_acquired tvs_acquire_queue_enter(struct tvs_acquire_queue *queue, struct tvs_waiter *waiter, uint32_t places,
                                          uint32_t waiting_max, uint64_t deadline_ns) {
    if (queue->first == NULL && queue->held < places) {
        queue->held++;
        return TVS_ACQUIRED;
    }
    if (queue->waiting >= waiting_max)
        return TVS_ACQUIRE_FULL;
    *waiter =
        (struct tvs_waiter){.previous = queue->last, .deadline_ns = deadline_ns, .place = queue->waiting + 1, .queued = true};
    if (queue->last != NULL)
        queue->last->next = waiter;
    else
        queue->first = waiter;
    queue->last = waiter;
    queue->waiting++;
    return TVS_ACQUIRE_QUEUED;
}

bool tvs_acquire_queue_leave(struct tvs_acquire_queue *queue, struct tvs_waiter *waiter) {
    if (!waiter->queued)
        return false;
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        queue->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        queue->last = waiter->previous;
    waiter->next = waiter->previous = NULL;
    waiter->queued = false;
    queue->waiting--;
    return true;
}

void tvs_acquire_queue_release(struct tvs_acquire_queue *queue) {
    queue->held--;
}

struct tvs_waiter *tvs_acquire_queue_next(struct tvs_acquire_queue *queue, uint32_t places) {
    struct tvs_waiter *waiter = queue->first;
    if (waiter == NULL || queue->held >= places)
        return NULL;
    (void)tvs_acquire_queue_leave(queue, waiter);
    queue->held++;
    return waiter;
}

struct tvs_waiter *tvs_acquire_queue_expired(struct tvs_acquire_queue *queue, uint64_t now_ns) {
    struct tvs_waiter *expired = NULL;
    struct tvs_waiter **last = &expired;
    for (struct tvs_waiter *waiter = queue->first; waiter != NULL;) {
        struct tvs_waiter *next = waiter->next;
        if (waiter->deadline_ns <= now_ns) {
            (void)tvs_acquire_queue_leave(queue, waiter);
            *last = waiter;
            last = &waiter->next;
        }
        waiter = next;
    }
    return expired;
}

uint64_t tvs_acquire_queue_deadline(const struct tvs_acquire_queue *queue) {
    uint64_t earliest_ns = UINT64_MAX;
    for (const struct tvs_waiter *waiter = queue->first; waiter != NULL; waiter = waiter->next)
        if (waiter->deadline_ns < earliest_ns)
            earliest_ns = waiter->deadline_ns;
    return earliest_ns;
}

void tvs_acquire_queue_number(struct tvs_acquire_queue *queue) {
    uint32_t place = 0;
    for (struct tvs_waiter *waiter = queue->first; waiter != NULL; waiter = waiter->next)
        waiter->place = ++place;
}
