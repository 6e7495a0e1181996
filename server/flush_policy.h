/* flush_policy.h - when what a resumable upload has received is made durable: on request, after some MiB, after a second, and at
 * half of what its client can keep to send again.
 *
 * Pure; the session's lock protects it. What may have to be sent again after a crash is the window and what isn't flushed:
 * together at most TVS_UNDURABLE_BYTES_MAX.
 */
#ifndef TVS_FLUSH_POLICY_H
#define TVS_FLUSH_POLICY_H

#include "bounds.h"

#include <stdbool.h>
#include <stdint.h>

#define TVS_UNDURABLE_BYTES_MAX (64 * TV_MIB)
#define TVS_FLUSH_BYTES         (16 * TV_MIB)
#define TVS_FLUSH_NS            UINT64_C(1000000000)
/* Less than this to keep would be a sync for each few packets. */
#define TVS_KEEP_BYTES_MIN   (64 * TV_KIB)
#define TVS_RESUMABLE_WINDOW (TVS_UNDURABLE_BYTES_MAX - TVS_FLUSH_BYTES)

struct tvs_flush_policy {
    uint64_t interval_bytes;
    uint64_t asked_offset;  /* a flush that was asked for, and perhaps is under way, reaches so far */
    uint64_t asked_ns;      /* when that was */
    uint64_t wanted_offset; /* somebody has asked for so much */
};

/* `keep_bytes` 0: the client keeps all. Everything below `durable_offset` is durable. */
void tvs_flush_policy_init(struct tvs_flush_policy *policy, uint64_t keep_bytes, uint64_t durable_offset, uint64_t now_ns);
/* Whether to flush now, with all below `offset` in the store. */
bool tvs_flush_policy_due(const struct tvs_flush_policy *policy, uint64_t offset, uint64_t now_ns);
/* That is done. */
void tvs_flush_policy_ask(struct tvs_flush_policy *policy, uint64_t offset, uint64_t now_ns);
/* Somebody wants all below `offset` to be durable soon. */
void tvs_flush_policy_want(struct tvs_flush_policy *policy, uint64_t offset);

#endif
