/* transfer.h - whole objects: what putting and getting from memory, descriptors and files share. The calling thread does all of
 * it. */
#ifndef TVC_TRANSFER_H
#define TVC_TRANSFER_H

#include "client.h"

struct tvc_transfer {
    trove_client *client;
    const char *bucket;
    const char *key;
    trove_stream_options options;
    uint32_t timeout_ms;  /* of each step that makes no progress; 0: the client's */
    uint64_t deadline_ns; /* of the whole */
    bool replays;         /* what is sent can be read again */
};

/* Checks names and options before anything goes to the network. */
trove_status tvc_transfer_begin(struct tvc_transfer *transfer, trove_client *client, const char *bucket, const char *key,
                                trove_direction direction, const trove_stream_options *options, trove_error *error);
/* Opens the stream, started. `own`: chunks point into the program's memory; for a download it is where the bytes go. */
struct tvc_own_memory {
    void *data;
    size_t capacity;
};
trove_status tvc_transfer_open(const struct tvc_transfer *transfer, trove_direction direction, const struct tvc_own_memory *own,
                               trove_stream **stream, trove_error *error);
/* Waits until nothing refers to the program's memory any more; the stream has ended. The connection is cut if that takes long. */
void tvc_transfer_take_back(trove_stream *stream);
/* Gives the stream back, with its metrics where the program wants them. */
void tvc_transfer_release(const struct tvc_transfer *transfer, trove_stream *stream);
/* Whether an object of `size` goes in one flight. What is limited, in a pool or watched by hooks goes by way of a stream. */
bool tvc_transfer_in_one_flight(const struct tvc_transfer *transfer, uint64_t size);
/* The deadline of a next step. */
uint64_t tvc_transfer_deadline(const struct tvc_transfer *transfer);
/* Bytes that have moved so far, in some sense: what is different later was progress. */
uint64_t tvc_transfer_moved(trove_stream *stream);
/* Whether a step that ended with `status` is to be tried again: it took too long, but bytes have moved since *seen, which is
 * brought up to date. */
bool tvc_transfer_again(trove_stream *stream, trove_status status, uint64_t *seen);
/* trove_stream_complete, for as long as bytes move. */
trove_status tvc_transfer_complete(const struct tvc_transfer *transfer, trove_stream *stream, trove_object_info **info,
                                   trove_error *error);

/* put.c */

/* Puts from memory by way of a stream, without copying. On return nothing refers to the memory any more. */
trove_status tvc_put_memory_stream(const struct tvc_transfer *transfer, const void *data, size_t size, trove_object_info **info,
                                   trove_error *error);
/* Puts a small object in one flight. *not_taken: the server asks for a stream instead. */
trove_status tvc_put_small(const struct tvc_transfer *transfer, const void *data, size_t size, trove_object_info **info,
                           bool *not_taken, trove_error *error);

/* get.c */

/* Takes the bytes of a chunk; false ends the transfer with *error. */
typedef trove_status (*tvc_consume)(void *context, const trove_stream *stream, const trove_chunk *chunk, trove_error *error);

/* Gets an object chunk by chunk. `own` may be NULL; where it isn't, nothing refers to that memory on return. */
trove_status tvc_get(const struct tvc_transfer *transfer, const struct tvc_own_memory *own, tvc_consume consume, void *context,
                     trove_object_info **info, trove_error *error);

/* fd.c: descriptors */

/* Reads until `bytes` are there or the end has come; *got tells how many. A pipe that gives nothing is waited for as long as the
 * options' io_timeout_ms says, and not beyond the end of the stream (may be NULL). */
trove_status tvc_fd_read(const struct tvc_transfer *transfer, const trove_stream *stream, int fd, void *memory, size_t bytes,
                         size_t *got, trove_error *error);
/* Writes all. A pipe in non-blocking mode is waited for in the same way. */
trove_status tvc_fd_write(const struct tvc_transfer *transfer, const trove_stream *stream, int fd, const void *memory,
                          size_t bytes, trove_error *error);

#endif
