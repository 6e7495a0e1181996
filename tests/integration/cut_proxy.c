/* cut_proxy.c - see cut_proxy.h. A thread takes connections, and each has two threads, one for each way. */
#include "cut_proxy.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define CONNECTIONS_MAX 64
#define PIECE           65536

struct connection {
    struct cut_proxy *proxy;
    int client;
    int server;
    pthread_t up;
    pthread_t down;
};

struct cut_proxy {
    char path[128];
    char url[140];
    char server_path[128];
    int listener;
    pthread_t acceptor;
    atomic_bool shut;
    atomic_ullong bytes_up;
    pthread_mutex_t lock;
    /* under the lock */
    unsigned count;
    struct connection connections[CONNECTIONS_MAX];
    uint64_t after[2]; /* up, down */
    unsigned times[2];
};

static struct sockaddr_un address_of(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof address.sun_path);
    strcpy(address.sun_path, path);
    return address;
}

static void cut(const struct connection *connection) {
    shutdown(connection->client, SHUT_RDWR);
    shutdown(connection->server, SHUT_RDWR);
}

/* Whether this is where the connection is cut. */
static bool is_due(struct cut_proxy *proxy, int way, uint64_t passed) {
    pthread_mutex_lock(&proxy->lock);
    bool due = proxy->times[way] > 0 && passed >= proxy->after[way];
    if (due)
        proxy->times[way]--;
    pthread_mutex_unlock(&proxy->lock);
    return due;
}

static void pass(struct connection *connection, int way) {
    char bytes[PIECE]; /* not from the heap: in a test of no memory this isn't what is tested */
    int from = way == 0 ? connection->client : connection->server;
    int to = way == 0 ? connection->server : connection->client;
    uint64_t passed = 0;
    for (ssize_t got; (got = recv(from, bytes, sizeof bytes, 0)) > 0;) {
        if (send(to, bytes, (size_t)got, MSG_NOSIGNAL) != got)
            break;
        passed += (uint64_t)got;
        if (way == 0)
            atomic_fetch_add(&connection->proxy->bytes_up, (unsigned long long)got);
        if (is_due(connection->proxy, way, passed))
            break;
    }
    cut(connection);
}

static void *pass_up(void *argument) {
    pass(argument, 0);
    return NULL;
}

static void *pass_down(void *argument) {
    pass(argument, 1);
    return NULL;
}

static int connect_to(const char *path) {
    const struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* False: it is turned away. */
static bool take(struct cut_proxy *proxy, int client) {
    int server = atomic_load(&proxy->shut) ? -1 : connect_to(proxy->server_path);
    pthread_mutex_lock(&proxy->lock);
    bool taken = server >= 0 && proxy->count < CONNECTIONS_MAX;
    if (taken) {
        struct connection *connection = &proxy->connections[proxy->count++];
        *connection = (struct connection){.proxy = proxy, .client = client, .server = server};
        pthread_create(&connection->up, NULL, pass_up, connection);
        pthread_create(&connection->down, NULL, pass_down, connection);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (!taken && server >= 0)
        close(server);
    return taken;
}

static void *accept_all(void *argument) {
    struct cut_proxy *proxy = argument;
    for (;;) {
        int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0 && errno != EINTR && errno != ECONNABORTED)
            return NULL;
        if (client >= 0 && !take(proxy, client))
            close(client);
    }
}

struct cut_proxy *cut_proxy_start(const char *url) {
    struct cut_proxy *proxy = calloc(1, sizeof *proxy);
    assert_non_null(proxy);
    assert_true(strncmp(url, "ipc://", 6) == 0 && strlen(url) < sizeof proxy->server_path - 8);
    snprintf(proxy->server_path, sizeof proxy->server_path, "%s", url + 6);
    snprintf(proxy->path, sizeof proxy->path, "%.110s.proxy", url + 6);
    snprintf(proxy->url, sizeof proxy->url, "ipc://%s", proxy->path);
    pthread_mutex_init(&proxy->lock, NULL);
    const struct sockaddr_un address = address_of(proxy->path);
    proxy->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(proxy->listener >= 0);
    assert_int_equal(bind(proxy->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(proxy->listener, 16), 0);
    assert_int_equal(pthread_create(&proxy->acceptor, NULL, accept_all, proxy), 0);
    return proxy;
}

void cut_proxy_stop(struct cut_proxy *proxy) {
    shutdown(proxy->listener, SHUT_RDWR);
    pthread_join(proxy->acceptor, NULL);
    close(proxy->listener);
    unlink(proxy->path);
    for (unsigned i = 0; i < proxy->count; i++) {
        struct connection *connection = &proxy->connections[i];
        cut(connection);
        pthread_join(connection->up, NULL);
        pthread_join(connection->down, NULL);
        close(connection->client);
        close(connection->server);
    }
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}

const char *cut_proxy_url(const struct cut_proxy *proxy) {
    return proxy->url;
}

static void set(struct cut_proxy *proxy, int way, uint64_t bytes, unsigned times) {
    pthread_mutex_lock(&proxy->lock);
    proxy->after[way] = bytes;
    proxy->times[way] = times;
    pthread_mutex_unlock(&proxy->lock);
}

void cut_proxy_after_up(struct cut_proxy *proxy, uint64_t bytes, unsigned times) {
    set(proxy, 0, bytes, times);
}

void cut_proxy_after_down(struct cut_proxy *proxy, uint64_t bytes, unsigned times) {
    set(proxy, 1, bytes, times);
}

void cut_proxy_now(struct cut_proxy *proxy) {
    pthread_mutex_lock(&proxy->lock);
    for (unsigned i = 0; i < proxy->count; i++)
        cut(&proxy->connections[i]);
    pthread_mutex_unlock(&proxy->lock);
}

void cut_proxy_shut(struct cut_proxy *proxy, int shut) {
    atomic_store(&proxy->shut, shut != 0);
}

uint64_t cut_proxy_bytes_up(const struct cut_proxy *proxy) {
    return atomic_load(&((struct cut_proxy *)proxy)->bytes_up);
}
