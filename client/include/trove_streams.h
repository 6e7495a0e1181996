/* trove_streams.h - streams: managed, chunked transfers of an object, with flow control, hooks and metrics.
 * Comes with trove.h, whose first comment is true of this as well.
 */
#include "trove.h" /* before the guard: whoever includes this one alone gets all of them, in their order */

#ifndef TROVE_STREAMS_H
#define TROVE_STREAMS_H

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
