/* test_frame_hostile.c - the codec against bytes that no honest writer sends: damaged, doubled, swollen.
 *
 * Nothing is expected of the verdict but that there is one; the sanitizers and the arena's ceiling are the judges.
 * TROVE_TEST_SEED replays.
 */
#include "unit_frame.h"

#define MESSAGE_BYTES_MAX ((size_t)(TV_PAYLOAD_BYTES_MAX + TV_HEADER_BYTES_MAX))

/* Everything that a connection does with a message. */
static void chew(const uint8_t *bytes, size_t count, struct tv_arena *arena) {
    uint8_t *message = unit_copy(bytes, count);
    struct tv_frame_layout layout;
    trove_error error;
    tv_frame *frame;
    enum tv_scan scan = tv_frame_scan(message, count, count, &layout, &error);
    bool whole =
        scan == TV_SCAN_OK || (scan == TV_SCAN_SHUFFLED && tv_frame_compact(message, count, &layout, &error) == TROVE_OK);
    if (whole) {
        assert_true(layout.payload_at + layout.payload_bytes <= count);
        tv_arena_reset(arena);
        if (tv_frame_unpack(message, layout.header_bytes, arena, &frame, &error) == TROVE_OK) {
            static uint8_t again[MESSAGE_BYTES_MAX];
            (void)tv_frame_pack(frame, 0, false, again, sizeof again);
        }
        assert_true(arena->used <= arena->bytes_max);
    }
    free(message);
}

static void survives_damaged_frames(void **state) {
    (void)state;
    static uint8_t bytes[TV_HEADER_BYTES_MAX + 4];
    struct filler filler;
    filler_init(&filler);
    struct tv_arena arena;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    for (unsigned round = 0; round < 4000; round++) {
        tv_arena_reset(&filler.arena);
        tv_frame frame = sample_frame(&filler, round % trove__v1__frame__descriptor.n_fields);
        size_t count = tv_frame_pack(&frame, 3, round % 2 == 0, bytes, TV_HEADER_BYTES_MAX);
        memcpy(bytes + count, "abc", 3);
        count += 3;
        unsigned flips = 1 + (unsigned)(unit_random(&filler.state) % 4);
        for (unsigned i = 0; i < flips; i++)
            bytes[unit_random(&filler.state) % count] ^= (uint8_t)(1 << unit_random(&filler.state) % 8);
        chew(bytes, count, &arena);
        chew(bytes, unit_random(&filler.state) % count, &arena);
    }
    tv_arena_fini(&arena);
    tv_arena_fini(&filler.arena);
}

/* The same body, or the same field of a body, again and again: protobuf-c merges submessages that come twice. */
static void survives_fields_that_come_twice(void **state) {
    (void)state;
    static uint8_t one[4096], twice[3 * 4096];
    struct filler filler;
    filler_init(&filler);
    struct tv_arena arena;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    for (unsigned round = 0; round < 4000; round++) {
        tv_arena_reset(&filler.arena);
        const ProtobufCFieldDescriptor *field = body_field(round % trove__v1__frame__descriptor.n_fields);
        if (field == NULL)
            continue;
        size_t count = 0;
        for (unsigned i = 0; i < 3; i++) { /* bodies one behind the other are one body whose fields come three times */
            ProtobufCMessage *body = new_message(&filler, field->descriptor);
            size_t part = protobuf_c_message_pack(body, one);
            memcpy(twice + 8 + count, one, part);
            count += part;
        }
        uint8_t *at = twice + 8;
        *--at = (uint8_t)(count >> 14);
        *--at = (uint8_t)(count >> 7 | 0x80);
        *--at = (uint8_t)(count | 0x80);
        *--at = (uint8_t)(field->id >> 4);
        *--at = (uint8_t)(field->id << 3 | 2 | 0x80);
        chew(at, count + 5, &arena);
    }
    tv_arena_fini(&arena);
    tv_arena_fini(&filler.arena);
}

static void bounds_amplification(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *head; /* of the body, up to its length */
        const char *unit; /* repeated to the end */
        size_t unit_bytes;
    } rows[] = {
        {"unknown fields in a chunk", "\xB2\x01", "\xF8\x7E\x00", 3}, {"unknown fields in the frame", NULL, "\xF8\x7E\x00", 3},
        {"empty submessages in an open", "\xA2\x01", "\x7A\x00", 2},  {"empty ranges in an ack", "\xCA\x01", "\x0A\x00", 2},
        {"the same string again", "\xA2\x01", "\x1A\x01x", 3},        {"the same submessage again", "\xA2\x01", "\x62\x00", 2},
    };
    static uint8_t bytes[TV_HEADER_BYTES_MAX];
    struct tv_arena arena;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        size_t at = 0;
        size_t body = sizeof bytes - 16;
        body -= body % rows[i].unit_bytes;
        if (rows[i].head != NULL) {
            memcpy(bytes, rows[i].head, 2);
            bytes[2] = (uint8_t)(body | 0x80);
            bytes[3] = (uint8_t)(body >> 7 | 0x80);
            bytes[4] = (uint8_t)(body >> 14);
            at = 5;
        }
        for (size_t end = at + body; at < end; at += rows[i].unit_bytes)
            memcpy(bytes + at, rows[i].unit, rows[i].unit_bytes);
        tv_frame *frame;
        trove_error error = {TROVE_OK, ""};
        trove_status status = tv_frame_unpack(bytes, at, &arena, &frame, &error);
        if (rows[i].head == NULL)
            assert_int_equal(status, TROVE_OK); /* what the frame doesn't know costs nothing */
        else
            assert_int_equal(status, TROVE_INVALID_ARGUMENT);
        tv_arena_reset(&arena);
        assert_true(arena.capacity <= TV_ARENA_BYTES_MAX);
    }
    tv_arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_damaged_frames),
        cmocka_unit_test(survives_fields_that_come_twice),
        cmocka_unit_test(bounds_amplification),
    };
    return cmocka_run_group_tests_name("frame_hostile", tests, NULL, NULL);
}
