/* grant.h - how much credit an upload gets, and how much bandwidth and memory has to stand behind it.
 *
 * A stream's payloads are laid end to end in segments of the pool, so that small chunks share one. What may still come, is coming
 * or waits for the store is charged; a reservation of whole segments has to cover it, and one more, because a run of bytes may
 * begin and end inside segments. Always: charged <= covered, so credit never exceeds memory.
 * Bandwidth is asked for a chunk at a time, and before memory, which others could use meanwhile; where it is limited the next
 * chunk has its own turn.
 * Pure: it takes the receiver's state, and says what to take of the bandwidth, what to reserve, what to grant and what can be
 * given back; the owner asks the pool and the budget. Under the owner's lock.
 */
#ifndef TVS_GRANT_H
#define TVS_GRANT_H

#include "receiver.h"

struct tvs_grant {
    uint64_t chunk_bytes;    /* constant: a chunk's credit, and memory, is asked for at once */
    uint64_t window_bytes;   /* constant: a stream never has more */
    uint64_t demand_bytes;   /* as the peer has told */
    uint64_t admitted_bytes; /* taken of the bandwidth, not granted yet */
    uint64_t reserved_bytes; /* of the budget */
    uint64_t storing_bytes;  /* segments of what came before a seek and is still on its way into the store */
    uint64_t credit_due;     /* granted, not yet told */
    uint64_t expired_due;    /* taken back, not yet told */
};

enum tvs_grant_step {
    TVS_GRANT_DONE,    /* no more is wanted, or all of it is granted */
    TVS_GRANT_ADMIT,   /* so much has to be taken of the bandwidth first: tvs_grant_admit */
    TVS_GRANT_RESERVE, /* so much more has to be reserved first */
    TVS_GRANT_CREDIT,  /* tvs_grant_give */
};

/* What to do next for the stream to have what it wants; *bytes of it. `limited`: the bandwidth is, and nothing is granted beyond
 * what was taken of it. */
enum tvs_grant_step tvs_grant_next(const struct tvs_grant *grant, const struct tv_receiver *receiver, bool limited,
                                   uint64_t *bytes);

/* The bandwidth allows `bytes` to come. */
void tvs_grant_admit(struct tvs_grant *grant, uint64_t bytes);

/* Grants, to be told. */
void tvs_grant_give(struct tvs_grant *grant, struct tv_receiver *receiver, uint64_t bytes);

/* Takes back what the peer hasn't used. False: nothing. */
bool tvs_grant_expire(struct tvs_grant *grant, struct tv_receiver *receiver);

/* The reservation that what is charged, or still being stored, needs; the rest can be given back. */
uint64_t tvs_grant_needed(const struct tvs_grant *grant, const struct tv_receiver *receiver);

/* What may come, is coming or waits for the store, and what the reservation can carry. */
uint64_t tvs_grant_charged(const struct tv_receiver *receiver);
uint64_t tvs_grant_covered(const struct tvs_grant *grant);

#endif
