/* sim_network.c - links between clients and the server: byte streams in the place of nng's. See sim.h and common/transport.h.
 *
 * A link keeps order, and carries so many bytes a millisecond each way, behind a delay that varies. Sends take what the buffers
 * have room for, receives give what has arrived, or less. The caller's memory is touched at the last moment, right before it is
 * told that it may have it back: who reuses it sooner is found out. Completions run on a few threads, like nng's.
 * Where an end closes, the other one either still gets what was sent before, or nothing more at all; a link that breaks loses
 * what is on the way, and tells each end some time later, or leaves it to find out.
 */
#include "sim.h"

#include "conn_internal.h"
#include "server/session.h"

#include <string.h>

#define COMPLETION_THREADS 3

struct piece {
    struct piece *next;
    uint64_t arrives_ns;
    size_t at;
    size_t bytes;
    char data[];
};

struct end;

/* One direction. */
struct way {
    struct end *to;
    struct piece *first;
    struct piece *last;
    uint64_t buffered_bytes;
    uint64_t busy_until_ns;
    uint64_t arrives_ns; /* of the last piece: order is kept */
    bool closed;         /* by the sender: nothing follows what is here */
};

struct end {
    struct tv_transport base; /* first */
    struct sim_link *link;
    struct way *in;
    struct way *out;
    struct iovec receive_iov[TV_IOV_MAX];
    unsigned receive_count; /* 0: none is under way */
    struct iovec send_iov[TV_IOV_MAX];
    unsigned send_count;
    bool receive_completes; /* it waits for a thread, or runs */
    bool send_completes;
    unsigned completing; /* of the two */
    bool closed;         /* by its owner */
    bool lost;           /* it knows that the link is broken */
    bool gone;           /* so is its connection */
};

struct sim_link {
    struct sim_link *next;
    const struct sim_link_plan *plan;
    bool broken;
    struct end client;
    struct end server;
    struct way up;
    struct way down;
};

struct completion {
    struct completion *next;
    struct end *end;
    bool sends;
};

static struct {
    struct completion *first;
    struct completion *last;
    bool ending;
    struct sim_thread *threads[COMPLETION_THREADS];
} network;

/* ---- bytes on their way ---- */

static void drop_pieces(struct way *way) {
    while (way->first != NULL) {
        struct piece *piece = way->first;
        way->first = piece->next;
        free(piece);
    }
    way->last = NULL;
    way->buffered_bytes = 0;
}

static size_t total(const struct iovec *iov, unsigned iov_count) {
    size_t bytes = 0;
    for (unsigned i = 0; i < iov_count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

static void gather(void *to, size_t bytes, const struct iovec *iov) {
    for (char *at = to; bytes > 0; iov++) {
        size_t step = iov->iov_len < bytes ? iov->iov_len : bytes;
        memcpy(at, iov->iov_base, step);
        at += step;
        bytes -= step;
    }
}

static size_t scatter(const struct iovec *iov, unsigned iov_count, const char *from, size_t bytes) {
    size_t copied = 0;
    for (unsigned i = 0; i < iov_count && copied < bytes; i++) {
        size_t step = iov[i].iov_len < bytes - copied ? iov[i].iov_len : bytes - copied;
        memcpy(iov[i].iov_base, from + copied, step);
        copied += step;
    }
    return copied;
}

/* ---- completions ---- */

static void complete(struct end *end, bool sends) {
    bool *completes = sends ? &end->send_completes : &end->receive_completes;
    if (*completes)
        return;
    *completes = true;
    end->completing++;
    struct completion *completion = malloc(sizeof *completion);
    TV_ASSERT(completion != NULL);
    *completion = (struct completion){.end = end, .sends = sends};
    if (network.last != NULL)
        network.last->next = completion;
    else
        network.first = completion;
    network.last = completion;
    sim_wake(&network);
}

static bool arrived(const struct way *way) {
    return way->first != NULL && way->first->arrives_ns <= sim.now_ns;
}

static void try_receive(struct end *end) {
    bool over = end->closed || end->lost || (end->in->closed && end->in->first == NULL);
    if (end->receive_count > 0 && (over || arrived(end->in)))
        complete(end, false);
}

/* As kernels do, it waits until there is some room, or what goes is cut to crumbs. */
static void try_send(struct end *end) {
    bool room = end->out->buffered_bytes <= end->link->plan->buffer_bytes * 3 / 4;
    if (end->send_count > 0 && (end->closed || end->lost || room || end->out->to->closed))
        complete(end, true);
}

static void on_arrival(void *object) {
    struct way *way = object;
    try_receive(way->to);
}

/* What it takes now. */
static size_t take(struct end *end) {
    struct sim_link *link = end->link;
    struct way *way = end->out;
    const struct sim_link_plan *plan = link->plan;
    size_t bytes = total(end->send_iov, end->send_count);
    size_t room = plan->buffer_bytes > way->buffered_bytes ? plan->buffer_bytes - way->buffered_bytes : 1;
    if (bytes > room)
        bytes = room;
    if (sim_chance(10))
        bytes = sim_between(1, bytes);
    struct piece *piece = malloc(sizeof *piece + bytes);
    TV_ASSERT(piece != NULL);
    gather(piece->data, bytes, end->send_iov);
    uint64_t begins = way->busy_until_ns > sim.now_ns ? way->busy_until_ns : sim.now_ns;
    if (begins < plan->stalled_until_ns)
        begins = plan->stalled_until_ns;
    way->busy_until_ns = begins + bytes * SIM_MS / plan->bytes_per_ms;
    uint64_t arrives = way->busy_until_ns + plan->delay_ns + sim_between(0, plan->jitter_ns);
    way->arrives_ns = arrives > way->arrives_ns ? arrives : way->arrives_ns;
    piece->next = NULL;
    piece->at = 0;
    piece->bytes = bytes;
    piece->arrives_ns = way->arrives_ns;
    way->buffered_bytes += bytes;
    if (link->broken || way->to->closed) { /* nobody gets it */
        free(piece);
        return bytes;
    }
    if (way->last != NULL)
        way->last->next = piece;
    else
        way->first = piece;
    way->last = piece;
    sim_at(piece->arrives_ns, on_arrival, way);
    return bytes;
}

/* What it gets now. */
static size_t give(struct end *end) {
    struct way *way = end->in;
    size_t wanted = total(end->receive_iov, end->receive_count);
    if (sim_chance(10))
        wanted = sim_between(1, wanted);
    struct piece *piece = way->first;
    size_t bytes = piece->bytes - piece->at < wanted ? piece->bytes - piece->at : wanted;
    bytes = scatter(end->receive_iov, end->receive_count, piece->data + piece->at, bytes);
    piece->at += bytes;
    way->buffered_bytes -= bytes;
    if (piece->at == piece->bytes) {
        way->first = piece->next;
        if (way->first == NULL)
            way->last = NULL;
        free(piece);
    }
    try_send(way == &end->link->up ? &end->link->client : &end->link->server);
    return bytes;
}

static void finish_send(struct end *end) {
    bool over = end->closed || end->lost || (end->out->to->closed && sim_chance(50));
    size_t bytes = over ? 0 : take(end);
    end->send_count = 0;
    end->send_completes = false; /* the next one may be submitted from within */
    end->base.on_sent(end->base.context, over ? TROVE_UNAVAILABLE : TROVE_OK, bytes);
}

static void finish_receive(struct end *end) {
    bool over = end->closed || end->lost || !arrived(end->in);
    size_t bytes = over ? 0 : give(end);
    end->receive_count = 0;
    end->receive_completes = false;
    end->base.on_received(end->base.context, over ? TROVE_UNAVAILABLE : TROVE_OK, bytes);
}

static void run_completions(void *unused) {
    (void)unused;
    for (;;) {
        struct completion *completion = network.first;
        if (completion == NULL && network.ending)
            return;
        if (completion == NULL) {
            sim_wait(&network, SIM_NEVER);
            continue;
        }
        network.first = completion->next;
        if (network.first == NULL)
            network.last = NULL;
        struct end *end = completion->end;
        bool sends = completion->sends;
        free(completion);
        (void)sim_serve(end == &end->link->server);
        if (sends)
            finish_send(end);
        else
            finish_receive(end);
        (void)sim_serve(false);
        end->completing--;
        sim_wake(end);
    }
}

/* ---- the transport ---- */

static void transport_receive(struct tv_transport *transport, const struct iovec *iov, unsigned iov_count) {
    struct end *end = (struct end *)transport;
    TV_ASSERT(!end->closed && end->receive_count == 0 && iov_count > 0 && iov_count <= TV_IOV_MAX);
    memcpy(end->receive_iov, iov, iov_count * sizeof *iov);
    end->receive_count = iov_count;
    try_receive(end);
}

static void transport_send(struct tv_transport *transport, const struct iovec *iov, unsigned iov_count) {
    struct end *end = (struct end *)transport;
    TV_ASSERT(!end->closed && end->send_count == 0 && iov_count > 0 && iov_count <= TV_IOV_MAX);
    memcpy(end->send_iov, iov, iov_count * sizeof *iov);
    end->send_count = iov_count;
    try_send(end);
}

static void transport_close(struct tv_transport *transport) {
    struct end *end = (struct end *)transport;
    if (end->closed)
        return;
    struct end *peer = end->out->to;
    end->closed = true;
    end->out->closed = true;
    drop_pieces(end->in);
    if (sim_chance(30))
        drop_pieces(end->out);
    try_receive(end);
    try_send(end);
    try_send(peer);
    if (!end->link->broken)
        sim_at(sim.now_ns + end->link->plan->delay_ns, on_arrival, end->out);
}

static void transport_destroy(struct tv_transport *transport) {
    struct end *end = (struct end *)transport;
    end->gone = true;
    while (end->completing > 0)
        sim_wait(end, SIM_NEVER);
}

static const struct tv_transport_ops ops = {
    .receive = transport_receive,
    .send = transport_send,
    .close = transport_close,
    .destroy = transport_destroy,
};

static void set_up_end(struct sim_link *link, struct end *end, struct way *in, struct way *out) {
    end->base.ops = &ops;
    snprintf(end->base.peer, sizeof end->base.peer, "link %u", (unsigned)(link->plan - sim.links));
    end->link = link;
    end->in = in;
    end->out = out;
    in->to = end;
}

static void accept_client(void *object) {
    struct sim_link *link = object;
    (void)sim_serve(true);
    tvs_session_accept(sim.server, &link->server.base);
}

trove_status __wrap_tv_transport_dial(const char *url, uint32_t timeout_ms, struct tv_dialling *dialling,
                                      struct tv_transport **transport, trove_error *error);
trove_status __wrap_tv_transport_dial(const char *url, uint32_t timeout_ms, struct tv_dialling *dialling,
                                      struct tv_transport **transport, trove_error *error) {
    (void)timeout_ms, (void)dialling;
    unsigned number = (unsigned)atoi(url);
    if (sim.server == NULL || sim.server_ends || (sim.now_ns < SIM_CALM_NS && sim_client_refused(number))) {
        sim.lost[number] = true;
        sim_met.refused++;
        sim_sleep(sim_between(0, 100 * SIM_MS));
        return TV_FAIL(error, UNAVAILABLE, "nobody listens");
    }
    struct sim_link *link = calloc(1, sizeof *link);
    TV_ASSERT(link != NULL);
    link->plan = &sim.links[number];
    set_up_end(link, &link->client, &link->down, &link->up);
    set_up_end(link, &link->server, &link->up, &link->down);
    link->next = sim.first_link;
    sim.first_link = link;
    sim.accepting++;
    sim_join(sim_spawn("acceptor", accept_client, link));
    sim.accepting--;
    sim_client_dialled(number);
    *transport = &link->client.base;
    return TROVE_OK;
}

/* ---- what goes wrong ---- */

struct sim_link *sim_link_of(unsigned number) {
    struct sim_link *link = sim.first_link;
    while (link != NULL && link->plan != &sim.links[number])
        link = link->next;
    return link;
}

struct sim_link *sim_link_next(const struct sim_link *link) {
    return link->next;
}

struct trove_client *sim_link_client(const struct sim_link *link) {
    const struct tv_conn *conn = link->client.base.context;
    return conn != NULL && !link->client.gone ? conn->context : NULL;
}

static void learn(void *object) {
    struct end *end = object;
    end->lost = true;
    try_receive(end);
    try_send(end);
}

static void learn_now(struct end *end) {
    sim_at(sim.now_ns, learn, end);
}

static void learn_some_time(struct end *end) {
    uint64_t silent_ns = sim_chance(20) ? 3600 * SIM_SECOND : sim_between(0, SIM_SECOND);
    sim_at(sim.now_ns + silent_ns, learn, end);
}

static void break_it(struct sim_link *link) {
    link->broken = true;
    sim.lost[link->plan - sim.links] = true;
    drop_pieces(&link->up);
    drop_pieces(&link->down);
}

void sim_link_break(struct sim_link *link) {
    if (link->broken)
        return;
    sim_trace("link %u breaks", (unsigned)(link->plan - sim.links));
    sim_met.breaks++;
    break_it(link);
    learn_some_time(&link->client);
    learn_some_time(&link->server);
}

void sim_links_cut(void) {
    for (struct sim_link *link = sim.first_link; link != NULL; link = link->next) {
        if (!link->broken) {
            break_it(link);
            learn_some_time(&link->client);
        }
        if (!link->server.gone)
            learn_now(&link->server);
    }
}

bool sim_link_quiet(const struct sim_link *link) {
    return !link->broken && !link->client.closed && !link->server.closed && link->up.first == NULL && link->down.first == NULL &&
           link->client.completing == 0 && link->server.completing == 0 && link->client.send_count == 0 &&
           link->server.send_count == 0;
}

void sim_network_start(void) {
    network.first = network.last = NULL;
    network.ending = false;
    for (unsigned i = 0; i < COMPLETION_THREADS; i++)
        network.threads[i] = sim_spawn("network", run_completions, NULL);
}

void sim_network_end(void) {
    network.ending = true;
    sim_wake(&network);
    for (unsigned i = 0; i < COMPLETION_THREADS; i++)
        sim_join(network.threads[i]);
    while (sim.first_link != NULL) {
        struct sim_link *link = sim.first_link;
        sim.first_link = link->next;
        drop_pieces(&link->up);
        drop_pieces(&link->down);
        free(link);
    }
}
