/* pump_stream.c - memory to memory: chunks with a header in front, acks by index back. See pump.h.
 *
 * A header goes out in one call with its chunk. The receiver asks for the rest of a chunk and the next header in one
 * call, so a chunk that has already come costs one system call; it never waits for that header before the ack.
 */
#include "pump.h"

#include "bench_checksum.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct chunk_header {
    uint64_t index;
    uint64_t bytes; /* 0: the sender has ended */
    uint64_t checksum;
};

struct ack_reader {
    unsigned char bytes[64 * sizeof(uint64_t)];
    size_t filled;
    uint64_t acked; /* chunks; they are acked in order */
};

/* Blocks for at least some bytes of an ack. */
static int acks_receive(int socket, struct ack_reader *reader) {
    struct iovec vector = {.iov_base = reader->bytes + reader->filled, .iov_len = sizeof reader->bytes - reader->filled};
    size_t received = 0;
    if (pump_receive_some(socket, &vector, 1, &received) != 0)
        return -1;
    reader->filled += received;
    size_t used = 0;
    for (; reader->filled - used >= sizeof(uint64_t); used += sizeof(uint64_t)) {
        uint64_t index = 0;
        memcpy(&index, reader->bytes + used, sizeof index);
        if (index != reader->acked++) {
            fprintf(stderr, "pump: ack %" PRIu64 " out of order\n", index);
            return -1;
        }
    }
    reader->filled -= used;
    memmove(reader->bytes, reader->bytes + used, reader->filled);
    return 0;
}

static int chunk_send(int socket, const struct pump_ring *ring, uint64_t index, size_t bytes) {
    unsigned char *chunk = pump_ring_slot(ring, index);
    memcpy(chunk, &index, bytes < sizeof index ? bytes : sizeof index); /* so that no two chunks are equal */
    struct chunk_header header = {.index = index, .bytes = bytes, .checksum = XXH3_64bits(chunk, bytes)};
    struct iovec vector[] = {{.iov_base = &header, .iov_len = sizeof header}, {.iov_base = chunk, .iov_len = bytes}};
    if (ring->scratch != NULL) {
        pump_seal(index, chunk, bytes, ring->scratch);
        vector[1] = (struct iovec){.iov_base = ring->scratch, .iov_len = pump_tags_bytes(bytes) + bytes};
    }
    return pump_send_vector(socket, vector, 2);
}

int pump_stream_send(int socket, struct pump_ring *ring, uint64_t bytes_left, struct pump_totals *totals) {
    struct ack_reader reader = {0};
    uint64_t index = 0;
    size_t bytes = 0;
    while ((bytes = bench_take(&bytes_left, ring->chunk_bytes)) != 0) {
        if (chunk_send(socket, ring, index, bytes) != 0)
            return -1;
        index++;
        totals->bytes += bytes;
        while (index - reader.acked >= ring->count)
            if (acks_receive(socket, &reader) != 0)
                return -1;
    }
    totals->chunks += index;
    struct chunk_header end = {.index = index};
    if (pump_send(socket, &end, sizeof end) != 0)
        return -1;
    while (reader.acked < index)
        if (acks_receive(socket, &reader) != 0)
            return -1;
    return 0;
}

/* Fills the chunk, and the next header as far as it has come along; next_filled tells how far. */
static int chunk_receive(int socket, const struct pump_ring *ring, uint64_t index, size_t bytes, struct chunk_header *next,
                         size_t *next_filled) {
    unsigned char *chunk = pump_ring_slot(ring, index);
    size_t tags = ring->scratch != NULL ? pump_tags_bytes(bytes) : 0;
    size_t done = 0;
    while (done < tags + bytes) {
        struct iovec vector[3];
        int count = 0;
        size_t at = done < tags ? 0 : done - tags;
        if (done < tags)
            vector[count++] = (struct iovec){.iov_base = ring->scratch + done, .iov_len = tags - done};
        vector[count++] = (struct iovec){.iov_base = chunk + at, .iov_len = bytes - at};
        vector[count++] = (struct iovec){.iov_base = next, .iov_len = sizeof *next};
        size_t received = 0;
        if (pump_receive_some(socket, vector, count, &received) != 0)
            return -1;
        done += received;
    }
    *next_filled = done - tags - bytes;
    return ring->scratch != NULL ? pump_open(index, chunk, bytes, ring->scratch) : 0;
}

static int chunk_check(const struct chunk_header *header, const unsigned char *chunk, uint64_t index) {
    uint64_t found = 0;
    memcpy(&found, chunk, header->bytes < sizeof found ? header->bytes : sizeof found);
    if (header->index != index || (header->bytes >= sizeof found && found != index) ||
        XXH3_64bits(chunk, header->bytes) != header->checksum) {
        fprintf(stderr, "pump: chunk %" PRIu64 " is damaged\n", index);
        return -1;
    }
    return 0;
}

int pump_stream_receive(int socket, struct pump_ring *ring, struct pump_totals *totals) {
    struct chunk_header next = {0};
    size_t next_filled = 0;
    for (uint64_t index = 0;; index++) {
        if (pump_receive(socket, (unsigned char *)&next + next_filled, sizeof next - next_filled) != 0)
            return -1;
        struct chunk_header header = next;
        if (header.bytes == 0) {
            totals->chunks += index;
            return 0;
        }
        if (header.bytes > ring->chunk_bytes) {
            fprintf(stderr, "pump: chunk %" PRIu64 " is longer than agreed\n", index);
            return -1;
        }
        unsigned char *chunk = pump_ring_slot(ring, index);
        if (chunk_receive(socket, ring, index, header.bytes, &next, &next_filled) != 0 ||
            chunk_check(&header, chunk, index) != 0 || pump_send(socket, &index, sizeof index) != 0)
            return -1;
        totals->bytes += header.bytes;
    }
}
