/* fixture.h - a store for a test: opened in a folder of its own, filled and read with few words, removed afterwards. */
#ifndef CONFORMANCE_FIXTURE_H
#define CONFORMANCE_FIXTURE_H

#include "driver.h"
#include "scratch.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Waits, for a minute at the most, for what other threads bring about. */
#define WAIT_FOR(condition)                                                                                                      \
    do {                                                                                                                         \
        time_t until = time(NULL) + 60;                                                                                          \
        while (!(condition)) {                                                                                                   \
            if (time(NULL) > until)                                                                                              \
                fail_msg("still not: %s", #condition);                                                                           \
            usleep(100);                                                                                                         \
        }                                                                                                                        \
    } while (0)

struct store {
    const struct tvs_driver_ops *ops;
    struct tvs_driver *driver;
    struct tvs_driver_config config;
    char path[SCRATCH_BYTES];
};

/* The driver under test, from the program's argument; a program that is for one driver sets it itself. */
extern const struct tvs_driver_ops *fixture_ops;
/* Reads "null", "mem" or "local" from the arguments; ends the program for anything else. */
void fixture_choose(int count, char **arguments);

/* cmocka's setup and teardown: *state is a struct store, open, with the bucket "bucket". */
int store_setup(void **state);
int relaxed_setup(void **state); /* without syncs, for what isn't about them */
int store_teardown(void **state);
void store_open(struct store *store);
void store_close(struct store *store);
void store_renew(struct store *store); /* an empty one, with the bucket "bucket" */

/* Bytes that a seed determines. Page-aligned; free() them. */
char *bytes_make(size_t size, uint64_t seed);

/* How an object is written. Zeroed: in one go, plain. */
struct put_how {
    size_t write_bytes;    /* each put_write has so many (the last one fewer); 0: TV_PAYLOAD_BYTES_MAX */
    size_t iov_bytes;      /* each iov so many; 0: TV_SEGMENT_BYTES */
    size_t shift;          /* the memory lies so many bytes behind an aligned address */
    bool small;            /* put_small */
    const trove_gap *gaps; /* in order; bytes in them aren't written but declared lost */
    size_t gap_count;
    struct tvs_put_options options;
    const char *etag;          /* what the sender says it is; NULL: nothing */
    struct tvs_object *object; /* filled in if not NULL */
};

/* Waits until it is durable. */
trove_status put_object(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size,
                        const struct put_how *how, trove_error *error);
/* Begun and written, for the caller to commit or abort. */
trove_status put_uncommitted(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size,
                             const struct put_how *how, struct tvs_put **put, trove_error *error);
/* Writes bytes[from, to) into a put that has `from` bytes, and loses the gaps that begin there. */
trove_status put_more(struct store *store, struct tvs_put *put, const char *bytes, size_t from, size_t to,
                      const struct put_how *how, trove_error *error);
trove_status put_commit_wait(struct store *store, struct tvs_put *put_move, struct tvs_object *object, trove_error *error);
/* With what the sender says that the etag is. */
trove_status put_commit_as(struct store *store, struct tvs_put *put_move, const char *etag, struct tvs_object *object,
                           trove_error *error);

/* Waits until it is durable. *object: the caller's to finish. */
trove_status copy_object(struct store *store, const char *from_bucket, const char *from_key, const char *to_bucket,
                         const char *to_key, const struct tvs_conditions *conditions, struct tvs_object *object,
                         trove_error *error);

/* Reads from `offset` (a block's) to the end. *bytes: free() them. */
trove_status get_object(struct store *store, const char *bucket, const char *key, uint64_t offset, char **bytes, size_t *size,
                        trove_error *error);
trove_status get_rest(struct store *store, struct tvs_get *get, uint64_t offset, uint64_t end, char *to, trove_error *error);
/* Reads the put's bytes from `from` (a block's) to `to` and compares them with these of the whole object. */
void put_read_hold(struct store *store, struct tvs_put *put, const char *bytes, uint64_t from, uint64_t to);

/* Asserts. The first ones and put_read_hold may be called on any thread: they say on standard error what is wrong, for on another
 * thread than the test's own cmocka ends the program without a word. */
void must(trove_status status, const trove_error *error);
void must_fail(trove_status status, trove_status expected, const trove_error *error, const char *word);
void must_hold(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size);
void must_put(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size);
void must_have_sums(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size);
void must_tell(const struct tvs_object *object, const trove_gap *gaps, size_t count);
/* The counters of a bucket. */
void must_count(struct store *store, const char *bucket, uint64_t objects, uint64_t bytes);

/* A listing as text: "key key dir/ | more": prefixes are marked with a '*' in front. */
char *list_text(struct store *store, const char *prefix, const char *delimiter, const char *after, uint32_t limit);

#endif
