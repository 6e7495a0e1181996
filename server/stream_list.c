/* stream_list.c - see stream_list.h.
 *
 * The treap: in order by id, and each listing's priority, a hash of its id, is greater than those below it. Nobody outside knows
 * the seed, so nobody can make it deep by ending the right streams.
 */
#include "stream_list.h"

#include "container.h"
#include "data.h"
#include "stream.h"

#include <sodium.h>
#include <sys/random.h>

/* Where ids begin: of so few digits that people can type them. */
#define FIRST_ID_BELOW (UINT32_C(1) << 26)
/* Streams that are looked at in one go, under the lock. */
#define LOOK_AT_ONCE 512

static struct tvs_stream *stream_of(struct tvs_listing *listing) {
    return TV_CONTAINER_OF(listing, struct tvs_stream, listing);
}

void tvs_stream_list_init(struct tvs_stream_list *list) {
    *list = (struct tvs_stream_list){0};
    pthread_mutex_init(&list->lock, NULL);
    if (getrandom(&list->seed, sizeof list->seed, 0) != (ssize_t)sizeof list->seed)
        list->seed = tv_now_ns();
    list->last_id = randombytes_random() % FIRST_ID_BELOW;
}

void tvs_stream_list_fini(struct tvs_stream_list *list) {
    TV_ASSERT(list->root == NULL);
    pthread_mutex_destroy(&list->lock);
}

/* ---- the treap; under the lock ---- */

static uint64_t priority(const struct tvs_stream_list *list, const struct tvs_listing *listing) {
    return tv_hash_seeded(&listing->id, sizeof listing->id, list->seed);
}

/* Its id is greater than all others. */
static void insert_last(struct tvs_stream_list *list, struct tvs_listing *listing) {
    struct tvs_listing **at = &list->root;
    uint64_t own = priority(list, listing);
    while (*at != NULL && priority(list, *at) > own)
        at = &(*at)->greater;
    listing->less = *at;
    listing->greater = NULL;
    *at = listing;
}

/* Its branches take its place, joined: of each pair of roots the one with the greater priority comes on top. */
static void take_out(struct tvs_stream_list *list, struct tvs_listing *listing) {
    struct tvs_listing **at = &list->root;
    while (*at != listing)
        at = (*at)->id > listing->id ? &(*at)->less : &(*at)->greater;
    struct tvs_listing *less = listing->less;
    struct tvs_listing *greater = listing->greater;
    while (less != NULL && greater != NULL) {
        if (priority(list, less) > priority(list, greater)) {
            *at = less;
            at = &less->greater;
            less = less->greater;
        } else {
            *at = greater;
            at = &greater->less;
            greater = greater->less;
        }
    }
    *at = less != NULL ? less : greater;
}

/* The first one from an id on, that of a stream or not; NULL: none. */
static struct tvs_listing *seek(const struct tvs_stream_list *list, uint64_t id) {
    struct tvs_listing *best = NULL;
    for (struct tvs_listing *at = list->root; at != NULL;) {
        if (at->id >= id) {
            best = at;
            at = at->less;
        } else {
            at = at->greater;
        }
    }
    return best;
}

/* ---- the list ---- */

void tvs_stream_list_add(struct tvs_stream_list *list, struct tvs_stream *stream) {
    struct tvs_listing *listing = &stream->listing;
    pthread_mutex_lock(&list->lock);
    stream->id = listing->id = ++list->last_id;
    listing->next = NULL;
    listing->previous = list->last;
    if (list->last != NULL)
        list->last->next = listing;
    list->last = listing;
    insert_last(list, listing);
    pthread_mutex_unlock(&list->lock);
}

void tvs_stream_list_remove(struct tvs_stream_list *list, struct tvs_stream *stream) {
    struct tvs_listing *listing = &stream->listing;
    pthread_mutex_lock(&list->lock);
    take_out(list, listing);
    if (listing->previous != NULL)
        listing->previous->next = listing->next;
    if (listing->next != NULL)
        listing->next->previous = listing->previous;
    else
        list->last = listing->previous;
    pthread_mutex_unlock(&list->lock);
}

struct tvs_stream *tvs_stream_list_find(struct tvs_stream_list *list, uint64_t id) {
    pthread_mutex_lock(&list->lock);
    struct tvs_listing *listing = seek(list, id);
    struct tvs_stream *stream = listing != NULL && listing->id == id ? stream_of(listing) : NULL;
    if (stream != NULL)
        tvs_stream_acquire(stream);
    pthread_mutex_unlock(&list->lock);
    return stream;
}

/* A stretch of a page. False: there is nothing behind it. */
static bool take_some(struct tvs_stream_list *list, const struct tvs_pool *pool, uint64_t *after_id, struct tvs_stream **streams,
                      size_t *count, size_t count_max) {
    pthread_mutex_lock(&list->lock);
    struct tvs_listing *at = *after_id < UINT64_MAX ? seek(list, *after_id + 1) : NULL;
    for (unsigned looked = 0; at != NULL && looked < LOOK_AT_ONCE && *count < count_max; at = at->next, looked++) {
        struct tvs_stream *stream = stream_of(at);
        *after_id = at->id;
        if (pool != NULL && stream->pool != pool)
            continue;
        tvs_stream_acquire(stream);
        streams[(*count)++] = stream;
    }
    pthread_mutex_unlock(&list->lock);
    return at != NULL;
}

size_t tvs_stream_list_page(struct tvs_stream_list *list, const struct tvs_pool *pool, uint64_t after_id,
                            struct tvs_stream **streams, size_t count_max) {
    size_t count = 0;
    while (take_some(list, pool, &after_id, streams, &count, count_max) && count < count_max)
        continue;
    return count;
}
