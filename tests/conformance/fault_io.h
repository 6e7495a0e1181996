/* fault_io.h - a table of system calls for the local driver that counts, and fails what it is told to. */
#ifndef CONFORMANCE_FAULT_IO_H
#define CONFORMANCE_FAULT_IO_H

#include "store_io.h"

#include <stdatomic.h>
#include <stdbool.h>

enum fault_call {
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SET_LENGTH,
    FAULT_SYNC,
    FAULT_SYNC_DIRECTORY,
    FAULT_UNLINK,
    FAULT_CLOSE,
    FAULT_MAKE_DIRECTORY,
    FAULT_RENAME,
    FAULT_CLONE,
    FAULT_FREE_BYTES,
    FAULT_INDEX_WRITE,
    FAULT_CALLS, /* how many there are */
    FAULT_ANY,   /* as a plan's: whichever of them, but for writes of the index, which end the process */
};

/* All zero: everything works. */
struct fault_plan {
    enum fault_call call;  /* which one fails, */
    unsigned nth;          /* the nth of it from now on (1 is the next); 0: none */
    int error_number;      /* with this */
    bool lasting;          /* and all of it behind that */
    bool refuse_direct;    /* O_DIRECT is EINVAL at open */
    bool refuse_alignment; /* O_DIRECT is taken, and each write then EINVAL until it is gone */
    bool clone;            /* FICLONE works: by copying */
    bool no_space;         /* the file system says that it is full */
    bool short_moves;      /* every read and write moves half of what it could */
    bool hold_index;       /* writes of the index wait until this is taken back */
    bool hold_unlink;      /* removals likewise */
};

/* Any thread, at any time. Forgets how often something was made to fail. */
void fault_plan_set(struct fault_plan plan);

extern atomic_uint fault_counts[FAULT_CALLS]; /* they only grow */
extern atomic_uint fault_hits;                /* how often something was made to fail */

/* From how many places of the source calls were made to fail so far. */
unsigned fault_sites(void);
/* How many places there are, and how often calls of one of them came, and were made to fail. */
unsigned fault_sites_all(void);
const struct tvs_io_site *fault_site(unsigned index, unsigned *calls_made, unsigned *failed);

/* The places that the calls since the plan was set came from, in order, but for writes of the index; at most `capacity` of
 * them. */
size_t fault_trace(const struct tvs_io_site **to, size_t capacity);

/* Puts the table in place; once, before the first store is opened. */
void fault_io_install(void);
/* From now on a sync that isn't made to fail does nothing: for tests in which nobody cuts the power, and which have many. */
void fault_io_without_syncs(void);

#endif
