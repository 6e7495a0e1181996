/* flush_policy.c - see flush_policy.h. */
#include "flush_policy.h"

void tvs_flush_policy_init(struct tvs_flush_policy *policy, uint64_t keep_bytes, uint64_t durable_offset, uint64_t now_ns) {
    bool keeps_less = keep_bytes != 0 && keep_bytes / 2 < TVS_FLUSH_BYTES;
    *policy = (struct tvs_flush_policy){
        .interval_bytes = keeps_less ? keep_bytes / 2 : TVS_FLUSH_BYTES,
        .asked_offset = durable_offset,
        .asked_ns = now_ns,
        .wanted_offset = durable_offset,
    };
}

bool tvs_flush_policy_due(const struct tvs_flush_policy *policy, uint64_t offset, uint64_t now_ns) {
    if (offset <= policy->asked_offset)
        return false;
    return policy->wanted_offset > policy->asked_offset || offset - policy->asked_offset >= policy->interval_bytes ||
           now_ns >= policy->asked_ns + TVS_FLUSH_NS;
}

void tvs_flush_policy_ask(struct tvs_flush_policy *policy, uint64_t offset, uint64_t now_ns) {
    policy->asked_offset = offset;
    policy->asked_ns = now_ns;
}

void tvs_flush_policy_want(struct tvs_flush_policy *policy, uint64_t offset) {
    if (offset > policy->wanted_offset)
        policy->wanted_offset = offset;
}
