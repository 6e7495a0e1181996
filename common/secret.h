/* secret.h - memory for keys: guarded, kept out of swap and core dumps, wiped when it is given back. Any thread.
 *
 * libsodium's sodium_malloc goes on silently when the system won't lock the memory (RLIMIT_MEMLOCK is used up): that is found out
 * here, and told to whoever can say it.
 */
#ifndef TV_SECRET_H
#define TV_SECRET_H

#include "status.h"

#include <stddef.h>

/* Prepares libsodium; many times does no harm. False: it can't be used. */
bool tv_secret_ready(void);

/* Zeroed, for objects of alignment 16 where `bytes` is a multiple of it. NULL: no memory, or libsodium can't be used. */
void *tv_secret_alloc(size_t bytes);
/* Wipes it. NULL is allowed. */
void tv_secret_free(void *secret);

/* True once in the life of the process, when memory that was asked for couldn't be locked: for who writes the log. */
bool tv_secret_unlocked_once(void);

#endif
