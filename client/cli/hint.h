/* hint.h - what to do about a call that failed: advice that is true, or none. Pure.
 *
 * A status alone doesn't tell which of several things is missing or full. What the server says begins with the kind of thing it
 * is about ("bucket media doesn't exist"); a message that begins otherwise gets what is true of all.
 */
#ifndef CLI_HINT_H
#define CLI_HINT_H

#include "trove.h"

enum cli_hint_way {
    CLI_HINT_CALL,    /* nothing moves between the object and this side */
    CLI_HINT_STORE,   /* it is stored; a bucket that is missing is to be made for it */
    CLI_HINT_TO_FILE, /* it becomes a file, whole or not at all */
    CLI_HINT_TO_OUTPUT
};

/* What the call was about. */
struct cli_hint_about {
    enum cli_hint_way way;
    const char *bucket;                 /* NULL: of no object */
    const char *object;                 /* BUCKET/KEY; needed with conditions, and for what is stored */
    const trove_conditions *conditions; /* NULL: none */
    bool waits_for_pipe;                /* one's own input or output may be what has kept it waiting */
    bool goes_on;                       /* what has been moved stays, for the same command to go on with */
    bool begins_anew;                   /* what has been moved was thrown away, and the same command moves it again */
};

/* `about` is NULL for a call about no object. The caller's to free; NULL: there is no advice. */
char *cli_hint(const struct cli_hint_about *about, const trove_error *error);

/* The same about a connection to `server` (a URL) that couldn't be made with the key file `key_file` (NULL: there is none). */
char *cli_connect_hint(const char *server, const char *key_file, const trove_error *error);

#endif
