/* conn_secure.c - how a connection becomes an encrypted one: offers, the handshake, the keys. See conn.h, conn_internal.h,
 * noise.h.
 *
 *   client                        server
 *   offer              ->
 *                      <-         offer          both in the clear; every byte of both goes into the handshake's prologue
 *   handshake          ->                        e, es, s, ss
 *                      <-         handshake      e, ee, se
 *   records            <->        records        hello, welcome, and all else
 *
 * The first three lines are plain frames, one an SP message. Whoever changes, takes away or adds anything in them breaks the
 * handshake. The server's offer holds random bytes, so that a client's messages of another time fit no handshake of now. The
 * server knows the client by the second one's end, and its session begins with the first record: that is what shows that it is
 * there now. Both ends use the best cipher that both offers have. A server whose connection needn't be encrypted takes a plain
 * hello instead. A client's offer may ask for the server's public key, which the server's then tells: a client that has
 * another one recorded goes no further, and one that has none takes it and ends there.
 *
 * Everything here runs on the receiving thread, but for tv_conn_secure_start.
 */
#include "conn_internal.h"

#include "key_file.h"
#include "secret.h"

#include <endian.h>
#include <string.h>

#define PROTOCOL_VERSION 1
#define NONCE_BYTES      16

enum step {
    CLIENT_AWAITS_OFFER,
    CLIENT_AWAITS_ANSWER,
    SERVER_AWAITS_OFFER,
    SERVER_AWAITS_HANDSHAKE
};

struct tv_handshake {
    enum step step;
    bool required;   /* of a server: nothing else is taken */
    bool key_wanted; /* of a server: the client has asked for its key */
    struct tv_noise *noise;
    enum tv_cipher cipher;
    size_t prologue_bytes;
    uint8_t prologue[2 * (sizeof(uint64_t) + TV_OFFER_BYTES_MAX)];
};

static bool is_client(const struct tv_secure *secure) {
    return secure->server_key != NULL || secure->asks_key;
}

trove_status tv_conn_secure_create(struct tv_conn *conn, const struct tv_conn_options *options, trove_error *error) {
    struct tv_handshake *handshake = calloc(1, sizeof *handshake);
    if (handshake == NULL || !tv_secret_ready()) {
        free(handshake);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a handshake");
    }
    handshake->step = is_client(options->secure) ? CLIENT_AWAITS_OFFER : SERVER_AWAITS_OFFER;
    handshake->required = options->secure_required;
    conn->secure = options->secure;
    conn->handshake = handshake;
    return TROVE_OK;
}

static void forget_handshake(struct tv_conn *conn) {
    if (conn->handshake != NULL)
        tv_noise_destroy(conn->handshake->noise);
    free(conn->handshake);
    conn->handshake = NULL;
}

void tv_conn_secure_destroy(struct tv_conn *conn) {
    forget_handshake(conn);
    if (conn->reader.records != NULL)
        tv_record_reader_fini(conn->reader.records);
    free(conn->reader.records);
    tv_secret_free(conn->keys);
}

const uint8_t *tv_conn_peer_key(const struct tv_conn *conn) {
    return conn->keys != NULL ? conn->keys->peer_key : NULL;
}

/* ---- offers ---- */

static uint32_t own_ciphers(void) {
    uint32_t ciphers = 0;
    for (enum tv_cipher cipher = 0; cipher < TV_CIPHER_COUNT; cipher++)
        if (tv_cipher_available(cipher))
            ciphers |= 1u << cipher;
    return ciphers;
}

/* Each offer with its length before it: no two pairs of offers make the same prologue. */
static void add_to_prologue(struct tv_handshake *handshake, const void *bytes, size_t count) {
    uint64_t length = htobe64(count);
    TV_ASSERT(handshake->prologue_bytes + sizeof length + count <= sizeof handshake->prologue);
    memcpy(handshake->prologue + handshake->prologue_bytes, &length, sizeof length);
    memcpy(handshake->prologue + handshake->prologue_bytes + sizeof length, bytes, count);
    handshake->prologue_bytes += sizeof length + count;
}

/* `last`: nothing plain comes behind it. */
static trove_status push(struct tv_conn *conn, const tv_frame *frame, bool last, trove_error *error) {
    pthread_mutex_lock(&conn->lock);
    trove_status status = conn->phase == TV_CONN_OPEN ? tv_writer_push(conn, frame, NULL, 0, error) : TROVE_OK;
    if (status == TROVE_OK && last && conn->phase == TV_CONN_OPEN)
        tv_writer_end_plain(conn);
    pthread_mutex_unlock(&conn->lock);
    return status;
}

static trove_status send_offer(struct tv_conn *conn, trove_error *error) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Offer offer = TROVE__V1__OFFER__INIT;
    uint8_t nonce[NONCE_BYTES];
    uint8_t packed[TV_OFFER_BYTES_MAX];
    randombytes_buf(nonce, sizeof nonce);
    offer.version = PROTOCOL_VERSION;
    offer.ciphers = own_ciphers();
    offer.nonce.data = nonce;
    offer.nonce.len = sizeof nonce;
    if (conn->secure->asks_key)
        offer.features = TROVE__V1__OFFER_FEATURE__OFFER_FEATURE_KEY_WANTED;
    if (conn->handshake->key_wanted)
        offer.public_key = (ProtobufCBinaryData){TV_NOISE_KEY_BYTES, (uint8_t *)(uintptr_t)conn->secure->key->public_key};
    frame.body_case = TV_BODY(OFFER);
    frame.offer = &offer;
    size_t bytes = tv_frame_pack(&frame, 0, false, packed, sizeof packed);
    TV_ASSERT(bytes > 0);
    add_to_prologue(conn->handshake, packed, bytes); /* packing the same once more gives the same bytes */
    return push(conn, &frame, false, error);
}

void tv_conn_secure_start(struct tv_conn *conn) {
    trove_error error;
    if (conn->handshake->step == CLIENT_AWAITS_OFFER && send_offer(conn, &error) != TROVE_OK)
        tv_conn_abort(conn, &error);
}

/* Takes the peer's offer: both know the cipher then. */
static trove_status read_offer(struct tv_conn *conn, const tv_frame *frame, const void *raw, size_t raw_bytes,
                               trove_error *error) {
    struct tv_handshake *handshake = conn->handshake;
    if (raw_bytes > TV_OFFER_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "an offer of %zu bytes; at most %d are taken", raw_bytes, TV_OFFER_BYTES_MAX);
    if (frame->offer->version < PROTOCOL_VERSION)
        return TV_FAIL(error, FAILED_PRECONDITION, "the peer offers version %u of the protocol; %d is needed here",
                       frame->offer->version, PROTOCOL_VERSION);
    uint32_t common = own_ciphers() & frame->offer->ciphers;
    if (common == 0)
        return TV_FAIL(error, FAILED_PRECONDITION, "no common cipher: the peer offers %#x, and ChaChaPoly (1) is mandatory",
                       frame->offer->ciphers);
    handshake->cipher = common & 1u << TV_CIPHER_AESGCM ? TV_CIPHER_AESGCM : TV_CIPHER_CHACHAPOLY;
    handshake->key_wanted =
        !is_client(conn->secure) && (frame->offer->features & TROVE__V1__OFFER_FEATURE__OFFER_FEATURE_KEY_WANTED) != 0;
    add_to_prologue(handshake, raw, raw_bytes);
    return TROVE_OK;
}

/* Of a server that was asked for its key. One that doesn't tell it (an older one) has to show it by the handshake, as always. */
static trove_status check_told_key(const struct tv_conn *conn, const Trove__V1__Offer *offer, trove_error *error) {
    const struct tv_secure *secure = conn->secure;
    char told[TV_KEY_TEXT_BYTES];
    bool tells = offer->public_key.len == TV_NOISE_KEY_BYTES;
    if (!tells && (offer->public_key.len > 0 || secure->server_key == NULL))
        return TV_FAIL(error, UNIMPLEMENTED, "the server doesn't tell its public key; whoever runs it can");
    if (!secure->asks_key || !tells || secure->server_key == NULL ||
        memcmp(offer->public_key.data, secure->server_key, TV_NOISE_KEY_BYTES) == 0)
        return TROVE_OK;
    tv_key_format(offer->public_key.data, told);
    return TV_FAIL(
        error, UNAUTHENTICATED,
        "THE SERVER'S KEY ISN'T THE ONE RECORDED in %.200s: now it is %s. Somebody else may have taken the server's place; "
        "nothing is sent. If its key was replaced on purpose, take that line out",
        secure->known_from, told);
}

/* ---- the handshake ---- */

static trove_status begin_noise(struct tv_conn *conn, trove_error *error) {
    const struct tv_handshake *handshake = conn->handshake;
    const struct tv_noise_options options = {
        .initiator = conn->secure->server_key != NULL,
        .cipher = handshake->cipher,
        .private_key = conn->secure->key->private_key,
        .peer_key = conn->secure->server_key,
        .prologue = handshake->prologue,
        .prologue_bytes = handshake->prologue_bytes,
    };
    return tv_noise_create(&options, &conn->handshake->noise, error);
}

/* This end's message; behind it nothing is plain. */
static trove_status send_handshake(struct tv_conn *conn, trove_error *error) {
    uint8_t message[TV_NOISE_MESSAGE_MAX];
    size_t bytes;
    trove_status status = tv_noise_write(conn->handshake->noise, NULL, 0, message, &bytes, error);
    if (status != TROVE_OK)
        return status;
    tv_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Handshake body = TROVE__V1__HANDSHAKE__INIT;
    body.message.data = message;
    body.message.len = bytes;
    frame.body_case = TV_BODY(HANDSHAKE);
    frame.handshake = &body;
    return push(conn, &frame, true, error);
}

static trove_status read_handshake(struct tv_conn *conn, const tv_frame *frame, trove_error *error) {
    uint8_t payload[TV_NOISE_MESSAGE_MAX];
    size_t payload_bytes; /* a newer peer's; it says nothing to us */
    return tv_noise_read(conn->handshake->noise, frame->handshake->message.data, frame->handshake->message.len,
                         conn->secure->authorize, conn->secure->context, payload, &payload_bytes, error);
}

/* From here on what comes is sealed, and so is what goes once the plain rest has gone. What has come behind the peer's last plain
 * message is in staging: it belongs to the records. */
static trove_status switch_to_records(struct tv_conn *conn, trove_error *error) {
    struct tv_reader *reader = &conn->reader;
    struct tv_secure_keys *keys = tv_secret_alloc(sizeof *keys);
    struct tv_record_reader *records = malloc(sizeof *records);
    size_t behind = reader->end - reader->begin;
    if (keys == NULL || records == NULL) {
        tv_secret_free(keys);
        free(records);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a connection's keys");
    }
    tv_noise_split(conn->handshake->noise, &keys->send, &keys->receive);
    memcpy(keys->peer_key, tv_noise_peer_key(conn->handshake->noise), sizeof keys->peer_key);
    tv_record_reader_init(records, &keys->receive, conn->transport->type_octet);
    reader->records = records;
    pthread_mutex_lock(&conn->lock);
    conn->keys = keys;
    conn->prefix_bytes = sizeof(uint64_t); /* of frames inside records; the octet of ipc is the message's */
    conn->writer.sealer_next = &keys->send;
    pthread_mutex_unlock(&conn->lock);
    forget_handshake(conn);
    if (behind > sizeof records->ahead)
        return TV_FAIL(error, INVALID_ARGUMENT, "%zu bytes behind a handshake that wasn't done", behind);
    memcpy(records->ahead, reader->staging + reader->begin, behind);
    records->end = behind;
    reader->begin = reader->end = 0;
    return TROVE_OK;
}

/* ---- frames before it is done ---- */

static trove_status unexpected(const struct tv_conn *conn, trove_error *error) {
    switch (conn->handshake->step) {
    case CLIENT_AWAITS_OFFER:
        return TV_FAIL(error, FAILED_PRECONDITION, "the server doesn't encrypt, and its key was given: nothing is sent to it");
    case SERVER_AWAITS_OFFER:
        return TV_FAIL(error, UNAUTHENTICATED,
                       "the server lets nobody in here without a key: connect with its public key, and a key of your own");
    default:
        return TV_FAIL(error, INVALID_ARGUMENT, "a frame in the midst of a handshake that doesn't belong to it");
    }
}

static trove_status client_frame(struct tv_conn *conn, const tv_frame *frame, const void *raw, size_t raw_bytes,
                                 trove_error *error) {
    struct tv_handshake *handshake = conn->handshake;
    trove_status status;
    if (handshake->step == CLIENT_AWAITS_OFFER && frame->body_case == TV_BODY(OFFER)) {
        status = read_offer(conn, frame, raw, raw_bytes, error);
        handshake->step = CLIENT_AWAITS_ANSWER;
        if (status == TROVE_OK)
            status = check_told_key(conn, frame->offer, error);
        if (status == TROVE_OK && conn->secure->server_key == NULL) {
            conn->handler->key_told(conn->context, frame->offer->public_key.data);
            return TROVE_OK;
        }
        if (status == TROVE_OK)
            status = begin_noise(conn, error);
        return status == TROVE_OK ? send_handshake(conn, error) : status;
    }
    if (handshake->step != CLIENT_AWAITS_ANSWER || handshake->noise == NULL || frame->body_case != TV_BODY(HANDSHAKE))
        return unexpected(conn, error);
    status = read_handshake(conn, frame, error);
    if (status == TROVE_OK)
        status = switch_to_records(conn, error);
    if (status == TROVE_OK)
        conn->handler->secured(conn->context);
    return status;
}

/* A client that has seen the server's offer and goes no further. It takes nothing any more, and waits until the connection is
 * closed here. Of what the offer holds it is the key alone that it can't trust. */
static trove_status client_goes(struct tv_conn *conn, const Trove__V1__GoAway *go_away, trove_error *error) {
    trove_error reason = {TROVE_OK, ""};
    trove_error why;
    if (go_away->status == NULL || tv_status_from_wire(go_away->status, &reason) == TROVE_OK)
        return unexpected(conn, error);
    if (reason.status == TROVE_UNAUTHENTICATED)
        TV_FAIL(&why, UNAUTHENTICATED, "the client expects another server key");
    else
        TV_FAIL(&why, UNAVAILABLE, "the client has ended it: %.400s", reason.message);
    tv_conn_abort(conn, &why);
    return TROVE_OK;
}

static trove_status server_frame(struct tv_conn *conn, const tv_frame *frame, const void *raw, size_t raw_bytes,
                                 trove_error *error) {
    struct tv_handshake *handshake = conn->handshake;
    trove_status status;
    if (handshake->step == SERVER_AWAITS_OFFER && frame->body_case == TV_BODY(OFFER)) {
        status = read_offer(conn, frame, raw, raw_bytes, error);
        handshake->step = SERVER_AWAITS_HANDSHAKE;
        return status == TROVE_OK ? send_offer(conn, error) : status;
    }
    if (handshake->step == SERVER_AWAITS_HANDSHAKE && frame->body_case == TV_BODY(GO_AWAY))
        return client_goes(conn, frame->go_away, error);
    if (handshake->step != SERVER_AWAITS_HANDSHAKE || frame->body_case != TV_BODY(HANDSHAKE))
        return unexpected(conn, error);
    status = begin_noise(conn, error);
    if (status == TROVE_OK)
        status = read_handshake(conn, frame, error);
    if (status == TROVE_OK)
        status = send_handshake(conn, error);
    return status == TROVE_OK ? switch_to_records(conn, error) : status;
}

trove_status tv_conn_secure_frame(struct tv_conn *conn, const tv_frame *frame, const void *raw, size_t raw_bytes, bool *taken,
                                  trove_error *error) {
    bool client = is_client(conn->secure);
    bool plain_hello = !client && conn->handshake->step == SERVER_AWAITS_OFFER && frame->body_case != TV_BODY(OFFER);
    *taken = false;
    if (plain_hello && !conn->handshake->required) {
        forget_handshake(conn);
        return TROVE_OK;
    }
    if (client && frame->body_case == TV_BODY(GO_AWAY)) /* why it doesn't want to; anybody may have said so */
        return TROVE_OK;
    *taken = true;
    return client ? client_frame(conn, frame, raw, raw_bytes, error) : server_frame(conn, frame, raw, raw_bytes, error);
}
