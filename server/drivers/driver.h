/* driver.h - the one interface between the engine and a store.
 *
 * A driver is a table of functions and a set of capabilities. Functions marked "blocks" may wait for a disk or a network and run
 * on worker threads only; the others never block. All of them may be called from several threads at once, except that one
 * `tvs_put` or `tvs_get` is used by one thread at a time. Names arrive checked (names.h), and so does everything else that a
 * client said. Bytes arrive with their checksums already verified against what the client sent (data.h).
 *
 * A commit is asynchronous: `put_commit` queues it and returns; the driver calls `done` from a thread of its own when the object
 * is durable (or has failed), so that a worker never waits for a sync and one sync serves many commits.
 */
#ifndef TVS_DRIVER_H
#define TVS_DRIVER_H

#include "data.h"
#include "gaps.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tvs_capability {
    TVS_CAP_RANGE = 1 << 0,       /* reads from any block on */
    TVS_CAP_SERVER_COPY = 1 << 1, /* copies without the bytes leaving the store */
    TVS_CAP_DURABLE = 1 << 2,     /* what was committed survives a crash */
    TVS_CAP_RESUMABLE = 1 << 3,   /* unfinished puts survive a lost connection: the upload_ functions are there */
    TVS_CAP_NONBLOCKING = 1 << 4, /* nothing here ever waits: write and read may be called from anywhere */
    /* put_small only queues, and may be called from anywhere. What is queued is held (tvs_small_put_bytes) until it is done: how
     * much that may be together is for the caller to say. */
    TVS_CAP_SMALL_QUEUED = 1 << 5,
    TVS_CAP_UPLOADS_SURVIVE = 1 << 6, /* resumable puts also survive a restart and a crash, up to their durable offset */
};

/* What a driver is opened with; from the DSN and the config. */
struct tvs_driver_config {
    const char *path;      /* what the DSN has behind its scheme: "/var/lib/trove" of local:///var/lib/trove */
    uint64_t memory_bytes; /* ceiling of what the driver itself may hold: mem's objects, local's caches; 0: its default */
    bool relaxed;          /* durability traded for speed by the operator's word; never the default */
    void (*log)(void *context, const char *message); /* may be NULL; rare and important things: repaired, removed, failed */
    void *log_context;
};

/* An object's description. Strings and arrays belong to `memory` and go with tvs_object_fini. */
struct tvs_object {
    char *key;
    uint64_t size;
    uint64_t generation;  /* at least 1; grows with every put of this key, also across a delete (a store-wide counter will do) */
    uint64_t modified_ns; /* since the epoch */
    char etag[TROVE_ETAG_BYTES];
    char *content_type; /* "" where none was given */
    trove_metadata *metadata;
    size_t metadata_count;
    /* What a lossy stream lost of it; see gaps.h. Lost bytes count in `size` and read as zeros. */
    uint64_t gap_count; /* 0: it is whole */
    uint64_t gap_bytes;
    trove_gap *gaps; /* in order */
    uint32_t gaps_listed;
    void *memory; /* one block that holds all of the above pointers' targets */
};

void tvs_object_fini(struct tvs_object *object); /* zeroed and finished ones are allowed */
/* A copy of its own, for tvs_object_fini. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_object_copy(struct tvs_object *to, const struct tvs_object *from, trove_error *error);

/* What must hold for a put, delete or copy when it takes effect, and for a get when it begins. All unset: always. */
struct tvs_conditions {
    const char *if_match;   /* the object must exist with this etag; NULL: any */
    bool if_none;           /* the object must not exist */
    uint64_t if_generation; /* the object must exist with this generation; 0: any */
};

/* The numbers are those of the wire, and stand in stores. */
enum tvs_digest_kind {
    TVS_DIGEST_NONE = 0,
    TVS_DIGEST_SHA256 = 1,
    TVS_DIGEST_BLAKE2B = 2, /* 64 bytes, unkeyed */
};

#define TVS_SHA256_BYTES     32
#define TVS_BLAKE2B_BYTES    64
#define TVS_DIGEST_BYTES_MAX TVS_BLAKE2B_BYTES

/* What the whole object's digest must be. */
struct tvs_declared_digest {
    enum tvs_digest_kind kind;
    bool has_value; /* false: put_expect will say it */
    uint8_t value[TVS_DIGEST_BYTES_MAX];
};

struct tvs_put_options {
    const char *content_type; /* never NULL */
    const trove_metadata *metadata;
    size_t metadata_count;
    uint64_t size_hint; /* TROVE_SIZE_UNKNOWN where the size isn't known beforehand */
    struct tvs_conditions conditions;
    const struct tvs_declared_digest *digest; /* NULL: none, which costs nothing. Contradicts put_gap */
};

struct tvs_driver; /* opaque here; begins with `const struct tvs_driver_ops *ops` */
struct tvs_put;
struct tvs_get;
struct tvs_copy;

/* `object` on success (NULL else) and `error` on failure are valid during the call. Must not block. */
typedef void (*tvs_commit_done)(void *context, trove_status status, const struct tvs_object *object, const trove_error *error);

struct tvs_bucket {
    char name[TV_BUCKET_BYTES_MAX + 1];
    uint64_t created_ns;
    uint64_t object_count;
    uint64_t object_bytes;
};

struct tvs_list_query {
    const char *prefix;    /* never NULL */
    const char *delimiter; /* never NULL; "" for none */
    const char *after;     /* list what comes behind this key or common prefix; "" from the start */
    uint32_t limit;        /* 1 to TV_LIST_LIMIT_MAX */
};

struct tvs_list_entry {
    const char *key; /* valid during the call; object keys and common prefixes */
    bool is_prefix;
    const struct tvs_object *object; /* NULL for a prefix; content type, metadata and the list of gaps need not be filled in */
};

/* Returns false to end the page early (the entry counts as not taken). */
typedef bool (*tvs_list_visit)(void *context, const struct tvs_list_entry *entry);

/* ---- resumable uploads ---- */

#define TVS_UPLOAD_ID_BYTES  16
#define TVS_REQUEST_ID_BYTES 16

/* An upload's name: 128 random bits, the driver's, never used again. */
struct tvs_upload_id {
    uint8_t bytes[TVS_UPLOAD_ID_BYTES];
};

struct tvs_upload_options {
    struct tvs_put_options put; /* size_hint is told by tvs_upload_info; whether it comes true is for the engine to check */
    const char *principal;      /* whose it is: only they may attach. 1 to TV_PRINCIPAL_BYTES_MAX bytes, no NUL */
    uint8_t request_id[TVS_REQUEST_ID_BYTES]; /* with the principal: the same one is the same upload */
    /* It expires when nobody has touched it (begin, attach, flush, commit) for idle_ns, and keep_ns after its beginning at the
     * latest. A touch moves the deadline away or leaves it, never closer. */
    uint64_t idle_ns, keep_ns;
};

struct tvs_upload_info {
    struct tvs_upload_id id;
    const char *bucket, *key, *principal;
    uint64_t epoch;
    uint64_t durable_offset;
    uint64_t size_hint; /* as declared; TROVE_SIZE_UNKNOWN */
    uint64_t created_ns;
    uint64_t expires_ns;
    const struct tvs_object *result; /* what it has become; NULL: it isn't complete */
};

/* `info` on success (NULL else) and `error` on failure are valid during the call. Must not block. */
typedef void (*tvs_upload_done)(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error);
/* Returns false to end the page early (the upload counts as not taken). */
typedef bool (*tvs_upload_visit)(void *context, const struct tvs_upload_info *info);

/* How far a listing has come: opaque bytes, which may come back from a client. */
#define TVS_UPLOAD_CURSOR_BYTES_MAX (8 + TV_KEY_BYTES_MAX + 1 + TVS_UPLOAD_ID_BYTES)
struct tvs_upload_cursor {
    size_t count; /* 0: the beginning */
    uint8_t bytes[TVS_UPLOAD_CURSOR_BYTES_MAX];
};

/* ---- scrubbing ---- */

/* What of an object isn't as it was stored. Texts are valid during the call that tells it. */
struct tvs_scrub_damage {
    const char *key;
    uint64_t generation;     /* 0: not known */
    uint64_t offset, length; /* bytes that are lost; a length of 0: it is about what describes the object */
    const char *message;
};

typedef void (*tvs_scrub_visit)(void *context, const struct tvs_scrub_damage *damage);

/* How far a scrub has come. Zeroed: the beginning. */
struct tvs_scrub_place {
    char key[TV_KEY_BYTES_MAX + 1]; /* "": no key yet */
    bool inside;                    /* goes on in this key's object; else behind the key */
    uint64_t generation, offset; /* inside: which one it was, 0: not begun; the next byte, a block's first. Another one: anew */
};

/* The place as bytes, which may come back from a client. scrub.c */
#define TVS_SCRUB_CURSOR_BYTES_MAX (1 + 8 + 8 + TV_KEY_BYTES_MAX)
size_t tvs_scrub_cursor_write(const struct tvs_scrub_place *place, uint8_t to[TVS_SCRUB_CURSOR_BYTES_MAX]);
bool tvs_scrub_cursor_read(const uint8_t *from, size_t count, struct tvs_scrub_place *place); /* false: they are none */

struct tvs_scrub {
    const char *prefix; /* of the keys; never NULL */
    tvs_scrub_visit visit;
    void *context;
    struct tvs_scrub_place place; /* moves along */
    uint64_t objects, bytes;      /* that were looked at to their end; read. Counted up */
};

/* What one step reads (to the end of the block), looks at and tells at most. */
#define TVS_SCRUB_STEP_BYTES   (4 * TV_MIB)
#define TVS_SCRUB_STEP_OBJECTS 64
#define TVS_SCRUB_STEP_DAMAGES 64

struct tvs_driver_ops {
    const char *scheme; /* of the DSN: "local" */
    uint32_t capabilities;

    /* Whether `open` would find its place: a store, or what can become one; as many as `missing_max` of the path's last folders
     * may be missing. Touches nothing and takes no lock. NULL: there is nothing to check. */
    trove_status (*check)(const char *path, unsigned missing_max, trove_error *error);
    /* Blocks. Recovers, takes an exclusive lock, removes orphans. On success *driver is ready. */
    trove_status (*open)(const struct tvs_driver_config *config, struct tvs_driver **driver, trove_error *error);
    /* Blocks. Finishes the commits that are queued, ends the threads. No puts and gets may be left. */
    void (*close)(struct tvs_driver *driver);

    /* Buckets. All block. ALREADY_EXISTS; NOT_FOUND; FAILED_PRECONDITION (not empty). With a bucket its uploads that aren't
     * complete are removed, whoever holds them; what is left of them after a crash `open` removes. */
    trove_status (*bucket_create)(struct tvs_driver *driver, const char *bucket, trove_error *error);
    trove_status (*bucket_delete)(struct tvs_driver *driver, const char *bucket, trove_error *error);
    /* In byte order of their names; *buckets is one malloc'd array for the caller to free. */
    trove_status (*bucket_list)(struct tvs_driver *driver, struct tvs_bucket **buckets, size_t *count, trove_error *error);

    /* Blocks. NOT_FOUND says whether the bucket or the key is missing. */
    trove_status (*head)(struct tvs_driver *driver, const char *bucket, const char *key, struct tvs_object *object,
                         trove_error *error);
    /* Blocks. Visits up to `limit` entries from one snapshot in byte order; costs the page, not the bucket. *more tells whether
     * anything follows the last entry taken. */
    trove_status (*list)(struct tvs_driver *driver, const char *bucket, const struct tvs_list_query *query, tvs_list_visit visit,
                         void *context, bool *more, trove_error *error);
    /* Blocks until durable. */
    trove_status (*delete)(struct tvs_driver *driver, const char *bucket, const char *key,
                           const struct tvs_conditions *conditions, trove_error *error);
    /* Blocks. Fills in the checksums of the object's blocks from `first` on, at most count_max; *count of them, 0 behind the
     * last. They are the ones that its etag was made of. *object is the caller's to finish. */
    trove_status (*block_sums)(struct tvs_driver *driver, const char *bucket, const char *key, uint64_t first, size_t count_max,
                               uint64_t *sums, size_t *count, struct tvs_object *object, trove_error *error);

    /* Puts. The object appears whole at the commit and not before; until then the old one stays.
     * begin: blocks; NOT_FOUND (bucket), FAILED_PRECONDITION (conditions that can't hold any more). Copies what it needs. */
    trove_status (*put_begin)(struct tvs_driver *driver, const char *bucket, const char *key,
                              const struct tvs_put_options *options, struct tvs_put **put, trove_error *error);
    /* Blocks. Appends: data->offset equals what was written so far. The memory is the caller's again on return. After an error
     * the put can only be aborted. */
    trove_status (*put_write)(struct tvs_put *put, const struct tv_data *data, trove_error *error);
    /* Blocks. Appends `length` bytes that were lost: they read as zeros, have the checksums of zeros, take next to no space, and
     * the object tells of them. `offset` equals what was written so far. After an error the put can only be aborted.
     * Errors: RESOURCE_EXHAUSTED, OUT_OF_RANGE (larger than an object may be). */
    trove_status (*put_gap)(struct tvs_put *put, uint64_t offset, uint64_t length, trove_error *error);
    /* Blocks. Forgets everything from `offset` on, bytes and gaps (one that reaches across is shortened): the next put_write or
     * put_gap goes on there. `offset` is at most what was written so far, and may lie inside a block, whose beginning is then
     * read back and verified. Not while a put_read is under way. After an error the put can only be aborted, but for
     * FAILED_PRECONDITION: below what a resumable put has flushed, or is about to; nothing has changed then.
     * Where a digest is declared, everything before `offset` is read and hashed once more.
     * Errors: DATA_LOSS; RESOURCE_EXHAUSTED; UNIMPLEMENTED (null, inside a block or with a digest: it has no bytes to go back
     * to). */
    trove_status (*put_rewind)(struct tvs_put *put, uint64_t offset, trove_error *error);
    /* Blocks. Reads what was written so far, gaps as zeros: as get_read does, but data->bytes may end inside a block wherever a
     * put_write or put_gap did. Fills piece_sums and piece_count over exactly these bytes; whole blocks are verified against the
     * checksums kept (DATA_LOSS naming object and range), a part of one is only hashed. An error is the reader's alone: the put
     * can go on.
     * Threads: any number, also while one other writes the put. The range lies below what a put_write or put_gap covered that
     * has returned before this call begins (the caller's locks or atomics order them), and the put isn't rewound, committed or
     * aborted until this returns. */
    trove_status (*put_read)(struct tvs_put *put, struct tv_data *data, trove_error *error);
    /* Says, at any time before the commit, what the digest must be: of the kind that the put was begun with. What a holder of a
     * resumable one says isn't the next one's word. Never blocks.
     * Errors: INVALID_ARGUMENT (another kind; not the value that was declared at the beginning): the put can go on. */
    trove_status (*put_expect)(struct tvs_put *put, const struct tvs_declared_digest *digest, trove_error *error);
    /* May block for the data's own sync, never for the index's. Takes the put over in every case; `done` is called exactly once,
     * also from within this call. `etag` is what the sender computed over its own bytes, NULL if it didn't: bytes with another
     * one are DATA_LOSS and aren't published; the same goes for those with another digest than the declared one. */
    void (*put_commit)(struct tvs_put *put_move, const char *etag, tvs_commit_done done, void *context);
    /* Removes all traces; of a resumable put only the holder: the upload stays, at its durable offset. NULL is allowed. May
     * block. */
    void (*put_abort)(struct tvs_put *put_move);
    /* A whole small object (at most TV_INLINE_BYTES_MAX) in one step: begin, write and commit. Same rules; `done` exactly
     * once. */
    void (*put_small)(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_put_options *options,
                      const struct tv_data *data, tvs_commit_done done, void *context);

    /* Gets: the object as it is when it is begun, even if it is replaced or deleted meanwhile.
     * begin: blocks. Fills *object (the caller's to finish). */
    trove_status (*get_begin)(struct tvs_driver *driver, const char *bucket, const char *key,
                              const struct tvs_conditions *conditions, struct tvs_get **get, struct tvs_object *object,
                              trove_error *error);
    /* Blocks. Reads whole blocks: data->offset is a multiple of TV_BLOCK_BYTES, data->bytes a multiple of it too or what is left
     * of the object, data->iov[i] is one block each (the last one shorter at the object's end). Fills piece_sums and piece_count,
     * verified against what the store keeps: a block that doesn't match is DATA_LOSS naming object and range. Gaps are read like
     * anything else, as zeros: whether the reader may have them is for the engine to say, which knows object->gaps. */
    trove_status (*get_read)(struct tvs_get *get, struct tv_data *data, trove_error *error);
    void (*get_end)(struct tvs_get *get_move); /* NULL is allowed */

    /* Copies of objects as they are when they are begun, gaps included, with TVS_CAP_SERVER_COPY; else UNIMPLEMENTED. One may
     * take hours: it is done in steps of some MiB, each by any one thread, and committed or aborted at last.
     * begin: blocks. `conditions`, those of the target, may be NULL. Copies what it needs. Errors: those of get_begin and
     * put_begin; what concerns the target may be told by the commit only. */
    trove_status (*copy_begin)(struct tvs_driver *driver, const char *from_bucket, const char *from_key, const char *to_bucket,
                               const char *to_key, const struct tvs_conditions *conditions, struct tvs_copy **copy,
                               trove_error *error);
    /* Blocks. *finished becomes true with the last one. After an error the copy can only be aborted. */
    trove_status (*copy_step)(struct tvs_copy *copy, bool *finished, trove_error *error);
    /* When it is finished. As put_commit. */
    void (*copy_commit)(struct tvs_copy *copy_move, tvs_commit_done done, void *context);
    /* As put_abort. */
    void (*copy_abort)(struct tvs_copy *copy_move);

    /* Resumable uploads: puts that the store remembers under an id, with a durable offset. UNIMPLEMENTED without
     * TVS_CAP_RESUMABLE.
     *
     * Who begins an upload or attaches to it becomes its holder: the epoch is counted up, durably, before they hear of it. From
     * then on everything that an older holder's put is asked for fails with ABORTED and changes nothing: each call is checked
     * when it begins, and a flush or commit once more where it takes effect. upload_open gives the holder a put for their epoch,
     * which is used like any other but for put_gap and put_small: put_write, put_rewind (not below what was flushed), put_read,
     * put_expect, put_flush; put_commit publishes the object and in the same step turns the upload into its result, kept until
     * the upload expires, so that attaching tells it; put_abort lets go. A commit that fails leaves the upload as it was, at its
     * durable offset. NOT_FOUND of a put: its upload was aborted, has expired, or went
     * with its bucket.
     *
     * begin, attach, abort: may block for reading the index, never for a commit; `done` is called exactly once, also from within
     * the call. */

    /* A request id again is upload_attach to what it began. It must be for the same object: bucket, key, declared size and
     * digest. Copies what it needs. Errors: NOT_FOUND (bucket), FAILED_PRECONDITION (conditions that can't hold any more),
     * INVALID_ARGUMENT (a request id that was for something else), RESOURCE_EXHAUSTED; as upload_attach. */
    void (*upload_begin)(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_upload_options *options,
                         tvs_upload_done done, void *context);
    /* `principal` NULL: anybody's. Of a complete one the epoch stays as it is; info->result tells it.
     * Errors: NOT_FOUND; PERMISSION_DENIED (somebody else's); DATA_LOSS (the store has lost some of it: it can only be
     * aborted). */
    void (*upload_attach)(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal, tvs_upload_done done,
                          void *context);
    /* Blocks: reads what is needed to go on, with a declared digest all that is durable. The put has the durable bytes and goes
     * on behind them; what was written above is forgotten. Once for each epoch.
     * Errors: ABORTED (an older epoch; open already), NOT_FOUND (also: its bucket), FAILED_PRECONDITION (complete), DATA_LOSS,
     * RESOURCE_EXHAUSTED: attach again. UNAVAILABLE: a call of an older holder is still under way; wait for it and call this
     * again. */
    trove_status (*upload_open)(struct tvs_driver *driver, const struct tvs_upload_id *id, uint64_t epoch, struct tvs_put **put,
                                trove_error *error);
    /* Of a resumable put. Makes durable what was written so far, and then remembers it: blocks for the first, not for the second.
     * When `done` comes, exactly once, also from within this call, info->durable_offset is where the upload goes on after any
     * crash; it only grows. The put may be used on meanwhile, also for another flush. After an error the put can only be aborted.
     * Errors: ABORTED, NOT_FOUND; RESOURCE_EXHAUSTED: the upload stays as it was; DATA_LOSS: syncing failed, and it is lost. */
    void (*put_flush)(struct tvs_put *put, tvs_upload_done done, void *context);
    /* Removes it, whoever holds it. Errors: as upload_attach but DATA_LOSS; FAILED_PRECONDITION (complete: delete the object). */
    void (*upload_abort)(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal, tvs_upload_done done,
                         void *context);
    /* Blocks. Tells of it, and fences and touches nothing. Errors: NOT_FOUND, PERMISSION_DENIED. */
    trove_status (*upload_stat)(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                                tvs_upload_visit visit, void *context, trove_error *error);
    /* Blocks. Visits up to `limit` (1 to TV_LIST_LIMIT_MAX) uploads that aren't complete, behind *cursor, which moves along; of
     * one bucket, or with "" of all. In the order of buckets (as they were made), keys, ids. Costs the page. *more tells whether
     * anything follows the last one taken. Errors: NOT_FOUND (bucket), INVALID_ARGUMENT (the cursor isn't one). */
    trove_status (*upload_list)(struct tvs_driver *driver, const char *bucket, struct tvs_upload_cursor *cursor, uint32_t limit,
                                tvs_upload_visit visit, void *context, bool *more, trove_error *error);
    /* Blocks until durable. Removes up to `limit` (1 to TV_LIST_LIMIT_MAX) uploads and results that have expired by `now_ns`,
     * whoever holds them. *more: call it again. `open` has done so for what had expired by then. */
    trove_status (*upload_collect)(struct tvs_driver *driver, uint64_t now_ns, uint32_t limit, uint32_t *removed, bool *more,
                                   trove_error *error);

    /* Blocks: some milliseconds of a disk's time. One step of a walk over a bucket's objects in byte order of their keys: reads
     * every byte from where it is kept, and compares bytes, checksums, etag and description with each other. *finished becomes
     * true with the last one. What is put, replaced or deleted meanwhile may be looked at or not. Damage is told and is no error;
     * after an error `place` is where the step may be tried again, and what it told may come again. NULL: there is nothing to
     * look at.
     * Errors: NOT_FOUND (bucket); RESOURCE_EXHAUSTED; DATA_LOSS (the index can't be walked any further). */
    trove_status (*scrub)(struct tvs_driver *driver, const char *bucket, struct tvs_scrub *scrub, bool *finished,
                          trove_error *error);
};

struct tvs_driver {
    const struct tvs_driver_ops *ops;
};

/* The memory that a driver holds at most for a small object from put_small on until it is done: bytes, names, what describes
 * them. */
uint64_t tvs_small_put_bytes(const char *key, const struct tvs_put_options *options, uint64_t data_bytes);

extern const struct tvs_driver_ops tvs_null_driver;
extern const struct tvs_driver_ops tvs_mem_driver;
extern const struct tvs_driver_ops tvs_local_driver;

/* The driver of a DSN such as "local:///var/lib/trove", "mem://" or "null://"; NULL and INVALID_ARGUMENT, naming the schemes
 * that exist, for one that is none. *path points into `dsn`, behind "://". */
const struct tvs_driver_ops *tvs_driver_find(const char *dsn, const char **path, trove_error *error);

#endif
