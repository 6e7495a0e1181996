/* stream_list.h - all streams of a server, of all connections, by id: for lists, and for whoever controls one from outside.
 *
 * Ids count up and are given out here, so that the list is in their order. A stream is listed from its opening until the peer has been
 * told its end; whoever lists it holds a reference meanwhile, so what is found here can be held in its turn.
 * Threads: any; one lock, which nests inside a session's.
 */
#ifndef TVS_STREAM_LIST_H
#define TVS_STREAM_LIST_H

#include "id_table.h"

#include <pthread.h>

struct tvs_pool;
struct tvs_stream;

/* Embedded in a stream. */
struct tvs_listing {
    struct tv_id_node node; /* the stream's id */
    struct tvs_listing *next;
    struct tvs_listing *previous;
};

struct tvs_stream_list {
    pthread_mutex_t lock;
    /* under the lock */
    struct tv_id_table by_id;
    struct tvs_listing *first;
    struct tvs_listing *last;
    uint64_t last_id;
};

trove_status tvs_stream_list_init(struct tvs_stream_list *list, trove_error *error);
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
