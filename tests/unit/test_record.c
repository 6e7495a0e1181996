/* test_record.c - what is sealed comes out again, however it was cut and wherever it was wanted; what was touched doesn't. */
#include "record_reader.h"

#include "iov.h"
#include "secret.h"

#include "unit.h"

#include <endian.h>

#define PREFIX      8
#define MESSAGE_MAX (PREFIX + TV_SEALED_BYTES_MAX)

static const uint8_t key[TV_NOISE_KEY_BYTES] = {1, 2, 3, 4};

struct both {
    struct tv_noise_cipher send;
    struct tv_noise_cipher receive;
    struct tv_record_reader reader;
};

static void begin(struct both *both, enum tv_cipher cipher) {
    tv_noise_cipher_set(&both->send, cipher, key);
    tv_noise_cipher_set(&both->receive, cipher, key);
    tv_record_reader_init(&both->reader, &both->receive, false);
}

/* One message with its prefix; returns its bytes. */
static size_t seal_some(struct both *both, const struct iovec *iov, unsigned count, size_t capacity, uint8_t *out,
                        size_t *plain_bytes) {
    size_t sealed_bytes;
    assert_int_equal(tv_records_seal(&both->send, iov, count, out + PREFIX, capacity, plain_bytes, &sealed_bytes, NULL),
                     TROVE_OK);
    assert_in_range(sealed_bytes, 1, capacity);
    uint64_t length = htobe64(sealed_bytes);
    memcpy(out, &length, sizeof length);
    return PREFIX + sealed_bytes;
}

static size_t seal_text(struct both *both, const char *text, uint8_t *out) {
    struct iovec iov = {(char *)(uintptr_t)text, strlen(text)};
    size_t plain_bytes;
    size_t bytes = seal_some(both, &iov, 1, TV_SEALED_BYTES_MAX, out, &plain_bytes);
    assert_int_equal(plain_bytes, strlen(text));
    return bytes;
}

/* What the reader makes of the bytes, given at once, by a caller with staging alone. */
static trove_status read_by(struct tv_record_reader *reader, const uint8_t *bytes, size_t count, char *text, size_t *text_bytes,
                            trove_error *error) {
    static uint8_t staging[2 * TV_SEALED_BYTES_MAX];
    struct iovec raw[TV_IOV_MAX];
    struct iovec mine = {staging, sizeof staging};
    trove_status status = TROVE_OK;
    *text_bytes = 0;
    while (count > 0 && status == TROVE_OK) {
        unsigned raw_count = tv_record_reader_want(reader, &mine, 1, raw);
        unsigned first = 0;
        size_t step = tv_iov_put(raw, raw_count, &first, bytes, count);
        bytes += step;
        count -= step;
        tv_record_reader_add(reader, step);
        for (size_t plain = 1; status == TROVE_OK && plain > 0;) {
            status = tv_record_reader_open(reader, &mine, 1, &plain, error);
            if (status != TROVE_OK)
                break;
            memcpy(text + *text_bytes, staging, plain);
            *text_bytes += plain;
        }
    }
    return status;
}

/* ---- everything comes out ---- */

#define STREAM_BYTES (3 * TV_MIB)

static size_t upto(uint64_t *random, size_t max) {
    static const size_t usual[] = {1, 100, 4096, 16384, 32768, 65536, 262144};
    uint64_t draw = unit_random(random);
    size_t bytes = draw % 3 == 0 ? usual[draw / 3 % (sizeof usual / sizeof usual[0])] : draw / 3 % 40000 + 1;
    return bytes < max ? bytes : max;
}

/* The source in buffers of any size, sealed in messages of any size, one behind the other. */
static size_t seal_stream(struct both *both, const uint8_t *source, uint64_t *random, uint8_t *out) {
    size_t sealed = 0;
    for (size_t at = 0; at < STREAM_BYTES;) {
        struct iovec iov[TV_IOV_MAX];
        unsigned count = 0;
        size_t end = at;
        for (unsigned wanted = (unsigned)(unit_random(random) % TV_IOV_MAX) + 1; count < wanted && end < STREAM_BYTES; count++) {
            size_t bytes = upto(random, STREAM_BYTES - end);
            iov[count] = (struct iovec){(uint8_t *)(uintptr_t)source + end, bytes};
            end += bytes;
        }
        size_t capacity =
            TV_RECORD_TABLE_BYTES + (unit_random(random) % 2 == 0 ? TV_RECORDS_MAX * TV_RECORD_BYTES_MAX : upto(random, 65536));
        size_t plain;
        sealed += seal_some(both, iov, count, capacity, out + sealed, &plain);
        at += plain;
    }
    return sealed;
}

/* Hands the sealed bytes to a caller whose buffers are of any size; those before the last stay until they are full. */
static void open_stream(struct both *both, const uint8_t *sealed, size_t sealed_bytes, const uint8_t *source, uint64_t *random) {
    uint8_t *target = malloc(STREAM_BYTES + TV_MIB);
    assert_non_null(target);
    size_t have = 0;
    size_t lasting_end = 0; /* of the places that the caller has promised */
    size_t cut = 0;         /* where two of them meet */
    while (sealed_bytes > 0) {
        struct iovec raw[TV_IOV_MAX];
        size_t plain = 1;
        struct iovec mine[3];
        unsigned mine_count = 0;
        for (bool first = true; first || plain > 0; first = false) {
            if (!first) {
                assert_int_equal(tv_record_reader_open(&both->reader, mine, mine_count, &plain, NULL), TROVE_OK);
                have += plain;
                assert_true(have <= STREAM_BYTES);
            }
            if (have >= lasting_end && unit_random(random) % 2 == 0) {
                lasting_end = have + upto(random, 300000);
                cut = have + (lasting_end - have) / 3;
            }
            mine_count = 0;
            if (have < cut)
                mine[mine_count++] = (struct iovec){target + have, cut - have};
            if (have < lasting_end) {
                size_t from = have < cut ? cut : have;
                mine[mine_count++] = (struct iovec){target + from, lasting_end - from};
            }
            size_t staging_at = have < lasting_end ? lasting_end : have;
            mine[mine_count++] = (struct iovec){target + staging_at, unit_random(random) % 2 == 0 ? 4096 : 65536};
            if (first) {
                unsigned raw_count = tv_record_reader_want(&both->reader, mine, mine_count, raw);
                unsigned at = 0;
                size_t step = tv_iov_put(raw, raw_count, &at, sealed, upto(random, sealed_bytes));
                sealed += step;
                sealed_bytes -= step;
                tv_record_reader_add(&both->reader, step);
            }
        }
    }
    assert_int_equal(have, STREAM_BYTES);
    assert_memory_equal(target, source, STREAM_BYTES);
    free(target);
}

static void any_cut_comes_out_the_same(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    uint8_t *source = malloc(STREAM_BYTES);
    uint8_t *sealed = malloc(4 * STREAM_BYTES);
    assert_true(source != NULL && sealed != NULL);
    for (size_t i = 0; i < STREAM_BYTES; i++)
        source[i] = (uint8_t)(i * 7 ^ i >> 9);
    for (unsigned round = 0; round < 40; round++) {
        enum tv_cipher cipher = round % 2 == 0 && tv_cipher_available(TV_CIPHER_AESGCM) ? TV_CIPHER_AESGCM : TV_CIPHER_CHACHAPOLY;
        struct both both;
        begin(&both, cipher);
        both.send.counter = both.receive.counter = TV_RECORDS_PER_KEY - round; /* the next key comes on the way */
        size_t bytes = seal_stream(&both, source, &random, sealed);
        open_stream(&both, sealed, bytes, source, &random);
        tv_record_reader_fini(&both.reader);
    }
    free(sealed);
    free(source);
}

static void a_payload_begins_a_record(void **state) {
    (void)state;
    static uint8_t small[100], large[100000], out[MESSAGE_MAX];
    struct both both;
    begin(&both, TV_CIPHER_CHACHAPOLY);
    const struct iovec iov[] = {{small, 60}, {small, 40}, {large, sizeof large}, {small, 50}, {small, 30}};
    size_t plain;
    static const size_t expected[] = {100, 32768, 32768, 32768, 100000 - 3 * 32768, 80};
    seal_some(&both, iov, 5, TV_SEALED_BYTES_MAX, out, &plain);
    assert_int_equal(plain, 100180);
    for (unsigned i = 0; i < 6; i++) {
        size_t bytes;
        bool final;
        assert_int_equal(tv_record_entry(out + PREFIX + i * TV_RECORD_ENTRY_BYTES, &bytes, &final, NULL), TROVE_OK);
        assert_int_equal(bytes, expected[i]);
        assert_int_equal(final, i == 5);
    }
}

/* By OpenSSL: key 01 02 03 04 00.., counter 0, associated data 80 00 00 05. */
static void fits_another_implementation(void **state) {
    (void)state;
    static const char *const expected[TV_CIPHER_COUNT] = {
        [TV_CIPHER_CHACHAPOLY] = "000000000000001980000005f9a4a58e985a66040bf718b464d025c7fc5ad13717",
        [TV_CIPHER_AESGCM] = "0000000000000019800000050b6f137532c9d67484fb6f4e2f87236059bd7f079e",
    };
    for (enum tv_cipher cipher = 0; cipher < TV_CIPHER_COUNT; cipher++) {
        if (!tv_cipher_available(cipher))
            continue;
        struct both both;
        uint8_t out[MESSAGE_MAX];
        char hex[2 * 64 + 1];
        begin(&both, cipher);
        size_t bytes = seal_text(&both, "hello", out);
        sodium_bin2hex(hex, sizeof hex, out, bytes);
        assert_string_equal(hex, expected[cipher]);
    }
}

/* ---- what was touched doesn't ---- */

#define TEXT "what nobody else may read, or change"

struct attacked {
    struct both both;
    uint8_t bytes[4][MESSAGE_MAX];
    size_t count[4];
};

static struct attacked *attacked(void) {
    struct attacked *self = calloc(1, sizeof *self);
    assert_non_null(self);
    begin(&self->both, TV_CIPHER_CHACHAPOLY);
    for (unsigned i = 0; i < 4; i++)
        self->count[i] = seal_text(&self->both, TEXT, self->bytes[i]);
    return self;
}

static trove_status feed(struct attacked *self, unsigned which, trove_error *error) {
    char text[256];
    size_t bytes;
    trove_status status = read_by(&self->both.reader, self->bytes[which], self->count[which], text, &bytes, error);
    if (status == TROVE_OK && bytes > 0)
        assert_memory_equal(text, TEXT, bytes);
    return status;
}

static void done(struct attacked *self) {
    tv_record_reader_fini(&self->both.reader);
    free(self);
}

static void each_flipped_bit_is_found(void **state) {
    (void)state;
    struct attacked *self = attacked();
    size_t bytes = self->count[0];
    done(self);
    for (size_t bit = 8 * PREFIX; bit < 8 * bytes; bit++) {
        self = attacked();
        self->bytes[0][bit / 8] ^= (uint8_t)(1u << bit % 8);
        trove_status status = feed(self, 0, NULL);
        if (status == TROVE_OK) /* a table that seems to go on: then what follows is no table */
            status = feed(self, 1, NULL);
        assert_true(status == TROVE_DATA_LOSS || status == TROVE_INVALID_ARGUMENT);
        done(self);
    }
}

static void repeated_left_out_and_moved_records_are_found(void **state) {
    (void)state;
    struct attacked *self = attacked();
    trove_error error;
    assert_int_equal(feed(self, 0, NULL), TROVE_OK);
    assert_int_equal(feed(self, 0, &error), TROVE_DATA_LOSS);
    assert_non_null(strstr(error.message, "repeated"));
    done(self);
    self = attacked();
    assert_int_equal(feed(self, 1, NULL), TROVE_DATA_LOSS); /* the second before the first */
    done(self);
    self = attacked();
    assert_int_equal(feed(self, 0, NULL), TROVE_OK);
    assert_int_equal(feed(self, 2, NULL), TROVE_DATA_LOSS); /* one left out */
    done(self);
}

static void put_entry(uint8_t *at, uint32_t length, const uint8_t *tag) {
    length = htobe32(length);
    memcpy(at, &length, sizeof length);
    memcpy(at + TV_RECORD_LENGTH_BYTES, tag, TV_NOISE_TAG_BYTES);
}

/* A message of three records, for what can be done with its table. */
struct three {
    struct both both;
    uint8_t plain[3 * TV_RECORD_BYTES_MAX];
    uint8_t bytes[MESSAGE_MAX];
    size_t count;
    char opened[4 * TV_RECORD_BYTES_MAX];
};

#define TABLE_AT(self, i) ((self)->bytes + PREFIX + (i)*TV_RECORD_ENTRY_BYTES)

static struct three *three(void) {
    struct three *self = calloc(1, sizeof *self);
    assert_non_null(self);
    begin(&self->both, TV_CIPHER_CHACHAPOLY);
    struct iovec iov = {self->plain, sizeof self->plain};
    size_t plain;
    self->count = seal_some(&self->both, &iov, 1, TV_SEALED_BYTES_MAX, self->bytes, &plain);
    assert_int_equal(plain, sizeof self->plain);
    return self;
}

static void expect(struct three *self, trove_status expected, size_t opened_bytes) {
    size_t bytes;
    uint64_t length = htobe64(self->count - PREFIX);
    memcpy(self->bytes, &length, sizeof length);
    trove_status status = read_by(&self->both.reader, self->bytes, self->count, self->opened, &bytes, NULL);
    assert_int_equal(status, expected);
    assert_int_equal(bytes, opened_bytes);
    tv_record_reader_fini(&self->both.reader);
    free(self);
}

static void records_cut_elsewhere_are_found(void **state) {
    (void)state;
    const uint32_t full = TV_RECORD_BYTES_MAX;
    expect(three(), TROVE_OK, 3 * TV_RECORD_BYTES_MAX);
    unit_row("the boundary moved, the sum kept");
    struct three *self = three();
    put_entry(TABLE_AT(self, 0), full - 1, TABLE_AT(self, 0) + 4);
    put_entry(TABLE_AT(self, 1), full - 1, TABLE_AT(self, 1) + 4);
    self->count -= 2;
    expect(self, TROVE_DATA_LOSS, 0);
    unit_row("the first one shorter");
    self = three();
    put_entry(TABLE_AT(self, 0), full - 1, TABLE_AT(self, 0) + 4);
    expect(self, TROVE_INVALID_ARGUMENT, 0);
    unit_row("the last record cut off, and the mark of the end moved");
    self = three();
    put_entry(TABLE_AT(self, 1), full | TV_RECORD_FINAL, TABLE_AT(self, 1) + 4);
    memmove(TABLE_AT(self, 2), TABLE_AT(self, 3), 2 * TV_RECORD_BYTES_MAX);
    self->count -= TV_RECORD_BYTES_MAX + TV_RECORD_ENTRY_BYTES;
    expect(self, TROVE_DATA_LOSS, TV_RECORD_BYTES_MAX);
    unit_row("the mark of the end taken away");
    self = three();
    put_entry(TABLE_AT(self, 2), full, TABLE_AT(self, 2) + 4);
    expect(self, TROVE_INVALID_ARGUMENT, 0);
    unit_row("two records changed places");
    self = three();
    uint8_t first[TV_RECORD_ENTRY_BYTES];
    memcpy(first, TABLE_AT(self, 0), sizeof first);
    memcpy(TABLE_AT(self, 0), TABLE_AT(self, 1), sizeof first);
    memcpy(TABLE_AT(self, 1), first, sizeof first);
    expect(self, TROVE_DATA_LOSS, 0);
    unit_row("an empty record");
    self = three();
    put_entry(TABLE_AT(self, 0), 0, TABLE_AT(self, 0) + 4);
    expect(self, TROVE_INVALID_ARGUMENT, 0);
    unit_row("too long a record");
    self = three();
    put_entry(TABLE_AT(self, 0), full + 1, TABLE_AT(self, 0) + 4);
    expect(self, TROVE_INVALID_ARGUMENT, 0);
}

static void too_many_records_are_refused(void **state) {
    (void)state;
    struct three *self = three();
    for (unsigned i = 0; i < TV_RECORDS_MAX; i++)
        put_entry(TABLE_AT(self, i), 1, TABLE_AT(self, i) + 4);
    put_entry(TABLE_AT(self, TV_RECORDS_MAX), 1 | TV_RECORD_FINAL, TABLE_AT(self, 0) + 4);
    self->count = PREFIX + (TV_RECORDS_MAX + 1) * (TV_RECORD_ENTRY_BYTES + 1);
    expect(self, TROVE_INVALID_ARGUMENT, 0);
}

static void the_octet_of_ipc_is_checked(void **state) {
    (void)state;
    struct attacked *self = attacked();
    uint8_t bytes[MESSAGE_MAX + 1];
    char text[256];
    size_t count;
    tv_record_reader_init(&self->both.reader, &self->both.receive, true);
    memcpy(bytes + 1, self->bytes[0], self->count[0]);
    bytes[0] = 1;
    assert_int_equal(read_by(&self->both.reader, bytes, self->count[0] + 1, text, &count, NULL), TROVE_OK);
    assert_int_equal(count, strlen(TEXT));
    bytes[0] = 2;
    assert_int_equal(read_by(&self->both.reader, bytes, self->count[0] + 1, text, &count, NULL), TROVE_INVALID_ARGUMENT);
    done(self);
}

static void a_used_up_key_seals_no_more(void **state) {
    (void)state;
    struct both both;
    uint8_t out[1024];
    size_t plain, sealed;
    trove_error error;
    begin(&both, TV_CIPHER_CHACHAPOLY);
    both.send.counter = UINT64_MAX;
    struct iovec iov = {TEXT, strlen(TEXT)};
    assert_int_equal(tv_records_seal(&both.send, &iov, 1, out, sizeof out, &plain, &sealed, &error), TROVE_RESOURCE_EXHAUSTED);
}

static void each_end_takes_the_next_key_with_the_same_record(void **state) {
    (void)state;
    struct both both;
    uint8_t out[1024];
    char text[256];
    size_t count;
    begin(&both, TV_CIPHER_CHACHAPOLY);
    for (uint64_t i = 0; i < TV_RECORDS_PER_KEY + 1; i++) {
        bool same = memcmp(both.send.key, key, sizeof key) == 0;
        assert_int_equal(same, i < TV_RECORDS_PER_KEY);
        size_t bytes = seal_text(&both, "x", out);
        assert_int_equal(read_by(&both.reader, out, bytes, text, &count, NULL), TROVE_OK);
        assert_memory_equal(both.send.key, both.receive.key, sizeof key);
    }
    tv_record_reader_fini(&both.reader);
}

static int set_up(void **state) {
    (void)state;
    return tv_secret_ready() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_comes_out_the_same),
        cmocka_unit_test(a_payload_begins_a_record),
        cmocka_unit_test(fits_another_implementation),
        cmocka_unit_test(each_flipped_bit_is_found),
        cmocka_unit_test(repeated_left_out_and_moved_records_are_found),
        cmocka_unit_test(records_cut_elsewhere_are_found),
        cmocka_unit_test(too_many_records_are_refused),
        cmocka_unit_test(the_octet_of_ipc_is_checked),
        cmocka_unit_test(a_used_up_key_seals_no_more),
        cmocka_unit_test(each_end_takes_the_next_key_with_the_same_record),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
