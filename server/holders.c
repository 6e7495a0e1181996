/* holders.c - see holders.h. */
#include "holders.h"

#include "stream.h"

#include <string.h>

void tvs_holders_init(struct tvs_holders *holders) {
    memset(holders, 0, sizeof *holders);
    pthread_mutex_init(&holders->lock, NULL);
}

void tvs_holders_fini(struct tvs_holders *holders) {
    pthread_mutex_destroy(&holders->lock);
}

/* Ids are random bits: any of them spread as well as others. */
static struct tvs_holder **slot_of(struct tvs_holders *holders, const struct tvs_upload_id *id) {
    return &holders->slots[(id->bytes[0] | (unsigned)id->bytes[1] << 8) % TVS_HOLDER_SLOTS];
}

void tvs_holders_add(struct tvs_holders *holders, struct tvs_holder *holder) {
    struct tvs_holder **slot = slot_of(holders, &holder->id);
    pthread_mutex_lock(&holders->lock);
    holder->next = *slot;
    *slot = holder;
    holder->here = true;
    holders->count++;
    pthread_mutex_unlock(&holders->lock);
}

void tvs_holders_remove(struct tvs_holders *holders, struct tvs_holder *holder) {
    pthread_mutex_lock(&holders->lock);
    if (holder->here) {
        struct tvs_holder **at = slot_of(holders, &holder->id);
        while (*at != holder)
            at = &(*at)->next;
        *at = holder->next;
        holder->here = false;
        holders->count--;
    }
    pthread_mutex_unlock(&holders->lock);
}

struct tvs_stream *tvs_holders_find(struct tvs_holders *holders, const struct tvs_upload_id *id, uint64_t epoch_below) {
    const struct tvs_holder *found = NULL;
    pthread_mutex_lock(&holders->lock);
    for (const struct tvs_holder *at = *slot_of(holders, id); at != NULL; at = at->next) {
        bool fits = memcmp(&at->id, id, sizeof *id) == 0 && at->epoch < epoch_below;
        if (fits && (found == NULL || at->epoch > found->epoch))
            found = at;
    }
    if (found != NULL)
        tvs_stream_acquire(found->stream);
    struct tvs_stream *stream = found != NULL ? found->stream : NULL;
    pthread_mutex_unlock(&holders->lock);
    return stream;
}

size_t tvs_holders_count(struct tvs_holders *holders) {
    pthread_mutex_lock(&holders->lock);
    size_t count = holders->count;
    pthread_mutex_unlock(&holders->lock);
    return count;
}
