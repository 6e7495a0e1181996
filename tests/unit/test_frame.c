/* test_frame.c - the codec against stock protobuf-c, and its judgement of bytes, one row each.
 *
 * Runs under the sanitizers; TROVE_TEST_SEED replays the random parts.
 */
#include "unit_frame.h"

#define MESSAGE_BYTES_MAX ((size_t)(TV_PAYLOAD_BYTES_MAX + TV_HEADER_BYTES_MAX))

/* ---- packing
 * ------------------------------------------------------------------------------------------------------------------ */

/* What stock protobuf-c makes of the same frame with payload and checksum set as fields. */
static size_t stock_pack(const tv_frame *frame, const uint8_t *payload, size_t payload_bytes, const uint64_t *checksum,
                         uint8_t *out) {
    tv_frame whole = *frame;
    whole.payload = (ProtobufCBinaryData){payload_bytes, (uint8_t *)payload};
    if (checksum != NULL) {
        whole.header_checksum_given_case = TROVE__V1__FRAME__HEADER_CHECKSUM_GIVEN_HEADER_CHECKSUM;
        whole.header_checksum = *checksum;
    }
    return trove__v1__frame__pack(&whole, out);
}

static void check_against_stock(const tv_frame *frame, size_t payload_bytes, bool checksummed) {
    static uint8_t payload[MESSAGE_BYTES_MAX], ours[MESSAGE_BYTES_MAX], stock[MESSAGE_BYTES_MAX];
    for (size_t i = 0; i < payload_bytes; i++)
        payload[i] = (uint8_t)(i * 31 + 7);
    size_t ours_bytes = tv_frame_pack(frame, payload_bytes, checksummed, ours, sizeof ours);
    assert_int_not_equal(ours_bytes, SIZE_MAX);
    memcpy(ours + ours_bytes, payload, payload_bytes);
    size_t message_bytes = ours_bytes + payload_bytes;

    struct tv_frame_layout layout;
    trove_error error;
    assert_int_equal(tv_frame_scan(ours, ours_bytes, message_bytes, &layout, &error), TV_SCAN_OK);
    assert_int_equal(layout.has_checksum, checksummed);
    assert_int_equal(layout.payload_bytes, payload_bytes);
    assert_int_equal(layout.payload_at, ours_bytes);
    if (checksummed)
        assert_int_equal(tv_frame_checksum(ours, layout.header_bytes, message_bytes), layout.checksum);

    size_t stock_bytes = stock_pack(frame, payload, payload_bytes, checksummed ? &layout.checksum : NULL, stock);
    assert_int_equal(stock_bytes, message_bytes);
    assert_memory_equal(ours, stock, stock_bytes);

    /* exactly the room that it needs, and one byte less */
    assert_int_equal(tv_frame_pack(frame, payload_bytes, checksummed, ours, ours_bytes), ours_bytes);
    if (ours_bytes > 0)
        assert_int_equal(tv_frame_pack(frame, payload_bytes, checksummed, ours, ours_bytes - 1), 0);
}

static void packs_as_protobuf_c_does(void **state) {
    (void)state;
    static const size_t payloads[] = {0, 1, 127, 128, 16383, 16384, TV_PAYLOAD_BYTES_MAX};
    struct filler filler;
    filler_init(&filler);
    for (unsigned i = 0; i < trove__v1__frame__descriptor.n_fields; i++) {
        for (unsigned round = 0; round < 20; round++) {
            tv_arena_reset(&filler.arena);
            tv_frame frame = sample_frame(&filler, i);
            size_t payload_bytes = payloads[round % (sizeof payloads / sizeof payloads[0])];
            check_against_stock(&frame, payload_bytes, false);
            check_against_stock(&frame, payload_bytes, true);
        }
    }
    tv_arena_fini(&filler.arena);
}

/* The codec knows of call_id, a body of messages, checksum and payload: whatever else the contract gets must be taught to it. */
static void knows_every_field_of_the_frame(void **state) {
    (void)state;
    for (unsigned i = 0; i < trove__v1__frame__descriptor.n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &trove__v1__frame__descriptor.fields[i];
        bool body = field->type == PROTOBUF_C_TYPE_MESSAGE && field->quantifier_offset == offsetof(tv_frame, body_case) &&
                    field->offset == offsetof(tv_frame, open);
        assert_true(body || field->id == 1 || field->id == TV_TAG_HEADER_CHECKSUM || field->id == TV_TAG_PAYLOAD);
    }
}

/* ---- unpacking
 * ---------------------------------------------------------------------------------------------------------------- */

static void unpacks_what_it_packed(void **state) {
    (void)state;
    static uint8_t bytes[TV_HEADER_BYTES_MAX], again[TV_HEADER_BYTES_MAX];
    struct filler filler;
    filler_init(&filler);
    struct tv_arena arena;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    for (unsigned i = 0; i < trove__v1__frame__descriptor.n_fields; i++) {
        for (unsigned round = 0; round < 50; round++) {
            tv_arena_reset(&filler.arena);
            tv_arena_reset(&arena);
            tv_frame frame = sample_frame(&filler, i);
            size_t count = tv_frame_pack(&frame, 0, false, bytes, sizeof bytes);
            tv_frame *back;
            trove_error error;
            assert_int_equal(tv_frame_unpack(bytes, count, &arena, &back, &error), TROVE_OK);
            assert_int_equal(back->call_id, frame.call_id);
            assert_int_equal(back->body_case, frame.body_case);
            assert_int_equal(tv_frame_pack(back, 0, false, again, sizeof again), count);
            assert_memory_equal(bytes, again, count);
        }
    }
    tv_arena_fini(&arena);
    tv_arena_fini(&filler.arena);
}

static const struct bytes_row {
    const char *name;
    const char *bytes;
    size_t count;
    enum tv_scan scan;
    trove_status unpack; /* of the header, where the scan finds one */
    const char *says;    /* a part of the message */
} bytes_rows[] = {
#define ROW(name, text, scan, unpack, says)                                                                                      \
    { name, text, sizeof text - 1, scan, unpack, says }
    ROW("an empty message", "", TV_SCAN_OK, TROVE_OK, ""),
    ROW("a call id alone", "\x08\x05", TV_SCAN_OK, TROVE_OK, ""),
    ROW("a call id given twice", "\x08\x05\x08\x06", TV_SCAN_OK, TROVE_OK, ""),
    ROW("the tag 0", "\x00\x05", TV_SCAN_BAD, 0, "byte 0"),
    ROW("the tag 0 after a field", "\x08\x05\x02\x00", TV_SCAN_BAD, 0, "byte 2"),
    ROW("a tag beyond 29 bits", "\x80\x80\x80\x80\x10\x01", TV_SCAN_BAD, 0, "byte 0"),
    ROW("a tag of six octets", "\x88\x80\x80\x80\x80\x00\x01", TV_SCAN_BAD, 0, "byte 0"),
    ROW("the highest tag there is, unknown", "\xF8\xFF\xFF\xFF\x0F\x01", TV_SCAN_OK, TROVE_OK, ""),
    ROW("a varint without an end", "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", TV_SCAN_BAD, 0, "byte 0"),
    ROW("a varint cut off", "\x08\x80", TV_SCAN_BAD, 0, "byte 0"),
    ROW("a group", "\x0B\x0C", TV_SCAN_BAD, 0, "byte 0"),
    ROW("wire type 6", "\x0E\x01", TV_SCAN_BAD, 0, "byte 0"),
    ROW("wire type 7", "\x0F\x01", TV_SCAN_BAD, 0, "byte 0"),
    ROW("a body longer than the message", "\xB2\x01\x05\x08\x01", TV_SCAN_BAD, 0, "byte 0"),
    ROW("a length near 2^64", "\xB2\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", TV_SCAN_BAD, 0, "byte 0"),
    ROW("a payload longer than the message", "\xFA\x7F\x02x", TV_SCAN_BAD, 0, "byte 0"),
    ROW("a payload that is a number", "\xF8\x7F\x02", TV_SCAN_BAD, 0, "byte 0"),
    ROW("a checksum that is a varint", "\xF0\x7F\x02", TV_SCAN_BAD, 0, "byte 0"),
    ROW("a checksum cut off", "\xF1\x7F\x01\x02\x03", TV_SCAN_BAD, 0, "byte 0"),
    ROW("an empty payload that is given", "\x08\x05\xFA\x7F\x00", TV_SCAN_OK, TROVE_OK, ""),
    ROW("a length of more octets than needed", "\x08\x05\xFA\x7F\x81\x80\x00x", TV_SCAN_OK, TROVE_OK, ""),
    ROW("a field behind the payload", "\xFA\x7F\x01x\x08\x05", TV_SCAN_SHUFFLED, 0, ""),
    ROW("a field behind the checksum", "\xF1\x7F\x01\x02\x03\x04\x05\x06\x07\x08\x08\x05", TV_SCAN_SHUFFLED, 0, ""),
    ROW("a call id that is a string", "\x0A\x01x", TV_SCAN_OK, TROVE_INVALID_ARGUMENT, "byte 0"),
    ROW("a chunk that is a number", "\x08\x05\xB0\x01\x07", TV_SCAN_OK, TROVE_INVALID_ARGUMENT, "byte 2"),
    ROW("a chunk whose index is a string", "\xB2\x01\x03\x0A\x01x", TV_SCAN_OK, TROVE_INVALID_ARGUMENT, "not a trove.v1.Chunk"),
    ROW("an open whose bucket is cut off", "\xA2\x01\x03\x1A\x05x", TV_SCAN_OK, TROVE_INVALID_ARGUMENT,
        "byte 0 of a trove.v1.Open"),
    ROW("an open with a good bucket",
        "\xA2\x01\x05\x1A\x03"
        "abc",
        TV_SCAN_OK, TROVE_OK, ""),
    ROW("a NUL in a string",
        "\xA2\x01\x05\x1A\x03"
        "a\0c",
        TV_SCAN_OK, TROVE_INVALID_ARGUMENT, "field \"bucket\" of trove.v1.Open is not UTF-8 without NUL"),
    ROW("a string that isn't UTF-8",
        "\xA2\x01\x05\x22\x03"
        "a\xFF"
        "c",
        TV_SCAN_OK, TROVE_INVALID_ARGUMENT, "field \"key\" of trove.v1.Open"),
    ROW("bytes may be anything",
        "\xA2\x01\x05\x0A\x03"
        "a\0\xFF",
        TV_SCAN_OK, TROVE_OK, ""),
    ROW("a NUL in a repeated submessage", "\xA2\x01\x0A\x7A\x03\x0A\x01k\x7A\x03\x12\x01\0", TV_SCAN_OK, TROVE_INVALID_ARGUMENT,
        "field \"value\" of trove.v1.Entry"),
    ROW("a NUL three messages down",
        "\x32\x09\x0A\x07\x1A\x05\x0A\x03"
        "a\0b",
        TV_SCAN_OK, TROVE_INVALID_ARGUMENT, "field \"key\" of trove.v1.Entry"),
    ROW("a NUL in a string that a later one replaces", "\xA2\x01\x06\x1A\x01\0\x1A\x01x", TV_SCAN_OK, TROVE_INVALID_ARGUMENT,
        "field \"bucket\""),
    ROW("text in a field that isn't known", "\xA2\x01\x06\xFA\x3E\x03\0\xFF\x01", TV_SCAN_OK, TROVE_OK, ""),
#undef ROW
};

static void judges_bytes(void **state) {
    (void)state;
    struct tv_arena arena;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    for (size_t i = 0; i < sizeof bytes_rows / sizeof bytes_rows[0]; i++) {
        const struct bytes_row *row = &bytes_rows[i];
        unit_row(row->name);
        uint8_t *bytes = unit_copy(row->bytes, row->count); /* of exact size, for the sanitizer */
        struct tv_frame_layout layout;
        trove_error error = {TROVE_OK, ""};
        tv_frame *frame;
        tv_arena_reset(&arena);
        assert_int_equal(tv_frame_scan(bytes, row->count, row->count, &layout, &error), row->scan);
        if (row->scan == TV_SCAN_OK)
            assert_int_equal(tv_frame_unpack(bytes, layout.header_bytes, &arena, &frame, &error), row->unpack);
        assert_non_null(strstr(error.message, row->says));
        if (row->scan == TV_SCAN_BAD)
            assert_int_equal(error.status, TROVE_INVALID_ARGUMENT);
        free(bytes);
    }
    tv_arena_fini(&arena);
}

/* ---- scanning as bytes come in
 * ------------------------------------------------------------------------------------------------ */

static void scans_any_beginning(void **state) {
    (void)state;
    struct filler filler;
    filler_init(&filler);
    static uint8_t bytes[TV_HEADER_BYTES_MAX];
    for (unsigned i = 0; i < trove__v1__frame__descriptor.n_fields; i++) {
        tv_arena_reset(&filler.arena);
        tv_frame frame = sample_frame(&filler, i);
        size_t payload_bytes = i % 2 == 0 ? 0 : 100000;
        size_t count = tv_frame_pack(&frame, payload_bytes, i % 3 == 0, bytes, sizeof bytes);
        for (size_t have = 0; have <= count; have++) {
            struct tv_frame_layout layout;
            uint8_t *part = unit_copy(bytes, have);
            enum tv_scan scan = tv_frame_scan(part, have, count + payload_bytes, &layout, NULL);
            assert_int_equal(scan, have < count ? TV_SCAN_MORE : TV_SCAN_OK);
            if (scan == TV_SCAN_OK)
                assert_int_equal(layout.payload_at, count);
            free(part);
        }
        for (size_t cut = 1; cut < count; cut++) { /* messages that end too early: whole fields, or bad */
            struct tv_frame_layout layout;
            uint8_t *part = unit_copy(bytes, cut);
            enum tv_scan scan = tv_frame_scan(part, cut, cut, &layout, NULL);
            assert_true(scan == TV_SCAN_BAD || scan == TV_SCAN_OK);
            free(part);
        }
    }
    tv_arena_fini(&filler.arena);
}

static void bounds_the_header(void **state) {
    (void)state;
    uint8_t *bytes = calloc(1, 2 * TV_HEADER_BYTES_MAX);
    bytes[0] = 0xA2; /* an open of the length in the next three octets */
    bytes[1] = 0x01;
    for (int extra = -1; extra <= 1; extra++) {
        size_t total = TV_HEADER_BYTES_MAX + (size_t)extra;
        size_t body = total - 5;
        bytes[2] = (uint8_t)(body | 0x80);
        bytes[3] = (uint8_t)(body >> 7 | 0x80);
        bytes[4] = (uint8_t)(body >> 14);
        struct tv_frame_layout layout;
        trove_error error;
        enum tv_scan scan = tv_frame_scan(bytes, 64, total, &layout, &error);
        assert_int_equal(scan, extra <= 0 ? TV_SCAN_MORE : TV_SCAN_BAD);
        if (extra <= 0)
            assert_int_equal(tv_frame_scan(bytes, total, total, &layout, &error), TV_SCAN_OK);
        else
            assert_non_null(strstr(error.message, "more than 32768 bytes"));
    }
    free(bytes);
}

/* ---- the slow path
 * ------------------------------------------------------------------------------------------------------------ */

/* call_id 7, a ping with token 9 and the payload, in any order. */
static size_t shuffled(const char *order, size_t payload_bytes, uint8_t *out) {
    size_t at = 0;
    for (; *order != '\0'; order++) {
        if (*order == 'i') {
            memcpy(out + at, "\x08\x07", 2);
            at += 2;
        } else if (*order == 'p') {
            memcpy(out + at, "\x22\x02\x08\x09", 4);
            at += 4;
        } else {
            memcpy(out + at, "\xFA\x7F", 2);
            at += 2;
            size_t left = payload_bytes;
            for (; left >= 0x80; left >>= 7)
                out[at++] = (uint8_t)(left | 0x80);
            out[at++] = (uint8_t)left;
            for (size_t i = 0; i < payload_bytes; i++)
                out[at++] = (uint8_t)(i * 7 + 1);
        }
    }
    return at;
}

static void takes_a_payload_anywhere(void **state) {
    (void)state;
    static const char *const orders[] = {"ipX", "iXp", "Xip", "Xpi", "pXi", "piX", "X", "Xi", "ip"};
    static const size_t sizes[] = {0, 1, 200, 70000};
    static uint8_t bytes[100000];
    struct tv_arena arena;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            unit_row(orders[o]);
            size_t count = shuffled(orders[o], sizes[s], bytes);
            uint8_t *message = unit_copy(bytes, count);
            struct tv_frame_layout layout;
            tv_frame *frame;
            trove_error error;
            bool has_payload = strchr(orders[o], 'X') != NULL;
            bool last = orders[o][strlen(orders[o]) - 1] == 'X' || !has_payload;
            assert_int_equal(tv_frame_scan(message, count, count, &layout, &error), last ? TV_SCAN_OK : TV_SCAN_SHUFFLED);
            assert_int_equal(tv_frame_compact(message, count, &layout, &error), TROVE_OK);
            assert_int_equal(layout.payload_bytes, has_payload ? sizes[s] : 0);
            for (size_t i = 0; i < layout.payload_bytes; i++)
                assert_int_equal(message[layout.payload_at + i], (uint8_t)(i * 7 + 1));
            tv_arena_reset(&arena);
            assert_int_equal(tv_frame_unpack(message, layout.header_bytes, &arena, &frame, &error), TROVE_OK);
            assert_int_equal(frame->call_id, strchr(orders[o], 'i') != NULL ? 7 : 0);
            assert_int_equal(frame->body_case, strchr(orders[o], 'p') != NULL ? TV_BODY(PING) : 0);
            free(message);
        }
    tv_arena_fini(&arena);
}

static void refuses_two_payloads_and_misplaced_checksums(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *bytes;
        size_t count;
        const char *says;
    } rows[] = {
#define ROW(name, text, says) {name, text, sizeof text - 1, says}
        ROW("two payloads in a row", "\xFA\x7F\x01x\xFA\x7F\x01y", "two payloads"),
        ROW("two payloads, one empty", "\xFA\x7F\x00\x08\x05\xFA\x7F\x01y", "two payloads"),
        ROW("a checksum behind the payload", "\xFA\x7F\x01x\xF1\x7F\x01\x02\x03\x04\x05\x06\x07\x08", "checksum"),
        ROW("two checksums", "\xF1\x7F\x01\x02\x03\x04\x05\x06\x07\x08\xF1\x7F\x01\x02\x03\x04\x05\x06\x07\x08", "checksum"),
        ROW("garbage behind the payload", "\xFA\x7F\x01x\x00\x00", "byte 4"),
        ROW("a cut field behind the payload", "\xFA\x7F\x01x\x22\x05", "byte 4"),
#undef ROW
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        uint8_t *message = unit_copy(rows[i].bytes, rows[i].count);
        struct tv_frame_layout layout;
        trove_error error;
        assert_int_equal(tv_frame_scan(message, rows[i].count, rows[i].count, &layout, NULL), TV_SCAN_SHUFFLED);
        assert_int_equal(tv_frame_compact(message, rows[i].count, &layout, &error), TROVE_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, rows[i].says));
        free(message);
    }
}

static void bounds_what_stands_behind_the_payload(void **state) {
    (void)state;
    for (int extra = -1; extra <= 1; extra++) {
        size_t fields = TV_HEADER_BYTES_MAX / 2 + (size_t)extra; /* of two octets each */
        size_t count = 4 + 2 * fields;
        uint8_t *message = malloc(count);
        memcpy(message, "\xFA\x7F\x01x", 4);
        for (size_t i = 0; i < fields; i++)
            memcpy(message + 4 + 2 * i, "\x08\x05", 2);
        struct tv_frame_layout layout;
        assert_int_equal(tv_frame_compact(message, count, &layout, NULL), extra <= 0 ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        free(message);
    }
}

/* ---- statuses
 * ------------------------------------------------------------------------------------------------------------------ */

static void carries_statuses(void **state) {
    (void)state;
    trove_error error;
    (void)TV_FAIL(&error, NOT_FOUND, "bucket %s doesn't exist", "photos");
    Trove__V1__Status wire;
    tv_status_to_wire(&error, &wire);
    trove_error back;
    assert_int_equal(tv_status_from_wire(&wire, &back), TROVE_NOT_FOUND);
    assert_string_equal(back.message, "bucket photos doesn't exist");

    wire.code = (Trove__V1__Code)99;
    assert_int_equal(tv_status_from_wire(&wire, &back), TROVE_UNKNOWN);
    assert_non_null(strstr(back.message, "99"));
    assert_int_equal(tv_status_from_wire(NULL, &back), TROVE_OK);

    Trove__V1__Entry entry = TROVE__V1__ENTRY__INIT;
    Trove__V1__Entry *entries[] = {&entry};
    entry.key = "not_taken";
    entry.value = "1";
    wire.n_details = 1;
    wire.details = entries;
    assert_string_equal(tv_status_detail(&wire, "not_taken"), "1");
    assert_null(tv_status_detail(&wire, "retry_after_ms"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_as_protobuf_c_does),
        cmocka_unit_test(knows_every_field_of_the_frame),
        cmocka_unit_test(unpacks_what_it_packed),
        cmocka_unit_test(judges_bytes),
        cmocka_unit_test(scans_any_beginning),
        cmocka_unit_test(bounds_the_header),
        cmocka_unit_test(takes_a_payload_anywhere),
        cmocka_unit_test(refuses_two_payloads_and_misplaced_checksums),
        cmocka_unit_test(bounds_what_stands_behind_the_payload),
        cmocka_unit_test(carries_statuses),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
