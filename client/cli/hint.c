/* hint.c - see hint.h. */
#include "hint.h"

#include "text.h"

#include <string.h>

/* Behind the object's name, where the message begins with that. */
static const char *message_of(const struct cli_hint_about *about, const trove_error *error) {
    size_t bytes = about->object != NULL ? strlen(about->object) : 0;
    bool named = bytes > 0 && strncmp(error->message, about->object, bytes) == 0 && strncmp(error->message + bytes, ": ", 2) == 0;
    return named ? error->message + bytes + 2 : error->message;
}

static bool is_about(const char *message, const char *kind) {
    size_t bytes = strlen(kind);
    return strncmp(message, kind, bytes) == 0 && message[bytes] == ' ';
}

static bool says(const trove_error *error, const char *words) {
    return strstr(error->message, words) != NULL;
}

static const char *pool_hint(trove_status status) {
    switch (status) {
    case TROVE_NOT_FOUND:
        return "'trove pools' lists them";
    case TROVE_UNAVAILABLE:
        return "'trove pools' lists the others";
    case TROVE_DEADLINE_EXCEEDED:
        return "'trove pools' shows how many wait; wait longer with --acquire-timeout SECONDS";
    case TROVE_RESOURCE_EXHAUSTED:
        return "'trove pools' shows how many wait";
    default:
        return NULL;
    }
}

static const char *stream_hint(trove_status status) {
    switch (status) {
    case TROVE_NOT_FOUND:
        return "'trove streams' lists them";
    case TROVE_DEADLINE_EXCEEDED:
        return "'trove pools --json' tells the pool's limits";
    case TROVE_UNAVAILABLE:
        return "'trove ping --wait 30' waits until the server answers again";
    default:
        return NULL;
    }
}

static char *missing_hint(const struct cli_hint_about *about, const char *message) {
    if (is_about(message, "bucket") && about->way == CLI_HINT_STORE)
        return cli_format("make it with 'trove mb %s'", about->bucket);
    if (is_about(message, "bucket"))
        return cli_copy("'trove ls' lists the buckets");
    return about->bucket != NULL ? cli_format("'trove ls %s' lists what is there", about->bucket) : NULL;
}

static bool has_conditions(const trove_conditions *conditions) {
    return conditions != NULL && (conditions->if_match != NULL || conditions->if_none_match || conditions->if_generation != 0);
}

static const char *lost_hint(enum cli_hint_way way) {
    switch (way) {
    case CLI_HINT_STORE:
        return "nothing of it was stored";
    case CLI_HINT_TO_FILE:
        return "no file was made or changed";
    default:
        return NULL;
    }
}

static const char *gone_hint(const struct cli_hint_about *about) {
    if (about->waits_for_pipe && about->way == CLI_HINT_STORE) /* waiting doesn't bring its bytes back */
        return "what was read can't be read again, so run the whole pipeline once more; 'trove ping --wait 30' waits until the "
               "server "
               "answers";
    return "'trove ping --wait 30' waits until the server answers again";
}

static const char *fixed_hint(const struct cli_hint_about *about, const trove_error *error) {
    switch (error->status) {
    case TROVE_DEADLINE_EXCEEDED:
        if (says(error, "it wasn't there again in time"))
            return gone_hint(about);
        return about->waits_for_pipe
                   ? "allow more with --timeout SECONDS, or any time for one's own input and output with --timeout 0"
                   : "allow more with --timeout SECONDS; 'trove ping' tells how fast the server answers";
    case TROVE_UNAVAILABLE:
        return gone_hint(about);
    case TROVE_DATA_LOSS:
        return lost_hint(about->way);
    default:
        return NULL;
    }
}

char *cli_hint(const struct cli_hint_about *about_or_null, const trove_error *error) {
    static const struct cli_hint_about nothing = {.way = CLI_HINT_CALL};
    const struct cli_hint_about *about = about_or_null != NULL ? about_or_null : &nothing;
    const char *message = message_of(about, error);
    const char *text;
    if (is_about(message, "nobody writes"))
        text = "'trove put --follow' writes it; without --follow, what was published is read";
    else if (is_about(message, "another stream writes") && about->object != NULL)
        return cli_format("'trove cat --follow %s' shows what it writes", about->object);
    else if (is_about(message, "pool"))
        text = pool_hint(error->status);
    else if (is_about(message, "stream"))
        text = stream_hint(error->status);
    else if (error->status == TROVE_NOT_FOUND)
        return missing_hint(about, message);
    else if (error->status == TROVE_FAILED_PRECONDITION && has_conditions(about->conditions))
        return cli_format("'trove stat %s' shows what is there now", about->object);
    else
        text = fixed_hint(about, error);
    if (about->goes_on && (error->status == TROVE_PERMISSION_DENIED || error->status == TROVE_UNAUTHENTICATED))
        text = "when you may (again)"; /* what has been moved isn't lost with the right */
    if (about->goes_on)
        return cli_format("%s%srun the same command again, and it goes on where this one was", text != NULL ? text : "",
                          text != NULL ? "; " : "");
    if (about->begins_anew)
        return cli_copy("run the command again: it begins anew");
    return text != NULL ? cli_copy(text) : NULL;
}

/* ---- connections ---- */

/* Each of the reasons that a server has not to let somebody in has a cure of its own. */
static char *key_hint(const char *key_file, const trove_error *error) {
    if (says(error, "nobody in here without a key"))
        return cli_copy(
            "give the server's public key, which 'trove keygen --public -o KEY_FILE' prints there, with --server-key KEY; or "
            "have it recorded with --trust-on-first-use, if the way to the server can be trusted now");
    if (says(error, "doesn't know this key"))
        return cli_format(
            "whoever runs the server can let you in: its authorized_keys needs a line with your public key, which 'trove "
            "keygen --public -o %s' prints",
            key_file != NULL ? key_file : "KEY_FILE");
    if (says(error, "another server key"))
        return cli_copy(
            "see that --server-key (or TROVE_SERVER_KEY, or ?key= in the URL) is this server's: 'trove keygen --public -o "
            "KEY_FILE' prints it there");
    return NULL;
}

char *cli_connect_hint(const char *server, const char *key_file, const trove_error *error) {
    bool network = strncmp(server, "ipc://", 6) != 0;
    if (says(error, "opening the file of known servers"))
        return cli_copy(
            "without it no key is checked, and so nothing is sent: see that you may read it, or name another file with "
            "--known-servers");
    if (says(error, "opening the folder of"))
        return cli_copy("make that folder first, or name another file with --known-servers");
    if (says(error, "opening the key file") && error->status != TROVE_NOT_FOUND)
        return cli_copy("see that you may read it, or name another file with --key-file");
    switch (error->status) {
    case TROVE_UNAUTHENTICATED:
        return key_hint(key_file, error);
    case TROVE_PERMISSION_DENIED: /* else the server has said why */
        return says(error, ": Permission denied")
                   ? cli_copy("only the user that troved runs as may use its socket, unless its config has another "
                              "`socket_mode'")
                   : NULL;
    case TROVE_NOT_FOUND: /* the key file alone */
        return cli_copy(
            "'trove keygen' makes a key, for the server to know the public one; or name another file with --key-file");
    case TROVE_UNAVAILABLE:
    case TROVE_DEADLINE_EXCEEDED:
        if (says(error, "no host is known"))
            return cli_copy("see that the name is right; 'trove ping --wait 30' waits for one that isn't known yet");
        return cli_copy(network
                            ? "see that host and port (of ws, the path as well) are right and that troved listens there, or name "
                              "another one with --server URL or TROVE_SERVER"
                            : "start a server with 'troved', or name another one with --server URL or TROVE_SERVER");
    default:
        return NULL;
    }
}
