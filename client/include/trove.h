/* trove.h - the public API of libtrove, the client library of the Trove streaming engine.
 *
 * A client is one connection to a `troved`, which is made again when it is lost (retry_for_ms). Over it go calls (buckets,
 * objects) and streams (managed, chunked transfers with flow control). `trove_put_*` and `trove_get_*` are built from streams and
 * are what most programs want. A program includes this header; what is a topic of its own is in others, which it includes:
 *     trove_transfers.h  whole objects in one call; many small calls at once
 *     trove_streams.h    streams, their hooks and metrics
 *     trove_uploads.h    resumable streams, and the uploads that the server keeps
 *     trove_pools.h      pools of streams: a client's own, and the server's
 *     trove_keys.h       keys of encrypted connections
 *
 * Errors: every function that can fail returns a `trove_status` and, where `error` is not NULL, fills it in with a message for
 * people: what failed, which object or limit, what to do. On failure no output argument is touched.
 * Threads: a `trove_client` may be used from any number of threads at once. A `trove_stream` may be controlled and observed from
 * any thread, but only one thread at a time may read it and one may write it (a two-way stream: both at once). Nothing is global:
 * clients don't know each other.
 * Forking: nng's threads don't survive `fork`; a process that forks must do it before its first `trove_connect`.
 * Blocking: every function that waits has a deadline. A `timeout_ms` of 0 means the client's default (`call_timeout_ms`);
 * TROVE_NO_TIMEOUT waits as long as the connection lives, which is bounded by its keep-alive. A function that passes its
 * deadline returns TROVE_DEADLINE_EXCEEDED.
 * Versions: until 1.0 a new minor version may change names, layouts and meanings, a new patch version none of them: the library's
 * soname has both numbers (libtrove.so.0.1), so that a program never runs with another minor version than it was built for. From
 * 1.0 on that holds for major versions alone; for then `struct_bytes`, which the _init functions set, lets options grow at their
 * end. Structures without it, and those inside of others, keep their layout as long as the soname stays.
 * Strings: UTF-8, NUL-terminated. Sizes and offsets are bytes; a name that ends in _ms or _ns is a time in that unit.
 */
#ifndef TROVE_H
#define TROVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TROVE_API         __attribute__((visibility("default")))
#define TROVE_WARN_UNUSED __attribute__((warn_unused_result))
#else
#define TROVE_API
#define TROVE_WARN_UNUSED
#endif

#define TROVE_VERSION_MAJOR 0
#define TROVE_VERSION_MINOR 1
#define TROVE_VERSION_PATCH 0

/* ---- status --------------------------------------------------------------------------------------------------------------- */

/* gRPC's canonical codes. The numbers travel on the wire and never change. X(NAME, number) */
#define TROVE_STATUS_LIST(X)                                                                                                     \
    X(OK, 0)                                                                                                                     \
    X(CANCELLED, 1)                                                                                                              \
    X(UNKNOWN, 2)                                                                                                                \
    X(INVALID_ARGUMENT, 3)                                                                                                       \
    X(DEADLINE_EXCEEDED, 4)                                                                                                      \
    X(NOT_FOUND, 5)                                                                                                              \
    X(ALREADY_EXISTS, 6)                                                                                                         \
    X(PERMISSION_DENIED, 7)                                                                                                      \
    X(RESOURCE_EXHAUSTED, 8)                                                                                                     \
    X(FAILED_PRECONDITION, 9)                                                                                                    \
    X(ABORTED, 10)                                                                                                               \
    X(OUT_OF_RANGE, 11)                                                                                                          \
    X(UNIMPLEMENTED, 12)                                                                                                         \
    X(INTERNAL, 13)                                                                                                              \
    X(UNAVAILABLE, 14)                                                                                                           \
    X(DATA_LOSS, 15)                                                                                                             \
    X(UNAUTHENTICATED, 16)

typedef enum trove_status {
#define TROVE_STATUS_ENUM(name, number) TROVE_##name = number,
    TROVE_STATUS_LIST(TROVE_STATUS_ENUM)
#undef TROVE_STATUS_ENUM
} trove_status;

#define TROVE_ERROR_MESSAGE_BYTES 480 /* NUL included; longer messages are cut at a character */

/* Owned by the caller; plain memory that needs no release. `status` is TROVE_OK and `message` empty until a call fails. */
typedef struct trove_error {
    trove_status status;
    char message[TROVE_ERROR_MESSAGE_BYTES];
} trove_error;

/* The code's name, such as "NOT_FOUND"; "UNKNOWN" for a number that is none. Static memory. */
TROVE_API const char *trove_status_name(trove_status status);

/* The library's version, such as "0.1.0". Static memory. */
TROVE_API const char *trove_version(void);

/* ---- client --------------------------------------------------------------------------------------------------------------- */

typedef struct trove_client trove_client;

#define TROVE_NO_TIMEOUT   UINT32_MAX
#define TROVE_NO_RETRY     (UINT32_MAX - 1) /* of retry_for_ms */
#define TROVE_SIZE_UNKNOWN UINT64_MAX

/* Set up with trove_client_options_init, then change what differs. A time of 0 is its default. */
typedef struct trove_client_options {
    size_t struct_bytes;
    uint32_t connect_timeout_ms; /* for dialling, the greeting and the welcome; default 5,000 */
    uint32_t call_timeout_ms;    /* for every call that is given 0; default 30,000 */
    uint32_t keepalive_ms;       /* a silent peer is asked after this, given up after twice it; at least 1,000, default 15,000 */
    uint64_t
        memory_bytes; /* ceiling of all chunk buffers (whole pages) of this client's streams; at least 1 MiB, default 256 MiB */
    const char *name; /* tells the server's log who this is; default "libtrove" */
    /* A connection that is lost, or whose server shuts down, is dialled again for so long: at growing, random intervals of up to
     * 3 s. Meanwhile
     * - calls that come wait for it, within their timeouts. Those under way that change nothing (looking up, listing, ping) are
     *   sent again. Others (delete, copy, buckets, small puts) fail with UNAVAILABLE, and the message says that their outcome is
     *   unknown;
     * - streams that are resumable stand still, and then go on; others fail with UNAVAILABLE;
     * - pools keep their places, and hooks are told nothing.
     * What still waits when that time is over fails with UNAVAILABLE (when its own timeout is, with DEADLINE_EXCEEDED); the next
     * call has the server dialled for as long once more. 0: the default, 60,000; TROVE_NO_TIMEOUT: for ever; TROVE_NO_RETRY: not
     * at all, a client that has lost its connection may only be closed. The first connection isn't meant: see
     * trove_connect_wait. */
    uint32_t retry_for_ms;
    /* The server's public key, as text: the connection is encrypted then, on every transport, and made with nobody else. It may
     * as well stand at the end of the URL, as in tcp://HOST:PORT?key=PUBLIC_KEY. NULL: not encrypted. */
    const char *server_key;
    const char *key_file; /* this client's own key, of which the server knows the public one; needed with the server's */
    /* A file of servers and their keys (see trove_known_server_add), where neither server_key nor the URL has one: a server that
     * has a line in it is connected to as with server_key, and refused if it has another key now; with any other the connection
     * isn't encrypted. NULL: none. */
    const char *known_servers;
} trove_client_options;

TROVE_API void trove_client_options_init(trove_client_options *options);

/* Connects to `url`: tcp://HOST:PORT, ipc:///PATH (a unix socket) or ws://HOST:PORT/PATH. `options` may be NULL.
 * On success *client is the caller's, to be released by trove_close.
 * Blocks up to connect_timeout_ms. A server that isn't there yet is not waited for: see trove_connect_wait.
 * Errors: INVALID_ARGUMENT (not such a URL), UNAVAILABLE (no server, or something else; no host of this name), DEADLINE_EXCEEDED,
 * FAILED_PRECONDITION (no common version; a server that doesn't encrypt where its key was given), UNAUTHENTICATED (the server has
 * another key, or doesn't know this client's, or lets nobody in without one), and those of reading the key file
 * (trove_key_public) and the known servers (trove_known_server_find; NOT_FOUND is none). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_connect(const char *url, const trove_client_options *options,
                                                       trove_client **client, trove_error *error);

/* The same, but tries again until the server answers or `wait_ms` have passed; a host's name that isn't known yet is waited for,
 * too. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_connect_wait(const char *url, const trove_client_options *options,
                                                            uint32_t wait_ms, trove_client **client, trove_error *error);

/* Ends the connection and releases the client; streams that are still open fail with CANCELLED, their hooks run, and then they
 * may only be released. (What of a resumable upload is durable stays.) NULL is allowed. Blocks until the library's threads have
 * let go (bounded). Not from a hook. */
TROVE_API void trove_close(trove_client *client);

/* One round trip. *round_trip_ns may be NULL. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_ping(trove_client *client, uint32_t timeout_ms, uint64_t *round_trip_ns,
                                                    trove_error *error);

typedef struct trove_server_info {
    char name[128]; /* software, such as "troved" */
    char version[32];
    char driver[32]; /* scheme of its store, such as "local" */
    uint64_t uptime_ms;
    uint64_t streams_active;
    uint64_t connections;
    uint64_t memory_budget_bytes;
    uint64_t memory_in_use_bytes;
} trove_server_info;

TROVE_API TROVE_WARN_UNUSED trove_status trove_server_info_get(trove_client *client, uint32_t timeout_ms, trove_server_info *info,
                                                               trove_error *error);

/* What the client's connections have done so far, all together. A snapshot; the counters only grow. */
typedef struct trove_client_metrics {
    uint64_t frames_sent;
    uint64_t frames_received;
    uint64_t bytes_sent; /* on the wire, framing included */
    uint64_t bytes_received;
    uint64_t payload_copied_bytes; /* payload bytes that went through a staging buffer instead of straight to their place */
    uint64_t buffers_allocated;    /* chunk buffers ever allocated; stands still in the steady state */
    uint64_t reconnects;           /* connections that were lost and made again */
    bool reconnecting;             /* now: the connection is lost, and is being made again */
} trove_client_metrics;

TROVE_API void trove_client_metrics_get(trove_client *client, trove_client_metrics *metrics);

/* ---- buckets -------------------------------------------------------------------------------------------------------------- */

typedef struct trove_bucket_info {
    char name[64];
    uint64_t created_ns; /* since the epoch, UTC */
    uint64_t object_count;
    uint64_t object_bytes;
} trove_bucket_info;

/* Names follow S3: 3 to 63 of a-z 0-9 . -, beginning and ending with a letter or digit, not like an IP address.
 * Errors: INVALID_ARGUMENT, ALREADY_EXISTS, RESOURCE_EXHAUSTED (a store has at most 2,500). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_bucket_create(trove_client *client, const char *bucket, uint32_t timeout_ms,
                                                             trove_error *error);

/* Its unfinished resumable uploads go with it, whoever holds them. Errors: NOT_FOUND, FAILED_PRECONDITION (not empty). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_bucket_delete(trove_client *client, const char *bucket, uint32_t timeout_ms,
                                                             trove_error *error);

/* All buckets in byte order. On success *buckets is one block for the caller to release with trove_bucket_list_free. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_bucket_list(trove_client *client, uint32_t timeout_ms, trove_bucket_info **buckets,
                                                           size_t *count, trove_error *error);
TROVE_API void trove_bucket_list_free(trove_bucket_info *buckets);

/* ---- objects -------------------------------------------------------------------------------------------------------------- */

#define TROVE_ETAG_BYTES 33 /* 32 hexadecimal digits and a NUL */

typedef struct trove_metadata {
    const char *key;
    const char *value;
} trove_metadata;

/* A range of an object whose bytes were never stored: a lossy stream dropped them. They count in the object's size. */
typedef struct trove_gap {
    uint64_t offset;
    uint64_t length; /* at least 1 */
} trove_gap;

#define TROVE_GAPS_MAX 1000 /* so many gaps of an object are listed */

/* One block of memory; release with trove_object_info_free, which takes NULL. */
typedef struct trove_object_info {
    const char *bucket;
    const char *key;
    uint64_t size;
    uint64_t generation;         /* grows with every put of this key */
    uint64_t modified_ns;        /* since the epoch, UTC */
    char etag[TROVE_ETAG_BYTES]; /* over size and block checksums: the same bytes have the same etag */
    const char *content_type;    /* "" where none was given */
    const trove_metadata *metadata;
    size_t metadata_count;
    /* What was lost of it. Reading across a gap is DATA_LOSS unless trove_stream_options.allow_gaps has zeros for it. The list is
     * in order: all of it from trove_object_head, its first 500 at the end of an upload and from a download that allows gaps,
     * none elsewhere (see gaps_listed). Of more than TROVE_GAPS_MAX gaps the last entry covers the rest and what lies between
     * them, which reads as it was written. */
    uint64_t gap_count; /* 0: the object is whole */
    uint64_t gap_bytes;
    const trove_gap *gaps;
    size_t gaps_listed;
} trove_object_info;

TROVE_API void trove_object_info_free(trove_object_info *info);

/* Errors: NOT_FOUND (names whether the bucket or the key is missing), INVALID_ARGUMENT. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_object_head(trove_client *client, const char *bucket, const char *key,
                                                           uint32_t timeout_ms, trove_object_info **info, trove_error *error);

/* What must hold of an object at the moment when an operation takes effect (a download: when it is opened); otherwise nothing
 * happens, and the operation fails with FAILED_PRECONDITION and a message that tells what the object has. All that are given must
 * hold. Zeroed: always. Strings must live as long as the call that is given them. */
typedef struct trove_conditions {
    const char *if_match;   /* it exists and has this etag, 32 digits; NULL: any */
    bool if_none_match;     /* it doesn't exist: an upload or a copy creates it, and replaces none. Alone, and not for others */
    uint64_t if_generation; /* it exists and has this generation; 0: any */
} trove_conditions;

/* `conditions` may be NULL. Errors: NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_object_delete(trove_client *client, const char *bucket, const char *key,
                                                             const trove_conditions *conditions, uint32_t timeout_ms,
                                                             trove_error *error);

/* Copies inside the server: content type, metadata and gaps included. `conditions` are those of the target; they and *info may be
 * NULL. The server does a few copies at a time; one whose timeout is over it gives up. Errors as above, and RESOURCE_EXHAUSTED
 * (too many wait already). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_object_copy(trove_client *client, const char *from_bucket, const char *from_key,
                                                           const char *to_bucket, const char *to_key,
                                                           const trove_conditions *conditions, uint32_t timeout_ms,
                                                           trove_object_info **info, trove_error *error);

typedef struct trove_list_options {
    size_t struct_bytes;
    const char *prefix;    /* only keys that begin with it; NULL or "" for all */
    const char *delimiter; /* keys that share what stands up to it behind the prefix become one entry; NULL or "" for none */
    const char *cursor;    /* from the page before; NULL for the first page */
    uint32_t limit;        /* entries a page, 1 to 1,000; 0 is 1,000 */
    uint32_t timeout_ms;
} trove_list_options;

TROVE_API void trove_list_options_init(trove_list_options *options);

typedef struct trove_list_entry {
    const char *key;
    bool is_prefix; /* a common prefix that ends in the delimiter; the fields below are 0 */
    uint64_t size;
    uint64_t generation;
    uint64_t modified_ns;
    char etag[TROVE_ETAG_BYTES];
    uint64_t gap_bytes; /* of its size, lost; 0: the object is whole */
} trove_list_entry;

typedef struct trove_list_page {
    const trove_list_entry *entries; /* in byte order of their keys */
    size_t count;
    const char *next_cursor; /* NULL on the last page */
} trove_list_page;

/* One page. `options` may be NULL. Release with trove_list_page_free. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_list(trove_client *client, const char *bucket, const trove_list_options *options,
                                                    trove_list_page **page, trove_error *error);
TROVE_API void trove_list_page_free(trove_list_page *page);

/* ---- scrubbing ------------------------------------------------------------------------------------------------------------ */

/* Bytes of an object that can't be read as they were stored. Texts are valid during the call that tells it. */
typedef struct trove_scrub_damage {
    const char *key;
    uint64_t generation; /* 0: not known */
    uint64_t offset;
    uint64_t length; /* 0: it is about what describes the object; its bytes are told of by themselves */
    const char *message;
} trove_scrub_damage;

typedef struct trove_scrub_report {
    uint64_t objects; /* looked at to their end */
    uint64_t bytes;   /* read */
    uint64_t damaged_objects;
    uint64_t damaged_bytes;
} trove_scrub_report;

typedef struct trove_scrub_options {
    size_t struct_bytes;
    const char *prefix;  /* only keys that begin with it; NULL or "" for all */
    uint32_t timeout_ms; /* for each of the calls that it is made of, some of a second each, and for their turn */
    /* Each may be NULL. Called on the thread that called trove_scrub, with `context`. */
    void (*on_damage)(void *context, const trove_scrub_damage *damage);
    bool (*on_progress)(void *context, const trove_scrub_report *so_far); /* after each call; false: stop here */
    void *context;
} trove_scrub_options;

TROVE_API void trove_scrub_options_init(trove_scrub_options *options);

/* Has the server read and verify a bucket's objects, in byte order of their keys: bytes, block checksums, etags, and what its
 * store keeps elsewhere about them. Damage is told, and is no error: see report->damaged_objects. What is put, replaced or
 * deleted meanwhile may be looked at or not. The server does one scrub at a time, behind everything else that its workers have to
 * do. `options` may be NULL. *report is written on success, and when on_progress stops it, which is none; a scrub that fails has
 * told it to on_progress as far as it came.
 * Blocks as long as it takes to read everything: with many objects, hours. May be called from a hook, which then waits as long.
 * Errors: NOT_FOUND (bucket), INVALID_ARGUMENT, UNIMPLEMENTED (a store that keeps no bytes, a server that is older),
 * RESOURCE_EXHAUSTED (too many wait already, no file can be opened), DATA_LOSS (the store's index is damaged, so that what lies
 * behind can't be found), DEADLINE_EXCEEDED, UNAVAILABLE. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_scrub(trove_client *client, const char *bucket, const trove_scrub_options *options,
                                                     trove_scrub_report *report, trove_error *error);

#ifdef __cplusplus
}
#endif

#include "trove_keys.h"
#include "trove_streams.h"

#include "trove_pools.h"
#include "trove_transfers.h"
#include "trove_uploads.h"

#endif
