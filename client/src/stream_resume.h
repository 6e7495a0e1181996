/* stream_resume.h - what makes a stream outlive its connection. See stream.h. */
#ifndef TVC_STREAM_RESUME_H
#define TVC_STREAM_RESUME_H

#include "status.h"

struct tvc_resume {
    /* under the client's lock */
    char upload_id[TROVE_UPLOAD_ID_BYTES]; /* "": not a resumable upload, or not opened yet */
    bool survives_restart;
    uint64_t reconnects;
    bool
        detached; /* its connection is gone, and it hasn't been attached by the next one; written on the receiving threads alone */
};

/* The connection is lost: the stream waits for the next one. False: it can't. Under the lock; the caller has a reference. */
bool tvc_resume_detach(trove_stream *stream, const trove_error *lost);
/* Attaches those that wait and may. On the dialler's thread, without the lock. */
void tvc_resume_look(trove_client *client);
/* Fails those that wait. Without the lock. */
void tvc_resume_give_up(trove_client *client, const trove_error *lost);

#endif
