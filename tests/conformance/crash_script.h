/* crash_script.h - what the crash tests do to a store, and what may be there afterwards.
 *
 * A script is drawn from a seed: some threads, each with keys and uploads of its own, that put, copy, delete, begin resumable
 * puts, flush them, go back in them, take them over, commit and abort them, one step after the other. Each step is acknowledged
 * when the store has said that it is done. After a crash it is known how many were, and of each thread at most one more was under
 * way: so everything must be as it was after the last acknowledged step, or as after the one behind it.
 */
#ifndef CONFORMANCE_CRASH_SCRIPT_H
#define CONFORMANCE_CRASH_SCRIPT_H

#include "uploads.h"

enum {
    CRASH_THREADS = 2,
    CRASH_STEPS = 16, /* of each thread */
    CRASH_KEYS = 3,
    CRASH_SLOTS = 2 /* uploads at a time */
};

enum crash_kind {
    CRASH_PUT,
    CRASH_DELETE,
    CRASH_COPY,
    CRASH_BEGIN,    /* a resumable put, and opens it */
    CRASH_WRITE,    /* without a flush */
    CRASH_FLUSH,    /* writes and flushes */
    CRASH_REWIND,   /* not below what was flushed */
    CRASH_TAKEOVER, /* another holder, who forgets what wasn't flushed */
    CRASH_COMMIT,
    CRASH_ABORT,
};

struct crash_step {
    enum crash_kind kind;
    unsigned key, to_key, slot;
    uint64_t seed; /* of the bytes */
    uint64_t size; /* of a put, of a resumable one in all; write, flush, rewind: to where */
};

struct crash_script {
    uint64_t seed;
    struct crash_step steps[CRASH_THREADS][CRASH_STEPS];
};

void crash_script_make(uint64_t seed, struct crash_script *script);
/* Runs it on an open store that has the bucket "bucket". `ack` comes from the script's threads, after each step. */
void crash_script_run(const struct crash_script *script, struct store *store, void (*ack)(unsigned thread));
/* Opens the store, asserts that it is what may be left when so many steps had been acknowledged, finishes what isn't, asserts
 * that nothing lies about, and leaves it open. */
void crash_script_check(const struct crash_script *script, struct store *store, const unsigned acked[CRASH_THREADS]);

#endif
