/* test_conn_secure.c - two connections and somebody between them who sees, changes, repeats and cuts what they send.
 *
 * All of it on one thread: each end has a transport of bytes in memory, and the test carries them over.
 */
#include "unit_transport.h"

#include "iov.h"
#include "secret.h"

#define PAYLOAD_MAX (512 * 1024)

/* ---- an end ---- */

struct end {
    struct unit_transport transport; /* first */
    struct tv_secure secure;
    struct tv_key key;
    uint8_t server_key[TV_NOISE_KEY_BYTES];
    struct tv_conn *conn;
    bool server;
    unsigned secured;
    unsigned told;
    uint8_t told_key[TV_NOISE_KEY_BYTES];
    unsigned hellos;
    unsigned welcomes;
    unsigned calls;
    uint8_t *payload; /* where those of chunks go */
    uint64_t payload_bytes;
    bool known; /* server: the client's key is let in */
    trove_error gone;
    trove_error closed;
    bool is_closed;
    /* a flow with one chunk to send */
    struct tv_flow flow;
    uint8_t *source;
    uint64_t source_at;
    uint64_t to_send;
    uint64_t sent; /* frames that the transport has let go of */
    uint64_t pulled;
};

static struct end *end_of_flow(struct tv_flow *flow) {
    return (struct end *)((char *)flow - offsetof(struct end, flow));
}

static void send_hello(struct end *end) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Hello hello = TROVE__V1__HELLO__INIT;
    hello.version = 1;
    frame.body_case = TV_BODY(HELLO);
    frame.hello = &hello;
    assert_int_equal(tv_conn_send(end->conn, &frame, NULL, 0, NULL), TROVE_OK);
}

static void on_secured(void *context) {
    struct end *end = context;
    end->secured++;
    send_hello(end);
}

static void on_payload(void *context, const tv_frame *frame, uint64_t payload_bytes, struct tv_sink *sink) {
    struct end *end = context;
    assert_int_equal(frame->body_case, TV_BODY(CHUNK));
    assert_true(end->hellos + end->welcomes > 0 && payload_bytes <= PAYLOAD_MAX - end->payload_bytes);
    uint8_t *at = end->payload + end->payload_bytes; /* a slow machine cuts its frames shorter */
    sink->kind = TV_SINK_MEMORY;                     /* in two pieces, as segments are */
    sink->iov_count = 2;
    sink->iov[0] = (struct iovec){at, payload_bytes / 3};
    sink->iov[1] = (struct iovec){at + payload_bytes / 3, payload_bytes - payload_bytes / 3};
}

static void welcome(struct end *end) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Welcome body = TROVE__V1__WELCOME__INIT;
    body.version = 1;
    frame.body_case = TV_BODY(WELCOME);
    frame.welcome = &body;
    assert_int_equal(tv_conn_send(end->conn, &frame, NULL, 0, NULL), TROVE_OK);
    tv_conn_establish(end->conn, TV_PAYLOAD_BYTES_MAX, 0, true);
}

static trove_status on_frame(void *context, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                             trove_error *error) {
    struct end *end = context;
    (void)payload;
    (void)error;
    if (frame->body_case == TV_BODY(GO_AWAY)) {
        tv_status_from_wire(frame->go_away->status, &end->gone);
    } else if (frame->body_case == TV_BODY(HELLO)) {
        assert_true(end->server);
        assert_int_equal(end->hellos++, 0);
        welcome(end);
    } else if (frame->body_case == TV_BODY(WELCOME)) {
        end->welcomes++;
        tv_conn_establish(end->conn, TV_PAYLOAD_BYTES_MAX, 0, true);
    } else {
        assert_true(end->hellos + end->welcomes > 0);
        end->calls++;
        end->payload_bytes += payload_bytes;
    }
    return TROVE_OK;
}

static void on_closed(void *context, const trove_error *why) {
    struct end *end = context;
    end->closed = *why;
    end->is_closed = true;
}

static void on_key_told(void *context, const uint8_t key[TV_NOISE_KEY_BYTES]) {
    struct end *end = context;
    end->told++;
    memcpy(end->told_key, key, sizeof end->told_key);
}

static const struct tv_conn_handler handler = {
    .payload = on_payload,
    .frame = on_frame,
    .closed = on_closed,
    .secured = on_secured,
    .key_told = on_key_told,
};

static bool pull_nothing(struct tv_flow *flow, struct tv_pulled *pulled) {
    (void)flow;
    (void)pulled;
    return false;
}

static bool pull_chunk(struct tv_flow *flow, uint64_t payload_bytes_max, struct tv_pulled *pulled) {
    struct end *end = end_of_flow(flow);
    uint64_t bytes = end->to_send < payload_bytes_max ? end->to_send : payload_bytes_max;
    if (bytes == 0)
        return false;
    trove__v1__chunk__init(&pulled->scratch.chunk);
    pulled->frame.call_id = 1;
    pulled->frame.body_case = TV_BODY(CHUNK);
    pulled->frame.chunk = &pulled->scratch.chunk;
    pulled->payload_bytes = bytes;
    pulled->iov_count = 1;
    pulled->iov[0] = (struct iovec){end->source + end->source_at, bytes};
    pulled->cookie = end;
    end->pulled++;
    end->to_send -= bytes;
    end->source_at += bytes;
    return true;
}

static void on_sent(struct tv_flow *flow, void *cookie) {
    assert_ptr_equal(cookie, end_of_flow(flow));
    end_of_flow(flow)->sent++;
}

static void hold(struct tv_flow *flow) {
    (void)flow;
}

static const struct tv_flow_ops flow_ops = {pull_nothing, pull_chunk, on_sent, hold, hold};

static trove_status authorize(void *context, const uint8_t key[TV_NOISE_KEY_BYTES], trove_error *error) {
    struct end *end = context;
    (void)key;
    return end->known ? TROVE_OK : TV_FAIL(error, UNAUTHENTICATED, "nobody has this key");
}

static void make_key(struct tv_key *key, uint8_t seed) {
    memset(key->private_key, seed, sizeof key->private_key);
    tv_noise_public_key(key->private_key, key->public_key);
}

static void make_conn(struct end *end, bool secure, bool required) {
    const struct tv_conn_options options = {
        .payload_bytes_max = end->server ? 0 : TV_PAYLOAD_BYTES_MAX,
        .secure = secure ? &end->secure : NULL,
        .secure_required = required,
    };
    assert_int_equal(tv_conn_create(&end->transport.base, &handler, end, &options, &end->conn, NULL), TROVE_OK);
}

static void prepare_end(struct end *end, bool server, bool type_octet) {
    memset(end, 0, sizeof *end);
    unit_transport_init(&end->transport);
    end->transport.base.type_octet = type_octet;
    tv_secure_init(&end->secure);
    make_key(&end->key, server ? 2 : 1);
    end->server = server;
    end->known = true;
    end->flow.ops = &flow_ops;
    end->payload = calloc(1, PAYLOAD_MAX);
    end->source = malloc(PAYLOAD_MAX);
    assert_true(end->payload != NULL && end->source != NULL);
    for (size_t i = 0; i < PAYLOAD_MAX; i++)
        end->source[i] = (uint8_t)(i * 11 ^ i >> 10);
    struct tv_key server_keys;
    make_key(&server_keys, 2);
    memcpy(end->server_key, server_keys.public_key, sizeof end->server_key);
    end->secure.key = &end->key;
    end->secure.server_key = server ? NULL : end->server_key;
    end->secure.authorize = authorize;
    end->secure.context = end;
}

static void begin_end(struct end *end, bool server, bool secure, bool required, bool type_octet) {
    prepare_end(end, server, type_octet);
    make_conn(end, secure, required);
}

static void finish_end(struct end *end) {
    trove_error over = {TROVE_OK, ""};
    tv_conn_abort(end->conn, &over);
    unit_transport_settle(&end->transport);
    assert_true(end->is_closed);
    tv_conn_destroy(end->conn);
    tv_secure_fini(&end->secure);
    unit_transport_fini(&end->transport);
    free(end->payload);
    free(end->source);
}

/* ---- the way between them ---- */

struct pair {
    struct end client;
    struct end server;
};

static struct pair *begin(bool required, bool type_octet) {
    struct pair *pair = malloc(sizeof *pair);
    assert_non_null(pair);
    begin_end(&pair->client, false, true, false, type_octet);
    begin_end(&pair->server, true, true, required, type_octet);
    tv_conn_start(pair->client.conn);
    tv_conn_start(pair->server.conn);
    return pair;
}

/* A client that asks for the server's key, and knows it already or doesn't. */
static struct pair *begin_asking(bool knows) {
    struct pair *pair = malloc(sizeof *pair);
    assert_non_null(pair);
    prepare_end(&pair->client, false, false);
    pair->client.secure.asks_key = true;
    pair->client.secure.known_from = "the list";
    if (!knows)
        pair->client.secure.server_key = NULL;
    make_conn(&pair->client, true, false);
    begin_end(&pair->server, true, true, true, false);
    tv_conn_start(pair->client.conn);
    tv_conn_start(pair->server.conn);
    return pair;
}

static void finish(struct pair *pair) {
    finish_end(&pair->client);
    finish_end(&pair->server);
    free(pair);
}

/* Bytes that `from` has sent and nobody has seen yet, which are taken. */
static uint8_t *take(struct end *from, size_t *bytes) {
    unit_transport_take_all(&from->transport);
    *bytes = from->transport.sent_bytes - from->transport.sent_read;
    uint8_t *taken = unit_copy(from->transport.sent + from->transport.sent_read, *bytes);
    from->transport.sent_read = from->transport.sent_bytes;
    return taken;
}

/* Carries over what `from` has sent, in steps of `step` bytes. Returns how many bytes. */
static size_t carry(struct end *from, struct end *to, size_t step) {
    size_t bytes;
    uint8_t *taken = take(from, &bytes);
    for (size_t at = 0; at < bytes; at += step)
        unit_transport_feed(&to->transport, taken + at, bytes - at < step ? bytes - at : step);
    free(taken);
    return bytes;
}

/* Until neither has anything to say. */
static void talk(struct pair *pair, size_t step) {
    while (carry(&pair->client, &pair->server, step) + carry(&pair->server, &pair->client, step) > 0)
        continue;
}

static void send_chunk(struct end *from, uint64_t bytes) {
    from->to_send = bytes;
    from->source_at = 0;
    tv_conn_wake(from->conn, &from->flow, TV_WANTS_DATA);
}

static bool contains(const struct unit_transport *transport, const void *what, size_t bytes) {
    return transport->sent_bytes >= bytes && memmem(transport->sent, transport->sent_bytes, what, bytes) != NULL;
}

/* ---- it works ---- */

static void bytes_go_both_ways_encrypted(void **state) {
    (void)state;
    static const size_t steps[] = {1, 7, 1000, 65536, 1024 * 1024};
    static const uint64_t sizes[] = {1, 4096, 4097, 100000, PAYLOAD_MAX};
    for (unsigned octet = 0; octet < 2; octet++) {
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            struct pair *pair = begin(true, octet == 1);
            talk(pair, steps[i]);
            assert_int_equal(pair->client.secured, 1);
            assert_int_equal(pair->server.hellos, 1);
            assert_int_equal(pair->client.welcomes, 1);
            assert_memory_equal(tv_conn_peer_key(pair->server.conn), pair->client.key.public_key, TV_NOISE_KEY_BYTES);
            for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
                pair->client.payload_bytes = pair->server.payload_bytes = 0;
                send_chunk(&pair->client, sizes[j]);
                talk(pair, steps[i]);
                assert_int_equal(pair->server.payload_bytes, sizes[j]);
                assert_memory_equal(pair->server.payload, pair->client.source, sizes[j]);
                send_chunk(&pair->server, sizes[j]);
                talk(pair, steps[i]);
                assert_memory_equal(pair->client.payload, pair->server.source, sizes[j]);
            }
            assert_false(contains(&pair->client.transport, pair->client.source + 100, 16));
            assert_false(contains(&pair->server.transport, pair->server.source + 100, 16));
            finish(pair);
        }
    }
}

static void a_reason_is_told_encrypted(void **state) {
    (void)state;
    struct pair *pair = begin(true, true);
    trove_error why = {TROVE_ABORTED, "a reason that is nobody else's business"};
    talk(pair, 1000);
    tv_conn_shutdown(pair->server.conn, &why);
    talk(pair, 1000);
    assert_int_equal(pair->client.gone.status, TROVE_ABORTED);
    assert_string_equal(pair->client.gone.message, why.message);
    assert_false(contains(&pair->server.transport, why.message, strlen(why.message)));
    finish(pair);
}

static void a_plain_hello_is_taken_where_it_may_be(void **state) {
    (void)state;
    for (unsigned required = 0; required < 2; required++) {
        struct end client;
        struct end server;
        begin_end(&client, false, false, false, false);
        begin_end(&server, true, true, required == 1, false);
        tv_conn_start(client.conn);
        tv_conn_start(server.conn);
        send_hello(&client);
        while (carry(&client, &server, 1000) + carry(&server, &client, 1000) > 0)
            continue;
        assert_int_equal(server.hellos, required == 0);
        assert_int_equal(client.welcomes, required == 0);
        assert_int_equal(client.gone.status, required == 0 ? TROVE_OK : TROVE_UNAUTHENTICATED);
        assert_null(tv_conn_peer_key(server.conn));
        finish_end(&client);
        finish_end(&server);
    }
}

/* ---- who isn't let in ---- */

static void expect_refused(struct pair *pair, trove_status status, const char *said) {
    assert_int_equal(pair->server.hellos, 0);
    assert_int_equal(pair->client.secured, 0);
    assert_int_equal(pair->client.gone.status, status);
    assert_non_null(strstr(pair->client.gone.message, said));
    finish(pair);
}

static void an_unknown_client_is_told_so(void **state) {
    (void)state;
    struct pair *pair = begin(true, false);
    pair->server.known = false;
    talk(pair, 1000);
    expect_refused(pair, TROVE_UNAUTHENTICATED, "nobody has this key");
}

static void another_server_is_found_out(void **state) {
    (void)state;
    struct pair *pair = begin(true, false);
    make_key(&pair->server.key, 3);
    talk(pair, 1000);
    expect_refused(pair, TROVE_UNAUTHENTICATED, "another server key");
}

/* It has ended the connection itself, for this reason. */
static void expect_client_ends(struct pair *pair, trove_status status, const char *said) {
    trove_error over = {TROVE_OK, ""};
    tv_conn_abort(pair->client.conn, &over);
    unit_transport_settle(&pair->client.transport);
    assert_true(pair->client.is_closed);
    assert_int_equal(pair->client.closed.status, status);
    assert_non_null(strstr(pair->client.closed.message, said));
}

static void a_key_is_told_to_who_asks(void **state) {
    (void)state;
    struct pair *pair = begin_asking(false);
    talk(pair, 1);
    assert_int_equal(pair->client.told, 1);
    assert_memory_equal(pair->client.told_key, pair->server.key.public_key, TV_NOISE_KEY_BYTES);
    assert_int_equal(pair->client.secured + pair->server.hellos, 0);
    assert_false(pair->client.is_closed); /* that is the owner's to do */
    finish(pair);
    pair = begin(true, false);
    talk(pair, 1000);
    assert_false(contains(&pair->server.transport, pair->server.key.public_key, TV_NOISE_KEY_BYTES));
    finish(pair);
}

static void who_asks_and_knows_goes_on(void **state) {
    (void)state;
    struct pair *pair = begin_asking(true);
    talk(pair, 1000);
    assert_int_equal(pair->client.told, 0);
    assert_int_equal(pair->client.secured, 1);
    assert_int_equal(pair->server.hellos, 1);
    finish(pair);
}

/* The client says so itself, having sent nothing but its offer, and the server closes the connection at that: neither waits for
 * the other. */
static void another_key_than_the_known_one_is_told_by_name(void **state) {
    (void)state;
    struct pair *pair = begin_asking(true);
    char text[TV_KEY_TEXT_BYTES];
    make_key(&pair->server.key, 3);
    tv_key_format(pair->server.key.public_key, text);
    talk(pair, 1000);
    assert_true(pair->server.transport.closed);
    unit_transport_settle(&pair->server.transport);
    assert_true(pair->server.is_closed);
    assert_int_equal(pair->server.closed.status, TROVE_UNAUTHENTICATED);
    assert_string_equal(pair->server.closed.message, "the client expects another server key");
    expect_client_ends(pair, TROVE_UNAUTHENTICATED, "ISN'T THE ONE RECORDED in the list");
    assert_non_null(strstr(pair->client.closed.message, text));
    assert_int_equal(pair->client.secured + pair->server.hellos, 0);
    finish(pair);
}

/* What the server tells is bound like all that comes before the handshake: whoever has it tell the key that is awaited gains
 * nothing. */
static void a_told_key_changed_on_the_way_breaks_the_handshake(void **state) {
    (void)state;
    struct pair *pair = begin_asking(true);
    size_t bytes;
    make_key(&pair->server.key, 3);
    carry(&pair->client, &pair->server, 1000);
    uint8_t *taken = take(&pair->server, &bytes);
    uint8_t *told = memmem(taken, bytes, pair->server.key.public_key, TV_NOISE_KEY_BYTES);
    assert_non_null(told);
    memcpy(told, pair->client.server_key, TV_NOISE_KEY_BYTES);
    unit_transport_feed(&pair->client.transport, taken, bytes);
    free(taken);
    talk(pair, 1000);
    expect_refused(pair, TROVE_UNAUTHENTICATED, "another server key");
}

/* An older server takes no notice of the question: who knows the key goes on, who doesn't is told. */
static void a_server_that_tells_no_key(void **state) {
    (void)state;
    static const uint8_t field[] = {2 << 3, 1}; /* features */
    for (unsigned knows = 0; knows < 2; knows++) {
        struct pair *pair = begin_asking(knows == 1);
        size_t bytes;
        uint8_t *taken = take(&pair->client, &bytes);
        uint8_t *features = memmem(taken, bytes, field, sizeof field);
        assert_non_null(features);
        features[1] = 2; /* a question that isn't known */
        unit_transport_feed(&pair->server.transport, taken, bytes);
        free(taken);
        talk(pair, 1000);
        assert_int_equal(pair->client.told, 0);
        if (knows == 1) { /* somebody has changed the offer, after all */
            expect_refused(pair, TROVE_UNAUTHENTICATED, "changed on the way");
            continue;
        }
        expect_client_ends(pair, TROVE_UNIMPLEMENTED, "doesn't tell its public key");
        finish(pair);
    }
}

/* The offer's ciphers changed on the way, in either direction: tag and value of the field. */
static void a_stripped_cipher_breaks_the_handshake(void **state) {
    (void)state;
    if (!tv_cipher_available(TV_CIPHER_AESGCM))
        skip();
    const uint8_t both[] = {3 << 3, 3};
    for (unsigned way = 0; way < 2; way++) {
        struct pair *pair = begin(true, false);
        if (way == 1)
            carry(&pair->client, &pair->server, 1000);
        struct end *from = way == 0 ? &pair->client : &pair->server;
        struct end *to = way == 0 ? &pair->server : &pair->client;
        size_t bytes;
        uint8_t *taken = take(from, &bytes);
        uint8_t *ciphers = memmem(taken, bytes, both, sizeof both);
        assert_non_null(ciphers);
        ciphers[1] = 1;
        unit_transport_feed(&to->transport, taken, bytes);
        free(taken);
        talk(pair, 1000);
        expect_refused(pair, TROVE_UNAUTHENTICATED, "changed on the way");
    }
}

static void each_flipped_bit_before_the_records_breaks_it(void **state) {
    (void)state;
    size_t bytes;
    struct pair *pair = begin(true, false);
    free(take(&pair->client, &bytes));
    finish(pair);
    for (size_t bit = 8 * 8; bit < 8 * bytes; bit++) { /* behind the SP greeting */
        pair = begin(true, false);
        uint8_t *taken = take(&pair->client, &bytes);
        taken[bit / 8] ^= (uint8_t)(1u << bit % 8);
        unit_transport_feed(&pair->server.transport, taken, bytes);
        free(taken);
        talk(pair, 1000);
        assert_int_equal(pair->server.hellos, 0);
        assert_int_equal(pair->client.secured, 0);
        finish(pair);
    }
}

static void no_common_cipher_is_said(void **state) {
    (void)state;
    struct pair *pair = begin(true, false);
    size_t bytes;
    uint8_t *taken = take(&pair->client, &bytes);
    const uint8_t version[] = {1 << 3, 1, 3 << 3};
    uint8_t *at = memmem(taken, bytes, version, sizeof version);
    assert_non_null(at);
    at[3] = 64;
    unit_transport_feed(&pair->server.transport, taken, bytes);
    free(taken);
    talk(pair, 1000);
    expect_refused(pair, TROVE_FAILED_PRECONDITION, "no common cipher");
}

/* All that a client has said, said once more to another connection of the same server. */
static void what_was_said_before_is_worth_nothing(void **state) {
    (void)state;
    struct pair *pair = begin(true, false);
    talk(pair, 100000);
    send_chunk(&pair->client, 1000);
    talk(pair, 100000);
    assert_int_equal(pair->server.calls, 1);
    struct end again;
    begin_end(&again, true, true, true, false);
    tv_conn_start(again.conn);
    unit_transport_feed(&again.transport, pair->client.transport.sent, pair->client.transport.sent_bytes);
    unit_transport_take_all(&again.transport);
    assert_int_equal(again.hellos, 0);
    assert_int_equal(again.calls, 0);
    finish_end(&again);
    finish(pair);
}

/* A server that plays back another one's answers doesn't become it. */
static void a_played_back_server_is_found_out(void **state) {
    (void)state;
    struct pair *pair = begin(true, false);
    talk(pair, 100000);
    struct end again;
    begin_end(&again, false, true, false, false);
    tv_conn_start(again.conn);
    unit_transport_feed(&again.transport, pair->server.transport.sent, pair->server.transport.sent_bytes);
    assert_int_equal(again.secured, 0);
    finish_end(&again);
    finish(pair);
}

static void handshakes_out_of_turn_are_refused(void **state) {
    (void)state;
    struct pair *pair = begin(true, false);
    struct pair *other = begin(true, false);
    carry(&other->client, &other->server, 1000);
    carry(&other->server, &other->client, 1000); /* its client has written its handshake now */
    size_t bytes;
    free(take(&pair->client, &bytes));
    uint8_t *taken = take(&other->client, &bytes);
    static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 16, 0, 0};
    unit_transport_feed(&pair->server.transport, greeting, sizeof greeting);
    unit_transport_feed(&pair->server.transport, taken, bytes);
    free(taken);
    carry(&pair->server, &pair->client, 1000);
    assert_int_equal(pair->server.hellos, 0);
    assert_int_equal(pair->client.gone.status, TROVE_UNAUTHENTICATED);
    finish(pair);
    finish(other);
}

/* What is said before the records goes into the prologue as it came, from where it lies: so it may have no payload, which would
 * be read elsewhere. */
static void an_offer_with_a_payload_is_refused(void **state) {
    (void)state;
    enum {
        GREETING_BYTES = 8,
        LENGTH_AT = GREETING_BYTES + 7, /* its lowest octet */
    };
    static const uint8_t field[] = {0xfa, 0x7f, 4, 'p', 'a', 'y', 'l'}; /* payload = 2047, four bytes */
    struct pair *pair = begin(true, false);
    size_t bytes;
    carry(&pair->client, &pair->server, 1000);
    uint8_t *taken = take(&pair->server, &bytes);
    assert_true(bytes > LENGTH_AT && taken[LENGTH_AT] < 256 - sizeof field);
    taken[LENGTH_AT] = (uint8_t)(taken[LENGTH_AT] + sizeof field);
    unit_transport_feed(&pair->client.transport, taken, bytes);
    unit_transport_feed(&pair->client.transport, field, 3);
    unit_transport_feed(&pair->client.transport, field + 3, sizeof field - 3);
    free(taken);
    static const char why[] = "a frame with a payload before anybody is known";
    unit_transport_take_all(&pair->client.transport);
    assert_true(contains(&pair->client.transport, why, sizeof why - 1));
    finish(pair);
}

/* ---- records ---- */

enum attack {
    FLIP,
    REPEAT,
    LEAVE_OUT,
    SWAP,
    CUT,
    FORGE,
    ATTACK_COUNT
};

static const char *const attack_names[] = {"flipped", "repeated", "left out", "swapped", "cut short", "forged, plain"};

/* Three messages of the client's, which are changed in that way. */
static void attack(struct pair *pair, enum attack attack) {
    uint8_t *messages[3];
    size_t bytes[3];
    for (unsigned i = 0; i < 3; i++) {
        send_chunk(&pair->client, 5000);
        messages[i] = take(&pair->client, &bytes[i]);
    }
    unsigned order[4] = {0, 1, 2, 3};
    unsigned count = 3;
    if (attack == FLIP)
        messages[0][bytes[0] - 1] ^= 1;
    if (attack == REPEAT)
        order[1] = 0;
    if (attack == LEAVE_OUT)
        order[0] = 1;
    if (attack == SWAP) {
        order[0] = 1;
        order[1] = 0;
    }
    if (attack == CUT) { /* the length says so, too: one byte less of the last record */
        bytes[0]--;
        messages[0][6] = (uint8_t)((bytes[0] - 8) >> 8);
        messages[0][7] = (uint8_t)(bytes[0] - 8);
        uint32_t length;
        memcpy(&length, messages[0] + 8, sizeof length);
        length = htobe32(be32toh(length) - 1);
        memcpy(messages[0] + 8, &length, sizeof length);
    }
    if (attack == FORGE) {
        const uint8_t plain[] = {0, 0, 0, 0, 0, 0, 0, 4, 0x12, 2, 8, 1};
        memcpy(messages[0], plain, sizeof plain);
    }
    for (unsigned i = 0; i < count; i++)
        unit_transport_feed(&pair->server.transport, messages[order[i]], bytes[order[i]]);
    for (unsigned i = 0; i < 3; i++)
        free(messages[i]);
}

static void changed_records_end_the_connection(void **state) {
    (void)state;
    for (enum attack which = 0; which < ATTACK_COUNT; which++) {
        unit_row(attack_names[which]);
        struct pair *pair = begin(true, false);
        talk(pair, 100000);
        attack(pair, which);
        assert_int_equal(pair->server.calls, which == REPEAT ? 1 : 0);
        carry(&pair->server, &pair->client, 100000);
        bool refused = pair->client.gone.status == TROVE_DATA_LOSS || pair->client.gone.status == TROVE_INVALID_ARGUMENT;
        assert_true(refused);
        finish(pair);
    }
}

/* Nothing is sealed twice with one counter, also when the transport takes little at a time. */
static void a_slow_transport_gets_each_byte_once(void **state) {
    (void)state;
    struct pair *pair = begin(true, false);
    talk(pair, 100000);
    send_chunk(&pair->client, PAYLOAD_MAX);
    while (pair->client.transport.send_count > 0) {
        unit_transport_take(&pair->client.transport, 12345);
        size_t left = pair->client.transport.sent_bytes - pair->client.transport.sent_read;
        unit_transport_feed(&pair->server.transport, pair->client.transport.sent + pair->client.transport.sent_read, left);
        pair->client.transport.sent_read += left;
    }
    assert_int_equal(pair->client.sent, pair->client.pulled);
    assert_int_equal(pair->server.payload_bytes, PAYLOAD_MAX);
    assert_memory_equal(pair->server.payload, pair->client.source, PAYLOAD_MAX);
    finish(pair);
}

/* The memory that messages are sealed in is nobody's once they have gone, however the connection ends. */
static void no_scratch_is_left(void **state) {
    (void)state;
    struct pair *pair = begin(true, false);
    talk(pair, 100000);
    assert_int_equal(pair->client.secure.scratch_bytes, 0);
    send_chunk(&pair->client, PAYLOAD_MAX);
    assert_true(pair->client.secure.scratch_bytes > 0);
    finish(pair); /* looks at it */
}

/* Where peers that read slowly hold much of that memory, the others go on with little of it. */
static void short_of_memory_it_goes_a_record_at_a_time(void **state) {
    (void)state;
    struct pair *pair = begin(true, false);
    talk(pair, 100000);
    pair->client.secure.scratch_bytes = TV_SCRATCH_BYTES_MAX; /* as if */
    send_chunk(&pair->client, PAYLOAD_MAX);
    unsigned messages = 0;
    while (pair->client.transport.send_count > 0) {
        assert_true(tv_iov_bytes(pair->client.transport.send_iov, 1) < 2 * TV_RECORD_BYTES_MAX);
        unit_transport_take(&pair->client.transport, SIZE_MAX);
        messages++;
    }
    assert_true(messages >= PAYLOAD_MAX / TV_RECORD_BYTES_MAX);
    pair->client.secure.scratch_bytes -= TV_SCRATCH_BYTES_MAX;
    talk(pair, 100000);
    assert_memory_equal(pair->server.payload, pair->client.source, PAYLOAD_MAX);
    finish(pair);
}

static void scratch_is_used_again(void **state) {
    (void)state;
    struct tv_secure secure;
    struct tv_scratch *held[200];
    unsigned count = 0;
    tv_secure_init(&secure);
    struct tv_scratch *first = tv_secure_scratch_get(&secure, TV_MIB);
    tv_secure_scratch_put(&secure, first);
    assert_ptr_equal(tv_secure_scratch_get(&secure, TV_MIB), first);
    tv_secure_scratch_put(&secure, first);
    assert_int_equal(secure.scratch_bytes, 0);
    while (secure.scratch_bytes < TV_SCRATCH_BYTES_MAX) {
        assert_true(count < 200);
        held[count] = tv_secure_scratch_get(&secure, TV_MIB);
        assert_true(held[count++]->capacity > TV_RECORDS_MAX * TV_RECORD_BYTES_MAX);
    }
    held[count] = tv_secure_scratch_get(&secure, TV_MIB);
    assert_in_range(held[count++]->capacity, TV_RECORD_BYTES_MAX, 2 * TV_RECORD_BYTES_MAX);
    held[count] = tv_secure_scratch_get(&secure, 10);
    assert_true(held[count++]->capacity < 1024);
    while (count > 0)
        tv_secure_scratch_put(&secure, held[--count]);
    assert_int_equal(secure.scratch_bytes, 0);
    assert_true(secure.spare_count > 0 && secure.spare_count < 10);
    tv_secure_fini(&secure);
}

static int set_up(void **state) {
    (void)state;
    return tv_secret_ready() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_encrypted),
        cmocka_unit_test(a_reason_is_told_encrypted),
        cmocka_unit_test(a_plain_hello_is_taken_where_it_may_be),
        cmocka_unit_test(an_unknown_client_is_told_so),
        cmocka_unit_test(another_server_is_found_out),
        cmocka_unit_test(a_stripped_cipher_breaks_the_handshake),
        cmocka_unit_test(each_flipped_bit_before_the_records_breaks_it),
        cmocka_unit_test(no_common_cipher_is_said),
        cmocka_unit_test(what_was_said_before_is_worth_nothing),
        cmocka_unit_test(a_played_back_server_is_found_out),
        cmocka_unit_test(handshakes_out_of_turn_are_refused),
        cmocka_unit_test(an_offer_with_a_payload_is_refused),
        cmocka_unit_test(a_key_is_told_to_who_asks),
        cmocka_unit_test(who_asks_and_knows_goes_on),
        cmocka_unit_test(another_key_than_the_known_one_is_told_by_name),
        cmocka_unit_test(a_told_key_changed_on_the_way_breaks_the_handshake),
        cmocka_unit_test(a_server_that_tells_no_key),
        cmocka_unit_test(changed_records_end_the_connection),
        cmocka_unit_test(a_slow_transport_gets_each_byte_once),
        cmocka_unit_test(no_scratch_is_left),
        cmocka_unit_test(short_of_memory_it_goes_a_record_at_a_time),
        cmocka_unit_test(scratch_is_used_again),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
