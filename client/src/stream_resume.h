/* stream_resume.h - what makes a stream outlive its connection. See stream.h.
 *
 *     open --lost, or the server goes--> waiting --open sent--> attaching --opened--> open
 *                                           ^                       |
 *                                           +-- not now, or lost ---+
 *
 * `detached` says that it is one of the two in the middle: then nothing of it is sent or received, writers and readers wait, and
 * its state stays what it was. An upload keeps what isn't durable (stream_keep.h) and attaches by its id, under a new epoch. A
 * download opens the rest of the same object. What began it is kept as the packed Open.
 * A stream is given up when it hasn't come back within the client's retry_for_ms; one that comes back and is lost again before it
 * has got any further has no more time than before.
 */
#ifndef TVC_STREAM_RESUME_H
#define TVC_STREAM_RESUME_H

#include "backoff.h"
#include "frame.h"

struct tvc_resume {
    /* constant once the stream is open */
    uint8_t *open; /* NULL: the stream is not resumable */
    size_t open_bytes;

    /* on the receiving threads, written under the lock: who attaches, and how far it is */
    bool detached;
    bool complete; /* the server has said that the upload is complete; what came of it follows */

    /* under the client's lock */
    bool waiting;     /* detached, and nothing was sent on this connection */
    bool begun_anew;  /* what was sent begins an upload instead of attaching to one */
    bool sent_paused; /* as what was sent said */
    bool gone;        /* the stream has ended because the server has its upload no more */
    uint64_t due_ns;  /* waiting: not before */
    struct tvc_backoff backoff;
    uint64_t mark;        /* how far the stream was when the backoff was begun */
    uint64_t attached_ns; /* when it last came back */
    trove_error lost;
    uint64_t reconnects;
    uint64_t
        unanswered_until_ns; /* an open of this upload was lost, and may still be followed: then it fences off its own stream */
    uint64_t epoch;
    bool survives_restart;
    char ids[2][TROVE_UPLOAD_ID_BYTES]; /* the newer one may have been told to nobody who still reads the older one */
    unsigned id;                        /* which is the newer */
};

/* Of what an upload keeps, as chunks: stream_resume_open.c. */
#define TVC_KEEP_BYTES_DEFAULT (32 * TV_MIB)
#define TVC_KEEP_BYTES_MIN     ((uint64_t)65536)
uint32_t tvc_resume_keep_chunks(uint64_t keep_bytes, uint64_t chunk_bytes);

/* Fills in what makes the Open of a stream that asks for it resumable, and keeps it. `id` is memory for an id that the Open
 * borrows. Before the stream is opened, when its memory has been claimed. Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_resume_prepare(trove_stream *stream, const trove_stream_options *options, uint64_t chunk_bytes,
                                Trove__V1__Open *open, uint8_t id[TROVE_REQUEST_ID_BYTES], trove_error *error);
void tvc_resume_fini(struct tvc_resume *resume);

/* What the server says of an upload that it has opened: id, epoch, where to go on. Under the lock. */
trove_status tvc_resume_take_opened(trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error);
/* The upload is complete: the stream is about to be. Under the lock. */
void tvc_resume_take_complete(trove_stream *stream);

/* The connection is lost, or the stream's part of it: it waits for the next one. False: it can't. Under the lock; the caller has
 * a reference. */
bool tvc_resume_detach(trove_stream *stream, const trove_error *lost);
/* The connection is lost on which it was attaching. Likewise. */
void tvc_resume_interrupt(trove_stream *stream);
/* An open of the stream was sent, and its answer won't come. Likewise. */
void tvc_resume_unanswered(trove_stream *stream);
/* The server's opened and status for a detached stream; on the receiving thread, without the lock. */
void tvc_resume_on_opened(trove_stream *stream, const Trove__V1__Opened *opened);
void tvc_resume_on_status(trove_stream *stream, const trove_error *why);
/* The status of a stream that is open; `damaged`: it is about something that was damaged on the way. True: it waits to be
 * attached again. Under the lock. */
bool tvc_resume_survives(trove_stream *stream, const trove_error *why, bool damaged);
/* Of a download: something that came was damaged on the way, so the connection is ended, and the stream leaves it. False: it
 * can't come back. Not on the receiving thread. */
bool tvc_resume_damaged(trove_stream *stream, uint64_t deadline_ns, const trove_error *damage);

/* Why an upload that was open ends: NOT_FOUND says that it is gone. Under the lock. */
void tvc_resume_note_end(trove_stream *stream, const trove_error *why);

/* Attaches those that wait and may. Without the lock. */
void tvc_resume_look(trove_client *client);
/* Fails those that wait. Without the lock. */
void tvc_resume_give_up(trove_client *client, const trove_error *lost);

/* Adds to a reason for which an upload has ended that it is kept. */
void tvc_resume_tell_kept(const trove_stream *stream, trove_error *why);

/* The server has said that what it has isn't what was to be sent: it is of no use, and thrown away. Without the lock; doesn't
 * wait. */
void tvc_resume_discard(trove_stream *stream);

/* Has the server make durable what it has, because a writer waits for that. Without the lock. */
void tvc_resume_flush(trove_stream *stream, uint64_t deadline_ns);

#endif
