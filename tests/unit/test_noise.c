/* test_noise.c - the handshake against published vectors, and everything that must not pass it. */
#include "noise.h"
#include "secret.h"

#include "unit.h"

#define WORD_MAX     512
#define MESSAGES_MAX 8

struct bytes {
    uint8_t data[WORD_MAX];
    size_t count;
};

struct vector {
    char name[64];
    struct bytes prologue, init_static, init_ephemeral, responder, resp_static, resp_ephemeral, hash;
    struct bytes payloads[MESSAGES_MAX];
    struct bytes messages[MESSAGES_MAX];
    size_t message_count;
};

/* ---- reading the vectors ---- */

static void decode(const char *hex, struct bytes *out) {
    assert_int_equal(sodium_hex2bin(out->data, sizeof out->data, hex, strlen(hex), NULL, &out->count, NULL), 0);
    assert_int_equal(strlen(hex), 2 * out->count);
}

static void take_line(struct vector *vector, const char *word, const char *value, const char *second) {
    const struct {
        const char *word;
        struct bytes *to;
    } fields[] = {
        {"init_prologue", &vector->prologue},        {"init_static", &vector->init_static},
        {"init_ephemeral", &vector->init_ephemeral}, {"init_remote_static", &vector->responder},
        {"resp_prologue", &vector->prologue},        {"resp_static", &vector->resp_static},
        {"resp_ephemeral", &vector->resp_ephemeral}, {"handshake_hash", &vector->hash},
    };
    if (strcmp(word, "message") == 0) {
        assert_true(vector->message_count < MESSAGES_MAX);
        decode(value, &vector->payloads[vector->message_count]);
        decode(second, &vector->messages[vector->message_count++]);
        return;
    }
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(word, fields[i].word) != 0)
            continue;
        decode(value, fields[i].to);
        return;
    }
    fail_msg("the vectors have an unknown word %s", word);
}

static void read_vectors(struct vector vectors[TV_CIPHER_COUNT]) {
    FILE *file = fopen(VECTORS, "r");
    assert_non_null(file);
    char line[2048];
    size_t count = 0;
    memset(vectors, 0, TV_CIPHER_COUNT * sizeof *vectors);
    while (fgets(line, sizeof line, file) != NULL) {
        char word[64], value[1024], second[1024];
        int words = sscanf(line, "%63s %1023s %1023s", word, value, second);
        if (line[0] == '#' || words < 2)
            continue;
        if (strcmp(word, "protocol_name") == 0) {
            assert_true(count < TV_CIPHER_COUNT);
            snprintf(vectors[count++].name, sizeof vectors[0].name, "%.63s", value);
        } else {
            assert_true(count > 0);
            take_line(&vectors[count - 1], word, value, words > 2 ? second : "");
        }
    }
    fclose(file);
    assert_int_equal(count, TV_CIPHER_COUNT);
}

static enum tv_cipher cipher_of(const char *protocol) {
    for (enum tv_cipher cipher = 0; cipher < TV_CIPHER_COUNT; cipher++) {
        char name[64];
        snprintf(name, sizeof name, "Noise_IK_25519_%s_BLAKE2b", tv_cipher_name(cipher));
        if (strcmp(name, protocol) == 0)
            return cipher;
    }
    fail_msg("%s isn't spoken", protocol);
    return TV_CIPHER_COUNT;
}

/* ---- the vectors ---- */

static struct tv_noise *make(const struct tv_noise_options *options) {
    struct tv_noise *noise = NULL;
    assert_int_equal(tv_noise_create(options, &noise, NULL), TROVE_OK);
    return noise;
}

static void check_handshake_message(const struct vector *vector, size_t i, struct tv_noise *from, struct tv_noise *to) {
    uint8_t message[TV_NOISE_MESSAGE_MAX], payload[TV_NOISE_MESSAGE_MAX];
    size_t message_bytes, payload_bytes;
    const struct bytes *sent = &vector->payloads[i];
    assert_int_equal(tv_noise_write(from, sent->data, sent->count, message, &message_bytes, NULL), TROVE_OK);
    assert_int_equal(message_bytes, vector->messages[i].count);
    assert_memory_equal(message, vector->messages[i].data, message_bytes);
    assert_int_equal(tv_noise_read(to, message, message_bytes, NULL, NULL, payload, &payload_bytes, NULL), TROVE_OK);
    assert_int_equal(payload_bytes, sent->count);
    assert_memory_equal(payload, sent->data, payload_bytes);
}

static void check_transport_message(const struct vector *vector, size_t i, struct tv_noise_cipher *send,
                                    struct tv_noise_cipher *receive) {
    const struct bytes *plain = &vector->payloads[i];
    const struct bytes *expected = &vector->messages[i];
    uint8_t sealed[WORD_MAX], opened[WORD_MAX];
    assert_int_equal(tv_noise_seal(send, NULL, 0, plain->data, plain->count, sealed, sealed + plain->count, NULL), TROVE_OK);
    assert_int_equal(plain->count + TV_NOISE_TAG_BYTES, expected->count);
    assert_memory_equal(sealed, expected->data, expected->count);
    assert_int_equal(tv_noise_open(receive, NULL, 0, sealed, plain->count, sealed + plain->count, opened, NULL), TROVE_OK);
    assert_memory_equal(opened, plain->data, plain->count);
}

static void check_vector(const struct vector *vector) {
    unit_row(vector->name);
    enum tv_cipher cipher = cipher_of(vector->name);
    if (!tv_cipher_available(cipher)) {
        print_message("    this machine doesn't have it\n");
        return;
    }
    struct tv_noise_options options = {
        .initiator = true,
        .cipher = cipher,
        .private_key = vector->init_static.data,
        .peer_key = vector->responder.data,
        .ephemeral_key = vector->init_ephemeral.data,
        .prologue = vector->prologue.data,
        .prologue_bytes = vector->prologue.count,
    };
    struct tv_noise *initiator = make(&options);
    options.initiator = false;
    options.private_key = vector->resp_static.data;
    options.ephemeral_key = vector->resp_ephemeral.data;
    struct tv_noise *responder = make(&options);
    check_handshake_message(vector, 0, initiator, responder);
    check_handshake_message(vector, 1, responder, initiator);
    uint8_t hash[TV_NOISE_HASH_BYTES], public_key[TV_NOISE_KEY_BYTES];
    tv_noise_hash(initiator, hash);
    assert_memory_equal(hash, vector->hash.data, sizeof hash);
    tv_noise_hash(responder, hash);
    assert_memory_equal(hash, vector->hash.data, sizeof hash);
    tv_noise_public_key(vector->init_static.data, public_key);
    assert_memory_equal(tv_noise_peer_key(responder), public_key, sizeof public_key);
    assert_memory_equal(tv_noise_peer_key(initiator), vector->responder.data, TV_NOISE_KEY_BYTES);
    struct tv_noise_cipher ciphers[4];
    tv_noise_split(initiator, &ciphers[0], &ciphers[1]);
    tv_noise_split(responder, &ciphers[2], &ciphers[3]);
    for (size_t i = 2; i < vector->message_count; i++)
        check_transport_message(vector, i, &ciphers[i % 2 == 0 ? 0 : 2], &ciphers[i % 2 == 0 ? 3 : 1]);
    tv_noise_destroy(initiator);
    tv_noise_destroy(responder);
}

static void fits_the_published_vectors(void **state) {
    (void)state;
    struct vector vectors[TV_CIPHER_COUNT];
    read_vectors(vectors);
    for (size_t i = 0; i < TV_CIPHER_COUNT; i++) {
        assert_int_equal(vectors[i].message_count, 6);
        check_vector(&vectors[i]);
    }
}

/* ---- what must not pass ---- */

static const uint8_t client_key[TV_NOISE_KEY_BYTES] = {1, 2, 3};
static const uint8_t server_key[TV_NOISE_KEY_BYTES] = {4, 5, 6};
static const uint8_t other_key[TV_NOISE_KEY_BYTES] = {7, 8, 9};

struct pair {
    struct tv_noise *client;
    struct tv_noise *server;
    uint8_t message[TV_NOISE_MESSAGE_MAX];
    size_t bytes;
};

static void begin_pair(struct pair *pair, const char *client_prologue, const char *server_prologue,
                       const uint8_t *expected_private) {
    uint8_t expected[TV_NOISE_KEY_BYTES];
    tv_noise_public_key(expected_private, expected);
    pair->client = make(&(struct tv_noise_options){
        .initiator = true,
        .private_key = client_key,
        .peer_key = expected,
        .prologue = client_prologue,
        .prologue_bytes = strlen(client_prologue),
    });
    pair->server = make(&(struct tv_noise_options){
        .private_key = server_key,
        .prologue = server_prologue,
        .prologue_bytes = strlen(server_prologue),
    });
    assert_int_equal(tv_noise_write(pair->client, NULL, 0, pair->message, &pair->bytes, NULL), TROVE_OK);
    assert_int_equal(pair->bytes, TV_NOISE_FIRST_BYTES);
}

static void end_pair(struct pair *pair) {
    tv_noise_destroy(pair->client);
    tv_noise_destroy(pair->server);
}

static trove_status read_by(struct tv_noise *noise, const struct pair *pair, size_t bytes, tv_noise_peer peer,
                            trove_error *error) {
    uint8_t *copy = unit_copy(pair->message, bytes);
    uint8_t payload[TV_NOISE_MESSAGE_MAX];
    size_t payload_bytes;
    trove_status status = tv_noise_read(noise, copy, bytes, peer, NULL, payload, &payload_bytes, error);
    free(copy);
    return status;
}

static void another_servers_key_is_refused(void **state) {
    (void)state;
    struct pair pair;
    trove_error error;
    begin_pair(&pair, "p", "p", other_key);
    assert_int_equal(read_by(pair.server, &pair, pair.bytes, NULL, &error), TROVE_UNAUTHENTICATED);
    assert_non_null(strstr(error.message, "another server key"));
    end_pair(&pair);
}

static void another_prologue_is_refused(void **state) {
    (void)state;
    struct pair pair;
    begin_pair(&pair, "both ciphers", "one cipher", server_key);
    assert_int_equal(read_by(pair.server, &pair, pair.bytes, NULL, NULL), TROVE_UNAUTHENTICATED);
    end_pair(&pair);
}

static void each_flipped_bit_is_refused(void **state) {
    (void)state;
    struct pair pair;
    for (size_t bit = 0; bit < 8 * TV_NOISE_FIRST_BYTES; bit += 5) {
        begin_pair(&pair, "p", "p", server_key);
        pair.message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(read_by(pair.server, &pair, pair.bytes, NULL, NULL), TROVE_OK);
        end_pair(&pair);
    }
    for (size_t bit = 0; bit < 8 * TV_NOISE_SECOND_BYTES; bit += 5) {
        begin_pair(&pair, "p", "p", server_key);
        assert_int_equal(read_by(pair.server, &pair, pair.bytes, NULL, NULL), TROVE_OK);
        assert_int_equal(tv_noise_write(pair.server, NULL, 0, pair.message, &pair.bytes, NULL), TROVE_OK);
        pair.message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(read_by(pair.client, &pair, pair.bytes, NULL, NULL), TROVE_OK);
        end_pair(&pair);
    }
}

static void each_other_length_is_refused(void **state) {
    (void)state;
    struct pair pair;
    for (size_t bytes = 0; bytes < TV_NOISE_FIRST_BYTES + 20; bytes++) {
        begin_pair(&pair, "p", "p", server_key);
        memset(pair.message + pair.bytes, 0, sizeof pair.message - pair.bytes);
        trove_status status = read_by(pair.server, &pair, bytes, NULL, NULL);
        assert_int_equal(status == TROVE_OK, bytes == TV_NOISE_FIRST_BYTES);
        assert_int_equal(status == TROVE_INVALID_ARGUMENT, bytes < TV_NOISE_FIRST_BYTES);
        end_pair(&pair);
    }
}

/* Order 1, 2, 4 and 8, and the same not in their smallest form: section 12.1, and RFC 7748, section 6.1. */
static void public_keys_of_low_order_are_refused(void **state) {
    (void)state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        unit_row(points[i]);
        struct pair pair;
        struct bytes point;
        trove_error error;
        decode(points[i], &point);
        begin_pair(&pair, "p", "p", server_key);
        memcpy(pair.message, point.data, TV_NOISE_KEY_BYTES);
        assert_int_equal(read_by(pair.server, &pair, pair.bytes, NULL, &error), TROVE_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "public key that is none"));
        end_pair(&pair);
        struct tv_noise *client = make(&(struct tv_noise_options){
            .initiator = true, .private_key = client_key, .peer_key = point.data, .prologue = "p", .prologue_bytes = 1});
        assert_int_equal(tv_noise_write(client, NULL, 0, pair.message, &pair.bytes, NULL), TROVE_INVALID_ARGUMENT);
        tv_noise_destroy(client);
    }
}

static trove_status refuse(void *context, const uint8_t public_key[TV_NOISE_KEY_BYTES], trove_error *error) {
    (void)context;
    uint8_t expected[TV_NOISE_KEY_BYTES];
    tv_noise_public_key(client_key, expected);
    assert_memory_equal(public_key, expected, sizeof expected);
    return TV_FAIL(error, UNAUTHENTICATED, "nobody has this key");
}

static void an_unknown_client_is_refused(void **state) {
    (void)state;
    struct pair pair;
    trove_error error;
    begin_pair(&pair, "p", "p", server_key);
    assert_int_equal(read_by(pair.server, &pair, pair.bytes, refuse, &error), TROVE_UNAUTHENTICATED);
    assert_string_equal(error.message, "nobody has this key");
    end_pair(&pair);
}

/* ---- the cipher ---- */

static void the_counter_ends(void **state) {
    (void)state;
    for (enum tv_cipher kind = 0; kind < TV_CIPHER_COUNT; kind++) {
        if (!tv_cipher_available(kind))
            continue;
        struct tv_noise_cipher send, receive;
        uint8_t sealed[4 + TV_NOISE_TAG_BYTES], opened[4];
        trove_error error;
        tv_noise_cipher_set(&send, kind, other_key);
        tv_noise_cipher_set(&receive, kind, other_key);
        send.counter = receive.counter = UINT64_MAX - 1;
        assert_int_equal(tv_noise_seal(&send, NULL, 0, "last", 4, sealed, sealed + 4, NULL), TROVE_OK);
        assert_int_equal(tv_noise_open(&receive, NULL, 0, sealed, 4, sealed + 4, opened, NULL), TROVE_OK);
        assert_int_equal(tv_noise_seal(&send, NULL, 0, "more", 4, sealed, sealed + 4, &error), TROVE_RESOURCE_EXHAUSTED);
        assert_int_equal(tv_noise_open(&receive, NULL, 0, sealed, 4, sealed + 4, opened, &error), TROVE_RESOURCE_EXHAUSTED);
    }
}

static void rekeying_forgets_and_goes_on(void **state) {
    (void)state;
    /* The first 32 bytes of ENCRYPT(key 07 08 09 00.., 2^64 - 1, zeros), by OpenSSL. */
    static const char *const expected[TV_CIPHER_COUNT] = {
        [TV_CIPHER_CHACHAPOLY] = "ea11f65c3134b6528d0699906761793e444d07eb6d11054ba2fd8e848c7e7304",
        [TV_CIPHER_AESGCM] = "3c40732020785b92f8052abcbea67d8b0a216cd1898123d4bdf05b27b2635e04",
    };
    for (enum tv_cipher kind = 0; kind < TV_CIPHER_COUNT; kind++) {
        if (!tv_cipher_available(kind))
            continue;
        struct tv_noise_cipher send, receive;
        struct bytes key;
        uint8_t sealed[4 + TV_NOISE_TAG_BYTES], opened[4];
        tv_noise_cipher_set(&send, kind, other_key);
        tv_noise_cipher_set(&receive, kind, other_key);
        send.counter = receive.counter = 3;
        tv_noise_rekey(&send);
        decode(expected[kind], &key);
        assert_memory_equal(send.key, key.data, TV_NOISE_KEY_BYTES);
        assert_int_equal(send.counter, 3);
        assert_int_equal(tv_noise_seal(&send, "a", 1, "text", 4, sealed, sealed + 4, NULL), TROVE_OK);
        assert_int_equal(tv_noise_open(&receive, "a", 1, sealed, 4, sealed + 4, opened, NULL), TROVE_DATA_LOSS);
        assert_int_equal(receive.counter, 3); /* it isn't used up */
        tv_noise_rekey(&receive);
        assert_int_equal(tv_noise_open(&receive, "b", 1, sealed, 4, sealed + 4, opened, NULL), TROVE_DATA_LOSS);
        assert_int_equal(tv_noise_open(&receive, "a", 1, sealed, 4, sealed + 4, opened, NULL), TROVE_OK);
        assert_memory_equal(opened, "text", 4);
    }
}

static int set_up(void **state) {
    (void)state;
    return tv_secret_ready() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_the_published_vectors),   cmocka_unit_test(another_servers_key_is_refused),
        cmocka_unit_test(another_prologue_is_refused),  cmocka_unit_test(each_flipped_bit_is_refused),
        cmocka_unit_test(each_other_length_is_refused), cmocka_unit_test(public_keys_of_low_order_are_refused),
        cmocka_unit_test(an_unknown_client_is_refused), cmocka_unit_test(the_counter_ends),
        cmocka_unit_test(rekeying_forgets_and_goes_on),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
