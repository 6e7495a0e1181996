/* secret.c - see secret.h. */
#include "secret.h"

#include <sodium.h>
#include <stdatomic.h>

enum {
    LOCKED,
    UNLOCKED,
    TOLD
};

static atomic_int lock_state = LOCKED;

bool tv_secret_ready(void) {
    return sodium_init() >= 0;
}

void *tv_secret_alloc(size_t bytes) {
    if (!tv_secret_ready())
        return NULL;
    void *secret = sodium_malloc(bytes);
    if (secret == NULL)
        return NULL;
    /* It is locked already, unless that failed; to lock twice is to lock once. */
    int expected = LOCKED;
    if (sodium_mlock(secret, bytes) != 0)
        atomic_compare_exchange_strong(&lock_state, &expected, UNLOCKED);
    sodium_memzero(secret, bytes);
    return secret;
}

void tv_secret_free(void *secret) {
    sodium_free(secret);
}

bool tv_secret_unlocked_once(void) {
    int expected = UNLOCKED;
    return atomic_compare_exchange_strong(&lock_state, &expected, TOLD);
}
