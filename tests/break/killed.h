/* killed.h - what the files of test_killed_server share: objects that are written while the server is killed, and what is known
 * of each. An object has what was acknowledged last or, where an answer was cut off, what it was to become; whole.
 */
#ifndef TROVE_TESTS_KILLED_H
#define TROVE_TESTS_KILLED_H

#include "holder.h"
#include "seeded.h"

#include <trove.h>

#define KILLED_SIZE_MAX    ((size_t)3 << 20)
#define KILLED_OBJECTS_MAX 8 /* of a writer */

struct killed_version {
    bool exists;
    uint64_t content;
    size_t size;
};

struct killed_object {
    char key[64];
    struct killed_version acknowledged;
    struct killed_version attempted;
    bool undecided; /* whether the attempt was done wasn't told */
};

enum killed_kind {
    KILLED_SMALL,     /* in one flight, and deletions */
    KILLED_LARGE,     /* by streams, and copies */
    KILLED_RESUMABLE, /* frame by frame, gone on with after a kill */
};

/* One thread of a cycle. */
struct killed_writer {
    enum killed_kind kind;
    struct seeded random;
    uint64_t operations; /* acknowledged, ever */
    struct killed_object objects[KILLED_OBJECTS_MAX];
    trove_client *client;  /* KILLED_SMALL, KILLED_LARGE */
    struct raw_client raw; /* KILLED_RESUMABLE */
    bool uploading;        /* `upload` is the last object's attempt, and isn't known to be complete */
    unsigned object;       /* whose that is */
    struct holder_upload upload;
    unsigned resumed; /* uploads that went on behind their beginning */
};

void killed_writer_init(struct killed_writer *writer, unsigned number, uint64_t seed);
/* Writes until the server is gone. A thread's function; its argument is the writer. */
void *killed_writer_run(void *argument);
/* Goes on with the upload that was broken off, to its end, through this connection. */
void killed_writer_finish(struct killed_writer *writer, struct raw_client *raw);
/* The object was found to have this; it must be one of what it may have. */
void killed_object_found(struct killed_object *object, const struct killed_version *found);

#endif
