/* secure.h - what an owner of connections needs to have them encrypted: its key, whom it expects or lets in, and the memory that
 * sealed messages wait in until the transport has taken them.
 *
 * That memory belongs to no connection: one that sends nothing has none of it. When much of it is held by peers that read slowly,
 * or its owner's budget has no more, the next messages are sealed a record at a time. So much a connection always gets, as it has
 * its staging areas: it couldn't send anything otherwise.
 * Threads: made and ended by one, used by all connections that were created with it, which must be gone before it ends.
 */
#ifndef TV_SECURE_H
#define TV_SECURE_H

#include "key_file.h"
#include "noise.h"

#include <pthread.h>

struct tv_scratch {
    struct tv_scratch *next;
    size_t capacity;
    uint8_t data[];
};

struct tv_secure {
    /* constant, the owner's */
    const struct tv_key *key;
    const uint8_t
        *server_key; /* a client's: the public key that the server must have; NULL: it is only asked for. A server's: NULL */
    bool asks_key;   /* a client's: the server is to tell its public key before the handshake */
    const char *known_from;  /* a client's that asks: where server_key was recorded, for the message if it's another now */
    tv_noise_peer authorize; /* a server's: who is let in; on a connection's receiving thread, and mustn't wait long */
    void *context;
    size_t scratch_bytes_max; /* TV_SCRATCH_BYTES_MAX, or less */
    /* Both or none: more than a record is charged here. On the thread that sends, under no lock. */
    bool (*charge)(void *context, size_t bytes); /* false: it doesn't fit */
    void (*uncharge)(void *context, size_t bytes);

    pthread_mutex_t lock;
    /* under the lock */
    struct tv_scratch *spare;
    unsigned spare_count;
    size_t scratch_bytes; /* in use */
};

/* The other members are the caller's to set. */
void tv_secure_init(struct tv_secure *self);
void tv_secure_fini(struct tv_secure *self);

/* Memory to seal `plain_bytes` in, or less where much is in use: one record at least. NULL: no memory. */
struct tv_scratch *tv_secure_scratch_get(struct tv_secure *self, size_t plain_bytes);
void tv_secure_scratch_put(struct tv_secure *self, struct tv_scratch *scratch);

#endif
