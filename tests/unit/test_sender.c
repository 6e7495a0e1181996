/* test_sender.c - the window and the credit of a sender, call by call. */
#include "sender.h"

#include "unit_chunk.h"

static struct tv_sender sender;
static trove_error error;

static void fresh(uint32_t channel_chunks, uint64_t credit) {
    assert_int_equal(tv_sender_init(&sender, channel_chunks, 0, &error), TROVE_OK);
    tv_sender_credit(&sender, credit, 0);
    error = (trove_error){TROVE_OK, ""};
}

static void done(void) {
    tv_sender_fini(&sender);
    tv_sender_fini(&sender); /* harmless */
    assert_int_equal(unit_chunks_alive, 0);
}

static void push(uint64_t bytes, bool final) {
    struct tv_chunk *chunk = unit_chunk_new(bytes, TV_SEGMENT_BYTES, TV_SEGMENT_BYTES);
    chunk->final = final;
    tv_sender_push(&sender, chunk);
    unit_chunk_fill(chunk);
}

/* Sends the next fragment and checks its place. */
static void expect_next(uint64_t payload_bytes_max, uint64_t index, uint64_t fragment_offset, uint64_t bytes) {
    struct tv_fragment_out fragment;
    uint64_t position = tv_sender_position(&sender);
    assert_true(tv_sender_ready(&sender));
    assert_true(tv_sender_next(&sender, payload_bytes_max, &fragment));
    assert_true(tv_sender_position(&sender) >= position + bytes); /* further on where something was lost */
    bool whole = fragment_offset + bytes == fragment.chunk->bytes;
    assert_int_equal(tv_sender_waiting_bytes(&sender),
                     sender.queue.count > 0 ? sender.queue.slots[sender.queue.first]->bytes : 0);
    assert_int_equal(tv_sender_begun_bytes(&sender), whole ? 0 : fragment.chunk->bytes - fragment_offset - bytes);
    assert_int_equal(fragment.chunk->index, index);
    assert_int_equal(fragment.fragment_offset, fragment_offset);
    assert_int_equal(fragment.bytes, bytes);
    struct tv_data data;
    tv_chunk_slice(fragment.chunk, fragment_offset, bytes, &data);
    assert_int_equal(data.offset, position);
    unit_data_check(&data);
}

static void expect_nothing(void) {
    struct tv_fragment_out fragment;
    assert_false(tv_sender_ready(&sender));
    assert_false(tv_sender_next(&sender, TV_PAYLOAD_BYTES_MAX, &fragment));
}

struct acked {
    uint64_t indexes[16];
    size_t count;
};

static void note_acked(void *context, const struct tv_chunk *chunk) {
    struct acked *acked = context;
    assert_true(atomic_load(&chunk->references) >= 1);
    acked->indexes[acked->count++] = chunk->index;
}

/* ---- the window
 * ------------------------------------------------------------------------------------------------------------------ */

static void a_stream_from_end_to_end(void **state) {
    (void)state;
    fresh(4, 1000);
    push(300, false);
    push(200, true);
    assert_int_equal(sender.next_offset, 500);
    assert_int_equal(sender.queued_bytes, 500);
    assert_false(tv_sender_drained(&sender));
    expect_next(1000, 0, 0, 300);
    expect_next(1000, 1, 0, 200);
    expect_nothing();
    assert_true(tv_sender_drained(&sender));
    assert_false(tv_sender_settled(&sender));
    struct acked acked = {.count = 0};
    assert_int_equal(tv_sender_ack(&sender, 0, 2, note_acked, &acked, &error), TROVE_OK);
    assert_int_equal(acked.count, 2);
    assert_int_equal(acked.indexes[1], 1);
    assert_true(tv_sender_settled(&sender));
    assert_int_equal(sender.acknowledged_bytes, 500);
    assert_int_equal(sender.queued_bytes, 0);
    assert_int_equal(unit_chunks_alive, 0);
    done();
}

static void the_window_is_full_at_its_size(void **state) {
    (void)state;
    for (uint32_t size = 1; size <= 3; size++) {
        fresh(size, 1000);
        for (uint64_t i = 0; i < 10; i++) {
            while (!tv_sender_full(&sender))
                push(10, false);
            assert_int_equal(sender.flight.count + sender.queue.count, size);
            while (tv_sender_ready(&sender))
                expect_next(100, sender.sent_index, 0, 10);
            tv_sender_credit(&sender, 10, 0);
            assert_int_equal(tv_sender_ack(&sender, sender.base, 1, NULL, NULL, &error), TROVE_OK);
            assert_false(tv_sender_full(&sender));
        }
        done();
    }
}

static void the_end_releases_what_is_in_the_window(void **state) {
    (void)state;
    fresh(4, 15);
    push(10, false);
    push(10, false);
    struct tv_fragment_out fragment;
    assert_true(tv_sender_next(&sender, 100, &fragment));
    tv_chunk_acquire(fragment.chunk);
    tv_sender_fini(&sender);
    assert_int_equal(unit_chunks_alive, 1); /* the transport still reads the one that was sent */
    tv_chunk_release(fragment.chunk);
    assert_int_equal(unit_chunks_alive, 0);
}

static void an_empty_object_needs_no_credit(void **state) {
    (void)state;
    fresh(1, 0);
    push(0, true);
    expect_next(100, 0, 0, 0);
    assert_true(tv_sender_drained(&sender));
    assert_int_equal(tv_sender_ack(&sender, 0, 1, NULL, NULL, &error), TROVE_OK);
    done();
}

static void offsets_beyond_any_object_are_refused(void **state) {
    (void)state;
    assert_int_equal(tv_sender_init(&sender, 1, INT64_MAX, &error), TROVE_OK);
    done();
    assert_int_equal(tv_sender_init(&sender, 1, (uint64_t)INT64_MAX + 1, &error), TROVE_INVALID_ARGUMENT);
    assert_int_equal(tv_sender_init(&sender, 1, UINT64_MAX, &error), TROVE_INVALID_ARGUMENT);
}

/* ---- fragments
 * ------------------------------------------------------------------------------------------------------------------- */

static void fragments_end_at_block_boundaries(void **state) {
    (void)state;
    static const uint64_t block = TV_BLOCK_BYTES;
    fresh(2, TV_GIB);
    push(1000, false);
    push(5 * block, false); /* from offset 1,000 on */
    expect_next(TV_PAYLOAD_BYTES_MAX, 0, 0, 1000);
    expect_next(2 * block, 1, 0, 2 * block - 1000);
    expect_next(block / 2, 1, 2 * block - 1000, block / 2); /* no boundary within reach */
    expect_next(block / 2 + 1, 1, 2 * block - 1000 + block / 2, block / 2);
    expect_next(2 * block - 1, 1, 3 * block - 1000, block);
    expect_next(UINT64_MAX, 1, 4 * block - 1000, block + 1000);
    expect_nothing();
    done();
}

static void a_fragment_never_exceeds_the_wire(void **state) {
    (void)state;
    fresh(1, TV_GIB);
    push(3 * TV_PAYLOAD_BYTES_MAX, false);
    expect_next(UINT64_MAX, 0, 0, TV_PAYLOAD_BYTES_MAX);
    expect_next(1, 0, TV_PAYLOAD_BYTES_MAX, 1);
    expect_next(UINT64_MAX, 0, TV_PAYLOAD_BYTES_MAX + 1, TV_PAYLOAD_BYTES_MAX - 1);
    expect_next(UINT64_MAX, 0, 2 * TV_PAYLOAD_BYTES_MAX, TV_PAYLOAD_BYTES_MAX);
    done();
}

/* ---- credit
 * ---------------------------------------------------------------------------------------------------------------------- */

static void a_chunk_is_begun_only_when_credit_covers_it_whole(void **state) {
    (void)state;
    for (int extra = -1; extra <= 1; extra++) {
        fresh(2, 500 + (uint64_t)extra);
        push(500, false);
        if (extra < 0) {
            expect_nothing();
            tv_sender_credit(&sender, 1, 0);
        }
        expect_next(200, 0, 0, 200);
        assert_int_equal(sender.credit_bytes, extra > 0 ? 1 : 0);
        expect_next(200, 0, 200, 200); /* what was begun goes on without */
        expect_next(200, 0, 400, 100);
        done();
    }
}

static void expired_credit_is_taken_back_or_owed(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t have, granted, expired, credit, owed;
    } rows[] = {
        {"nothing used", 100, 0, 100, 0, 0},
        {"a part used", 60, 0, 100, 0, 40},
        {"all used", 0, 0, 100, 0, 100},
        {"less than there is", 100, 0, 30, 70, 0},
        {"granted together with what expired", 0, 250, 100, 150, 0},
        {"granted too little to pay", 0, 40, 100, 0, 60},
        {"the largest grant", UINT64_MAX - 1, 2, 0, UINT64_MAX, 0},
        {"the largest expiry", 5, 0, UINT64_MAX, 0, UINT64_MAX - 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        fresh(1, rows[i].have);
        tv_sender_credit(&sender, rows[i].granted, rows[i].expired);
        assert_int_equal(sender.credit_bytes, rows[i].credit);
        assert_int_equal(sender.owed_bytes, rows[i].owed);
        done();
    }
}

static void what_is_owed_is_paid_first(void **state) {
    (void)state;
    fresh(4, 100);
    push(100, false);
    expect_next(100, 0, 0, 100);
    tv_sender_credit(&sender, 0, 100); /* crosses the chunk */
    assert_int_equal(tv_sender_not_taken(&sender, 0, 1, &error), TROVE_OK);
    assert_int_equal(sender.credit_bytes, 0);
    assert_int_equal(sender.owed_bytes, 0);
    expect_nothing();
    tv_sender_credit(&sender, 100, 0);
    expect_next(100, 0, 0, 100);
    done();
}

/* ---- answers
 * --------------------------------------------------------------------------------------------------------------------- */

/* Five chunks of 10 bytes: 0 acknowledged, 1 and 2 sent, 3 half sent, 4 queued. */
static void under_way(void) {
    fresh(8, 100);
    for (int i = 0; i < 5; i++)
        push(10, false);
    for (uint64_t i = 0; i < 3; i++)
        expect_next(10, i, 0, 10);
    expect_next(5, 3, 0, 5);
    assert_int_equal(tv_sender_ack(&sender, 0, 1, NULL, NULL, &error), TROVE_OK);
}

static void judges_answers(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool not_taken;
        uint64_t first, count;
        trove_status status;
        uint64_t base, next, credit; /* afterwards; next: chunk to send, or to go on with */
    } rows[] = {
        {"acknowledged: the oldest", false, 1, 1, TROVE_OK, 2, 3, 60},
        {"acknowledged: all that was sent", false, 1, 2, TROVE_OK, 3, 3, 60},
        {"acknowledged: one half sent", false, 1, 3, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"acknowledged: none", false, 1, 0, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"acknowledged again", false, 0, 1, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"acknowledged: not the oldest", false, 2, 1, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"acknowledged: never sent", false, 9, 1, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"acknowledged: 2^64 - 1 chunks", false, 1, UINT64_MAX, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"not taken: the oldest", true, 1, 1, TROVE_OK, 1, 1, 90},
        {"not taken: all that was begun", true, 1, 3, TROVE_OK, 1, 1, 90},
        {"not taken: one in the middle", true, 2, 1, TROVE_OK, 1, 2, 80},
        {"not taken: the one half sent", true, 3, 1, TROVE_OK, 1, 3, 70},
        {"not taken: one not begun", true, 4, 1, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"not taken: reaches one not begun", true, 1, 4, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"not taken: acknowledged before", true, 0, 1, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"not taken: none", true, 1, 0, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"not taken: 2^64 - 1 chunks", true, 1, UINT64_MAX, TROVE_INVALID_ARGUMENT, 1, 3, 60},
        {"not taken: index 2^64 - 1", true, UINT64_MAX, 2, TROVE_INVALID_ARGUMENT, 1, 3, 60},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        under_way();
        trove_status status = rows[i].not_taken ? tv_sender_not_taken(&sender, rows[i].first, rows[i].count, &error)
                                                : tv_sender_ack(&sender, rows[i].first, rows[i].count, NULL, NULL, &error);
        assert_int_equal(status, rows[i].status);
        assert_int_equal(sender.base, rows[i].base);
        assert_int_equal(tv_sender_position(&sender) / 10, rows[i].next);
        assert_int_equal(sender.credit_bytes, rows[i].credit);
        done();
    }
}

static void what_was_not_taken_is_sent_again_from_its_first_byte(void **state) {
    (void)state;
    under_way();
    assert_int_equal(tv_sender_not_taken(&sender, 2, 1, &error), TROVE_OK);
    assert_int_equal(sender.resent_chunks, 2);
    assert_int_equal(tv_sender_ack(&sender, 1, 1, NULL, NULL, &error), TROVE_OK); /* comes later, was taken before */
    expect_next(10, 2, 0, 10);
    expect_next(10, 3, 0, 10);
    expect_next(10, 4, 0, 10);
    assert_int_equal(sender.credit_bytes, 50);
    assert_int_equal(tv_sender_ack(&sender, 2, 3, NULL, NULL, &error), TROVE_OK);
    assert_true(tv_sender_settled(&sender));
    done();
}

static void a_drained_sender_may_have_to_go_back(void **state) {
    (void)state;
    fresh(4, 10);
    push(10, false);
    push(0, true);
    expect_next(10, 0, 0, 10);
    expect_next(10, 1, 0, 0);
    assert_true(tv_sender_drained(&sender));
    assert_int_equal(tv_sender_not_taken(&sender, 0, 1, &error), TROVE_OK);
    assert_false(tv_sender_drained(&sender));
    expect_next(10, 0, 0, 10);
    expect_next(10, 1, 0, 0);
    assert_true(tv_sender_drained(&sender));
    done();
}

/* ---- losses
 * ---------------------------------------------------------------------------------------------------------------------- */

static void drop(uint64_t index) {
    struct tv_chunk *chunk = tv_sender_drop(&sender);
    assert_non_null(chunk);
    assert_int_equal(chunk->index, index);
    tv_chunk_release(chunk);
}

static void expect_gap(uint64_t first_index, uint64_t count, uint64_t offset, uint64_t length) {
    struct tv_gap gap;
    struct tv_fragment_out fragment;
    assert_true(tv_sender_ready(&sender));
    assert_false(tv_sender_next(&sender, 100, &fragment)); /* the loss is told first */
    assert_true(tv_sender_next_gap(&sender, &gap));
    assert_int_equal(gap.first_index, first_index);
    assert_int_equal(gap.count, count);
    assert_int_equal(gap.offset, offset);
    assert_int_equal(gap.length, length);
    assert_false(tv_sender_next_gap(&sender, &gap));
}

static void the_oldest_that_was_not_begun_is_lost(void **state) {
    (void)state;
    fresh(4, 25);
    for (int i = 0; i < 4; i++)
        push(10, false);
    expect_next(5, 0, 0, 5); /* half sent: not to be lost any more */
    drop(1);
    drop(2);
    assert_int_equal(sender.queued_bytes, 20);
    assert_int_equal(sender.dropped_bytes, 20);
    struct tv_gap gap;
    assert_false(tv_sender_next_gap(&sender, &gap)); /* not within a chunk */
    expect_next(5, 0, 5, 5);
    expect_gap(1, 2, 10, 20);
    expect_next(10, 3, 0, 10);
    assert_int_equal(tv_sender_ack(&sender, 0, 4, NULL, NULL, &error), TROVE_OK); /* the loss is in it */
    assert_int_equal(sender.acknowledged_chunks, 2);
    assert_true(tv_sender_settled(&sender));
    done();
}

static void neighbouring_losses_are_one_until_they_were_told(void **state) {
    (void)state;
    fresh(2, 0);
    push(10, false);
    push(10, false);
    drop(0);
    push(10, false);
    drop(1);
    tv_sender_credit(&sender, 10, 0);
    expect_gap(0, 2, 0, 20);
    drop(2); /* told what comes next, and then that is lost as well */
    push(10, true);
    expect_gap(2, 1, 20, 10);
    expect_next(10, 3, 0, 10);
    done();
}

static void the_final_chunk_is_never_lost(void **state) {
    (void)state;
    fresh(2, 0);
    push(10, false);
    push(0, true);
    drop(0);
    assert_null(tv_sender_drop(&sender));
    expect_gap(0, 1, 0, 10);
    expect_next(10, 1, 0, 0);
    assert_null(tv_sender_drop(&sender));
    done();
}

static void losses_among_what_was_not_taken_are_told_again(void **state) {
    (void)state;
    fresh(4, 100);
    for (int i = 0; i < 4; i++)
        push(10, false);
    expect_next(10, 0, 0, 10);
    drop(1);
    expect_gap(1, 1, 10, 10);
    expect_next(10, 2, 0, 10);
    assert_int_equal(tv_sender_not_taken(&sender, 1, 1, &error), TROVE_INVALID_ARGUMENT); /* a lost one can't be refused */
    assert_int_equal(tv_sender_not_taken(&sender, 0, 1, &error), TROVE_OK);
    expect_next(10, 0, 0, 10);
    drop(2); /* sent once, and queued again */
    expect_gap(1, 2, 10, 20);
    expect_next(10, 3, 0, 10);
    assert_int_equal(sender.pushed_bytes, sender.queued_bytes + sender.dropped_bytes + sender.acknowledged_bytes);
    done();
}

static void what_was_told_as_lost_may_be_acknowledged(void **state) {
    (void)state;
    fresh(4, 100);
    push(10, false);
    push(10, false);
    drop(0);
    assert_int_equal(tv_sender_ack(&sender, 0, 1, NULL, NULL, &error), TROVE_INVALID_ARGUMENT); /* not told yet */
    expect_gap(0, 1, 0, 10);
    assert_int_equal(tv_sender_ack(&sender, 0, 1, NULL, NULL, &error), TROVE_OK);
    expect_next(10, 1, 0, 10);
    done();
}

/* ---- seeks
 * ----------------------------------------------------------------------------------------------------------------------- */

static void a_seek_begins_anew_with_all_its_credit(void **state) {
    (void)state;
    under_way();
    tv_sender_credit(&sender, 0, 75); /* 15 of it were used already */
    assert_int_equal(sender.owed_bytes, 15);
    tv_sender_seek(&sender, 1000, 1);
    assert_int_equal(unit_chunks_alive, 0);
    assert_int_equal(sender.credit_bytes, 15); /* 30 in flight came back */
    assert_int_equal(sender.abandoned_chunks, 4);
    assert_int_equal(tv_sender_position(&sender), 1000);
    push(10, true);
    expect_next(10, 0, 0, 10);
    assert_int_equal(tv_sender_ack(&sender, 0, 1, NULL, NULL, &error), TROVE_OK);
    assert_true(tv_sender_settled(&sender));
    done();
}

static void count_acked(void *context, const struct tv_chunk *chunk) {
    *(uint64_t *)context += chunk->bytes;
}

/* What the receiver has taken and didn't come to acknowledge isn't given up; what begins at the place, or behind it, is. */
static void what_lies_below_a_seek_is_acknowledged(void **state) {
    (void)state;
    uint64_t acked_bytes = 0;
    fresh(4, 35);
    for (int i = 0; i < 3; i++)
        push(10, false);
    expect_next(10, 0, 0, 10);
    expect_next(10, 1, 0, 10);
    expect_next(4, 2, 0, 4); /* begun */
    tv_sender_ack_below(&sender, 0, count_acked, &acked_bytes);
    assert_int_equal(acked_bytes, 0);
    tv_sender_ack_below(&sender, 11, count_acked, &acked_bytes);
    assert_int_equal(acked_bytes, 20);
    assert_int_equal(sender.acknowledged_bytes, 20);
    assert_int_equal(sender.acknowledged_chunks, 2);
    assert_int_equal(sender.base, 2);
    tv_sender_seek(&sender, 11, 1);
    assert_int_equal(sender.abandoned_bytes, 10);
    assert_int_equal(sender.credit_bytes, 35); /* all of it */
    assert_int_equal(unit_chunks_alive, 0);
    assert_int_equal(sender.pushed_bytes, sender.acknowledged_bytes + sender.abandoned_bytes);
    done();
}

/* ---- another connection
 * ---------------------------------------------------------------------------------------------------------- */

static void the_window_comes_out_in_order_and_begins_elsewhere(void **state) {
    (void)state;
    fresh(4, 25);
    for (int i = 0; i < 4; i++)
        push(10, i == 3);
    expect_next(10, 0, 0, 10);
    expect_next(4, 1, 0, 4); /* begun */
    assert_int_equal(tv_sender_ack(&sender, 0, 1, NULL, NULL, &error), TROVE_OK);
    for (uint64_t i = 1; i < 4; i++) {
        struct tv_chunk *chunk = tv_sender_unwind(&sender);
        assert_non_null(chunk);
        assert_int_equal(chunk->offset, i * 10);
        assert_int_equal(sender.pushed_bytes, sender.queued_bytes + sender.acknowledged_bytes);
        tv_chunk_release(chunk);
    }
    assert_null(tv_sender_unwind(&sender));
    assert_int_equal(sender.pushed_chunks, 1);
    assert_int_equal(sender.unsent_bytes, 0);
    tv_sender_restart(&sender, 12);
    assert_int_equal(sender.credit_bytes, 0);
    push(8, false);
    expect_nothing();
    tv_sender_credit(&sender, 8, 0);
    assert_int_equal(tv_sender_position(&sender), 12);
    expect_next(8, 0, 0, 8);
    assert_int_equal(tv_sender_ack(&sender, 0, 1, NULL, NULL, &error), TROVE_OK);
    assert_int_equal(sender.acknowledged_bytes, 18);
    done();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_from_end_to_end),
        cmocka_unit_test(the_window_is_full_at_its_size),
        cmocka_unit_test(the_end_releases_what_is_in_the_window),
        cmocka_unit_test(an_empty_object_needs_no_credit),
        cmocka_unit_test(offsets_beyond_any_object_are_refused),
        cmocka_unit_test(fragments_end_at_block_boundaries),
        cmocka_unit_test(a_fragment_never_exceeds_the_wire),
        cmocka_unit_test(a_chunk_is_begun_only_when_credit_covers_it_whole),
        cmocka_unit_test(expired_credit_is_taken_back_or_owed),
        cmocka_unit_test(what_is_owed_is_paid_first),
        cmocka_unit_test(judges_answers),
        cmocka_unit_test(what_was_not_taken_is_sent_again_from_its_first_byte),
        cmocka_unit_test(a_drained_sender_may_have_to_go_back),
        cmocka_unit_test(the_oldest_that_was_not_begun_is_lost),
        cmocka_unit_test(neighbouring_losses_are_one_until_they_were_told),
        cmocka_unit_test(the_final_chunk_is_never_lost),
        cmocka_unit_test(losses_among_what_was_not_taken_are_told_again),
        cmocka_unit_test(what_was_told_as_lost_may_be_acknowledged),
        cmocka_unit_test(a_seek_begins_anew_with_all_its_credit),
        cmocka_unit_test(what_lies_below_a_seek_is_acknowledged),
        cmocka_unit_test(the_window_comes_out_in_order_and_begins_elsewhere),
    };
    return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
