/* pump_file.c - file to file: a plain socket copy without checksums. See pump.h.
 *
 * Sending is sendfile. Receiving reads the socket on the connection's thread and writes the file on a second one, with
 * the ring between them, so that both copies run at the same time.
 */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

/* The largest write. Above some 200 KiB ext4 takes its page cache in large folios, whose memory is the coldest there is on
 * a virtual machine: 1 MiB writes measured half as fast. */
static const size_t write_bytes_max = 128 * 1024;

static int failed(const char *what) {
    fprintf(stderr, "pump: %s: %s\n", what, strerror(errno));
    return -1;
}

int pump_file_send(int socket, int file, uint64_t bytes) {
    while (bytes > 0) {
        ssize_t sent = sendfile(socket, file, NULL, bytes < (1u << 30) ? bytes : (1u << 30));
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return failed("sendfile");
        bytes -= (uint64_t)sent;
    }
    return 0;
}

/* filled and written count chunks; filled - written lies between 0 and the ring's count. */
struct file_writer {
    struct pump_ring *ring;
    int file;
    uint64_t bytes;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t filled;
    uint64_t written;
    bool failed;
};

static int write_all(int file, const unsigned char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t written = write(file, data, bytes < write_bytes_max ? bytes : write_bytes_max);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return failed("write");
        data += written;
        bytes -= (size_t)written;
    }
    return 0;
}

static size_t chunk_length(const struct file_writer *writer, uint64_t index) {
    uint64_t left = writer->bytes - index * writer->ring->chunk_bytes;
    return left < writer->ring->chunk_bytes ? (size_t)left : writer->ring->chunk_bytes;
}

static uint64_t chunk_count(const struct file_writer *writer) {
    return (writer->bytes + writer->ring->chunk_bytes - 1) / writer->ring->chunk_bytes;
}

static void writer_note(struct file_writer *writer, uint64_t *counter, bool has_failed) {
    pthread_mutex_lock(&writer->lock);
    *counter += 1;
    writer->failed = writer->failed || has_failed;
    pthread_cond_signal(&writer->moved);
    pthread_mutex_unlock(&writer->lock);
}

/* Waits until the chunk may be written (or filled, for the reading side). Returns false once either side has failed. */
static bool writer_wait(struct file_writer *writer, uint64_t index, bool for_writing) {
    pthread_mutex_lock(&writer->lock);
    while (!writer->failed && (for_writing ? writer->filled <= index : index - writer->written >= writer->ring->count))
        pthread_cond_wait(&writer->moved, &writer->lock);
    bool go_on = !writer->failed;
    pthread_mutex_unlock(&writer->lock);
    return go_on;
}

static void *writer_run(void *argument) {
    struct file_writer *writer = argument;
    uint64_t count = chunk_count(writer);
    for (uint64_t index = 0; index < count && writer_wait(writer, index, true); index++) {
        int status = write_all(writer->file, pump_ring_slot(writer->ring, index), chunk_length(writer, index));
        writer_note(writer, &writer->written, status != 0);
    }
    return NULL;
}

static void reader_run(int socket, struct file_writer *writer) {
    uint64_t count = chunk_count(writer);
    for (uint64_t index = 0; index < count && writer_wait(writer, index, false); index++) {
        int status = pump_receive(socket, pump_ring_slot(writer->ring, index), chunk_length(writer, index));
        writer_note(writer, &writer->filled, status != 0);
    }
}

int pump_file_receive(int socket, int file, struct pump_ring *ring, uint64_t bytes) {
    struct file_writer writer = {.ring = ring, .file = file, .bytes = bytes};
    pthread_mutex_init(&writer.lock, NULL);
    pthread_cond_init(&writer.moved, NULL);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, writer_run, &writer);
    if (error == 0) {
        reader_run(socket, &writer);
        pthread_join(thread, NULL);
    } else {
        errno = error;
        writer.failed = true;
        failed("thread");
    }
    pthread_cond_destroy(&writer.moved);
    pthread_mutex_destroy(&writer.lock);
    return writer.failed ? -1 : 0;
}

static void partial_name(const char *name, char *partial, size_t partial_bytes) {
    snprintf(partial, partial_bytes, "%s.part", name);
}

bool pump_file_name_valid(const char *name) {
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

int pump_file_create(int folder, const char *name, int *file_out) {
    char partial[PUMP_NAME_BYTES + 8];
    partial_name(name, partial, sizeof partial);
    int file = openat(folder, partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return failed(partial);
    *file_out = file;
    return 0;
}

int pump_file_publish(int folder, const char *name, int file, bool durable) {
    char partial[PUMP_NAME_BYTES + 8];
    partial_name(name, partial, sizeof partial);
    if (durable && fdatasync(file) != 0)
        return failed("fdatasync");
    if (renameat(folder, partial, folder, name) != 0)
        return failed(name);
    if (durable && fsync(folder) != 0)
        return failed("fsync of the folder");
    return 0;
}
