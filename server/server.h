/* server.h - what `troved` is made of, without its command line: store, memory, workers, listeners, sessions.
 *
 * Threads: create, listen, reload, drain, destroy are called by one thread (main). The rest is noted where it stands.
 */
#ifndef TVS_SERVER_H
#define TVS_SERVER_H

#include "keyring.h"
#include "pools.h"

#include <stddef.h>

struct tvs_server;

/* Addresses that a server may listen on. */
#define TVS_LISTEN_MAX 16
/* Connections that a config may allow. */
#define TVS_CONNECTIONS_MAX 100000
/* Entries of `allow_origins` in the config. */
#define TVS_ORIGINS_MAX 16

struct tvs_server_options {
    const char *store;           /* DSN: local:///DIR, mem://, null:// */
    uint64_t store_memory_bytes; /* the driver's own: caches of local, objects of mem; 0: the driver's default */
    bool relaxed;                /* durability: relaxed */
    uint64_t memory_bytes;       /* budget of everything that moves: chunks, read-ahead, inline objects; default 256 MiB */
    uint32_t workers;            /* threads for the disk's work; default 4 */
    uint32_t connections_max;    /* default 4,096 */
    uint32_t per_address_max;    /* of one address; default 2,048 */
    uint32_t handshakes_max;     /* of one address in a minute; default 6,000 */
    uint32_t streams_max;        /* open on one connection; default and at most TV_STREAMS_PER_CONN_MAX */
    uint32_t calls_max;          /* under way on one connection; default and at most TV_CALLS_PER_CONN_MAX */
    uint32_t keepalive_ms;       /* default 15,000 */
    uint64_t rate_min;         /* bytes a second that a peer sends of a frame, and reads of what is for it; 0: any. Default 128 */
    uint32_t handshake_ms;     /* greeting and hello must have come by then; default 5,000 */
    uint32_t call_deadline_ms; /* of calls that name none; default 30,000 */
    uint32_t uploads_idle_ms;  /* a resumable upload that nobody touches expires after it; default 24 h */
    uint32_t uploads_keep_ms;  /* and so long after its beginning at the latest; default 7 days */
    struct tvs_pool_set pools; /* the default one first; it alone by default */
    uint32_t socket_mode;      /* of unix sockets; default 0600 */
    const char *const *origins; /* of web pages that may connect over ws:// */
    size_t origin_count;
    const char *audit_log;             /* path, or "log"; NULL: none */
    const char *key_file;              /* the server's own key; NULL: no connection is encrypted */
    bool insecure;                     /* whoever comes over a network is let in, and may do everything */
    struct tvs_keyring_options access; /* who else is known */
};

void tvs_server_options_init(struct tvs_server_options *options);

/* Opens the store (recovery included: may take a while), starts threads. */
trove_status tvs_server_create(const struct tvs_server_options *options, struct tvs_server **server, trove_error *error);

/* Begins to accept on one more URL. *bound (may be NULL) is the URL with the real port; the server's, until it is destroyed. */
trove_status tvs_server_listen(struct tvs_server *server, const char *url, const char **bound, trove_error *error);

/* New pools and new limits, for streams that come; what is open keeps its own. A pool that isn't in the set any more takes no new
 * streams, and what is open in it after drain_ms is cancelled. On failure nothing has changed.
 * Errors: INVALID_ARGUMENT (limits that don't go together), RESOURCE_EXHAUSTED. */
trove_status tvs_server_reload(struct tvs_server *server, const struct tvs_pool_set *pools, uint32_t drain_ms,
                               trove_error *error);

/* Who is known, anew: at once for those who come. Connections of those who aren't known any more end soon, and streams that may
 * not go on. On failure nothing has changed. Blocks for the file of keys. Errors: as tvs_keyring_create. */
trove_status tvs_server_reload_access(struct tvs_server *server, const struct tvs_keyring_options *access, trove_error *error);

/* The audit log's file was moved away: it is made anew. On failure the old one goes on. */
trove_status tvs_server_reopen_audit(struct tvs_server *server, trove_error *error);

/* Stops accepting, tells all peers to go away, waits until nothing is under way. All of the end has timeout_ms: this takes up to
 * half of it, but for the last 2 s (1 s of 2 s, 8 s of 10 s), tvs_server_destroy what is left. True: all was finished. */
bool tvs_server_drain(struct tvs_server *server, uint32_t timeout_ms);

/* Ends connections (what is unfinished fails with UNAVAILABLE), threads, store. False: a worker was stuck in the store and hasn't
 * come back within 2 s, or the store couldn't be closed within 5 (or what tvs_server_drain has left); then the process must be
 * ended without further ado, for a thread still uses memory. What was acknowledged is safe in any case. NULL is allowed. */
bool tvs_server_destroy(struct tvs_server *server);

#endif
