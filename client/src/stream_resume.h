/* stream_resume.h - what makes a stream outlive its connection. See stream.h. */
#ifndef TVC_STREAM_RESUME_H
#define TVC_STREAM_RESUME_H

#include "status.h"

struct tvc_resume {
    /* under the client's lock */
    char upload_id[TROVE_UPLOAD_ID_BYTES]; /* "": not a resumable upload, or not opened yet */
    bool survives_restart;
    uint64_t reconnects;
};

#endif
