/* grant.c - see grant.h. Pure; under the owner's lock. */
#include "grant.h"

#include "bounds.h"

static uint64_t round_to_segments(uint64_t bytes) {
    return (bytes + TV_SEGMENT_BYTES - 1) / TV_SEGMENT_BYTES * TV_SEGMENT_BYTES;
}

uint64_t tvs_grant_covered(const struct tvs_grant *grant) {
    uint64_t taken = TV_SEGMENT_BYTES + grant->storing_bytes;
    return grant->reserved_bytes > taken ? grant->reserved_bytes - taken : 0;
}

uint64_t tvs_grant_charged(const struct tv_receiver *receiver) {
    bool coming = receiver->in_chunk && !receiver->chunk_not_taken;
    uint64_t coming_bytes = coming ? receiver->chunk_bytes - receiver->fragment_offset : 0;
    return receiver->outstanding_bytes + coming_bytes + receiver->held_bytes;
}

uint64_t tvs_grant_needed(const struct tvs_grant *grant, const struct tv_receiver *receiver) {
    uint64_t charged = tvs_grant_charged(receiver);
    uint64_t needed = grant->storing_bytes + (charged > 0 ? round_to_segments(charged) + TV_SEGMENT_BYTES : 0);
    return needed < grant->reserved_bytes ? needed : grant->reserved_bytes;
}

/* Credit counts when a whole chunk fits it: what is left over from smaller ones is made up to a chunk, and then chunks are
 * added. */
enum tvs_grant_step tvs_grant_next(const struct tvs_grant *grant, const struct tv_receiver *receiver, bool limited,
                                   uint64_t *bytes) {
    uint64_t wanted = grant->demand_bytes < grant->window_bytes ? grant->demand_bytes : grant->window_bytes;
    uint64_t charged = tvs_grant_charged(receiver);
    uint64_t unit = grant->chunk_bytes < wanted ? grant->chunk_bytes : wanted;
    uint64_t left_over = receiver->outstanding_bytes < unit ? receiver->outstanding_bytes : 0;
    uint64_t missing = unit - left_over;
    if (wanted < charged + missing || unit == 0)
        return TVS_GRANT_DONE;
    if (grant->admitted_bytes < missing) { /* a whole turn; what `missing` doesn't need stays admitted */
        *bytes = unit;
        return TVS_GRANT_ADMIT;
    }
    uint64_t covered = tvs_grant_covered(grant);
    if (covered >= charged + missing) {
        *bytes = (covered < wanted ? covered : wanted) - charged;
        if (limited && *bytes > grant->admitted_bytes)
            *bytes = grant->admitted_bytes;
        return TVS_GRANT_CREDIT;
    }
    /* Enough even if everything that is charged now, and its reservation, has gone by the time that this much is there. */
    *bytes = round_to_segments(unit) + TV_SEGMENT_BYTES;
    return TVS_GRANT_RESERVE;
}

void tvs_grant_admit(struct tvs_grant *grant, uint64_t bytes) {
    grant->admitted_bytes += bytes;
}

void tvs_grant_give(struct tvs_grant *grant, struct tv_receiver *receiver, uint64_t bytes) {
    TV_ASSERT(bytes <= tvs_grant_covered(grant) - tvs_grant_charged(receiver));
    tv_receiver_grant(receiver, bytes);
    grant->admitted_bytes -= bytes < grant->admitted_bytes ? bytes : grant->admitted_bytes;
    grant->credit_due += bytes;
}

bool tvs_grant_expire(struct tvs_grant *grant, struct tv_receiver *receiver) {
    uint64_t expired = tv_receiver_expire(receiver);
    /* What the peer hasn't been told of yet needn't be told at all. */
    uint64_t untold = expired < grant->credit_due ? expired : grant->credit_due;
    grant->credit_due -= untold;
    grant->expired_due += expired - untold;
    return expired > 0;
}
