/* test_crowd.c - more peers than the server takes, most of them ill-behaved: who connects and says nothing, says it a byte at a
 * time, closes one way or breaks off in the middle, opens streams and stands still, never reads. Each is answered, or closed with
 * a reason, within the time that the server has for it; others are served on; and memory is at the end what it was.
 */
#include "raw_client.h"
#include "seeded.h"

#include "troved.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <trove.h>
#include <unistd.h>

#define CONNECTIONS_MAX 200
#define REFUSED_MAX     64 /* beyond those, peers are closed without a word */
#define PEERS           (CONNECTIONS_MAX + REFUSED_MAX + BEYOND)
#define BEYOND          136
#define SENT_MAX        16384
#define HEARD_MAX       65536
#define PATIENCE_MS     60000
#define GROWTH_MAX      ((uint64_t)32 << 20)

static const char config[] = "memory: 16MiB\n"
                             "store_memory: 16MiB\n"
                             "connections: {max: 200, handshake_timeout: 1s, keepalive: 1s}\n"
                             "pool: {idle_timeout: 2s, credit_expiry: 200ms}\n";

enum habit {
    SILENT,        /* connects */
    HALF_GREETING, /* and a few bytes of the greeting */
    GREETING,      /* says no hello */
    SLOW,          /* says it all, a byte at a time, and answers no question */
    HALF_OPEN,     /* says it all and that nothing more comes, and doesn't close */
    DEAF,          /* says it all, answers no question, and reads nothing before the server has closed */
    BREAKS_OFF,    /* in the middle of what it says */
    RESETS,        /* likewise, by RST on tcp */
    HABITS,
};

struct peer {
    int fd; /* -1: gone */
    bool type_octet;
    enum habit habit;
    uint8_t sent[SENT_MAX];
    size_t count; /* to be sent */
    size_t at;
    size_t heard; /* bytes */
    uint8_t answer[HEARD_MAX];
};

static struct troved *server;
static struct peer peers[PEERS];
static uint64_t reasons, wordless;

/* ---- what a peer says ---- */

/* A hello, a few calls, and a stream that is left alone. */
static void draw_words(struct peer *peer, struct seeded *random) {
    struct raw_client talk;
    Trove__V1__Open open;
    raw_collect(&talk, peer->type_octet);
    raw_greeting(&talk);
    size_t greeting = talk.sent_bytes;
    raw_send_hello(&talk, seeded_once_in(random, 2));
    for (uint64_t calls = seeded_below(random, 4); calls > 0; calls--)
        (void)raw_call(&talk, seeded_once_in(random, 2) ? "trove.v1.Server/Info" : "trove.v1.Pools/List", NULL);
    bool upload = seeded_once_in(random, 2);
    raw_init_open(&open, "crowd", upload ? "stands still" : "kept", upload);
    open.chunk_bytes = 100000;
    open.demand = upload ? 400000 : 0;
    open.credit = upload ? 0 : 1000;
    if (!seeded_once_in(random, 3))
        (void)raw_open_stream(&talk, &open);
    assert_true(talk.sent_bytes <= SENT_MAX);
    memcpy(peer->sent, talk.sent, talk.sent_bytes);
    peer->count = talk.sent_bytes;
    if (peer->habit == SILENT)
        peer->count = 0;
    else if (peer->habit == HALF_GREETING)
        peer->count = 1 + seeded_below(random, greeting - 1);
    else if (peer->habit == GREETING)
        peer->count = greeting;
    else if (peer->habit == BREAKS_OFF || peer->habit == RESETS)
        peer->count = seeded_below(random, talk.sent_bytes);
    raw_close(&talk);
}

static void begin_peer(struct peer *peer, struct seeded *random) {
    struct raw_client client;
    peer->type_octet = seeded_once_in(random, 2);
    peer->habit = (enum habit)seeded_below(random, HABITS);
    peer->at = peer->heard = 0;
    draw_words(peer, random);
    raw_connect(&client, troved_url(server, peer->type_octet ? "ipc" : "tcp"));
    peer->fd = client.fd;
}

/* ---- what it is told ---- */

/* The last message in what was heard that is a go-away; NULL: there is none. For raw_free. */
static raw_frame *find_go_away(const struct peer *peer) {
    size_t prefix = peer->type_octet ? 9 : 8, at = 8;
    raw_frame *found = NULL;
    while (found == NULL && at + prefix <= peer->heard) {
        uint64_t length = 0;
        for (size_t i = prefix - 8; i < prefix; i++)
            length = length << 8 | peer->answer[at + i];
        at += prefix;
        if (length > peer->heard - at)
            break;
        found = trove__v1__frame__unpack(NULL, length, peer->answer + at);
        assert_non_null(found);
        at += length;
        if (found->body_case == RAW_BODY(GO_AWAY))
            break;
        raw_free(found);
        found = NULL;
    }
    return found;
}

static void end_peer(struct peer *peer) {
    raw_frame *go_away = find_go_away(peer);
    if (go_away != NULL) {
        assert_true(go_away->go_away->status->code != TROVE__V1__CODE__OK && go_away->go_away->status->message[0] != '\0');
        reasons++;
    } else if (peer->habit == SILENT || peer->habit == HALF_GREETING || peer->habit == GREETING) {
        wordless++; /* others have closed one way, or didn't answer when they were asked whether they are still there */
    }
    raw_free(go_away);
    close(peer->fd);
    peer->fd = -1;
}

/* Until nothing is there; the peer is gone when the server has closed. */
static void listen_to(struct peer *peer) {
    for (;;) {
        assert_true(peer->heard < HEARD_MAX);
        ssize_t got = recv(peer->fd, peer->answer + peer->heard, HEARD_MAX - peer->heard, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            end_peer(peer);
            return;
        }
        peer->heard += (size_t)got;
    }
}

static void say_more(struct peer *peer) {
    size_t step = peer->habit == SLOW ? 1 : peer->count - peer->at;
    ssize_t sent = send(peer->fd, peer->sent + peer->at, step, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        peer->at += (size_t)sent;
    else if (errno != EAGAIN)
        peer->at = peer->count; /* the server has had enough: it says why */
    if (peer->at < peer->count)
        return;
    struct linger none = {.l_onoff = 1};
    if (peer->habit == HALF_OPEN)
        shutdown(peer->fd, SHUT_WR);
    if (peer->habit == RESETS)
        (void)setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    if (peer->habit == RESETS || peer->habit == BREAKS_OFF) {
        close(peer->fd);
        peer->fd = -1;
    }
}

static void turn(struct peer *peer) {
    if (peer->at < peer->count)
        say_more(peer);
    struct pollfd closed = {.fd = peer->fd, .events = POLLRDHUP};
    if (peer->fd >= 0 && (peer->habit != DEAF || poll(&closed, 1, 0) == 1))
        listen_to(peer);
}

/* ---- a round ---- */

static void check(trove_status status, const trove_error *error) {
    if (status != TROVE_OK)
        fail_msg("%s: %s", trove_status_name(status), error->message);
}

static unsigned alive(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < PEERS; i++)
        count += peers[i].fd >= 0;
    return count;
}

/* They come at once, or nearly; the bystander's calls are what time passes with. */
static void run_round(trove_client *bystander, struct seeded *random) {
    trove_error error = {0};
    unsigned begun = 0;
    uint64_t until_ms = seeded_now_ms() + PATIENCE_MS;
    for (unsigned i = 0; i < PEERS; i++)
        peers[i].fd = -1;
    while (begun < PEERS || alive() > 0) {
        for (uint64_t more = seeded_below(random, 100); more > 0 && begun < PEERS; more--)
            begin_peer(&peers[begun++], random);
        for (unsigned i = 0; i < begun; i++)
            if (peers[i].fd >= 0)
                turn(&peers[i]);
        check(trove_ping(bystander, 0, NULL, &error), &error);
        if (seeded_now_ms() > until_ms)
            fail_msg("%u peers are still there", alive());
    }
}

static void await_quiet(trove_client *client) {
    trove_server_info info;
    trove_error error = {0};
    uint64_t until_ms = seeded_now_ms() + PATIENCE_MS;
    do {
        check(trove_server_info_get(client, 0, &info, &error), &error);
        if (seeded_now_ms() > until_ms)
            fail_msg("there are still %llu streams, %llu connections, %llu bytes", (unsigned long long)info.streams_active,
                     (unsigned long long)info.connections, (unsigned long long)info.memory_in_use_bytes);
        usleep(1000);
    } while (info.streams_active > 0 || info.connections > 1 || info.memory_in_use_bytes > 0);
}

/* Who comes when the crowd has gone is served. */
static void come_and_go(void) {
    static uint8_t bytes[1 << 20];
    trove_client *client;
    trove_error error = {0};
    check(trove_connect(troved_url(server, "tcp"), NULL, &client, &error), &error);
    check(trove_put_memory(client, "crowd", "kept", bytes, sizeof bytes, NULL, NULL, &error), &error);
    trove_close(client);
}

int main(int argc, char **argv) {
    struct seeded_run run;
    trove_client *bystander;
    trove_error error = {0};
    uint64_t warm = 0;
    const struct troved_options options = {
        .listen = {"ipc://%s/socket", "tcp://127.0.0.1:0"}, .store = "local://%s/store", .config = config};
    seeded_begin(&run, argc, argv, 2, 200);
    server = troved_start(&options, NULL);
    check(trove_connect(troved_url(server, "ipc"), NULL, &bystander, &error), &error);
    check(trove_bucket_create(bystander, "crowd", 0, &error), &error);
    for (uint64_t round = 0; round < run.rounds; round++) {
        struct seeded random;
        seeded_round(run.seed + round, 1);
        seeded_init(&random, run.seed + round);
        come_and_go();
        run_round(bystander, &random);
        await_quiet(bystander);
        if (round == 0)
            warm = troved_memory(server);
    }
    printf("    %llu peers were told why, %llu weren't; %llu KiB after the first round, %llu KiB at the end\n",
           (unsigned long long)reasons, (unsigned long long)wordless, (unsigned long long)(warm >> 10),
           (unsigned long long)(troved_memory(server) >> 10));
    assert_true(wordless <= run.rounds * BEYOND);
#ifndef TROVE_SANITIZED
    assert_true(troved_memory(server) < warm + GROWTH_MAX);
#endif
    trove_close(bystander);
    assert_int_equal(troved_stop(server, false), 0);
    return EXIT_SUCCESS;
}
