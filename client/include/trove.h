/* trove.h - the public API of libtrove, the client library of the Trove streaming engine.
 *
 * A client is one connection to a `troved`, which is made again when it is lost (retry_for_ms). Over it go calls (buckets, objects) and streams (managed, chunked transfers with
 * flow control). `trove_put_*` and `trove_get_*` are built from streams and are what most programs want. Pools of streams are in
 * trove_pools.h, which this includes.
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
    /* A connection that is lost, or whose server shuts down, is dialled again for so long: at growing, random intervals of up to 3
     * s. Meanwhile
     * - calls that come wait for it, within their timeouts. Those under way that change nothing (looking up, listing, ping) are
     *   sent again. Others (delete, copy, buckets, small puts) fail with UNAVAILABLE, and the message says that their outcome is
     *   unknown;
     * - streams that are resumable stand still, and then go on; others fail with UNAVAILABLE;
     * - pools keep their places, and hooks are told nothing.
     * What still waits when that time is over fails with UNAVAILABLE (when its own timeout is, with DEADLINE_EXCEEDED); the next call
     * has the server dialled for as long once more. 0: the default, 60,000; TROVE_NO_TIMEOUT: for ever; TROVE_NO_RETRY: not at all, a client that has lost its
     * connection may only be closed. The first connection isn't meant: see trove_connect_wait. */
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

/* ---- keys ----------------------------------------------------------------------------------------------------------------- */

/* A key is a pair: the private one stays in its file, which its owner alone can read, the public one is what others know it by.
 * As text a public key is base64 of 32 bytes. Clients and servers have keys of the same kind. */
#define TROVE_KEY_TEXT_BYTES 45 /* 44 characters and a NUL */

/* Draws a key and writes it to a new file at `path` (0600), synced; `public_key` is its public key. Blocks for the disk.
 * Errors: ALREADY_EXISTS (no file is ever replaced), NOT_FOUND (no such folder) and others of writing. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_key_create(const char *path, char public_key[TROVE_KEY_TEXT_BYTES],
                                                          trove_error *error);

/* The public key of the key file at `path`. Errors: NOT_FOUND and others of reading; FAILED_PRECONDITION (others can use the
 * file, or it is somebody else's); INVALID_ARGUMENT (it holds no key). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_key_public(const char *path, char public_key[TROVE_KEY_TEXT_BYTES],
                                                          trove_error *error);

/* Asks the server at `url` (without a key) for its public key. Nothing shows that it really has it, or that nobody else answers
 * in its place, before a connection is made with that key: what is asked once, in a place where that can be trusted, is recorded
 * (trove_known_server_add), and whoever answers later with another key is refused. No key of one's own is needed.
 * Blocks up to timeout_ms; 0: 5,000. Errors: INVALID_ARGUMENT, UNAVAILABLE, DEADLINE_EXCEEDED as of trove_connect;
 * FAILED_PRECONDITION (it doesn't encrypt), UNIMPLEMENTED (it doesn't tell). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_server_key(const char *url, uint32_t timeout_ms,
                                                          char public_key[TROVE_KEY_TEXT_BYTES], trove_error *error);

/* The key that the file of known servers at `path` has for `url`: lines of ADDRESS, PUBLIC_KEY and what else there is as a
 * comment, divided by blanks; lines that begin with '#' are comments, too. ADDRESS is HOST:PORT of tcp and ws, or the path of a
 * unix socket.
 * Blocks for the disk. Errors: NOT_FOUND (no such line, or no file), INVALID_ARGUMENT (a line that is none, two that contradict
 * each other, no such URL), FAILED_PRECONDITION (others may write to the file, or it is somebody else's) and others of
 * reading. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_known_server_find(const char *path, const char *url,
                                                                 char public_key[TROVE_KEY_TEXT_BYTES], trove_error *error);

/* Adds a line; one that has the same key already is left. A file that isn't there is made (0600), its folder isn't. Readers find
 * the old file or the new one, whole and synced; several who add wait for each other, for 5 s at most.
 * Errors: those of trove_known_server_find; ALREADY_EXISTS (the file has another key for it: never replaced), UNAVAILABLE
 * (somebody else keeps the file's folder locked), and others of writing. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_known_server_add(const char *path, const char *url, const char *public_key,
                                                                trove_error *error);

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

/* Errors: NOT_FOUND, FAILED_PRECONDITION (not empty). */
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

/* Has the server read and verify a bucket's objects, in byte order of their keys: bytes, block checksums, etags, and what its store
 * keeps elsewhere about them. Damage is told, and is no error: see report->damaged_objects. What is put, replaced or deleted meanwhile
 * may be looked at or not. The server does one scrub at a time, behind everything else that its workers have to do.
 * `options` may be NULL. *report is written on success, and when on_progress stops it, which is none; a scrub that fails has told it to
 * on_progress as far as it came.
 * Blocks as long as it takes to read everything: with many objects, hours. May be called from a hook, which then waits as long.
 * Errors: NOT_FOUND (bucket), INVALID_ARGUMENT, UNIMPLEMENTED (a store that keeps no bytes, a server that is older),
 * RESOURCE_EXHAUSTED (too many wait already, no file can be opened), DATA_LOSS (the store's index is damaged, so that what lies behind
 * can't be found), DEADLINE_EXCEEDED, UNAVAILABLE. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_scrub(trove_client *client, const char *bucket, const trove_scrub_options *options,
                                                     trove_scrub_report *report, trove_error *error);

/* ---- streams -------------------------------------------------------------------------------------------------------------- */

typedef struct trove_stream trove_stream;
typedef struct trove_pool trove_pool; /* of the client; see trove_pools.h */

typedef enum trove_direction {
    TROVE_DIRECTION_UPLOAD = 1,
    TROVE_DIRECTION_DOWNLOAD = 2,
    TROVE_DIRECTION_BIDI = 3, /* both ways at once: a two-way stream, see trove_stream_open */
} trove_direction;

typedef enum trove_stream_state {
    TROVE_STREAM_IDLE = 0,
    TROVE_STREAM_ACTIVE = 1,
    TROVE_STREAM_PAUSED = 2,
    TROVE_STREAM_COMPLETING = 3,
    TROVE_STREAM_COMPLETED = 4,
    TROVE_STREAM_FAILED = 5,
    TROVE_STREAM_CANCELLED = 6,
} trove_stream_state;

typedef enum trove_backpressure {
    TROVE_BACKPRESSURE_BLOCK = 0, /* a write waits until the consumer catches up */
    TROVE_BACKPRESSURE_DROP = 1,  /* the oldest chunk that waits is lost, and told (lossy streams only) */
    /* Upload: the chunk goes to an overflow, and the write doesn't wait. Download: as block, for what isn't read yet waits in the
     * server's store, in order and without a bound: that is the overflow. */
    TROVE_BACKPRESSURE_BUFFER = 2,
    TROVE_BACKPRESSURE_ADAPTIVE = 3, /* as block, and the sender looks for the chunk size that goes best */
    TROVE_BACKPRESSURE_DEFAULT = 4,  /* that of the client's pool (see trove_pool_options); without one, of the server's */
} trove_backpressure;

typedef enum trove_control {
    TROVE_CONTROL_PAUSE = 1,
    TROVE_CONTROL_RESUME = 2,
    TROVE_CONTROL_CANCEL = 3,
    TROVE_CONTROL_SEEK = 4,
} trove_control;

/* A piece of an object. From the pool its `data` has room for `capacity` bytes; the writer sets `size` (and may leave index and
 * offset alone: the library numbers chunks in the order of the writes; but a stream that can be moved from outside, see on_seek
 * of trove_stream_hooks, needs the offset). A reader finds all fields filled in. */
typedef struct trove_chunk {
    uint64_t index;
    uint64_t offset;
    void *data;
    size_t capacity;
    size_t size;
    bool final; /* no chunk comes after this one */
} trove_chunk;

typedef struct trove_progress {
    uint64_t bytes;          /* how far it has got: acknowledged (upload), received (download), lost; two-way: both together */
    uint64_t total_bytes;    /* likewise; TROVE_SIZE_UNKNOWN for a pipe */
    double percent;          /* 0 to 100; -1 where the total is unknown */
    double bytes_per_second; /* rolling average */
    double seconds_left;     /* -1 where it can't be told */
} trove_progress;

typedef struct trove_chunk_ack {
    uint64_t index;
    uint64_t offset;
    uint64_t size;
    uint64_t received_offset;  /* all below it has been taken by the server's store (upload) or read by the program (download) */
    uint64_t durable_offset;   /* all below it survives a crash */
    uint64_t latency_ns;       /* from write to acknowledgement */
    trove_direction direction; /* which way it went: UPLOAD or DOWNLOAD, also on a stream that goes both */
} trove_chunk_ack;

/* Chunks that drop backpressure has lost, neighbours put together. */
typedef struct trove_drop {
    uint64_t first_index;
    uint64_t count;        /* chunks */
    uint64_t offset;       /* of their first byte */
    uint64_t length;       /* bytes */
    uint64_t total_chunks; /* dropped by this stream so far, these included, whichever way they went */
    uint64_t total_bytes;
    trove_direction direction; /* which way they went: UPLOAD or DOWNLOAD */
} trove_drop;

/* Called from the client's one hook thread, one after the other, never while a lock is held; any function but trove_close may be
 * called from them (see trove_stream_hooks_add). What they are given is valid during the call.
 * on_progress is called some ten times a second at most, and once at the end. on_chunk is called once for every chunk that is
 * acknowledged, in the order of their indexes; on_drop for every chunk that is dropped, in that order as well. (A two-way stream
 * has one set for both ways: the order is that of each way, which `direction` tells.) on_complete or on_error is called exactly
 * once, and nothing after it: what a program has of a download when that completes, which it does when the end has been read, is
 * acknowledged without on_chunk. A stream that couldn't be opened calls none of them.
 * on_seek is called when somebody has moved the stream from outside (trove_server_stream_seek, `trove streams seek`), with the
 * byte of the object at which it goes on; of several that weren't told yet it tells the newest. Acknowledgements of what was
 * written or read before come before it. A stream can be moved so only if the set of hooks in its options has an on_seek; but
 * never a two-way or lossy one, nor an upload whose digest the library computes. Then
 * - an upload is written on from there. A writer that doesn't know it yet does no harm: each of its chunks has to say the
 *   `offset` of its first byte (trove_chunk), and one that isn't the next is refused with OUT_OF_RANGE, as is the end
 *   (trove_stream_complete) while nothing was written since. trove_stream_offset tells where to go on. What was written and isn't
 *   acknowledged, or lies behind that place, is given up, and a writer or trove_stream_complete that waits comes back at once.
 *   Chunks count from 0 again;
 * - a download's next chunk begins there, as its offset says; what came and wasn't read is given up, a chunk that the program
 *   still has is to be given back as ever.
 * Whole objects: trove_put_memory, and trove_put_file and trove_put_fd of a file, go back in their source by themselves, and can
 * be moved whatever their hooks, unless they are lossy or go up in one flight. No others can.
 * on_opened is called before all others of a resumable upload, with the id that attaches to it (see
 * trove_stream_options.upload_id); once more if the server has lost the upload and it was begun anew, under another id. */
typedef struct trove_stream_hooks {
    void *context; /* handed to each */
    void (*on_progress)(void *context, const trove_progress *progress);
    void (*on_chunk)(void *context, const trove_chunk_ack *ack);
    void (*on_complete)(void *context, const trove_object_info *info);
    void (*on_error)(void *context, const trove_error *error);
    void (*on_drop)(void *context, const trove_drop *drop);
    void (*on_opened)(void *context, const char *upload_id);
    void (*on_seek)(void *context, uint64_t offset);
} trove_stream_hooks;

/* The whole object's digest, which the server checks before it publishes the object; another one is DATA_LOSS. */
typedef enum trove_digest_kind {
    TROVE_DIGEST_NONE = 0,
    TROVE_DIGEST_SHA256 = 1,  /* 32 bytes */
    TROVE_DIGEST_BLAKE2B = 2, /* 64 bytes, no key */
} trove_digest_kind;

#define TROVE_DIGEST_BYTES_MAX 64

typedef struct trove_digest {
    trove_digest_kind kind;
    size_t size; /* of the value; 0: the library computes it of what is written, from the object's first byte on */
    uint8_t value[TROVE_DIGEST_BYTES_MAX];
} trove_digest;

#define TROVE_REQUEST_ID_BYTES 16
#define TROVE_UPLOAD_ID_BYTES  33 /* 32 hexadecimal digits and a NUL */

typedef struct trove_stream_options {
    size_t struct_bytes;
    uint64_t chunk_bytes;            /* 1 to 64 MiB; 0: the pool's default (1 MiB). The server may answer with less */
    uint32_t channel_chunks;         /* chunks that may be queued and under way at once; 0: the pool's default (16) */
    const char *pool;                /* NULL: the server's default pool */
    trove_backpressure backpressure; /* default TROVE_BACKPRESSURE_DEFAULT */
    bool resumable;                  /* it outlives its connection: see trove_stream_upload_id. Not for two-way streams */
    bool lossy;                      /* chunks may be lost: needed for TROVE_BACKPRESSURE_DROP; contradicts resumable */
    /* "Upload" and "download" here mean a two-way stream's way up and way down as well. */
    uint64_t size; /* upload: the object's size where it is known, else TROVE_SIZE_UNKNOWN (the default) */
    const char *content_type;
    const trove_metadata *metadata;
    size_t metadata_count;
    uint64_t range_offset; /* download: from here */
    uint64_t range_length; /* download: so many bytes; TROVE_SIZE_UNKNOWN (the default): to the end */
    bool allow_gaps;       /* download: zeros for what was lost, instead of DATA_LOSS; trove_object_info.gaps lists it */
    trove_conditions
        conditions;      /* of the object that is replaced or read; two-way: when it is opened, and again when it is replaced */
    uint32_t timeout_ms; /* for opening, once the pool has a place */
    /* Upload with TROVE_BACKPRESSURE_BUFFER. The overflow is in memory first, which counts within the client's memory_bytes (what
     * there is short of is the file's), then in a file without a name. */
    uint64_t overflow_memory_bytes; /* default 8 MiB */
    uint64_t overflow_bytes;        /* in all; default 1 GiB. Many small chunks exhaust it sooner: see trove_stream_write */
    const char *overflow_folder;    /* for the file; NULL: the environment's TMPDIR, else /tmp */
    /* At most so many bytes of chunks a second, on average, both ways together; bursts last a sixteenth of a second. 0: no limit.
     * Chunks are smaller then, if chunk_bytes is 0; large ones come in lumps. A download is limited by what the server is allowed
     * to send. The ways of a two-way stream take turns; one that stands still leaves it all to the other. */
    uint64_t bytes_per_second;
    trove_pool *client_pool; /* opens the stream as one of this pool's, as trove_pool_acquire does; NULL: of none */
    /* Whole objects: where the metrics of the stream go that moves the bytes, at its end, good or bad; all 0 where there was
     * none. A small object that went up in one flight counts as a chunk. NULL: nowhere. */
    struct trove_stream_metrics *metrics;
    trove_stream_hooks hooks;
    uint32_t acquire_timeout_ms; /* while the pool has all the streams that it may have, wait so long for a place (and then
                                    timeout_ms for the opening); 0: as long as the server has calls wait, within timeout_ms */
    /* Whole objects from and to a descriptor: longest wait while a pipe, socket or terminal gives or takes nothing; 0:
     * timeout_ms. The server has a limit of its own for a stream on which nothing moves (its pool's idle_timeout). */
    uint32_t io_timeout_ms;
    bool follow; /* two-way: see trove_stream_is_writer */
    /* Resumable upload: goes on with the one that has this id, 32 hexadecimal digits; NULL: begins one. Implies `resumable`. */
    const char *upload_id;
    /* Resumable upload that is begun: TROVE_REQUEST_ID_BYTES. The same id, bucket, key and size begin the same upload, or find it
     * begun: for a program that keeps the id before it opens the stream, and may die before it is told the upload's. NULL: the
     * library draws one. */
    const uint8_t *request_id;
    /* Resumable upload: memory for what is written and not durable yet, to be sent again; a write waits while it is used up. It
     * counts within the client's memory_bytes, where it may be less. At least 65,536, and two chunks; 0: 32 MiB. */
    uint64_t keep_bytes;
    trove_digest digest; /* upload; contradicts lossy */
} trove_stream_options;

TROVE_API void trove_stream_options_init(trove_stream_options *options);

/* Opens a stream: the server checks names and options and sets it up. The stream is idle until it is started. `options` may be
 * NULL. On success *stream is the caller's, to be released by trove_stream_release.
 * Errors: INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE, DEADLINE_EXCEEDED;
 * OUT_OF_RANGE (a range that begins behind the object's end), DATA_LOSS (an object with gaps, which aren't allowed).
 *
 * Two-way streams (TROVE_DIRECTION_BIDI). The object as it is at the opening comes down, while what goes up becomes its next
 * version: published in one step at the end, as by an upload. A key without an object is no error: nothing comes down then.
 * - Each way has chunk_bytes and channel_chunks for itself, and so memory, credit, indexes, offsets and backpressure. Neither
 *   waits for the other: however long nobody reads, writing goes on, and the other way round. So a program that first writes all
 *   and then reads all doesn't get stuck, nor does one that keeps the chunks of one way.
 * - One thread may do both, or one thread writes (trove_stream_chunk_get, _write, _complete) while another reads. The calls that
 *   wait, wait for their own way alone, but trove_stream_complete, and but for hooks: both ways share them, so a hook that
 *   doesn't keep up holds both.
 * - The way up is closed by a chunk that is marked `final` (it may be empty), or by trove_stream_complete; reading goes on. The
 *   way down is over when trove_stream_read gives NULL; writing goes on. Until both ends have sent everything the stream is
 *   active, can be paused and resumed, both ways at once, and then is completing.
 * - It completes when the way down was read to its end, by whichever thread, and all of the way up is stored. Who waits in
 *   trove_stream_complete and never reads waits in vain.
 * - Whatever ends it early (cancel, fail, a release, an error of either way, the loss of the connection) ends both ways, with one
 *   error and one call of on_error, and nothing is published.
 * - It can't seek, and isn't for whole objects. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_stream_open(trove_client *client, const char *bucket, const char *key,
                                                           trove_direction direction, const trove_stream_options *options,
                                                           trove_stream **stream, trove_error *error);

/* Moves an idle stream to active. Doesn't wait. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_stream_start(trove_stream *stream, trove_error *error);

/* Upload: takes a chunk with room for the stream's chunk size (adaptive: for what trove_stream_chunk_bytes_next says) from its
 * pool. Blocks while all are in use (that is backpressure).
 * The chunk is the caller's until trove_stream_write takes it or trove_stream_chunk_put gives it back. One that was read can't be
 * written: it belongs to the way down. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_stream_chunk_get(trove_stream *stream, uint32_t timeout_ms, trove_chunk **chunk,
                                                                trove_error *error);
TROVE_API void trove_stream_chunk_put(trove_stream *stream, trove_chunk *chunk);

/* Upload: queues *chunk_move. On OK the library owns it and *chunk_move is NULL; on error it is still the caller's. Blocks
 * while the channel is full, or while on_chunk or on_drop doesn't keep up. Any size from 1 byte to the capacity will do, and 0 in
 * a chunk that is marked `final`; multiples of 256 KiB (but for the last one) are hashed only once.
 * With TROVE_BACKPRESSURE_BUFFER it never waits for the server, nor for a resume, nor for hooks: while the channel is full the
 * chunk's bytes go to the overflow, from where the library sends them on in order, whether the program goes on writing or not.
 * trove_stream_complete waits for them. The same goes for trove_stream_chunk_get as long as the program holds one chunk at a
 * time.
 * Errors: FAILED_PRECONDITION (not active; a paused stream waits instead; a last chunk before the declared size is reached),
 * INVALID_ARGUMENT (more than the declared size; a chunk of another stream; no offset where it is needed), OUT_OF_RANGE (with
 * on_seek: another offset than trove_stream_offset, where the stream was moved to; the chunk is still the caller's), the stream's
 * own error once it has failed; RESOURCE_EXHAUSTED: the overflow has as much as it may (overflow_bytes; or so many chunks, 16
 * times as many as overflow_bytes has of full ones, 1,024 to 1,048,576), the chunk is still the caller's, and may be written
 * again. A full disk fails the stream, with the same status; a folder that isn't there, or that the program may not write to,
 * with FAILED_PRECONDITION. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_stream_write(trove_stream *stream, trove_chunk **chunk_move, uint32_t timeout_ms,
                                                            trove_error *error);

/* The same for a lossy stream with TROVE_BACKPRESSURE_DROP, and says what this write has lost: *dropped (may be NULL) is the
 * chunk that had to go for this one; its `count` is 0 where none had to. Dropped are the oldest chunks that weren't begun to be
 * sent, never the final one; where there is none, it blocks. A paused stream doesn't make it wait. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_stream_write_lossy(trove_stream *stream, trove_chunk **chunk_move,
                                                                  uint32_t timeout_ms, trove_drop *dropped, trove_error *error);

/* Download: the next chunk in order, its bytes verified, for the caller to give back with trove_stream_chunk_put (that returns
 * the credit). At the end returns OK with *chunk NULL. On a lossy stream a loss is a jump in index and offset. (The end of a
 * two-way stream's way down isn't yet the stream's: see trove_stream_complete.) */
TROVE_API TROVE_WARN_UNUSED trove_status trove_stream_read(trove_stream *stream, uint32_t timeout_ms, trove_chunk **chunk,
                                                           trove_error *error);

/* Pause, resume, cancel, seek. Waits for the server's word, which tells the state that it led to; *state may be NULL. Resuming a
 * stream that is idle starts it. A stream whose sender has sent everything is completing, whether it was read or not: it can't be
 * paused any more, nor seek; a download that fits its window is so at once.
 * `offset` is read by seek alone: the object's byte at which an active or paused stream is to go on. An upload can go back to any
 * byte up to what the server has received (trove_chunk_ack), and is written on from there; a download can go to any byte of its
 * range. What was written and not acknowledged, or came and was not read, is given up; chunks count from 0 again; a chunk that
 * the program still has is to be given back as ever. One seek at a time, while no other thread writes or reads.
 * Errors: FAILED_PRECONDITION naming the state, where an upload can't go, or a two-way stream can't, nor an upload whose digest
 * the library computes, nor one that is being moved from outside; OUT_OF_RANGE (download). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_stream_control(trove_stream *stream, trove_control control, uint64_t offset,
                                                              uint32_t timeout_ms, trove_stream_state *state, trove_error *error);

/* Upload: no more chunks; waits until the object is stored and durable. Download: waits until all was received and read. Two-way:
 * no more chunks; waits until what comes down was received and read, then until what went up is stored and durable; the message
 * of a DEADLINE_EXCEEDED says for which in vain. It counts as writing: not while another thread writes.
 * *info (two-way: what was published) may be NULL; else it is the caller's, to be released by trove_object_info_free. After
 * DEADLINE_EXCEEDED it may be called again; and, once the rest was written, after OUT_OF_RANGE (with on_seek: the stream was
 * moved from outside). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_stream_complete(trove_stream *stream, uint32_t timeout_ms,
                                                               trove_object_info **info, trove_error *error);

/* Ends the stream as failed for a reason of the caller's, which the server is told; an upload leaves nothing behind. Does
 * nothing to a stream that has ended. Doesn't wait. What of the reason is no UTF-8 is told as '?'. */
TROVE_API void trove_stream_fail(trove_stream *stream, trove_status status, const char *reason);

/* Gives the stream back. One that hasn't ended is cancelled. NULL is allowed. All its chunks must have been given back. Once it
 * has returned none of the stream's hooks runs any more: it waits for the one that does, so the caller must not hold a lock
 * that a hook takes. Called from a hook it doesn't wait (on_error with CANCELLED may still follow); another thread that waits
 * in a function of this stream comes back with its end. */
TROVE_API void trove_stream_release(trove_stream *stream);

/* A snapshot. At any moment, and after any end, in bytes and in chunks, for both ways of a two-way stream together:
 *     accepted = acknowledged + dropped + queued + in_flight + abandoned
 * A chunk is accepted when trove_stream_write takes it (upload; what waits in an overflow is queued) or when it was received from
 * the server (download; what the server has dropped counts, too). It is queued until it begins to be sent (upload) or is read by
 * the program (download), in flight until it is acknowledged: by the server's store (upload), by trove_stream_chunk_put
 * (download). What was queued or in flight when the stream ended is abandoned, unless it has completed. The chunk that the
 * library adds to end an upload counts as one, of 0 bytes. */
typedef struct trove_stream_metrics {
    trove_stream_state state;
    trove_direction direction;
    uint64_t bytes_sent;     /* payload, what was sent again included */
    uint64_t bytes_received; /* payload */
    uint64_t bytes_acknowledged;
    uint64_t chunks_sent; /* those sent again included */
    uint64_t chunks_received;
    uint64_t chunks_acknowledged;
    uint64_t chunks_resent;     /* retries: not taken by the receiver and sent again */
    uint64_t credit_bytes;      /* what may be sent now (upload, two-way), what the server may send now (download) */
    uint64_t buffers_allocated; /* chunk pool, two-way: both of them: memory ever allocated */
    uint64_t buffers_in_use;
    uint64_t buffers_high_water;
    double bytes_per_second; /* rolling average */
    uint64_t elapsed_ns;     /* since start */
    uint64_t bytes_accepted;
    uint64_t chunks_accepted;
    uint64_t bytes_dropped;
    uint64_t chunks_dropped;
    uint64_t bytes_queued;
    uint64_t chunks_queued;
    uint64_t bytes_in_flight;
    uint64_t chunks_in_flight;
    uint64_t bytes_abandoned;
    uint64_t chunks_abandoned;
    uint64_t bytes_waiting; /* queued and in flight */
    uint64_t bytes_spilled; /* went through the overflow of TROVE_BACKPRESSURE_BUFFER, once each */
    uint64_t chunks_spilled;
    uint64_t latency_p50_ns; /* as trove_chunk_ack.latency_ns, within 1/16; 0 while no chunk was acknowledged */
    uint64_t latency_p90_ns;
    uint64_t latency_p99_ns;
    /* Of a resumable stream: how often it has gone on after its connection was lost. Of a put: or was begun anew, see below. */
    uint64_t reconnects;
} trove_stream_metrics;

TROVE_API uint64_t trove_stream_offset(const trove_stream *stream); /* next byte to write, or of a download to read */
/* Next byte to read; 0 for an upload, which has no way down. */
TROVE_API uint64_t trove_stream_read_offset(const trove_stream *stream);
TROVE_API trove_stream_state trove_stream_state_get(const trove_stream *stream);
TROVE_API const char *trove_stream_state_name(trove_stream_state state); /* "idle", ...; static memory */
TROVE_API uint64_t trove_stream_chunk_bytes(const trove_stream *stream); /* as agreed with the server */
/* Upload: the size that the next chunk should have; trove_stream_chunk_get goes by it. With TROVE_BACKPRESSURE_ADAPTIVE it moves
 * while bytes are acknowledged, between 64 KiB and the stream's chunk size: towards the smallest with which they are within 2 %
 * as fast as with the best. Chunks of other sizes are taken as well, and tell it nothing. With another backpressure, and on
 * downloads, where the server chooses: the stream's chunk size. */
TROVE_API uint64_t trove_stream_chunk_bytes_next(const trove_stream *stream);
TROVE_API uint64_t trove_stream_id(const trove_stream *stream); /* the server's, for `trove streams` */
TROVE_API void trove_stream_metrics_get(const trove_stream *stream, trove_stream_metrics *metrics);

/* Resumable streams (trove_stream_options.resumable). When the connection is lost, or the server goes away, the stream doesn't
 * fail: it stands still, and goes on when the client has connected again; trove_stream_metrics.reconnects counts how often. It is
 * given up, with UNAVAILABLE, when it hasn't within the client's retry_for_ms.
 *
 * Upload. What the server has made durable stays when the stream ends, but for a cancel (or a release before its end), which
 * throws it away. Chunks are kept in their buffers until their bytes are durable, and sent again from where the server goes on:
 * see keep_bytes. What was acknowledged and has to be sent again counts as queued once more in trove_stream_metrics; on_chunk
 * tells of each chunk once, and progress doesn't go back.
 * - trove_stream_upload_id names it. A stream that is opened with trove_stream_options.upload_id, and the same bucket and key, by
 *   this process or another one, goes on with the upload: the program writes on from trove_stream_offset. Of its options content
 *   type, metadata and conditions aren't looked at, for they are those of the beginning; size and digest must not contradict it.
 *   If it is complete already, the stream is so when it is open, and trove_stream_complete tells the object.
 * - Who attaches takes the upload over: the stream that had it before fails with ABORTED, and doesn't come back.
 * - Errors that end the stream and leave the upload, whose id the message tells: UNAVAILABLE, DEADLINE_EXCEEDED,
 *   RESOURCE_EXHAUSTED. NOT_FOUND at the opening: there is no such upload (any more). A stream that finds the upload gone when it
 *   comes back begins a new one if it still has all that was written, else it fails with NOT_FOUND.
 * - PERMISSION_DENIED: the upload is another principal's. UNIMPLEMENTED: the server's store has no resumable uploads.
 * - An etag is given to the server at the end only where the library has seen the object's bytes from the first one on; a digest
 *   that the library is to compute of a stream that begins further behind is INVALID_ARGUMENT.
 * - Not with lossy, nor with TROVE_BACKPRESSURE_BUFFER; a seek can't go below trove_stream_durable_offset.
 *
 * Download. It goes on at the first byte that the program hasn't read, of the object that it has begun with: FAILED_PRECONDITION
 * if that was replaced meanwhile. Chunks that came and weren't read are fetched again. From then on it can't seek to before that
 * byte (OUT_OF_RANGE).
 *
 * Controls wait for the connection; one that was under way when it was lost fails with UNAVAILABLE, and its state is what it was.
 *
 * Whole objects: trove_put_* and trove_get_* with `resumable` work alike; a small object doesn't go up in one flight then.
 * With upload_id, trove_put_file and trove_put_fd (of a file) read what the server has already, to check it with the etag at the
 * end, and send the rest; a source that has less than that is FAILED_PRECONDITION.
 * A put that comes back and finds its upload lost (expired, aborted, or of a store that didn't survive) begins anew with the first byte,
 * where that can be read again: of memory and of files, not of a pipe, which fails with NOT_FOUND. The hooks are told: on_error of the
 * upload that is lost, on_opened of the new one, and progress begins at 0. It is given up when it hasn't got any further within the
 * client's retry_for_ms. The metrics add up what was sent.
 *
 * The upload's id; "" for other streams. Belongs to the stream. */
TROVE_API const char *trove_stream_upload_id(const trove_stream *stream);
/* Resumable upload: all below it survives a crash of the server, if trove_stream_upload_survives_restart says so; 0 for others. */
TROVE_API uint64_t trove_stream_durable_offset(const trove_stream *stream);
TROVE_API bool trove_stream_upload_survives_restart(const trove_stream *stream);

/* Follow mode: one writes, and others read what is written while it is. Among the streams of a key that are opened with
 * trove_stream_options.follow, from any number of clients, the first one is elected to write; those that are opened while it
 * lives follow it. Which one this is, is settled when it is open. False for streams without `follow`.
 * - The writer writes as on any two-way stream; nothing comes down, not even an object that there is.
 * - A follower is sent what the writer has written so far, from byte 0 on, and then what it writes, as it grows: so it sees bytes
 *   before the object is published, which is otherwise never the case. It reads at its own pace, and slows nobody down. Its way
 *   up is closed: trove_stream_chunk_get and _write fail with FAILED_PRECONDITION. How much there will be isn't known before the
 *   end.
 * - Completing the writer publishes the object. Its followers are sent the rest of it, and trove_stream_complete tells each the
 *   object as it was published.
 * - A writer that fails or is cancelled leaves nothing, and its followers fail with ABORTED and the reason. The next stream that
 *   is opened with `follow` is elected then.
 * `follow` contradicts lossy, a range and conditions. A store that can't read what isn't complete: UNIMPLEMENTED for
 * followers. */
TROVE_API bool trove_stream_is_writer(const trove_stream *stream);

/* The stream's chunk pool: chunks that the program, the queue and the transport have taken and given back. A two-way stream has
 * one for each way; these are the sums of both. */
typedef struct trove_chunk_stats {
    uint64_t chunk_bytes;
    uint64_t chunks;     /* that there are */
    uint64_t allocated;  /* taken since the stream was opened */
    uint64_t released;   /* given back since then */
    uint64_t in_use;     /* allocated - released */
    uint64_t high_water; /* most that were in use at once */
    uint64_t buffers;    /* buffers of memory ever made; stands still in the steady state */
} trove_chunk_stats;

TROVE_API void trove_stream_chunk_stats(const trove_stream *stream, trove_chunk_stats *stats);

/* The object's description: on a download from the opening on, else NULL until completed. Two-way: what comes down from the
 * opening on (NULL where there is no object yet), what was published once it has completed. Belongs to the stream; neither goes
 * before it. */
TROVE_API const trove_object_info *trove_stream_object(const trove_stream *stream);

/* ---- hooks ---------------------------------------------------------------------------------------------------------------- */

#define TROVE_HOOKS_MAX 8 /* sets of hooks that a stream may have, that of its options included */

/* Adds a set of hooks, which is copied, beside those that the stream has; there is no taking it away again. From any thread, a
 * hook included, and at any time until the stream's end. A set is told what happens from then on, after the sets that were there
 * before it: chunks that are acknowledged or dropped, the next progress, and the end, exactly once.
 * Errors: INVALID_ARGUMENT (a set without a function), FAILED_PRECONDITION (the stream has ended: nothing comes any more),
 * RESOURCE_EXHAUSTED (TROVE_HOOKS_MAX sets, or no memory).
 *
 * What a hook may do: everything but trove_close. It keeps all other hooks of its client waiting meanwhile, so it should be
 * quick. A hook that writes or reads counts as the thread that does. What would wait for another hook fails there with
 * RESOURCE_EXHAUSTED instead of waiting for ever: writing to, or reading from, a stream whose own hooks don't keep up, and taking
 * a stream of a pool that is full. trove_stream_release and trove_pool_close don't wait in a hook. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_stream_hooks_add(trove_stream *stream, const trove_stream_hooks *hooks,
                                                                trove_error *error);

/* ---- whole objects -------------------------------------------------------------------------------------------------------- */

/* For put and get: the stream's options; `timeout_ms` bounds each step that makes no progress, not the whole transfer. */

/* Stores `size` bytes from memory, which must stay as they are during the call. Small objects go up in one flight, of which no
 * progress is told; where another hook is set, under a limit, in a client's pool and where they are resumable they go by way of a
 * stream like others. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_put_memory(trove_client *client, const char *bucket, const char *key,
                                                          const void *data, size_t size, const trove_stream_options *options,
                                                          trove_object_info **info, trove_error *error);

/* Stores what `fd` gives from its present position to its end; a pipe will do. The descriptor stays the caller's. Errors besides
 * the stream's own: ABORTED (a file was changed meanwhile), DEADLINE_EXCEEDED (a pipe gave nothing for io_timeout_ms). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_put_fd(trove_client *client, const char *bucket, const char *key, int fd,
                                                      const trove_stream_options *options, trove_object_info **info,
                                                      trove_error *error);

TROVE_API TROVE_WARN_UNUSED trove_status trove_put_file(trove_client *client, const char *bucket, const char *key,
                                                        const char *path, const trove_stream_options *options,
                                                        trove_object_info **info, trove_error *error);

/* Reads the object (or the options' range) straight into `data`. *size_read tells how many bytes that were. On failure what is in
 * `data` is undefined. Errors: OUT_OF_RANGE where `capacity` is too small: nothing is read then, the message tells the size. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_get_memory(trove_client *client, const char *bucket, const char *key, void *data,
                                                          size_t capacity, const trove_stream_options *options, size_t *size_read,
                                                          trove_object_info **info, trove_error *error);

/* Writes the object to `fd` from its present position on; a pipe will do. For who reads a pipe in non-blocking mode it waits up
 * to io_timeout_ms (DEADLINE_EXCEEDED), in blocking mode like write(2) for ever; it raises SIGPIPE where nobody reads any
 * more. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_get_fd(trove_client *client, const char *bucket, const char *key, int fd,
                                                      const trove_stream_options *options, trove_object_info **info,
                                                      trove_error *error);

/* Writes to a file `.trove-XXXXXX.part` (0600) in the folder of `path` and renames it when it is whole; `path` is never half
 * written. The file isn't synced to disk. What is at `path` already must be a regular file; a symbolic link isn't followed.
 * With options.resumable what has come stays after a failure or a crash if it is 1 MiB or more: the file's name is made of those of
 * target and object then, and the next such call goes on with it, as trove_get_rest does. Failures after which that makes no sense
 * (NOT_FOUND, FAILED_PRECONDITION, DATA_LOSS, a full disk and the like) leave nothing. Where somebody else is getting the same object into the
 * same target, the file has another name, and nothing stays. A range is always read anew. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_get_file(trove_client *client, const char *bucket, const char *key,
                                                        const char *path, const trove_stream_options *options,
                                                        trove_object_info **info, trove_error *error);

/* Goes on with a download. `fd` is a regular file, open for reading and writing, whose bytes may be the object's beginning: from an
 * earlier try, of another version, or none. It is compared block by block (256 KiB) with what the server has; the beginning that is
 * the same is kept, the rest of the file cut off, and the rest of the object fetched behind it, under the condition that it is
 * still the object compared with. So on success the file is the object, whole, and never has bytes of two versions.
 * *kept_bytes (may be NULL) were there already; progress and metrics are of what is fetched. After a failure the file has some
 * beginning, to be gone on with again. For nobody else to use meanwhile: who shares a file must lock it.
 * Errors: those of trove_get_fd; INVALID_ARGUMENT (a range, or another kind of descriptor); FAILED_PRECONDITION (also: the object
 * was replaced while it was read, across a lost connection). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_get_rest(trove_client *client, const char *bucket, const char *key, int fd,
                                                        const trove_stream_options *options, uint64_t *kept_bytes,
                                                        trove_object_info **info, trove_error *error);

/* ---- resumable uploads, seen from outside --------------------------------------------------------------------------------- */

/* A resumable upload as the server keeps it, whether a stream holds it now or it is parked. */
typedef struct trove_upload {
    char id[TROVE_UPLOAD_ID_BYTES]; /* trove_stream_options.upload_id */
    const char *bucket;
    const char *key;
    uint64_t received_offset;           /* by the stream that holds it; durable_offset where none does */
    uint64_t durable_offset;            /* where it would go on */
    uint64_t created_ns;                /* since the epoch, UTC */
    uint64_t expires_ns;                /* it is thrown away then, unless somebody goes on with it before */
    const trove_object_info *completed; /* its result, which is told until it expires; NULL: it isn't complete */
} trove_upload;

/* Set up with trove_upload_list_options_init, then change what differs. */
typedef struct trove_upload_list_options {
    size_t struct_bytes;
    const char *bucket; /* only those of this bucket; NULL or "" for all */
    const char *cursor; /* next_cursor of the page before; NULL for the first page */
    uint32_t limit;     /* uploads a page, 1 to 1,000; 0 is 1,000. A page may hold fewer, or none, and still not be the last */
    uint32_t timeout_ms;
} trove_upload_list_options;

TROVE_API void trove_upload_list_options_init(trove_upload_list_options *options);

typedef struct trove_upload_page {
    const trove_upload *uploads; /* in the order of buckets (as they were made), keys, ids */
    size_t count;
    const char *next_cursor; /* NULL on the last page */
} trove_upload_page;

/* One page of the caller's own uploads that aren't complete. `options` may be NULL. Release with trove_upload_page_free, which
 * takes NULL.
 * Errors: INVALID_ARGUMENT, NOT_FOUND (bucket), UNIMPLEMENTED (a store without resumable uploads). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_upload_list(trove_client *client, const trove_upload_list_options *options,
                                                           trove_upload_page **page, trove_error *error);
TROVE_API void trove_upload_page_free(trove_upload_page *page);

/* How an upload stands. Asking fences nobody: whoever holds it goes on. Release with trove_upload_free, which takes NULL.
 * Errors: NOT_FOUND (never there, aborted or expired), PERMISSION_DENIED (another principal's), INVALID_ARGUMENT. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_upload_stat(trove_client *client, const char *upload_id, uint32_t timeout_ms,
                                                           trove_upload **upload, trove_error *error);
TROVE_API void trove_upload_free(trove_upload *upload);

/* Throws an upload away with what it has stored. A stream that holds it fails with ABORTED.
 * Errors as above, and FAILED_PRECONDITION (it is complete: delete the object instead). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_upload_abort(trove_client *client, const char *upload_id, uint32_t timeout_ms,
                                                            trove_error *error);

/* ---- many small calls at once --------------------------------------------------------------------------------------------- */

/* Called from the hook thread, exactly once. `error` is NULL on success. `data` (an echo's answer) is valid during the call.
 * A `done` may begin next calls. Asynchronous ones go out together, when it has returned. */
typedef void (*trove_done_fn)(void *context, const trove_error *error, const void *data, size_t size);

/* Starts storing a small object and returns; `done` is called when it is durable or has failed (with DEADLINE_EXCEEDED after
 * `timeout_ms`). The bytes are copied. What the server has no room for in one flight the library puts once more, as a stream, one
 * after the other.
 * Blocks only while the connection's early-data allowance or its calls are used up, at most `timeout_ms`; in a hook or `done` it
 * doesn't wait for calls: RESOURCE_EXHAUSTED (one that was just told of has given its own back).
 * Errors: INVALID_ARGUMENT (also: larger than 64 KiB, or than the server takes in one flight), UNAVAILABLE, DEADLINE_EXCEEDED;
 * then `done` is not called. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_put_async(trove_client *client, const char *bucket, const char *key,
                                                         const void *data, size_t size, uint32_t timeout_ms, trove_done_fn done,
                                                         void *context, trove_error *error);

/* Sends up to 64 KiB and gets the same bytes back: measures the way of a call. Bounded by 1,024 calls under way; blocks as
 * trove_put_async. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_echo_async(trove_client *client, const void *data, size_t size,
                                                          uint32_t timeout_ms, trove_done_fn done, void *context,
                                                          trove_error *error);

#ifdef __cplusplus
}
#endif

#include "trove_pools.h"

#endif
