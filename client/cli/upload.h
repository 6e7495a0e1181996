/* upload.h - one source to one object: gone on with by itself after a lost connection, and a large file by the same command after
 * a crash. What put does without --follow. */
#ifndef CLI_UPLOAD_H
#define CLI_UPLOAD_H

#include "context.h"

struct cli_upload {
    struct cli_context *context;
    const char *bucket;
    const char *key;
    const char *object;    /* BUCKET/KEY */
    const char *path;      /* NULL: standard input */
    const char *path_text; /* for messages */
    int fd;
    trove_stream_options options; /* hooks included; `metrics` is set */
    bool anew;                    /* nothing is gone on with, and nothing is left to be */

    /* what came of it */
    uint64_t resumed_bytes; /* that an earlier command had stored already */
    bool goes_on;           /* it failed, and the same command goes on with it */
    bool begins_anew;       /* somebody has aborted it, and the same command stores all of it */
};

/* Errors: those of trove_put_fd. On success *info is the caller's. */
trove_status cli_upload_run(struct cli_upload *upload, trove_object_info **info, trove_error *error);

#endif
