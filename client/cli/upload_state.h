/* upload_state.h - an upload under way, remembered in a file so that the same command goes on with it after a crash.
 *
 * The file's name is made of server, own key, source and object. It is locked while its upload goes on: of two puts of the same
 * file to the same object one is remembered. It is on disk before the upload is begun: whatever the server was told, there is a
 * request id that finds it. One thread, but for cli_upload_state_opened.
 */
#ifndef CLI_UPLOAD_STATE_H
#define CLI_UPLOAD_STATE_H

#include "upload_record.h"

struct cli_upload_state {
    int folder_fd;
    int fd;
    char name[40];
    struct cli_upload_record record;
};

/* What is put, and how. */
struct cli_upload_about {
    const char *server;
    const char *own_key; /* as who it is put: another one can't go on with it */
    const char *source;  /* its real path */
    const char *object;  /* BUCKET/KEY */
    struct cli_source_mark mark;
    const trove_stream_options *options;
};

enum cli_upload_found {
    CLI_UPLOAD_NEW,
    CLI_UPLOAD_FOUND,   /* to be gone on with */
    CLI_UPLOAD_CHANGED, /* of another version of the source, or with other options: `record` is the old one */
    CLI_UPLOAD_DAMAGED, /* there was something that can't be read */
};

/* Opens the file and tells what is in it. Takes folder_fd over in any case. Errors: ABORTED (another put has it), those of the
 * file system. */
trove_status cli_upload_state_open(struct cli_upload_state *state, int folder_fd, const struct cli_upload_about *about,
                                   enum cli_upload_found *found, trove_error *error);

/* Writes a record of a new upload, with a new request id, and has it synced. */
trove_status cli_upload_state_begin(struct cli_upload_state *state, const struct cli_upload_about *about, trove_error *error);

/* The server has told its id. On whatever thread; nobody else may use the state meanwhile, but close it afterwards. */
void cli_upload_state_opened(struct cli_upload_state *state, const char *upload_id);

/* `keep`: it stays to be gone on with; else it is removed. */
void cli_upload_state_close(struct cli_upload_state *state, bool keep);

#endif
