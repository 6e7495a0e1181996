/* proxy.c - see proxy.h. The thread owns all but what is under the lock. */
#include "proxy.h"

#include "proxy_plan.h"
#include "proxy_socket.h"
#include "seeded.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS_MAX    128 /* connections at once; more wait to be accepted */
#define BUFFER_BYTES ((size_t)64 * 1024)
#define FOREVER      UINT64_MAX

/* One direction of a connection. */
struct way {
    int from;
    int to;
    size_t begin; /* what was read and hasn't been passed on */
    size_t end;
    uint64_t passed;
    struct proxy_plan plan;
    unsigned next_event;
    uint64_t resume_ms; /* nothing moves before that; FOREVER: until an end gives up */
    bool ended;         /* `from` sends nothing more */
    bool closed;        /* `to` was told so */
    bool silent;        /* what comes is discarded */
    uint8_t buffer[BUFFER_BYTES];
};

struct link {
    struct way ways[2]; /* up, down */
    unsigned pieces;
};

struct proxy {
    char upstream[PROXY_URL_BYTES];
    char url[PROXY_URL_BYTES];
    int listener;
    int stop_ends[2];
    pthread_t thread;
    struct link *links[LINKS_MAX];
    pthread_mutex_t lock;
    /* under the lock */
    struct proxy_faults faults;
    struct proxy_counts counts;
};

static void count(struct proxy *proxy, uint64_t *counter, uint64_t by) {
    pthread_mutex_lock(&proxy->lock);
    *counter += by;
    pthread_mutex_unlock(&proxy->lock);
}

/* ---- one connection ---- */

static void begin_link(struct proxy *proxy, struct link **place) {
    int client = proxy_accept(proxy->listener);
    if (client < 0)
        return;
    int server = proxy_dial(proxy->upstream);
    if (server < 0) {
        proxy_reset(client);
        return;
    }
    struct link *link = calloc(1, sizeof *link);
    assert_non_null(link);
    pthread_mutex_lock(&proxy->lock);
    bool faulty = proxy->faults.connections == 0 || proxy->counts.connections < proxy->faults.connections;
    for (unsigned i = 0; i < 2 && faulty; i++)
        proxy_plan_make(&link->ways[i].plan, &proxy->faults, proxy->counts.connections, i);
    link->pieces = faulty ? proxy->faults.pieces : 0;
    proxy->counts.connections++;
    pthread_mutex_unlock(&proxy->lock);
    link->ways[0].from = link->ways[1].to = client;
    link->ways[0].to = link->ways[1].from = server;
    *place = link;
}

static void end_link(struct link **place, bool reset) {
    struct link *link = *place;
    for (unsigned i = 0; i < 2; i++) {
        if (reset)
            proxy_reset(link->ways[i].from);
        else
            close(link->ways[i].from);
    }
    free(link);
    *place = NULL;
}

/* ---- one direction ---- */

enum step {
    STEP_ON,    /* more may be passed on */
    STEP_WAIT,  /* for a descriptor or a time */
    STEP_CUT,   /* the connection is over */
    STEP_RESET, /* likewise, by RST */
};

static enum step apply_event(struct proxy *proxy, struct way *way, uint64_t now) {
    const struct proxy_event *event = &way->plan.events[way->next_event];
    if (event->kind == PROXY_FLIP && way->begin == way->end)
        return STEP_WAIT; /* its byte hasn't come */
    way->next_event++;
    switch (event->kind) {
    case PROXY_FLIP:
        way->buffer[way->begin] ^= (uint8_t)(1u << event->value);
        count(proxy, &proxy->counts.flips, 1);
        return STEP_ON;
    case PROXY_WAIT:
    case PROXY_BLACK_HOLE:
        way->resume_ms = event->kind == PROXY_WAIT ? now + 1 + event->value : FOREVER;
        count(proxy, &proxy->counts.waits, 1);
        return STEP_WAIT;
    case PROXY_RESET:
    case PROXY_CLOSE:
        count(proxy, &proxy->counts.cuts, 1);
        return event->kind == PROXY_RESET ? STEP_RESET : STEP_CUT;
    case PROXY_HALF_CLOSE:
        count(proxy, &proxy->counts.cuts, 1);
        way->silent = way->closed = true;
        shutdown(way->to, SHUT_WR);
        return STEP_ON;
    }
    return STEP_CUT;
}

static bool has_event(const struct way *way) {
    return way->next_event < way->plan.count && way->plan.events[way->next_event].offset <= way->passed;
}

static enum step pass_on(struct proxy *proxy, const struct link *link, struct way *way) {
    size_t bytes = way->end - way->begin;
    if (way->next_event < way->plan.count && way->plan.events[way->next_event].offset - way->passed < bytes)
        bytes = (size_t)(way->plan.events[way->next_event].offset - way->passed);
    bool piece = way->passed < link->pieces;
    if (piece && bytes > way->plan.piece_bytes)
        bytes = way->plan.piece_bytes;
    ssize_t sent = way->silent ? (ssize_t)bytes : send(way->to, way->buffer + way->begin, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? STEP_WAIT : STEP_CUT;
    way->begin += (size_t)sent;
    way->passed += (uint64_t)sent;
    count(proxy, way == &link->ways[0] ? &proxy->counts.bytes_up : &proxy->counts.bytes_down, (uint64_t)sent);
    return piece ? STEP_WAIT : STEP_ON; /* pieces go one by one, in between others have their turn */
}

/* Passes on what it can. */
static enum step step_way(struct proxy *proxy, const struct link *link, struct way *way, uint64_t now) {
    enum step step = STEP_ON;
    while (step == STEP_ON && way->resume_ms <= now) {
        if (has_event(way))
            step = apply_event(proxy, way, now);
        else if (way->begin < way->end)
            step = pass_on(proxy, link, way);
        else
            break;
    }
    if (way->ended && way->begin == way->end && !way->closed && way->resume_ms <= now) {
        shutdown(way->to, SHUT_WR);
        way->closed = true;
    }
    return step;
}

/* False: the other end has gone, not only stopped sending. */
static bool read_way(struct way *way) {
    if (way->begin == way->end)
        way->begin = way->end = 0;
    ssize_t got = recv(way->from, way->buffer + way->end, BUFFER_BYTES - way->end, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    way->ended = got == 0;
    way->end += (size_t)got;
    return true;
}

/* ---- polling ---- */

static bool wants_to_read(const struct way *way, uint64_t now) {
    return !way->ended && way->resume_ms <= now && (way->end < BUFFER_BYTES || way->begin == way->end);
}

static bool wants_to_write(const struct way *way, uint64_t now) {
    return way->resume_ms <= now && way->begin < way->end && !way->silent;
}

/* `in` is the way that comes from the descriptor, `out` the one that goes to it. One that asks for nothing isn't polled at all: a
 * hang-up would be told again and again. */
static struct pollfd poll_entry(const struct way *in, const struct way *out, uint64_t now) {
    struct pollfd entry = {.fd = in->from};
    if (wants_to_read(in, now))
        entry.events |= POLLIN;
    if (in->resume_ms > now && !in->ended)
        entry.events |= POLLRDHUP;
    if (wants_to_write(out, now))
        entry.events |= POLLOUT;
    if (entry.events == 0)
        entry.fd = -1;
    return entry;
}

static void run_link(struct proxy *proxy, struct link **place, const struct pollfd entries[2], uint64_t now) {
    struct link *link = *place;
    enum step worst = STEP_ON;
    for (unsigned i = 0; i < 2; i++) {
        struct way *way = &link->ways[i];
        short told = entries[i].revents;
        if (way->resume_ms > now && (told & (POLLRDHUP | POLLHUP | POLLERR)) != 0)
            way->resume_ms = now; /* who waited has given up */
        if (wants_to_read(way, now) && (told & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_way(way))
            worst = STEP_CUT;
    }
    for (unsigned i = 0; i < 2 && worst < STEP_CUT; i++)
        worst = step_way(proxy, link, &link->ways[i], now);
    if (worst >= STEP_CUT || (link->ways[0].closed && link->ways[1].closed))
        end_link(place, worst == STEP_RESET);
}

static int wait_ms(const struct proxy *proxy, uint64_t now) {
    uint64_t first = FOREVER;
    for (unsigned i = 0; i < 2 * LINKS_MAX; i++) {
        const struct link *link = proxy->links[i / 2];
        if (link != NULL && link->ways[i % 2].resume_ms > now && link->ways[i % 2].resume_ms < first)
            first = link->ways[i % 2].resume_ms;
    }
    return first == FOREVER ? -1 : (int)(first - now);
}

static void *proxy_run(void *argument) {
    struct proxy *proxy = argument;
    struct pollfd entries[2 + 2 * LINKS_MAX];
    for (;;) {
        uint64_t now = seeded_now_ms();
        struct link **free_place = NULL;
        for (unsigned i = 0; i < LINKS_MAX; i++) {
            const struct link *link = proxy->links[i];
            if (link == NULL)
                free_place = &proxy->links[i];
            for (unsigned end = 0; end < 2; end++)
                entries[2 + 2 * i + end] =
                    link == NULL ? (struct pollfd){.fd = -1} : poll_entry(&link->ways[end], &link->ways[1 - end], now);
        }
        entries[0] = (struct pollfd){.fd = proxy->stop_ends[0], .events = POLLIN};
        entries[1] = (struct pollfd){.fd = free_place != NULL ? proxy->listener : -1, .events = POLLIN};
        if (poll(entries, 2 + 2 * LINKS_MAX, wait_ms(proxy, now)) < 0)
            continue;
        if (entries[0].revents != 0)
            break;
        now = seeded_now_ms();
        for (unsigned i = 0; i < LINKS_MAX; i++)
            if (proxy->links[i] != NULL)
                run_link(proxy, &proxy->links[i], &entries[2 + 2 * i], now);
        if (entries[1].revents != 0)
            begin_link(proxy, free_place);
    }
    for (unsigned i = 0; i < LINKS_MAX; i++)
        if (proxy->links[i] != NULL)
            end_link(&proxy->links[i], true);
    return NULL;
}

/* ---- the proxy ---- */

struct proxy *proxy_start(const char *folder, const char *upstream, const struct proxy_faults *faults) {
    struct proxy *proxy = calloc(1, sizeof *proxy);
    assert_non_null(proxy);
    assert_true(strlen(upstream) < sizeof proxy->upstream);
    strcpy(proxy->upstream, upstream);
    proxy->faults = *faults;
    proxy->listener = proxy_listen(folder, upstream, proxy->url);
    assert_int_equal(pipe2(proxy->stop_ends, O_CLOEXEC), 0);
    pthread_mutex_init(&proxy->lock, NULL);
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_run, proxy), 0);
    return proxy;
}

const char *proxy_url(const struct proxy *proxy) {
    return proxy->url;
}

void proxy_set_faults(struct proxy *proxy, const struct proxy_faults *faults) {
    pthread_mutex_lock(&proxy->lock);
    proxy->faults = *faults;
    pthread_mutex_unlock(&proxy->lock);
}

void proxy_get_counts(struct proxy *proxy, struct proxy_counts *counts) {
    pthread_mutex_lock(&proxy->lock);
    *counts = proxy->counts;
    pthread_mutex_unlock(&proxy->lock);
}

void proxy_stop(struct proxy *proxy) {
    close(proxy->stop_ends[1]);
    pthread_join(proxy->thread, NULL);
    close(proxy->stop_ends[0]);
    close(proxy->listener);
    if (strncmp(proxy->url, "ipc://", 6) == 0)
        unlink(proxy->url + 6);
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}
