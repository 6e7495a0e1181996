/* stream_list.c - see stream_list.h. */
#include "stream_list.h"

#include "stream.h"

static struct tvs_stream *stream_of(struct tvs_listing *listing) {
    return (struct tvs_stream *)((char *)listing - offsetof(struct tvs_stream, listing));
}

static struct tvs_listing *listing_of(struct tv_id_node *node) {
    return (struct tvs_listing *)((char *)node - offsetof(struct tvs_listing, node));
}

trove_status tvs_stream_list_init(struct tvs_stream_list *list, trove_error *error) {
    pthread_mutex_init(&list->lock, NULL);
    return tv_id_table_init(&list->by_id, error);
}

void tvs_stream_list_fini(struct tvs_stream_list *list) {
    tv_id_table_fini(&list->by_id);
    pthread_mutex_destroy(&list->lock);
}

void tvs_stream_list_add(struct tvs_stream_list *list, struct tvs_stream *stream) {
    struct tvs_listing *listing = &stream->listing;
    pthread_mutex_lock(&list->lock);
    stream->id = listing->node.id = ++list->last_id;
    tv_id_table_add(&list->by_id, &listing->node);
    listing->next = NULL;
    listing->previous = list->last;
    if (list->last != NULL)
        list->last->next = listing;
    else
        list->first = listing;
    list->last = listing;
    pthread_mutex_unlock(&list->lock);
}

void tvs_stream_list_remove(struct tvs_stream_list *list, struct tvs_stream *stream) {
    struct tvs_listing *listing = &stream->listing;
    pthread_mutex_lock(&list->lock);
    tv_id_table_remove(&list->by_id, &listing->node);
    if (listing->previous != NULL)
        listing->previous->next = listing->next;
    else
        list->first = listing->next;
    if (listing->next != NULL)
        listing->next->previous = listing->previous;
    else
        list->last = listing->previous;
    pthread_mutex_unlock(&list->lock);
}

struct tvs_stream *tvs_stream_list_find(struct tvs_stream_list *list, uint64_t id) {
    pthread_mutex_lock(&list->lock);
    struct tv_id_node *node = tv_id_table_find(&list->by_id, id);
    struct tvs_stream *stream = node != NULL ? stream_of(listing_of(node)) : NULL;
    if (stream != NULL)
        tvs_stream_acquire(stream);
    pthread_mutex_unlock(&list->lock);
    return stream;
}

/* The first listing behind an id, whether its stream is still there or not. Under the lock. */
static struct tvs_listing *behind(const struct tvs_stream_list *list, uint64_t after_id) {
    struct tv_id_node *node = tv_id_table_find(&list->by_id, after_id);
    if (node != NULL)
        return listing_of(node)->next;
    struct tvs_listing *at = list->first;
    while (at != NULL && at->node.id <= after_id)
        at = at->next;
    return at;
}

size_t tvs_stream_list_page(struct tvs_stream_list *list, const struct tvs_pool *pool, uint64_t after_id,
                            struct tvs_stream **streams, size_t count_max) {
    size_t count = 0;
    pthread_mutex_lock(&list->lock);
    for (struct tvs_listing *at = behind(list, after_id); at != NULL && count < count_max; at = at->next) {
        struct tvs_stream *stream = stream_of(at);
        if (pool != NULL && stream->pool != pool)
            continue;
        tvs_stream_acquire(stream);
        streams[count++] = stream;
    }
    pthread_mutex_unlock(&list->lock);
    return count;
}
