/* put_fd.c - storing what a descriptor or a file gives. See transfer.h.
 *
 * Bytes are read straight into the chunks that go to the transport. What is small goes up in one flight; whether a pipe is
 * small shows when it ends, so its beginning is read before anything is opened.
 */
#include "anew.h"
#include "inline_put.h"
#include "stream.h"
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct source {
    int fd;
    uint64_t size; /* TROVE_SIZE_UNKNOWN for pipes and the like */
    bool is_file;  /* its size and time were looked up, and are checked at the end */
    struct timespec modified;
    off_t begin;   /* of what is put, in a file; negative: it can't be read again */
    uint8_t *head; /* its first bytes */
    size_t head_bytes;
    bool head_is_all;
};

/* Finds out what kind of source it is. Files that claim to be empty are read until their end: those of /proc always do. */
static trove_status look_at(const struct tvc_transfer *transfer, int fd, struct source *source, trove_error *error) {
    struct stat found;
    *source = (struct source){.fd = fd, .size = transfer->options.size, .begin = -1};
    if (fstat(fd, &found) != 0)
        return tv_error_errno(error, errno, "%s/%.200s: descriptor %d", transfer->bucket, transfer->key, fd);
    if (S_ISDIR(found.st_mode))
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: the source is a directory", transfer->bucket, transfer->key);
    off_t at = S_ISREG(found.st_mode) ? lseek(fd, 0, SEEK_CUR) : -1;
    source->begin = at;
    if (at < 0 || found.st_size == 0)
        return TROVE_OK;
    source->is_file = true;
    source->modified = found.st_mtim;
    source->size = at < found.st_size ? (uint64_t)(found.st_size - at) : 0;
    if (transfer->options.size != TROVE_SIZE_UNKNOWN && transfer->options.size != source->size)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s/%.200s: the options declare %llu bytes, and the file has %llu",
                       transfer->bucket, transfer->key, (unsigned long long)transfer->options.size,
                       (unsigned long long)source->size);
    (void)posix_fadvise(fd, at, 0, POSIX_FADV_SEQUENTIAL); /* only a hint */
    return TROVE_OK;
}

static trove_status changed(const struct tvc_transfer *transfer, const struct source *source, const char *how,
                            trove_error *error) {
    return TV_FAIL(error, ABORTED,
                   "%s/%.200s: the file %s while it was read, which had %llu bytes at first; put it again when "
                   "nothing changes it",
                   transfer->bucket, transfer->key, how, (unsigned long long)source->size);
}

/* One byte more than may go in one flight, if there is as much: so a source that is small is at its end. */
static trove_status read_head(const struct tvc_transfer *transfer, struct source *source, trove_error *error) {
    size_t limit = (size_t)tvc_inline_put_most(transfer->client) + 1;
    if (source->is_file && !tvc_transfer_in_one_flight(transfer, source->size))
        return TROVE_OK;
    source->head = malloc(limit);
    if (source->head == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read %zu bytes", limit);
    trove_status status = tvc_fd_read(transfer, NULL, source->fd, source->head, limit, &source->head_bytes, error);
    if (status != TROVE_OK)
        return status;
    source->head_is_all = source->head_bytes < limit;
    if (source->is_file && source->head_bytes < source->size)
        return changed(transfer, source, "shrank", error);
    if (source->is_file && source->head_bytes > source->size)
        return changed(transfer, source, "grew", error);
    return TROVE_OK;
}

/* ---- by way of a stream ---- */

/* Fills a chunk with so many bytes, if there are as many: what is left of the head, then from the descriptor. */
static trove_status fill(const struct tvc_transfer *transfer, const trove_stream *stream, const struct source *source,
                         uint64_t offset, struct tvc_chunk *chunk, size_t wanted, size_t *filled, trove_error *error) {
    if (source->is_file && source->size - offset < wanted)
        wanted = (size_t)(source->size - offset);
    size_t head = 0;
    if (offset < source->head_bytes) {
        head = source->head_bytes - (size_t)offset < wanted ? source->head_bytes - (size_t)offset : wanted;
        memcpy(chunk->block, source->head + offset, head);
    }
    size_t got = 0;
    trove_status status = TROVE_OK;
    if (!source->head_is_all)
        status = tvc_fd_read(transfer, stream, source->fd, (char *)chunk->block + head, wanted - head, &got, error);
    *filled = head + got;
    return status;
}

/* Waits until something has left the overflow, for as long as bytes move: a chunk may take longer than a step. */
static trove_status wait_for_overflow(const struct tvc_transfer *transfer, trove_stream *stream, uint64_t *left,
                                      trove_error *error) {
    uint64_t seen = tvc_transfer_moved(stream);
    trove_status status;
    do
        status = tvc_spill_wait(stream, tvc_transfer_deadline(transfer), left, error);
    while (tvc_transfer_again(stream, status, &seen));
    return status;
}

/* A full overflow isn't the end: whoever fills the descriptor waits then. */
static trove_status write_patiently(const struct tvc_transfer *transfer, trove_stream *stream, struct tvc_chunk *chunk,
                                    trove_error *error) {
    for (;;) {
        uint64_t left;
        uint64_t seen = tvc_transfer_moved(stream);
        trove_status status;
        do
            status = tvc_upload_write(stream, chunk, tvc_transfer_deadline(transfer), NULL, error);
        while (tvc_transfer_again(stream, status, &seen));
        if (status != TROVE_RESOURCE_EXHAUSTED || stream->backpressure != TROVE_BACKPRESSURE_BUFFER)
            return status;
        status = wait_for_overflow(transfer, stream, &left, error);
        if (status != TROVE_OK)
            return status;
    }
}

/* Waits for what is in the overflow, as long as it becomes less. */
static trove_status flush(const struct tvc_transfer *transfer, trove_stream *stream, trove_error *error) {
    uint64_t left = stream->backpressure == TROVE_BACKPRESSURE_BUFFER ? 1 : 0;
    trove_status status = TROVE_OK;
    while (status == TROVE_OK && left > 0)
        status = wait_for_overflow(transfer, stream, &left, error);
    return status;
}

static trove_status write_chunk(const struct tvc_transfer *transfer, trove_stream *stream, const struct source *source,
                                uint64_t *offset, bool *end, trove_error *error) {
    struct tvc_chunk *chunk = NULL;
    uint64_t seen = tvc_transfer_moved(stream);
    trove_status status;
    do
        status = tvc_upload_chunk(stream, tvc_transfer_deadline(transfer), &chunk, error);
    while (tvc_transfer_again(stream, status, &seen));
    if (status != TROVE_OK)
        return status;
    size_t bytes = 0;
    size_t wanted = (size_t)tvc_upload_chunk_bytes(stream);
    status = fill(transfer, stream, source, *offset, chunk, wanted, &bytes, error);
    *end = bytes < wanted || (source->is_file && *offset + bytes == source->size);
    if (status == TROVE_OK && source->is_file && *end && *offset + bytes < source->size)
        status = changed(transfer, source, "shrank", error);
    if (status == TROVE_OK) {
        chunk->iov.iov_len = bytes;
        chunk->wire.offset = *offset;
        chunk->wire.bytes = bytes;
        chunk->wire.final = *end;
        *offset += bytes;
        status = write_patiently(transfer, stream, chunk, error);
    }
    if (status != TROVE_OK)
        tv_chunk_release(&chunk->wire);
    return status;
}

/* What the server has already of an upload that goes on: read for the sums of the whole, and not sent. */
static trove_status read_what_is_stored(const struct tvc_transfer *transfer, trove_stream *stream, const struct source *source,
                                        uint64_t *offset, trove_error *error) {
    uint64_t stored = trove_stream_offset(stream);
    trove_status status = TROVE_OK;
    while (status == TROVE_OK && *offset < stored) {
        struct tvc_chunk *chunk = NULL;
        size_t got = 0;
        size_t wanted = stored - *offset < stream->chunk_bytes ? (size_t)(stored - *offset) : (size_t)stream->chunk_bytes;
        status = tvc_upload_chunk(stream, tvc_transfer_deadline(transfer), &chunk, error);
        if (status != TROVE_OK)
            return status;
        status = fill(transfer, stream, source, *offset, chunk, wanted, &got, error);
        if (status == TROVE_OK && got < wanted)
            status = TV_FAIL(error, FAILED_PRECONDITION,
                             "%s/%.200s: the source ends after %llu bytes, and the server has %llu already; it isn't the same",
                             transfer->bucket, transfer->key, (unsigned long long)(*offset + got), (unsigned long long)stored);
        if (status == TROVE_OK)
            tvc_upload_sum(stream, chunk, *offset, wanted);
        *offset += wanted;
        tv_chunk_release(&chunk->wire);
    }
    return status;
}

/* An upload that was complete when it was asked for: nothing was sent, so this is all that can be told of the source. */
static trove_status check_result(const struct tvc_transfer *transfer, const trove_stream *stream, const struct source *source,
                                 trove_error *error) {
    const trove_object_info *object = trove_stream_object(stream);
    if (object == NULL || !source->is_file || object->size == source->size)
        return TROVE_OK;
    return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the upload is complete and has %llu bytes, and the file has %llu",
                   transfer->bucket, transfer->key, (unsigned long long)object->size, (unsigned long long)source->size);
}

/* What was read in turn while somebody wrote may be neither what the file was nor what it is now. */
static trove_status check_end(const struct tvc_transfer *transfer, const trove_stream *stream, const struct source *source,
                              trove_error *error) {
    char more;
    size_t got = 0;
    struct stat found;
    if (!source->is_file)
        return TROVE_OK;
    trove_status status = tvc_fd_read(transfer, stream, source->fd, &more, 1, &got, error);
    if (status != TROVE_OK)
        return status;
    if (got > 0)
        return changed(transfer, source, "grew", error);
    if (fstat(source->fd, &found) != 0)
        return tv_error_errno(error, errno, "%s/%.200s: descriptor %d", transfer->bucket, transfer->key, source->fd);
    if (found.st_mtim.tv_sec != source->modified.tv_sec || found.st_mtim.tv_nsec != source->modified.tv_nsec)
        return changed(transfer, source, "was written to", error);
    return TROVE_OK;
}

static trove_status send(const struct tvc_transfer *transfer, trove_stream *stream, const struct source *source,
                         trove_error *error) {
    uint64_t offset = 0;
    bool end = false;
    trove_status status = read_what_is_stored(transfer, stream, source, &offset, error);
    end = source->is_file && offset == source->size && offset > 0;
    while (status == TROVE_OK && !end)
        status = write_chunk(transfer, stream, source, &offset, &end, error);
    if (status == TROVE_OK)
        status = check_end(transfer, stream, source, error);
    return status == TROVE_OK ? flush(transfer, stream, error) : status;
}

/* Who goes on with an upload declares the size that its source has: where the server knows another one, the source has
 * changed. */
static trove_status judge_open(const struct tvc_transfer *transfer, const struct source *source, const trove_error *why,
                               trove_error *error) {
    if (why->status != TROVE_INVALID_ARGUMENT || transfer->options.upload_id == NULL || !source->is_file)
        return tv_error_copy(error, why);
    return TV_FAIL(error, FAILED_PRECONDITION, "%.400s (the source has %llu bytes)", why->message,
                   (unsigned long long)source->size);
}

/* Back to where the stream begins. False: it can't be read again. */
static bool go_back(const struct source *source) {
    off_t at = source->begin + (off_t)source->head_bytes;
    return source->head_is_all || (source->begin >= 0 && lseek(source->fd, at, SEEK_SET) == at);
}

/* Why a put has failed whose stream has ended. *again: it hasn't, for another one is to be begun. */
static trove_status judge_end(struct tvc_transfer *transfer, const struct source *source, struct tvc_anew *anew,
                              trove_stream *stream, const trove_error *why, bool *again, trove_error *error) {
    if (!tvc_anew_lost(stream))
        return tv_error_copy(error, why);
    if (!go_back(source))
        return TV_FAIL(error, NOT_FOUND, "%s/%.200s: %.200s (what was read of the source can't be read again)", transfer->bucket,
                       transfer->key, why->message);
    *again = tvc_anew_begin(anew, transfer, stream);
    return tv_error_copy(error, why);
}

/* Whether the stream was moved from outside: then the file is read from its beginning on once more. */
static bool was_moved(trove_stream *stream, const struct source *source, trove_status *status, trove_error *error) {
    if (*status != TROVE_OUT_OF_RANGE || !tvc_upload_take_move(stream))
        return false;
    if (go_back(source))
        return true;
    *status = tv_error_errno(error, errno, "%s/%.200s: the file can't be read again", stream->bucket, stream->key);
    return false;
}

static trove_status send_and_complete(const struct tvc_transfer *transfer, trove_stream *stream, const struct source *source,
                                      trove_object_info **info, trove_error *error) {
    trove_status status;
    do {
        if (stream->resume.complete)
            status = check_result(transfer, stream, source, error);
        else
            status = send(transfer, stream, source, error);
        if (status == TROVE_OK)
            status = tvc_transfer_complete(transfer, stream, info, error);
    } while (was_moved(stream, source, &status, error));
    return status;
}

static trove_status put_once(struct tvc_transfer *transfer, const struct source *source, struct tvc_anew *anew,
                             trove_object_info **info, bool *again, trove_error *error) {
    trove_stream *stream = NULL;
    trove_error why;
    trove_status status = tvc_transfer_open(transfer, TROVE_DIRECTION_UPLOAD, NULL, &stream, &why);
    if (status != TROVE_OK)
        return judge_open(transfer, source, &why, error);
    status = send_and_complete(transfer, stream, source, info, &why);
    if (status != TROVE_OK) {
        trove_stream_fail(stream, status, why.message);
        status = judge_end(transfer, source, anew, stream, &why, again, error);
    }
    tvc_transfer_release(transfer, stream);
    return status;
}

static trove_status put_stream(const struct tvc_transfer *transfer, const struct source *source, trove_object_info **info,
                               trove_error *error) {
    struct tvc_transfer sized = *transfer;
    struct tvc_anew anew = {0};
    trove_status status;
    bool again;
    sized.options.size = source->size;
    sized.replays = source->is_file;
    do {
        again = false;
        status = put_once(&sized, source, &anew, info, &again, error);
    } while (again);
    tvc_anew_add(&anew, transfer);
    return status;
}

/* ---- the program's side ---- */

static trove_status put_source(const struct tvc_transfer *transfer, struct source *source, trove_object_info **info,
                               trove_error *error) {
    trove_status status = read_head(transfer, source, error);
    if (status != TROVE_OK)
        return status;
    /* What isn't goes by way of a stream, which says what is wrong. */
    bool as_declared = source->size == TROVE_SIZE_UNKNOWN || source->size == source->head_bytes;
    if (source->head_is_all && as_declared && tvc_transfer_in_one_flight(transfer, source->head_bytes)) {
        bool not_taken = false;
        status = tvc_put_small(transfer, source->head, source->head_bytes, info, &not_taken, error);
        if (!not_taken)
            return status;
    }
    return put_stream(transfer, source, info, error);
}

static trove_status put_descriptor(const struct tvc_transfer *transfer, int fd, trove_object_info **info, trove_error *error) {
    struct source source;
    trove_status status = look_at(transfer, fd, &source, error);
    if (status != TROVE_OK)
        return status;
    status = put_source(transfer, &source, info, error);
    free(source.head);
    return status;
}

trove_status trove_put_fd(trove_client *client, const char *bucket, const char *key, int fd, const trove_stream_options *options,
                          trove_object_info **info, trove_error *error) {
    struct tvc_transfer transfer;
    trove_status status = tvc_transfer_begin(&transfer, client, bucket, key, TROVE_DIRECTION_UPLOAD, options, error);
    return status != TROVE_OK ? status : put_descriptor(&transfer, fd, info, error);
}

trove_status trove_put_file(trove_client *client, const char *bucket, const char *key, const char *path,
                            const trove_stream_options *options, trove_object_info **info, trove_error *error) {
    struct tvc_transfer transfer;
    trove_status status = tvc_transfer_begin(&transfer, client, bucket, key, TROVE_DIRECTION_UPLOAD, options, error);
    if (status == TROVE_OK && path == NULL)
        status = TV_FAIL(error, INVALID_ARGUMENT, "the path is NULL");
    if (status != TROVE_OK)
        return status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return tv_error_errno(error, errno, "%.300s", path);
    status = put_descriptor(&transfer, fd, info, error);
    close(fd);
    return status;
}
