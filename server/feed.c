/* feed.c - see feed.h. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

enum state {
    BEGINNING,
    OPEN,
    CLOSED,
    SETTLED,
};

struct tvs_feed {
    /* constant */
    struct tvs_feeds *feeds;
    uint64_t hash;

    /* under the lock of the feeds */
    struct tvs_feed *next;
    bool listed;

    pthread_mutex_t lock;
    /* under the lock */
    pthread_cond_t unread; /* the last read has ended */
    enum state state;
    uint64_t end; /* of what was written */
    uint32_t reads;
    struct tvs_follower *first; /* those who wait, then the others */
    struct tvs_follower *last;

    /* constant once open */
    const struct tvs_driver_ops *ops;
    struct tvs_put *put;

    struct tvs_feed_outcome outcome; /* constant once settled */

    atomic_uint references;
    size_t bucket_bytes; /* constant, as the names */
    char names[];        /* bucket and key, each with its NUL */
};

/* ---- all feeds ---- */

void tvs_feeds_init(struct tvs_feeds *feeds) {
    *feeds = (struct tvs_feeds){.slots = {NULL}};
    pthread_mutex_init(&feeds->lock, NULL);
}

void tvs_feeds_fini(struct tvs_feeds *feeds) {
    pthread_mutex_destroy(&feeds->lock);
}

static struct tvs_feed *create(struct tvs_feeds *feeds, const char *bucket, const char *key, uint64_t hash) {
    size_t bucket_bytes = strlen(bucket) + 1;
    size_t key_bytes = strlen(key) + 1;
    struct tvs_feed *feed = calloc(1, sizeof *feed + bucket_bytes + key_bytes);
    if (feed == NULL)
        return NULL;
    feed->feeds = feeds;
    feed->hash = hash;
    feed->bucket_bytes = bucket_bytes;
    memcpy(feed->names, bucket, bucket_bytes);
    memcpy(feed->names + bucket_bytes, key, key_bytes);
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->unread, NULL);
    atomic_init(&feed->references, 0);
    return feed;
}

static struct tvs_feed *find(const struct tvs_feeds *feeds, const char *bucket, const char *key, uint64_t hash) {
    struct tvs_feed *feed = feeds->slots[hash % TVS_FEED_SLOTS];
    while (feed != NULL &&
           (feed->hash != hash || strcmp(feed->names, bucket) != 0 || strcmp(feed->names + feed->bucket_bytes, key) != 0))
        feed = feed->next;
    return feed;
}

static uint64_t hash_of(const char *bucket, const char *key) {
    return tv_hash_seeded(key, strlen(key), tv_hash(bucket, strlen(bucket)));
}

struct tvs_feed *tvs_feeds_find(struct tvs_feeds *feeds, const char *bucket, const char *key) {
    uint64_t hash = hash_of(bucket, key);
    pthread_mutex_lock(&feeds->lock);
    struct tvs_feed *feed = find(feeds, bucket, key, hash);
    if (feed != NULL) /* while it is listed its writer has a reference */
        atomic_fetch_add_explicit(&feed->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&feeds->lock);
    return feed;
}

trove_status tvs_feeds_join(struct tvs_feeds *feeds, const char *bucket, const char *key, struct tvs_feed **feed_out,
                            bool *writer, trove_error *error) {
    uint64_t hash = hash_of(bucket, key);
    pthread_mutex_lock(&feeds->lock);
    struct tvs_feed *feed = find(feeds, bucket, key, hash);
    bool fresh = feed == NULL;
    if (fresh && (feed = create(feeds, bucket, key, hash)) != NULL) {
        struct tvs_feed **slot = &feeds->slots[hash % TVS_FEED_SLOTS];
        feed->next = *slot;
        *slot = feed;
        feed->listed = true;
    }
    if (feed != NULL) /* while it is listed its writer has a reference */
        atomic_fetch_add_explicit(&feed->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&feeds->lock);
    if (feed == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream that others follow");
    *feed_out = feed;
    *writer = fresh;
    return TROVE_OK;
}

void tvs_feed_retire(struct tvs_feed *feed) {
    struct tvs_feeds *feeds = feed->feeds;
    pthread_mutex_lock(&feeds->lock);
    if (feed->listed) {
        struct tvs_feed **at = &feeds->slots[feed->hash % TVS_FEED_SLOTS];
        while (*at != feed)
            at = &(*at)->next;
        *at = feed->next;
        feed->listed = false;
    }
    pthread_mutex_unlock(&feeds->lock);
}

void tvs_feed_release(struct tvs_feed *feed) {
    if (atomic_fetch_sub_explicit(&feed->references, 1, memory_order_acq_rel) != 1)
        return;
    TV_ASSERT(!feed->listed && feed->first == NULL && feed->reads == 0);
    pthread_cond_destroy(&feed->unread);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

/* ---- who follows; under the lock ---- */

static void unlink_follower(struct tvs_feed *feed, struct tvs_follower *follower) {
    *(follower->previous != NULL ? &follower->previous->next : &feed->first) = follower->next;
    *(follower->next != NULL ? &follower->next->previous : &feed->last) = follower->previous;
}

static void link_first(struct tvs_feed *feed, struct tvs_follower *follower) {
    follower->previous = NULL;
    follower->next = feed->first;
    *(feed->first != NULL ? &feed->first->previous : &feed->last) = follower;
    feed->first = follower;
}

static void link_last(struct tvs_feed *feed, struct tvs_follower *follower) {
    follower->next = NULL;
    follower->previous = feed->last;
    *(feed->last != NULL ? &feed->last->next : &feed->first) = follower;
    feed->last = follower;
}

/* Puts those who are to be told on a list, which is the writer's alone: whoever asks again meanwhile is found there by the next
 * change, and that comes after this one was told. */
static void add_told(struct tvs_follower **told, struct tvs_follower *follower) {
    follower->acquire(follower);
    follower->next_told = *told;
    *told = follower;
}

static void tell(struct tvs_follower *told) {
    while (told != NULL) {
        struct tvs_follower *follower = told;
        told = told->next_told;
        follower->told(follower);
    }
}

/* ---- the writer ---- */

void tvs_feed_open(struct tvs_feed *feed, const struct tvs_driver_ops *ops, struct tvs_put *put) {
    pthread_mutex_lock(&feed->lock);
    TV_ASSERT(feed->state == BEGINNING);
    feed->ops = ops;
    feed->put = put;
    feed->state = OPEN;
    pthread_mutex_unlock(&feed->lock);
}

void tvs_feed_grow(struct tvs_feed *feed, uint64_t end) {
    struct tvs_follower *told = NULL;
    pthread_mutex_lock(&feed->lock);
    TV_ASSERT(feed->state == OPEN && end >= feed->end);
    feed->end = end;
    while (feed->first != NULL && feed->first->waiting) {
        struct tvs_follower *follower = feed->first;
        unlink_follower(feed, follower);
        link_last(feed, follower);
        follower->waiting = false;
        add_told(&told, follower);
    }
    pthread_mutex_unlock(&feed->lock);
    tell(told);
}

void tvs_feed_close(struct tvs_feed *feed) {
    pthread_mutex_lock(&feed->lock);
    if (feed->state < CLOSED)
        feed->state = CLOSED;
    while (feed->reads > 0)
        pthread_cond_wait(&feed->unread, &feed->lock);
    pthread_mutex_unlock(&feed->lock);
}

void tvs_feed_settle(struct tvs_feed *feed, const struct tvs_object *published, const trove_error *why) {
    struct tvs_follower *told = NULL;
    pthread_mutex_lock(&feed->lock);
    TV_ASSERT(feed->state == CLOSED);
    feed->state = SETTLED;
    feed->outcome.published = published != NULL;
    if (published != NULL) {
        feed->outcome.size = published->size;
        feed->outcome.generation = published->generation;
        memcpy(feed->outcome.etag, published->etag, sizeof feed->outcome.etag);
    } else {
        feed->outcome.why = *why;
    }
    while (feed->first != NULL) {
        struct tvs_follower *follower = feed->first;
        unlink_follower(feed, follower);
        follower->entered = follower->waiting = false;
        add_told(&told, follower);
    }
    pthread_mutex_unlock(&feed->lock);
    tell(told);
}

/* ---- a follower ---- */

bool tvs_feed_enter(struct tvs_feed *feed, struct tvs_follower *follower) {
    pthread_mutex_lock(&feed->lock);
    TV_ASSERT(!follower->entered);
    bool live = feed->state != SETTLED;
    if (live)
        link_last(feed, follower);
    follower->entered = live;
    pthread_mutex_unlock(&feed->lock);
    return live;
}

void tvs_feed_leave(struct tvs_feed *feed, struct tvs_follower *follower) {
    pthread_mutex_lock(&feed->lock);
    if (follower->entered)
        unlink_follower(feed, follower);
    follower->entered = follower->waiting = false;
    pthread_mutex_unlock(&feed->lock);
}

enum tvs_feed_news tvs_feed_look(struct tvs_feed *feed, struct tvs_follower *follower, uint64_t *end) {
    enum tvs_feed_news news = TVS_FEED_NONE;
    pthread_mutex_lock(&feed->lock);
    if (feed->state == SETTLED) {
        news = TVS_FEED_SETTLED;
    } else if (feed->end > *end) {
        news = TVS_FEED_MORE;
        *end = feed->end;
    } else if (!follower->waiting) {
        TV_ASSERT(follower->entered);
        unlink_follower(feed, follower);
        link_first(feed, follower);
        follower->waiting = true;
    }
    pthread_mutex_unlock(&feed->lock);
    return news;
}

bool tvs_feed_settled(struct tvs_feed *feed) {
    pthread_mutex_lock(&feed->lock);
    bool settled = feed->state == SETTLED;
    pthread_mutex_unlock(&feed->lock);
    return settled;
}

trove_status tvs_feed_read(struct tvs_feed *feed, struct tv_data *data, bool *closed, trove_error *error) {
    pthread_mutex_lock(&feed->lock);
    bool open = feed->state == OPEN;
    TV_ASSERT(!open || data->offset + data->bytes <= feed->end);
    feed->reads += open;
    pthread_mutex_unlock(&feed->lock);
    *closed = !open;
    if (!open)
        return TROVE_OK;
    trove_status status = feed->ops->put_read(feed->put, data, error);
    pthread_mutex_lock(&feed->lock);
    if (--feed->reads == 0)
        pthread_cond_broadcast(&feed->unread);
    pthread_mutex_unlock(&feed->lock);
    return status;
}

const struct tvs_feed_outcome *tvs_feed_outcome(const struct tvs_feed *feed) {
    return &feed->outcome;
}
