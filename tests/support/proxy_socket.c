/* proxy_socket.c - see proxy_socket.h. */
#include "proxy_socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 256

static bool is_unix(const char *url) {
    return strncmp(url, "ipc://", 6) == 0;
}

static int new_socket(int family) {
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    return fd;
}

static struct sockaddr_un unix_address(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int bytes = snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_in_range(bytes, 1, sizeof address.sun_path - 1);
    return address;
}

static int listen_unix(const char *folder, char url[PROXY_URL_BYTES]) {
    static atomic_uint number;
    snprintf(url, PROXY_URL_BYTES, "ipc://%s/proxy-%d-%u", folder, (int)getpid(), atomic_fetch_add(&number, 1));
    struct sockaddr_un address = unix_address(url + 6);
    int fd = new_socket(AF_UNIX);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* tcp://127.0.0.1:PORT, ws://127.0.0.1:PORT/PATH: no other host. */
static int listen_tcp(const char *upstream, char url[PROXY_URL_BYTES]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = new_socket(AF_INET);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    const char *place = strstr(upstream, "://");
    assert_non_null(place);
    const char *path = strchr(place + 3, '/');
    snprintf(url, PROXY_URL_BYTES, "%.*s://127.0.0.1:%u%s", (int)(place - upstream), upstream, (unsigned)ntohs(address.sin_port),
             path != NULL ? path : "");
    return fd;
}

int proxy_listen(const char *folder, const char *upstream, char url[PROXY_URL_BYTES]) {
    int fd = is_unix(upstream) ? listen_unix(folder, url) : listen_tcp(upstream, url);
    assert_int_equal(listen(fd, BACKLOG), 0);
    return fd;
}

static void set_no_delay(int fd) {
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* no such thing on a unix socket */
}

/* On this machine connecting doesn't wait, but for a full backlog. */
static int dial(int fd, const struct sockaddr *address, socklen_t bytes) {
    if (connect(fd, address, bytes) == 0)
        return fd;
    close(fd);
    return -1;
}

static int new_dialling_socket(int family) {
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

int proxy_dial(const char *upstream) {
    int fd;
    if (is_unix(upstream)) {
        struct sockaddr_un address = unix_address(upstream + 6);
        fd = dial(new_dialling_socket(AF_UNIX), (const struct sockaddr *)&address, sizeof address);
    } else {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        unsigned port = 0;
        assert_int_equal(sscanf(strstr(upstream, "://"), "://127.0.0.1:%u", &port), 1);
        address.sin_port = htons((uint16_t)port);
        fd = dial(new_dialling_socket(AF_INET), (const struct sockaddr *)&address, sizeof address);
    }
    if (fd >= 0)
        set_no_delay(fd);
    return fd;
}

int proxy_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        set_no_delay(fd);
    return fd;
}

void proxy_reset(int fd) {
    struct linger none = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd);
}
