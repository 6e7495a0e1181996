/* stream_list.h - all streams of a server, of all connections, by id: for lists, and for whoever controls one from outside.
 *
 * Ids count up and are given out here, so that the list is in their order. They begin anywhere: who has an id of the server that
 * was here before, and controls that stream now, perhaps because the call has waited for the connection, must not meet another
 * one. A stream is listed from its opening until the peer has been told its end; whoever lists it holds a reference meanwhile, so
 * what is found here can be held in its turn.
 * Whoever goes through all of them does so in pages, and a page begins behind an id whether its stream is still there or not:
 * that is found by a treap over the ids, in logarithmic time. (Rejected: a hash table alone. The successor of an id that is gone
 * must be looked for from the beginning, and that under the lock.)
 * Threads: any; one lock, which nests inside a session's, and is never held for longer than some hundred streams take.
 */
#ifndef TVS_STREAM_LIST_H
#define TVS_STREAM_LIST_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct tvs_pool;
struct tvs_stream;

/* Embedded in a stream; under the list's lock. */
struct tvs_listing {
    uint64_t id; /* the stream's */
    struct tvs_listing *next;
    struct tvs_listing *previous;
    struct tvs_listing *less; /* the treap's branches */
    struct tvs_listing *greater;
};

struct tvs_stream_list {
    uint64_t seed; /* constant */

    pthread_mutex_t lock;
    /* under the lock */
    struct tvs_listing *root;
    struct tvs_listing *last;
    uint64_t last_id;
};

void tvs_stream_list_init(struct tvs_stream_list *list);
void tvs_stream_list_fini(struct tvs_stream_list *list);

/* Gives the stream its id. */
void tvs_stream_list_add(struct tvs_stream_list *list, struct tvs_stream *stream);
void tvs_stream_list_remove(struct tvs_stream_list *list, struct tvs_stream *stream);

/* With a reference; NULL if there is none. */
struct tvs_stream *tvs_stream_list_find(struct tvs_stream_list *list, uint64_t id);
/* The first streams behind `after_id`, at most count_max, each with a reference; of one pool, or of all where it is NULL. */
size_t tvs_stream_list_page(struct tvs_stream_list *list, const struct tvs_pool *pool, uint64_t after_id,
                            struct tvs_stream **streams, size_t count_max);

#endif
