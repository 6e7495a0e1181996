/* feed.h - objects that are being written and read at the same time: one writer, any number of followers.
 *
 * The first stream that comes for an object is elected to write it; those that come while it lives follow it. The feed is where
 * they meet: the writer makes its put known, tells how far it has got, and at the end what became of it. A follower is a cursor:
 * it reads the put as far as it was written, at its own pace, and asks to be told when there is more. Nothing of the object is
 * kept here, so a slow follower costs nobody anything.
 *
 *   BEGINNING --open--> OPEN --close--> CLOSED --settle--> SETTLED     (close and settle also from BEGINNING)
 *
 * Only an open feed can be read. A put is published or aborted by nobody but its owner, and not while it is being read: so
 * closing waits for the reads that run, each of which is one call into the driver, and the next ones are refused; what became of
 * the object is told by settling.
 * (Rejected: handing each follower what the writer gets: that needs a buffer for the slowest, and a bound for it.)
 *
 * Threads: any; a lock for the list of feeds, one in each feed, which nest inside a session's and not in one another. What is
 * marked "the writer's" is called by one thread at a time.
 */
#ifndef TVS_FEED_H
#define TVS_FEED_H

#include "drivers/driver.h"

#include <pthread.h>
#include <stdatomic.h>

#define TVS_FEED_SLOTS 256

struct tvs_feed;

/* All feeds of a server. */
struct tvs_feeds {
    pthread_mutex_t lock;
    /* under the lock */
    struct tvs_feed *slots[TVS_FEED_SLOTS];
};

/* Embedded in a stream that follows; zeroed but for the functions. */
struct tvs_follower {
    /* under the feed's lock */
    struct tvs_follower *next;
    struct tvs_follower *previous;
    bool entered;
    bool waiting; /* asked for more: it stands before those that haven't */

    struct tvs_follower *next_told; /* the writer's */

    /* constant */
    void (*acquire)(struct tvs_follower *follower); /* keeps it until `told` has been called; under the feed's lock */
    void (*told)(
        struct tvs_follower *follower); /* there is more, or the feed is settled. On the writer's thread, under no lock */
};

/* What became of the object. */
struct tvs_feed_outcome {
    bool published;
    uint64_t size; /* published: as the next two */
    uint64_t generation;
    char etag[TROVE_ETAG_BYTES];
    trove_error why; /* else */
};

enum tvs_feed_news {
    TVS_FEED_NONE,    /* `told` will be called */
    TVS_FEED_MORE,    /* it has been written further */
    TVS_FEED_SETTLED, /* tvs_feed_outcome */
};

void tvs_feeds_init(struct tvs_feeds *feeds);
void tvs_feeds_fini(struct tvs_feeds *feeds);

/* The feed of an object that is being written, with a reference; if there is none, a new one, which the caller is to write.
 * Copies the names. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_feeds_join(struct tvs_feeds *feeds, const char *bucket, const char *key, struct tvs_feed **feed, bool *writer,
                            trove_error *error);
/* The same for who may not write it; NULL: there is none. */
struct tvs_feed *tvs_feeds_find(struct tvs_feeds *feeds, const char *bucket, const char *key);
/* The last one frees it: it has been retired then. */
void tvs_feed_release(struct tvs_feed *feed);

/* The writer's, in this order. */

/* `put` can be read from now on, by ops->put_read. */
void tvs_feed_open(struct tvs_feed *feed, const struct tvs_driver_ops *ops, struct tvs_put *put);
/* All below `end` has been written. Tells those who wait for it. */
void tvs_feed_grow(struct tvs_feed *feed, uint64_t end);
/* Nobody joins it any more: whoever comes next is elected to write. Any thread, at any time, also twice. */
void tvs_feed_retire(struct tvs_feed *feed);
/* No read begins any more, and none is under way when this returns. Blocks as long as a read does. */
void tvs_feed_close(struct tvs_feed *feed);
/* It has been closed. What became of it: the object that was published (read during the call), or NULL and why not. Tells all
 * followers. */
void tvs_feed_settle(struct tvs_feed *feed, const struct tvs_object *published, const trove_error *why);

/* Followers'. */

/* From now on it is told, once where it asks for more, and of the end. False: it is settled already, and nothing is told. */
bool tvs_feed_enter(struct tvs_feed *feed, struct tvs_follower *follower);
/* It isn't told any more, but for what is under way. Allowed for one that has not entered. */
void tvs_feed_leave(struct tvs_feed *feed, struct tvs_follower *follower);
/* Whether more than `end` has been written; then *end is how much. If not, it will be told. */
enum tvs_feed_news tvs_feed_look(struct tvs_feed *feed, struct tvs_follower *follower, uint64_t *end);
bool tvs_feed_settled(struct tvs_feed *feed);
/* Reads as put_read does, at most to an end that was looked at. *closed: it is closed, nothing was read, and what became of it
 * will be told. Blocks. */
trove_status tvs_feed_read(struct tvs_feed *feed, struct tv_data *data, bool *closed, trove_error *error);
/* Of a settled one; constant. */
const struct tvs_feed_outcome *tvs_feed_outcome(const struct tvs_feed *feed);

#endif
