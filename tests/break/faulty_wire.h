/* faulty_wire.h - what the files of test_faulty_wire share: an operation of libtrove over a bad connection, and what must hold
 * after it. An operation that says OK has done what it says, and one that fails says so in time, with a canonical status and a
 * message; the object is then what it was before or, where the answer was lost, what it was to become, whole.
 */
#ifndef TROVE_TESTS_FAULTY_WIRE_H
#define TROVE_TESTS_FAULTY_WIRE_H

#include "seeded.h"

#include <trove.h>

#define FAULTY_BUCKET     "faulty"
#define FAULTY_SIZE_MAX   ((size_t)2 << 20)
#define FAULTY_LIST       "list/"
#define FAULTY_LIST_COUNT 1200
#define FAULTY_STEP_MS    3000 /* what an operation may take that makes no progress */

/* An object's bytes: content and size tell them all. */
struct faulty_version {
    bool exists;
    uint64_t content;
    size_t size;
};

struct faulty_object {
    char key[64];
    struct faulty_version now;
};

/* What a thread of the test has for itself. */
struct faulty_worker {
    trove_client *direct; /* without the proxy in between */
    trove_client *client; /* through it; NULL: not connected */
    struct seeded random;
    uint64_t seed;             /* of the round */
    unsigned keys;             /* used in this round */
    struct faulty_object base; /* is there, and nobody changes it */
    uint8_t *bytes;            /* FAULTY_SIZE_MAX */
    uint8_t *got;              /* FAULTY_SIZE_MAX + 1 */
    unsigned statuses[17];     /* how many operations have ended so */
};

/* Each does one thing and checks it; the client is done with when it has failed. */
trove_status faulty_connect(struct faulty_worker *worker, const char *url);
trove_status faulty_put(struct faulty_worker *worker);
trove_status faulty_get(struct faulty_worker *worker);
trove_status faulty_list(struct faulty_worker *worker);
trove_status faulty_two_way(struct faulty_worker *worker);
trove_status faulty_seek_upload(struct faulty_worker *worker);
trove_status faulty_seek_download(struct faulty_worker *worker);

/* ---- for the operations ---- */

/* Draws a version for a key that was never used before. */
struct faulty_version faulty_draw_version(struct faulty_worker *worker);
void faulty_new_key(struct faulty_worker *worker, char key[64]);
/* Stores it without faults. */
void faulty_store(struct faulty_worker *worker, struct faulty_object *object, struct faulty_version version);
/* After an operation that was to make `next` of the object. */
void faulty_check_object(struct faulty_worker *worker, const struct faulty_object *object, struct faulty_version next,
                         trove_status status);
/* Counts it. A failure must be one that a bad connection may cause, and have a message; `began_ms` is when it began. */
trove_status faulty_ended(struct faulty_worker *worker, const char *what, uint64_t began_ms, trove_status status,
                          const trove_error *error);

#endif
