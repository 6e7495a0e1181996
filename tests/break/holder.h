/* holder.h - a resumable upload frame by frame, by someone who holds it until the server or another holder takes it away: nothing
 * that comes is unexpected but what the contract forbids. libtrove has no part in it, so that a holder can do what no library
 * would: send on after it was fenced, forget what it was told. One thread.
 */
#ifndef TROVE_TESTS_HOLDER_H
#define TROVE_TESTS_HOLDER_H

#include "raw_client.h"

#define HOLDER_BUCKET   "break"
#define HOLDER_ID_BYTES 16

/* What is known of an upload besides who holds it. */
struct holder_upload {
    char key[64];
    uint64_t size;
    uint64_t piece; /* bytes of a chunk */
    uint64_t keep;  /* as Open.keep_bytes; makes durable what comes at half of it */
    uint8_t request_id[HOLDER_ID_BYTES];
    uint8_t upload_id[HOLDER_ID_BYTES];
    bool begun;       /* the upload id is known */
    uint64_t durable; /* as it was told, by whomever: it never goes back */
};

enum holder_state {
    HOLDER_OPEN,
    HOLDER_COMPLETED,
    HOLDER_ENDED, /* by a status */
    HOLDER_LOST,  /* the server is gone */
};

struct holder {
    struct raw_client *client;
    struct holder_upload *upload;
    enum holder_state state;
    Trove__V1__Code code; /* HOLDER_ENDED */
    char message[512];
    char etag[33]; /* HOLDER_COMPLETED */
    uint64_t call_id;
    uint64_t epoch;
    uint64_t base;     /* durable when it was opened */
    uint64_t offset;   /* next byte to be sent */
    uint64_t received; /* as it was acknowledged */
    uint64_t chunks;
    int64_t credit;
    bool complete_sent;
};

/* Opens it, by its upload id where that is known, else by its request id, and waits for the answer. */
void holder_open(struct holder *holder, struct raw_client *client, struct holder_upload *upload);
/* Whether there is a piece left and credit for it. */
bool holder_may_send(const struct holder *holder);
/* Sends the next piece, of bytes of this content (see seeded.h). */
void holder_send(struct holder *holder, uint64_t content);
bool holder_may_complete(const struct holder *holder);
void holder_send_complete(struct holder *holder);
/* Takes the next frame, which may be of an earlier holder of the same connection. */
void holder_take(struct holder *holder);
/* Sends all and waits for the end, good or bad. */
void holder_finish(struct holder *holder, uint64_t content);

#endif
