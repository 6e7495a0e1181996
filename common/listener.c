/* listener.c - listening over nng_stream_listener. See listener.h.
 *
 * One accept is under way at a time. While descriptors are short (descriptors.h) the same aio sleeps and looks again, and whoever
 * dials waits in the system's queue: connections that are accepted only to be refused would take the last ones on their way out.
 * At the limit itself nng completes accepts at once with an error.
 * nng binds a unix socket and changes its mode after that. In between the process's umask must keep others out, and
 * troved's does from its beginning. (Rejected: changing the umask for that moment. It is the whole process's, and a store's
 * thread that makes a folder meanwhile would make one that nobody can enter.)
 */
#include "listener.h"

#include "descriptors.h"
#include "folder.h"
#include "transport_nng.h"
#include "url.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACK_OFF_MS 100

struct tv_listener {
    nng_stream_listener *listener;
    nng_aio *aio;
    tv_accepted accepted;
    void *context;
    bool backing_off; /* the aio sleeps; only touched by its callback */
    char url[TV_URL_BYTES_MAX + sizeof "65535"];
};

static void on_accept(void *argument) {
    struct tv_listener *self = argument;
    int code = nng_aio_result(self->aio);
    if (code == NNG_ECLOSED || code == NNG_ECANCELED)
        return;
    struct tv_transport *transport = NULL;
    if (!self->backing_off && code == 0 &&
        tv_nng_transport_create(nng_aio_get_output(self->aio, 0), self->url, &transport, NULL) == TROVE_OK)
        self->accepted(self->context, transport);
    bool failed = !self->backing_off && code != 0;
    self->backing_off = failed || !tv_descriptors_for_connection();
    if (self->backing_off)
        nng_sleep_aio(BACK_OFF_MS, self->aio);
    else
        nng_stream_listener_accept(self->listener, self->aio);
}

static int set_options(nng_stream_listener *listener, const char *url, unsigned ipc_mode) {
    if (strncmp(url, "ipc://", 6) == 0)
        return nng_stream_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, (int)ipc_mode);
    int code = nng_stream_listener_set_bool(listener, NNG_OPT_TCP_NODELAY, true);
    if (strncmp(url, "ws://", 5) != 0)
        return code;
#define SET(kind, name, value) code = code == 0 ? nng_stream_listener_set_##kind(listener, name, value) : code;
    TV_WS_OPTIONS(SET)
#undef SET
    return code;
}

struct ipc_folder {
    char path[TV_IPC_PATH_BYTES_MAX + 1];
};

static struct ipc_folder folder_of(const char *path) {
    struct ipc_folder folder;
    size_t bytes = (size_t)(strrchr(path, '/') - path);
    snprintf(folder.path, sizeof folder.path, "%.*s", bytes > 0 ? (int)bytes : 1, path);
    return folder;
}

/* nng would delete a regular file that is in the way of its socket. */
static trove_status check_ipc_path(const char *path, trove_error *error) {
    struct stat info;
    if (lstat(path, &info) == 0 && !S_ISSOCK(info.st_mode))
        return TV_FAIL(error, FAILED_PRECONDITION, "%s exists and is no socket; move it away or choose another path", path);
    return TROVE_OK;
}

static trove_status prepare_ipc_path(const char *path, trove_error *error) {
    struct ipc_folder folder = folder_of(path);
    trove_status status = check_ipc_path(path, error);
    if (status == TROVE_OK && mkdir(folder.path, 0700) != 0 && errno != EEXIST)
        status = tv_error_errno(error, errno, "making the folder %s for the socket", folder.path);
    return status;
}

trove_status tv_listener_check(const char *url, trove_error *error) {
    trove_status status = tv_url_check(url, TV_URL_TO_LISTEN, error);
    if (status != TROVE_OK || tv_url_is_network(url))
        return status;
    const char *path = url + strlen("ipc://");
    status = check_ipc_path(path, error);
    return status == TROVE_OK ? tv_folder_check(folder_of(path).path, 1, error) : status;
}

/* The URL with the port that was really bound. */
static void note_url(struct tv_listener *self, const char *url) {
    snprintf(self->url, sizeof self->url, "%s", url);
    const char *host = strstr(url, "://") + 3;
    const char *end = host + strcspn(host, "/");
    const char *colon = end;
    while (colon > host && *colon != ':' && *colon != ']')
        colon--;
    int port = 0;
    if (strncmp(url, "ipc://", 6) == 0 || *colon != ':' ||
        nng_stream_listener_get_int(self->listener, NNG_OPT_TCP_BOUND_PORT, &port) != 0)
        return;
    snprintf(self->url, sizeof self->url, "%.*s:%d%s", (int)(colon - url), url, port, end);
}

trove_status tv_listener_create(const char *url, unsigned ipc_mode, tv_accepted accepted, void *context,
                                struct tv_listener **listener, trove_error *error) {
    trove_status status = tv_url_check(url, TV_URL_TO_LISTEN, error);
    if (status == TROVE_OK && strncmp(url, "ipc://", 6) == 0)
        status = prepare_ipc_path(url + 6, error);
    if (status != TROVE_OK)
        return status;
    struct tv_listener *self = calloc(1, sizeof *self);
    if (self == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to listen on %s", url);
    self->accepted = accepted;
    self->context = context;
    int code = nng_aio_alloc(&self->aio, on_accept, self);
    if (code == 0)
        code = nng_stream_listener_alloc(&self->listener, url);
    if (code == 0)
        code = set_options(self->listener, url, ipc_mode);
    if (code == 0)
        code = nng_stream_listener_listen(self->listener);
    if (code != 0) {
        tv_listener_destroy(self);
        if (code == NNG_EADDRINVAL && tv_url_is_network(url))
            return TV_FAIL(error, FAILED_PRECONDITION, "listening on %s: %s is no address of this machine", url,
                           tv_url_host(url).text);
        return tv_nng_error(error, code, "listening on ", url);
    }
    note_url(self, url);
    nng_stream_listener_accept(self->listener, self->aio);
    *listener = self;
    return TROVE_OK;
}

const char *tv_listener_url(const struct tv_listener *listener) {
    return listener->url;
}

void tv_listener_destroy(struct tv_listener *listener) {
    if (listener == NULL)
        return;
    if (listener->listener != NULL)
        nng_stream_listener_close(listener->listener);
    if (listener->aio != NULL)
        nng_aio_stop(listener->aio);
    nng_aio_free(listener->aio);
    nng_stream_listener_free(listener->listener);
    free(listener);
}
