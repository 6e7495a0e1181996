/* pump.h - the raw socket pump: the ceiling that Trove is compared with. What two programs reach with blocking sockets and
 * nothing in between, under the same rules as Trove: a window of chunks, an ack for each, XXH3-64 taken by the sender and checked
 * by the receiver, the same number of buffers on both sides, used in turn.
 *
 * pump.c         main, accepting, the client's connections
 * pump_socket.c  listening, connecting, whole reads and writes
 * pump_stream.c  memory to memory
 * pump_seal.c    encryption, of memory to memory alone
 * pump_file.c    file to file
 *
 * Messages go in the host's byte order: both ends are this program on this machine.
 *
 * Threads: one per connection on either side, blocking; file receiving has a second one that writes to the file. The
 * sender reads acks only when its window is full, from the same thread: they are small enough to wait in the socket, and
 * a thread of their own measured slower (a wake-up for each).
 */
#ifndef TROVE_BENCH_PUMP_H
#define TROVE_BENCH_PUMP_H

#include "bench_client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum pump_mode {
    PUMP_UP = 1,
    PUMP_DOWN,
    PUMP_FILE_PUT,
    PUMP_FILE_GET
};

enum {
    PUMP_WINDOW_MAX = 1024,
    PUMP_NAME_BYTES = 256,
    PUMP_RECORD_BYTES = 32 * 1024,
    PUMP_TAG_BYTES = 16
};

/* First on every connection, from the client; answered by a pump_reply once the server has its buffers. */
struct pump_request {
    uint64_t magic;
    uint32_t mode;
    uint32_t window;
    uint64_t sealed; /* 1: up and down are encrypted */
    uint64_t chunk_bytes;
    uint64_t total_bytes; /* down: to send; file-put: the file's size */
    char name[PUMP_NAME_BYTES];
};

/* Ends the set-up, and file-put once more at its end. */
struct pump_reply {
    uint64_t error; /* 0 or an errno value */
    uint64_t bytes; /* file-get: the file's size */
};

/* Buffers used in turn; each chunk_bytes long, all touched before the transfer. */
struct pump_ring {
    unsigned char *memory;
    size_t chunk_bytes;
    uint32_t count;
    unsigned char *scratch; /* where a chunk is sealed, or where its tags go; NULL: nothing is encrypted */
};

struct pump_totals {
    uint64_t bytes;
    uint64_t chunks;
};

/* All functions return 0, or -1 after a message on stderr. A length of 0 in pump_receive means the peer has closed. */
int pump_listen(const char *url, int *listener_out);
int pump_listener_url(int listener, char *url, size_t url_bytes);
int pump_accept(int listener, int *socket_out);
int pump_connect(const char *url, int *socket_out);
int pump_send(int socket, const void *data, size_t bytes);
int pump_send_vector(int socket, struct iovec *vector, int count);
int pump_receive(int socket, void *data, size_t bytes);
/* At least one byte, as many as have come. */
int pump_receive_some(int socket, struct iovec *vector, int count, size_t *bytes_out);

/* Once in a process, before anything else. Where the machine has no AES-256-GCM, a ring that seals can't be made. */
void pump_seal_init(void);
bool pump_seal_works(void);
size_t pump_tags_bytes(size_t bytes);
/* To `out`: tags, then the sealed bytes. */
void pump_seal(uint64_t index, const unsigned char *chunk, size_t bytes, unsigned char *out);
int pump_open(uint64_t index, unsigned char *chunk, size_t bytes, const unsigned char *tags);

int pump_ring_init(struct pump_ring *ring, uint32_t count, size_t chunk_bytes, bool sealed);
unsigned char *pump_ring_slot(const struct pump_ring *ring, uint64_t index);
void pump_ring_fini(struct pump_ring *ring);

/* Sends so many bytes in chunks, then waits for the last ack. */
int pump_stream_send(int socket, struct pump_ring *ring, uint64_t bytes_left, struct pump_totals *totals);
/* Receives, verifies and acks chunks until the sender ends. */
int pump_stream_receive(int socket, struct pump_ring *ring, struct pump_totals *totals);

int pump_file_send(int socket, int file, uint64_t bytes);
/* Reading the socket and writing the file overlap: the ring lies between them. */
int pump_file_receive(int socket, int file, struct pump_ring *ring, uint64_t bytes);
bool pump_file_name_valid(const char *name);
/* Opens a fresh file beside name in the folder, and moves it there once it is whole; durable: both on disk on return. */
int pump_file_create(int folder, const char *name, int *file_out);
int pump_file_publish(int folder, const char *name, int file, bool durable);

#endif
