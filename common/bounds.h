/* bounds.h - every ceiling in one place, with its arithmetic; static assertions hold them together. (Not "limits.h": that would
 * stand before the system's <limits.h>, which finds itself by #include_next.)
 *
 * A limit that the peer must know travels in the welcome; a limit that an operator may want to move is only the default here
 * and stands in the config.
 */
#ifndef TV_BOUNDS_H
#define TV_BOUNDS_H

#include <stddef.h>
#include <stdint.h>

#define TV_KIB ((uint64_t)1024)
#define TV_MIB (TV_KIB * 1024)
#define TV_GIB (TV_MIB * 1024)

/* Objects are checksummed in blocks of this size, counted from the object's start; pool memory comes in segments of this size.
 * They are equal so that a block on its way from disk to socket fills exactly one segment. */
#define TV_BLOCK_BYTES   (256 * TV_KIB)
#define TV_SEGMENT_BYTES TV_BLOCK_BYTES

/* Names. S3's rules for buckets; keys are any UTF-8 without NUL. */
#define TV_BUCKET_BYTES_MIN       3
#define TV_BUCKET_BYTES_MAX       63
#define TV_BUCKETS_MAX            2500 /* of a store: a list of all of them is one answer */
#define TV_PRINCIPAL_BYTES_MAX    255  /* who somebody is: "uid:1000" */
#define TV_KEY_BYTES_MAX          1024
#define TV_CONTENT_TYPE_BYTES_MAX 255
#define TV_METADATA_COUNT_MAX     64
#define TV_METADATA_BYTES_MAX     (8 * TV_KIB) /* all keys and values of one object */
#define TV_DELIMITER_BYTES_MAX    64
#define TV_LIST_LIMIT_MAX         1000
#define TV_GAPS_MAX               1000  /* gaps of one object that are listed one by one */
#define TV_GAPS_TOLD_MAX          500   /* of them in a frame, which they share with names and metadata; 24 bytes each at most */
#define TV_BLOCK_SUMS_LIMIT_MAX   16384 /* checksums in one answer */

/* Addresses. */
#define TV_URL_BYTES_MAX      255
#define TV_IPC_PATH_BYTES_MAX 107 /* sun_path of struct sockaddr_un, less a NUL */
#define TV_AGENT_BYTES_MAX    128 /* what a client calls itself */

/* Frames. A payload of 512 KiB stays below the 1 MiB that stock nng sockets take by default; libtrove and troved agree on
 * more. */
#define TV_PAYLOAD_BYTES_DEFAULT (512 * TV_KIB)
#define TV_PAYLOAD_BYTES_MAX     (1 * TV_MIB)
#define TV_HEADER_BYTES_MAX      (32 * TV_KIB) /* everything of a frame but its payload */
#define TV_HEADER_BYTES_GREETING (4 * TV_KIB)  /* before the welcome */
#define TV_STAGING_BYTES         (64 * TV_KIB) /* a connection has four: for reading, for what it pulls, two for what is pushed */
#define TV_READ_AHEAD_BYTES      (4 * TV_KIB)  /* read into staging behind a large payload: the next header, little payload */
#define TV_STAGED_PAYLOAD_BYTES  (4 * TV_KIB)  /* payloads up to this are packed behind their header, not a buffer of their own */
#define TV_ARENA_BYTES_MAX       (128 * TV_KIB) /* unpacking one header; more is an attack (see arena.h) */
#define TV_NESTING_MAX           8              /* messages within messages; none of ours nests deeper */
#define TV_MESSAGE_BYTES_MAX     (256 * TV_KIB) /* a unary request or answer */

/* Encrypted connections: records, how many of them a message has at most, and after how many the next key comes. */
#define TV_RECORD_BYTES_MAX   (32 * TV_KIB)
#define TV_RECORDS_MAX        17                  /* a header, and half of the largest payload */
#define TV_RECORDS_PER_KEY    ((uint64_t)1 << 16) /* 2 GiB at most; what a key that leaks tells */
#define TV_SEALED_AHEAD_BYTES (4 * TV_KIB)        /* read ahead of a message's records: their table, small ones whole */
#define TV_SCRATCH_BYTES_MAX  (64 * TV_MIB)       /* above it messages are sealed a record at a time, all connections together */
#define TV_OFFER_BYTES_MAX    512                 /* what each end says before the handshake */

/* Objects are smaller; so no sum of an offset and a size overflows. */
#define TV_OFFSET_MAX ((uint64_t)INT64_MAX)

/* Chunks and streams. */
#define TV_CHUNK_BYTES_MIN        1
#define TV_CHUNK_BYTES_MAX        (64 * TV_MIB)
#define TV_CHUNK_BYTES_DEFAULT    (1 * TV_MIB)
#define TV_CHANNEL_CHUNKS_MAX     1024
#define TV_CHANNEL_CHUNKS_DEFAULT 16
/* Backpressure "adaptive", where the client doesn't say: chunks up to so many times the usual size, in so much smaller a
 * number. */
#define TV_ADAPTIVE_CHUNK_FACTOR       4
#define TV_ADAPTIVE_CHANNEL_FACTOR     2
#define TV_ADAPTIVE_CHUNK_BYTES_MIN    (64 * TV_KIB)
#define TV_ADAPTIVE_CHUNK_BYTES_FIRST  TV_BLOCK_BYTES /* whole blocks are hashed only once */
#define TV_STREAMS_PER_CONN_MAX        16384
#define TV_CALLS_PER_CONN_MAX          1024
#define TV_REQUESTS_PER_CONN_BYTES_MAX (4 * TV_MIB) /* of the calls under way: names of full length in each */
/* Calls under way on all connections of a server together, and the memory that holds them and their requests. */
#define TV_CALLS_MAX       65536
#define TV_CALLS_BYTES_MAX (32 * TV_MIB)
/* The memory that holds all streams of a server, with their names and metadata, those that wait for their pool included:
 * 90,000 without metadata. */
#define TV_STREAMS_BYTES_MAX (256 * TV_MIB)
/* What all peers of a server are to be told of controls, and don't read: 80,000 answers. */
#define TV_CONTROL_ANSWERS_BYTES_MAX (16 * TV_MIB)
/* Copies of objects that wait for their turn; each holds its names, some 3 KiB. */
#define TV_COPIES_WAITING_MAX 1024
/* Scrubs that wait for theirs; each holds a place in a bucket, some 3 KiB. */
#define TV_SCRUBS_WAITING_MAX 64

/* Small objects in one flight: how large one may be, and how much of it may be unanswered on a connection. */
#define TV_INLINE_BYTES_MAX    (64 * TV_KIB)
#define TV_EARLY_DATA_BYTES    (1 * TV_MIB)
#define TV_EARLY_DATA_PUTS_MAX 4096 /* empty ones cost no bytes */
/* The memory that holds all of a server's, on their way into its store: names, metadata and what describes them included. */
#define TV_INLINE_ALL_BYTES_MAX (32 * TV_MIB)

/* Memory that a connection holds for answers (or calls) that its peer doesn't read. Above the first number it reads no more
 * requests, and the server begins no more calls. What is under way then still comes: as many answers of TV_MESSAGE_BYTES_MAX as
 * there are workers, descriptions of small objects with all their metadata, and what one read's worth of requests leads to at
 * once: errors of 600 bytes for 16 at most. A quarter more, for blocks aren't always full. What goes beyond that is our own
 * mistake and ends the connection. */
#define TV_WORKERS_MAX          256
#define TV_UNSENT_BYTES_MAX     (4 * TV_MIB)
#define TV_UNSENT_BYTES_CEILING (160 * TV_MIB)

/* After an error was told a connection reads and discards for so long, so that the peer gets to read it: closing with bytes
 * unread would take it away. What a peer sends before it has read the reason is what a fast link carries in a round trip: 10
 * Gbit/s in 50 ms. */
#define TV_LINGER_MS        2000
#define TV_LINGER_BYTES_MAX (64 * TV_MIB)

/* Timers that may be armed at once: several for each stream and connection of a full server. */
#define TV_TIMERS_MAX ((size_t)1 << 20)

/* Of an overflow: no sum of two of them overflows, and an off_t holds it. */
#define TV_OVERFLOW_BYTES_MAX ((uint64_t)1 << 62)

/* A run of data holds one frame's payload: it may begin and end inside a block. */
#define TV_DATA_PIECES_MAX (TV_PAYLOAD_BYTES_MAX / TV_BLOCK_BYTES + 1)
/* One operation of nng takes at most eight buffers. */
#define TV_IOV_MAX 8

_Static_assert(TV_BUCKETS_MAX *(2 + 2 + TV_BUCKET_BYTES_MAX + 3 * 11) <= TV_MESSAGE_BYTES_MAX,
               "all buckets fit an answer: tag and length of each, its name with its own, three numbers of up to ten bytes");
_Static_assert(TV_BLOCK_SUMS_LIMIT_MAX * 8 <= TV_MESSAGE_BYTES_MAX / 2, "an answer full of checksums fits a message");
_Static_assert(TV_DATA_PIECES_MAX + 2 <= TV_IOV_MAX, "a payload, a header before it and staging behind it fit one operation");
_Static_assert(TV_HEADER_BYTES_MAX + TV_READ_AHEAD_BYTES <= TV_STAGING_BYTES,
               "a header and the payload's tag fit the staging area");
_Static_assert((TV_RECORDS_MAX - 1) * TV_RECORD_BYTES_MAX * 2 == TV_PAYLOAD_BYTES_MAX,
               "the largest frame goes in two encrypted messages, which stock nng sockets take");
_Static_assert(TV_RECORD_BYTES_MAX + TV_SEALED_AHEAD_BYTES <= TV_STAGING_BYTES,
               "what one receive brings of encrypted requests is no more than of plain ones");
_Static_assert(TV_METADATA_BYTES_MAX + TV_KEY_BYTES_MAX + TV_CONTENT_TYPE_BYTES_MAX < TV_HEADER_BYTES_MAX / 2,
               "an open with the largest metadata fits a header");
_Static_assert(TV_GAPS_TOLD_MAX * 24 + TV_METADATA_BYTES_MAX + 64 * 8 + TV_KEY_BYTES_MAX + TV_CONTENT_TYPE_BYTES_MAX + TV_KIB <
                   TV_HEADER_BYTES_MAX,
               "an opened or completed with the largest metadata and all its gaps fits a header");
_Static_assert(TV_PAYLOAD_BYTES_MAX % TV_BLOCK_BYTES == 0, "full frames end on block boundaries");
_Static_assert(TV_CHUNK_BYTES_MAX % TV_PAYLOAD_BYTES_MAX == 0, "full chunks are whole frames");
_Static_assert(TV_MESSAGE_BYTES_MAX <= TV_PAYLOAD_BYTES_DEFAULT && TV_INLINE_BYTES_MAX <= TV_MESSAGE_BYTES_MAX,
               "who takes a unary answer's payload takes all that aren't cut into fragments");
_Static_assert((uint64_t)TV_CALLS_PER_CONN_MAX * 3 * TV_KEY_BYTES_MAX < TV_REQUESTS_PER_CONN_BYTES_MAX,
               "calls in bulk have room");
_Static_assert(TV_CALLS_MAX * 512 <= TV_CALLS_BYTES_MAX, "as many calls as may be fit, if their requests are small");
_Static_assert(2 * TV_REQUESTS_PER_CONN_BYTES_MAX <= TV_CALLS_BYTES_MAX, "one connection doesn't use up what all have");
_Static_assert(TV_INLINE_BYTES_MAX <= TV_BLOCK_BYTES, "a small object is one block");
_Static_assert(TV_INLINE_BYTES_MAX <= TV_EARLY_DATA_BYTES, "and fits what may be unanswered");
_Static_assert(4 * 2 * TV_EARLY_DATA_BYTES <= TV_INLINE_ALL_BYTES_MAX, "one connection doesn't use up what all have");
_Static_assert((TV_UNSENT_BYTES_MAX + TV_WORKERS_MAX * (TV_MESSAGE_BYTES_MAX + TV_KIB) +
                TV_EARLY_DATA_PUTS_MAX * (TV_METADATA_BYTES_MAX + TV_KEY_BYTES_MAX + TV_KIB) + TV_STAGING_BYTES * 600 / 16) *
                       5 / 4 <
                   TV_UNSENT_BYTES_CEILING,
               "who only answers what was asked never reaches the ceiling");
_Static_assert(TV_CALLS_PER_CONN_MAX *(TV_INLINE_BYTES_MAX + TV_KIB) + TV_EARLY_DATA_BYTES < TV_UNSENT_BYTES_CEILING,
               "nor does a client with all its calls under way");

#endif
