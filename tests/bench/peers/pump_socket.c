/* pump_socket.c - blocking sockets for the pump: URLs, whole reads and writes. See pump.h. */
#include "pump.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A unix socket's default buffer (some 200 KiB) makes the two ends take turns; the kernel clamps this to its maximum. */
static const int unix_buffer_bytes = 4 * 1024 * 1024;

union pump_address {
    struct sockaddr any;
    struct sockaddr_in tcp;
    struct sockaddr_un ipc;
};

static int failed(const char *what) {
    fprintf(stderr, "pump: %s: %s\n", what, strerror(errno));
    return -1;
}

static int parse_tcp(const char *host_port, union pump_address *address, socklen_t *length) {
    char host[64];
    const char *colon = strrchr(host_port, ':');
    if (colon == NULL || (size_t)(colon - host_port) >= sizeof host)
        return -1;
    memcpy(host, host_port, (size_t)(colon - host_port));
    host[colon - host_port] = '\0';
    char *end = NULL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || port > UINT16_MAX)
        return -1;
    address->tcp = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    *length = sizeof address->tcp;
    return inet_pton(AF_INET, host, &address->tcp.sin_addr) == 1 ? 0 : -1;
}

static int parse_ipc(const char *path, union pump_address *address, socklen_t *length) {
    address->ipc = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path[0] != '/' || strlen(path) >= sizeof address->ipc.sun_path)
        return -1;
    memcpy(address->ipc.sun_path, path, strlen(path) + 1);
    *length = sizeof address->ipc;
    return 0;
}

static int parse_url(const char *url, union pump_address *address, socklen_t *length) {
    int status = -1;
    if (strncmp(url, "tcp://", 6) == 0)
        status = parse_tcp(url + 6, address, length);
    else if (strncmp(url, "ipc://", 6) == 0)
        status = parse_ipc(url + 6, address, length);
    if (status != 0)
        fprintf(stderr, "pump: %s: expected tcp://A.B.C.D:PORT or ipc:///PATH\n", url);
    return status;
}

static void tune(int socket_fd, sa_family_t family) {
    int one = 1;
    if (family == AF_INET)
        setsockopt(socket_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    else
        setsockopt(socket_fd, SOL_SOCKET, SO_SNDBUF, &unix_buffer_bytes, sizeof unix_buffer_bytes);
}

int pump_listen(const char *url, int *listener_out) {
    union pump_address address;
    socklen_t length = 0;
    if (parse_url(url, &address, &length) != 0)
        return -1;
    int listener = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return failed("socket");
    if (bind(listener, &address.any, length) != 0 || listen(listener, 128) != 0) {
        close(listener);
        return failed(url);
    }
    *listener_out = listener;
    return 0;
}

int pump_listener_url(int listener, char *url, size_t url_bytes) {
    union pump_address address;
    socklen_t length = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(listener, &address.any, &length) != 0)
        return failed("getsockname");
    if (address.any.sa_family == AF_UNIX) {
        snprintf(url, url_bytes, "ipc://%s", address.ipc.sun_path);
        return 0;
    }
    char host[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &address.tcp.sin_addr, host, sizeof host);
    snprintf(url, url_bytes, "tcp://%s:%u", host, (unsigned)ntohs(address.tcp.sin_port));
    return 0;
}

int pump_accept(int listener, int *socket_out) {
    union pump_address address;
    socklen_t length = sizeof address;
    int accepted = accept4(listener, &address.any, &length, SOCK_CLOEXEC);
    if (accepted < 0)
        return failed("accept");
    tune(accepted, address.any.sa_family);
    *socket_out = accepted;
    return 0;
}

int pump_connect(const char *url, int *socket_out) {
    union pump_address address;
    socklen_t length = 0;
    if (parse_url(url, &address, &length) != 0)
        return -1;
    int connected = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connected < 0)
        return failed("socket");
    tune(connected, address.any.sa_family);
    if (connect(connected, &address.any, length) != 0) {
        close(connected);
        return failed(url);
    }
    *socket_out = connected;
    return 0;
}

/* Takes bytes off the front of the vector. Returns how many entries were used up. */
static int advance(struct iovec *vector, int count, size_t bytes) {
    int used = 0;
    while (used < count && bytes >= vector[used].iov_len) {
        bytes -= vector[used].iov_len;
        used++;
    }
    if (used < count) {
        vector[used].iov_base = (unsigned char *)vector[used].iov_base + bytes;
        vector[used].iov_len -= bytes;
    }
    return used;
}

int pump_send_vector(int socket_fd, struct iovec *vector, int count) {
    while (count > 0) {
        struct msghdr message = {.msg_iov = vector, .msg_iovlen = (size_t)count};
        ssize_t sent = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return failed("send");
        int used = advance(vector, count, (size_t)sent);
        vector += used;
        count -= used;
    }
    return 0;
}

int pump_send(int socket_fd, const void *data, size_t bytes) {
    struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    return pump_send_vector(socket_fd, &vector, 1);
}

int pump_receive_some(int socket_fd, struct iovec *vector, int count, size_t *bytes_out) {
    for (;;) {
        ssize_t received = readv(socket_fd, vector, count);
        if (received > 0) {
            *bytes_out = (size_t)received;
            return 0;
        }
        if (received == 0) {
            fprintf(stderr, "pump: the peer closed the connection\n");
            return -1;
        }
        if (errno != EINTR)
            return failed("receive");
    }
}

int pump_receive(int socket_fd, void *data, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        struct iovec vector = {.iov_base = (unsigned char *)data + done, .iov_len = bytes - done};
        size_t received = 0;
        if (pump_receive_some(socket_fd, &vector, 1, &received) != 0)
            return -1;
        done += received;
    }
    return 0;
}

int pump_ring_init(struct pump_ring *ring, uint32_t count, size_t chunk_bytes, bool sealed) {
    if (sealed && !pump_seal_works()) {
        fprintf(stderr, "pump: this machine has no AES-256-GCM\n");
        return -1;
    }
    size_t stride = (chunk_bytes + 4095) / 4096 * 4096;
    unsigned char *memory = aligned_alloc(4096, stride * count);
    size_t scratch_bytes = pump_tags_bytes(chunk_bytes) + chunk_bytes;
    unsigned char *scratch = sealed ? malloc(scratch_bytes) : NULL;
    if (memory == NULL || (sealed && scratch == NULL)) {
        free(memory);
        return failed("buffers");
    }
    if (sealed)
        memset(scratch, 1, scratch_bytes);
    uint64_t random = 0x9E3779B97F4A7C15u;
    for (size_t offset = 0; offset < stride * count; offset += sizeof random) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        memcpy(memory + offset, &random, sizeof random);
    }
    *ring = (struct pump_ring){.memory = memory, .chunk_bytes = chunk_bytes, .count = count, .scratch = scratch};
    return 0;
}

unsigned char *pump_ring_slot(const struct pump_ring *ring, uint64_t index) {
    size_t stride = (ring->chunk_bytes + 4095) / 4096 * 4096;
    return ring->memory + (index % ring->count) * stride;
}

void pump_ring_fini(struct pump_ring *ring) {
    free(ring->scratch);
    free(ring->memory);
    *ring = (struct pump_ring){0};
}
