/* context.h - what every verb works with: the settings given on the command line, the output, the connection. */
#ifndef CLI_CONTEXT_H
#define CLI_CONTEXT_H

#include "hint.h"
#include "interrupt.h"
#include "output.h"

struct cli_context {
    const char *verb;        /* for messages */
    char *server;            /* URL */
    const char *server_from; /* the option or variable that says so */
    char *server_key;        /* its public key; NULL: the connection isn't encrypted, unless the URL has one */
    const char *server_key_from;
    char *key_file; /* one's own; NULL: there is no place for it */
    const char *key_file_from;
    char *known_servers;    /* the file of known servers; NULL: there is no place for it */
    bool default_known;     /* which is the default one: its folder is made if need be */
    bool trusts_first;      /* a server that isn't known is asked for its key, which is recorded */
    uint32_t timeout_ms;    /* for the server; 0: the library's defaults */
    uint32_t retry_for_ms;  /* how long a lost connection is made again; TROVE_NO_RETRY: not at all */
    uint32_t io_timeout_ms; /* for one's own input and output; TROVE_NO_TIMEOUT: none */
    struct cli_output output;
    struct cli_interrupt interrupt;
    trove_client *client;               /* NULL before cli_connect */
    char own_key[TROVE_KEY_TEXT_BYTES]; /* the public one, with which the connection was made; "": it isn't encrypted */
};

void cli_context_init(struct cli_context *context);
void cli_context_fini(struct cli_context *context);

/* Whether a next call makes sense, `worst` being what came of those before it. */
bool cli_context_usable(const struct cli_context *context, enum cli_exit worst);

/* Connects, trying for `wait_ms` where that isn't 0. Says by itself what went wrong; an address that is none is wrong usage, and
 * ends the process. */
enum cli_exit cli_connect(struct cli_context *context, uint32_t wait_ms);

/* Says that `action` on `from` (to `to`) failed, and what to do about it; NULL where there is nothing to say. */
enum cli_exit cli_fail(struct cli_context *context, const char *action, const char *from, const char *to, const char *hint,
                       const trove_error *error);

/* The same for a call to the server, with the advice that belongs to it. */
enum cli_exit cli_fail_call(struct cli_context *context, const char *action, const char *from, const char *to,
                            const struct cli_hint_about *about, const trove_error *error);

#endif
