/* test_malformed.c - malformed frames by the thousands (--long: a million): conversations that a client could have, each changed
 * a little by a seed. The server answers what is still right, or closes with a reason; serves others on; and has at the end what
 * it had at the beginning.
 */
#include "mutate.h"

#include "troved.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <trove.h>
#include <unistd.h>

#define WORKERS     4
#define ANSWER_MS   30000
#define QUIET_MS    60000
#define LAST_CALL   ((uint64_t)1 << 40)
#define KEPT_BYTES  100000
#define MESSAGE_MAX ((uint64_t)2 << 20)
/* After as many rounds as the threads, caches and the allocator need to have been everywhere. */
#define WARM_ROUNDS 8000
#define GROWTH_MAX  ((uint64_t)48 << 20)

static const char config[] = "memory: 16MiB\n"
                             "store_memory: 16MiB\n"
                             "connections: {handshake_timeout: 5s}\n";

static struct seeded_run run;
static struct troved *server;
static atomic_uint_fast64_t next_round, answered_count, closed_count, warm_bytes;
static uint8_t kept[KEPT_BYTES];

/* ---- what the server says ---- */

/* Of a connection. */
struct heard {
    int fd;
    bool type_octet;
    bool last_answered; /* the call behind all that was changed */
    bool go_away;
    bool closed;
};

static bool receive(struct heard *heard, void *bytes, size_t count) {
    for (uint8_t *at = bytes; count > 0;) {
        struct pollfd wait = {.fd = heard->fd, .events = POLLIN};
        if (poll(&wait, 1, ANSWER_MS) != 1)
            fail_msg("the server neither answers nor closes");
        ssize_t got = recv(heard->fd, at, count, 0);
        if (got <= 0) {
            heard->closed = true;
            return false;
        }
        at += got;
        count -= (size_t)got;
    }
    return true;
}

static void hear_go_away(struct heard *heard, const Trove__V1__GoAway *go_away) {
    assert_non_null(go_away->status);
    if (go_away->status->code == TROVE__V1__CODE__OK || go_away->status->message[0] == '\0')
        fail_msg("a go-away with code %d and the message \"%s\"", (int)go_away->status->code, go_away->status->message);
    heard->go_away = true;
}

/* The next frame. */
static void hear(struct heard *heard) {
    uint8_t prefix[9], *length_at = heard->type_octet ? prefix + 1 : prefix;
    if (!receive(heard, prefix, heard->type_octet ? 9 : 8))
        return;
    uint64_t length = 0;
    for (unsigned i = 0; i < 8; i++)
        length = length << 8 | length_at[i];
    assert_in_range(length, 1, MESSAGE_MAX);
    uint8_t *message = malloc(length);
    assert_non_null(message);
    if (receive(heard, message, length)) {
        raw_frame *frame = trove__v1__frame__unpack(NULL, length, message);
        assert_non_null(frame);
        if (frame->body_case == RAW_BODY(GO_AWAY))
            hear_go_away(heard, frame->go_away);
        else if (frame->call_id == LAST_CALL && frame->body_case == RAW_BODY(STATUS))
            heard->last_answered = true;
        raw_free(frame);
    }
    free(message);
}

/* ---- a round ---- */

/* The server may have closed already: then what it said can still be read. It isn't read from before all is sent, which is less
 * than the sockets hold. */
static void send_all(int fd, const struct conversation *conversation) {
    for (size_t at = 0; at < conversation->count;) {
        ssize_t sent = send(fd, conversation->bytes + at, conversation->count - at, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += (size_t)sent;
    }
}

/* Where lengths fit, the call at the end comes to its answer, or the server says why not. Where they don't it may wait for
 * more. */
static void talk(struct heard *heard, const struct conversation *conversation, bool fit) {
    uint8_t greeting[8];
    send_all(heard->fd, conversation);
    if (!fit)
        shutdown(heard->fd, SHUT_WR);
    if (receive(heard, greeting, sizeof greeting))
        while (!heard->closed && !heard->go_away && !heard->last_answered)
            hear(heard);
    if (fit && heard->closed)
        fail_msg("the server has closed without a word");
    shutdown(heard->fd, SHUT_WR);
    while (!heard->closed)
        hear(heard);
}

static void run_round(uint64_t seed) {
    struct seeded random;
    struct conversation conversation;
    struct raw_client client;
    seeded_round(seed, 1);
    seeded_init(&random, seed);
    bool ipc = seeded_once_in(&random, 2);
    conversation_draw(&conversation, &random, ipc);
    mutate(&conversation, &random);
    bool fit = conversation_close(&conversation, LAST_CALL);
    raw_connect(&client, troved_url(server, ipc ? "ipc" : "tcp"));
    struct heard heard = {.fd = client.fd, .type_octet = ipc};
    talk(&heard, &conversation, fit);
    atomic_fetch_add(heard.last_answered ? &answered_count : &closed_count, 1);
    raw_close(&client);
    conversation_fini(&conversation);
}

static void *work(void *unused) {
    uint64_t round;
    (void)unused;
    while ((round = atomic_fetch_add(&next_round, 1)) < run.rounds) {
        if (round == WARM_ROUNDS)
            atomic_store(&warm_bytes, troved_memory(server));
        run_round(run.seed + round);
    }
    return NULL;
}

/* ---- others ---- */

static trove_client *connect_bystander(void) {
    trove_client *client;
    trove_error error = {0};
    for (size_t i = 0; i < sizeof kept; i++)
        kept[i] = (uint8_t)i;
    if (trove_connect(troved_url(server, "tcp"), NULL, &client, &error) != TROVE_OK ||
        trove_bucket_create(client, MUTATE_BUCKET, 0, &error) != TROVE_OK ||
        trove_put_memory(client, MUTATE_BUCKET, "bystander", kept, sizeof kept, NULL, NULL, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    return client;
}

static void use(trove_client *client) {
    static uint8_t got[KEPT_BYTES];
    size_t size = 0;
    trove_error error = {0};
    if (trove_get_memory(client, MUTATE_BUCKET, "bystander", got, sizeof got, NULL, &size, NULL, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    assert_int_equal(size, sizeof kept);
    assert_memory_equal(got, kept, sizeof kept);
}

static void await_quiet(trove_client *client) {
    trove_server_info info;
    trove_error error = {0};
    uint64_t until_ms = seeded_now_ms() + QUIET_MS;
    do {
        if (trove_server_info_get(client, 0, &info, &error) != TROVE_OK)
            fail_msg("%s", error.message);
        if (seeded_now_ms() > until_ms)
            fail_msg("there are still %llu streams, %llu connections, %llu bytes", (unsigned long long)info.streams_active,
                     (unsigned long long)info.connections, (unsigned long long)info.memory_in_use_bytes);
        usleep(1000);
    } while (info.streams_active > 0 || info.connections > 1 || info.memory_in_use_bytes > 0);
}

static void check_memory(void) {
    uint64_t warm = atomic_load(&warm_bytes), now = troved_memory(server);
    printf("    %llu KiB after %d conversations, %llu KiB at the end\n", (unsigned long long)(warm >> 10), WARM_ROUNDS,
           (unsigned long long)(now >> 10));
#ifndef TROVE_SANITIZED
    assert_true(warm == 0 || now < warm + GROWTH_MAX);
#endif
}

int main(int argc, char **argv) {
    pthread_t threads[WORKERS];
    const struct troved_options options = {
        .listen = {"ipc://%s/socket", "tcp://127.0.0.1:0"}, .store = "local://%s/store", .config = config};
    seeded_begin(&run, argc, argv, 20000, 1000000);
    server = troved_start(&options, NULL);
    trove_client *client = connect_bystander();
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
    while (atomic_load(&next_round) < run.rounds)
        use(client);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    await_quiet(client);
    printf("    %llu went on to the end, %llu were closed\n", (unsigned long long)atomic_load(&answered_count),
           (unsigned long long)atomic_load(&closed_count));
    check_memory();
    trove_close(client);
    assert_int_equal(troved_stop(server, false), 0);
    return EXIT_SUCCESS;
}
