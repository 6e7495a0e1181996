/* follow.c - see follow.h. */
#include "follow.h"

#include "failure.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

/* A descriptor that stands still is looked at in steps: the stream may end meanwhile. */
enum {
    POLL_STEP_MS = 200
};

static trove_status open_stream(trove_client *client, const char *bucket, const char *key, const trove_stream_options *given,
                                trove_stream **stream, trove_error *error) {
    trove_stream_options options = *given;
    options.follow = true;
    options.metrics = NULL; /* those of whole objects: see close_stream */
    return trove_stream_open(client, bucket, key, TROVE_DIRECTION_BIDI, &options, stream, error);
}

/* Gives the stream back, as failed where the caller has. */
static void close_stream(trove_stream *stream, trove_status status, const trove_error *why, const trove_stream_options *options) {
    if (status != TROVE_OK)
        trove_stream_fail(stream, status, why->message);
    if (options->metrics != NULL)
        trove_stream_metrics_get(stream, options->metrics);
    trove_stream_release(stream);
}

static bool has_ended(const trove_stream *stream) {
    trove_stream_state state = trove_stream_state_get(stream);
    return state == TROVE_STREAM_FAILED || state == TROVE_STREAM_CANCELLED;
}

/* Waits until the descriptor gives or takes something, or its end, or until the stream has ended. */
static trove_status wait_for(const trove_stream *stream, int fd, short events, uint32_t timeout_ms, trove_error *error) {
    for (uint64_t waited_ms = 0; !has_ended(stream); waited_ms += POLL_STEP_MS) {
        struct pollfd polled = {.fd = fd, .events = events};
        int ready = poll(&polled, 1, POLL_STEP_MS);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return TROVE_OK;
        if (timeout_ms != TROVE_NO_TIMEOUT && waited_ms >= timeout_ms)
            return cli_error_set(error, TROVE_DEADLINE_EXCEEDED, "the %s nothing for %g s",
                                 events == POLLIN ? "input has given" : "output has taken", timeout_ms / 1000.0);
    }
    return TROVE_OK;
}

/* ---- put ---- */

/* What there is to be had now; *got 0: the end. */
static trove_status read_source(const trove_stream *stream, int fd, uint32_t timeout_ms, trove_chunk *chunk, size_t *got,
                                trove_error *error) {
    for (;;) {
        trove_status status = wait_for(stream, fd, POLLIN, timeout_ms, error);
        if (status != TROVE_OK)
            return status;
        ssize_t count = has_ended(stream) ? 0 : read(fd, chunk->data, chunk->capacity); /* completing it says why */
        if (count >= 0) {
            *got = (size_t)count;
            return TROVE_OK;
        }
        if (errno != EINTR && errno != EAGAIN)
            return cli_error_errno(error, errno, "the source can't be read");
    }
}

static trove_status send_all(trove_stream *stream, int fd, uint32_t timeout_ms, trove_error *error) {
    for (;;) {
        trove_chunk *chunk = NULL;
        trove_status status = trove_stream_chunk_get(stream, 0, &chunk, error);
        if (status != TROVE_OK)
            return status;
        status = read_source(stream, fd, timeout_ms, chunk, &chunk->size, error);
        if (status == TROVE_OK && chunk->size > 0)
            status = trove_stream_write(stream, &chunk, 0, error);
        if (chunk == NULL)
            continue;
        trove_stream_chunk_put(stream, chunk); /* the end, or an error */
        return status;
    }
}

trove_status cli_follow_put_fd(trove_client *client, const char *bucket, const char *key, int fd,
                               const trove_stream_options *options, trove_object_info **info, trove_error *error) {
    trove_stream *stream = NULL;
    trove_status status = open_stream(client, bucket, key, options, &stream, error);
    if (status != TROVE_OK)
        return status;
    if (!trove_stream_is_writer(stream))
        status = cli_error_set(error, TROVE_FAILED_PRECONDITION, "another stream writes %s/%s now", bucket, key);
    if (status == TROVE_OK)
        status = trove_stream_start(stream, error);
    if (status == TROVE_OK)
        status = send_all(stream, fd, options->io_timeout_ms, error);
    if (status == TROVE_OK)
        status = trove_stream_complete(stream, 0, info, error);
    close_stream(stream, status, error, options);
    return status;
}

/* ---- get ---- */

static trove_status write_target(const trove_stream *stream, int fd, uint32_t timeout_ms, const trove_chunk *chunk,
                                 trove_error *error) {
    trove_status status = TROVE_OK;
    for (size_t done = 0; done < chunk->size && status == TROVE_OK;) {
        ssize_t step = write(fd, (const char *)chunk->data + done, chunk->size - done);
        if (step >= 0)
            done += (size_t)step;
        else if (errno == EAGAIN && has_ended(stream))
            return TROVE_OK; /* the next read says why */
        else if (errno == EAGAIN)
            status = wait_for(stream, fd, POLLOUT, timeout_ms, error);
        else if (errno != EINTR)
            status = cli_error_errno(error, errno, "the output can't be written");
    }
    return status;
}

static trove_status receive_all(trove_stream *stream, int fd, uint32_t silence_ms, uint32_t timeout_ms, trove_error *error) {
    for (;;) {
        trove_chunk *chunk = NULL;
        trove_status status = trove_stream_read(stream, silence_ms, &chunk, error);
        if (status != TROVE_OK || chunk == NULL)
            return status;
        status = write_target(stream, fd, timeout_ms, chunk, error);
        trove_stream_chunk_put(stream, chunk);
        if (status != TROVE_OK)
            return status;
    }
}

/* The stream was elected, and nobody is to wait for what it would write. Cancelled before this returns, so that who comes next is
 * elected. */
static trove_status refuse_election(trove_stream *stream, const char *bucket, const char *key, trove_error *error) {
    (void)!trove_stream_control(stream, TROVE_CONTROL_CANCEL, 0, 0, NULL, NULL);
    return cli_error_set(error, TROVE_NOT_FOUND, "nobody writes %s/%s now", bucket, key);
}

trove_status cli_follow_get_fd(trove_client *client, const char *bucket, const char *key, int fd, uint32_t silence_ms,
                               const trove_stream_options *options, trove_object_info **info, trove_error *error) {
    trove_stream *stream = NULL;
    trove_status status = open_stream(client, bucket, key, options, &stream, error);
    if (status != TROVE_OK)
        return status;
    if (trove_stream_is_writer(stream))
        status = refuse_election(stream, bucket, key, error);
    if (status == TROVE_OK)
        status = trove_stream_start(stream, error);
    if (status == TROVE_OK)
        status = receive_all(stream, fd, silence_ms, options->io_timeout_ms, error);
    if (status == TROVE_OK)
        status = trove_stream_complete(stream, 0, info, error);
    close_stream(stream, status, error, options);
    return status;
}
