/* fd.c - reading and writing descriptors for transfers. See transfer.h.
 *
 * Regular files are read and written as they are. Anything else is polled first, in short steps, so that a pipe that gives
 * nothing can't hide the end of its stream, nor wait for ever.
 */
#include "stream.h"
#include "transfer.h"
#include "wait.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define POLL_STEP_MS 200
/* One write to a file. A larger one makes the page cache look for large pieces of memory, which costs more than it saves:
 * measured on ext4 with pieces of 1 MiB, twice the time. */
#define WRITE_BYTES_MAX ((size_t)128 * 1024)

/* Whether it makes sense to go on waiting: a stream that has completed may still have bytes to be written. */
static trove_status check_stream(const trove_stream *stream, trove_error *error) {
    if (stream == NULL)
        return TROVE_OK;
    pthread_mutex_lock(&stream->client->lock);
    bool over = tv_stream_state_terminal(stream->state) && stream->state != TROVE_STREAM_COMPLETED;
    trove_status status = over ? tvc_stream_over(stream, error) : TROVE_OK;
    pthread_mutex_unlock(&stream->client->lock);
    return status;
}

struct name {
    char text[32];
};

static struct name name_of(int fd) {
    struct name name;
    snprintf(name.text, sizeof name.text, "descriptor %d", fd);
    if (fd == STDIN_FILENO)
        return (struct name){"standard input"};
    return fd == STDOUT_FILENO ? (struct name){"standard output"} : name;
}

static trove_status too_late(const struct tvc_transfer *transfer, int fd, short events, uint32_t timeout_ms, trove_error *error) {
    return TV_FAIL(error, DEADLINE_EXCEEDED, "%s/%.200s: %s has %s nothing for %g s", transfer->bucket, transfer->key,
                   name_of(fd).text, events == POLLIN ? "given" : "taken", timeout_ms / 1000.0);
}

static trove_status wait_for(const struct tvc_transfer *transfer, const trove_stream *stream, int fd, short events,
                             trove_error *error) {
    uint32_t timeout_ms = transfer->options.io_timeout_ms != 0 ? transfer->options.io_timeout_ms : transfer->timeout_ms;
    if (timeout_ms == 0)
        timeout_ms = transfer->client->call_timeout_ms;
    uint64_t deadline_ns = tvc_deadline_after_ms(timeout_ms);
    for (;;) {
        uint32_t left_ms = tvc_deadline_left_ms(deadline_ns);
        struct pollfd polled = {.fd = fd, .events = events};
        int ready = poll(&polled, 1, left_ms < POLL_STEP_MS ? (int)left_ms : POLL_STEP_MS);
        if (ready < 0 && errno != EINTR)
            return tv_error_errno(error, errno, "waiting for %s", name_of(fd).text);
        if (ready > 0)
            return TROVE_OK;
        trove_status status = check_stream(stream, error);
        if (status != TROVE_OK)
            return status;
        if (left_ms == 0)
            return too_late(transfer, fd, events, timeout_ms, error);
    }
}

trove_status tvc_fd_read(const struct tvc_transfer *transfer, const trove_stream *stream, int fd, void *memory, size_t bytes,
                         size_t *got, trove_error *error) {
    bool seekable = lseek(fd, 0, SEEK_CUR) >= 0;
    *got = 0;
    while (*got < bytes) {
        trove_status status = seekable ? TROVE_OK : wait_for(transfer, stream, fd, POLLIN, error);
        if (status != TROVE_OK)
            return status;
        ssize_t step = read(fd, (char *)memory + *got, bytes - *got);
        if (step == 0)
            return TROVE_OK;
        if (step > 0)
            *got += (size_t)step;
        else if (errno != EINTR && errno != EAGAIN)
            return tv_error_errno(error, errno, "%s/%.200s: reading %s", transfer->bucket, transfer->key, name_of(fd).text);
    }
    return TROVE_OK;
}

trove_status tvc_fd_write(const struct tvc_transfer *transfer, const trove_stream *stream, int fd, const void *memory,
                          size_t bytes, trove_error *error) {
    size_t done = 0;
    while (done < bytes) {
        size_t left = bytes - done < WRITE_BYTES_MAX ? bytes - done : WRITE_BYTES_MAX;
        ssize_t step = write(fd, (const char *)memory + done, left);
        if (step >= 0) {
            done += (size_t)step;
            continue;
        }
        if (errno == EAGAIN) {
            trove_status status = wait_for(transfer, stream, fd, POLLOUT, error);
            if (status != TROVE_OK)
                return status;
        } else if (errno != EINTR) {
            return tv_error_errno(error, errno, "%s/%.200s: writing to %s", transfer->bucket, transfer->key, name_of(fd).text);
        }
    }
    return TROVE_OK;
}
