/* refusals.c - see refusals.h. */
#include "refusals.h"

void tvs_refusals_init(struct tvs_refusals *refusals, uint64_t now_ns) {
    pthread_mutex_init(&refusals->lock, NULL);
    tv_token_bucket_init(&refusals->lines, TVS_REFUSALS_PER_SECOND, TVS_REFUSALS_BURST, now_ns);
    refusals->left_out = 0;
}

void tvs_refusals_fini(struct tvs_refusals *refusals) {
    pthread_mutex_destroy(&refusals->lock);
}

bool tvs_refusals_take(struct tvs_refusals *refusals, uint64_t now_ns) {
    pthread_mutex_lock(&refusals->lock);
    bool taken = tv_token_bucket_ready(&refusals->lines, now_ns);
    if (taken)
        tv_token_bucket_debit(&refusals->lines, 1, now_ns);
    else
        refusals->left_out++;
    pthread_mutex_unlock(&refusals->lock);
    return taken;
}

uint64_t tvs_refusals_left_out(struct tvs_refusals *refusals) {
    pthread_mutex_lock(&refusals->lock);
    uint64_t left_out = refusals->left_out;
    refusals->left_out = 0;
    pthread_mutex_unlock(&refusals->lock);
    return left_out;
}
