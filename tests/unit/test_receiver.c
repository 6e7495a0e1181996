/* test_receiver.c - what a receiver takes, drains and refuses, fragment by fragment. */
#include "receiver.h"

#include "bounds.h"
#include "unit.h"

#define CHUNK_MAX   ((uint64_t)1000)
#define PAYLOAD_MAX ((uint64_t)400)

static struct tv_receiver receiver;
static trove_error error;

static void fresh(uint64_t credit) {
    tv_receiver_init(&receiver, 0, CHUNK_MAX, PAYLOAD_MAX);
    tv_receiver_grant(&receiver, credit);
    error = (trove_error){TROVE_OK, ""};
}

static struct tv_fragment_in piece(uint64_t index, uint64_t offset, uint64_t chunk_bytes, uint64_t fragment_offset,
                                   uint64_t payload_bytes) {
    return (struct tv_fragment_in){.index = index,
                                   .offset = offset,
                                   .chunk_bytes = chunk_bytes,
                                   .fragment_offset = fragment_offset,
                                   .payload_bytes = payload_bytes};
}

static enum tv_receive feed(uint64_t index, uint64_t offset, uint64_t chunk_bytes, uint64_t fragment_offset,
                            uint64_t payload_bytes) {
    struct tv_fragment_in fragment = piece(index, offset, chunk_bytes, fragment_offset, payload_bytes);
    return tv_receiver_fragment(&receiver, &fragment, &error);
}

/* A chunk of one fragment. */
static enum tv_receive feed_whole(uint64_t index, uint64_t offset, uint64_t bytes) {
    return feed(index, offset, bytes, 0, bytes);
}

static void expect_ack(uint64_t first, uint64_t count, bool not_taken) {
    uint64_t got_first, got_count;
    bool got_not_taken;
    assert_true(tv_receiver_next_ack(&receiver, &got_first, &got_count, &got_not_taken));
    assert_int_equal(got_first, first);
    assert_int_equal(got_count, count);
    assert_int_equal(got_not_taken, not_taken);
}

static void expect_no_ack(void) {
    uint64_t first, count;
    bool not_taken;
    assert_false(tv_receiver_next_ack(&receiver, &first, &count, &not_taken));
}

/* ---- one fragment against a receiver in a given place
 * --------------------------------------------------------------------------- */

enum place {
    START,     /* 1,000 bytes of credit, nothing received */
    SECOND,    /* chunk 0 of 100 bytes received; 900 left */
    IN_CHUNK,  /* in chunk 0 of 900 bytes, 300 received; 100 left */
    DRAINING,  /* in chunk 0 of 900 bytes, not taken, 300 drained; nothing left, 1,000 expired */
    DRAINED,   /* chunk 0 of 300 bytes was not taken */
    ASKED,     /* the same, and the answer was given */
    AFTER_END, /* the final chunk 0 of 100 bytes received */
    SOUGHT,    /* as START, of generation 3 */
};

static void go_to(enum place place) {
    fresh(1000);
    struct tv_fragment_in last = piece(0, 0, 100, 0, 100);
    switch (place) {
    case START:
        break;
    case SECOND:
        assert_int_equal(feed_whole(0, 0, 100), TV_RECEIVE_TAKE);
        break;
    case IN_CHUNK:
        assert_int_equal(feed(0, 0, 900, 0, 300), TV_RECEIVE_TAKE);
        break;
    case DRAINING:
        assert_int_equal(tv_receiver_expire(&receiver), 1000);
        assert_int_equal(feed(0, 0, 900, 0, 300), TV_RECEIVE_DRAIN);
        break;
    case DRAINED:
    case ASKED:
        assert_int_equal(tv_receiver_expire(&receiver), 1000);
        assert_int_equal(feed_whole(0, 0, 300), TV_RECEIVE_DRAIN);
        if (place == ASKED)
            expect_ack(0, 1, true);
        break;
    case AFTER_END:
        last.final = true;
        assert_int_equal(tv_receiver_fragment(&receiver, &last, &error), TV_RECEIVE_TAKE);
        break;
    case SOUGHT:
        receiver.generation = 3;
    }
}

static const struct row {
    const char *name;
    enum place place;
    struct tv_fragment_in in;
    enum tv_receive verdict;
    trove_status status;
    const char *says;
} rows[] = {
#define IN(i, o, c, f, p, ...)                                                                                                   \
    { .index = i, .offset = o, .chunk_bytes = c, .fragment_offset = f, .payload_bytes = p, __VA_ARGS__ }
#define TAKE                 TV_RECEIVE_TAKE, TROVE_OK, ""
#define DRAIN                TV_RECEIVE_DRAIN, TROVE_OK, ""
#define REFUSE(status, says) TV_RECEIVE_FAIL, TROVE_##status, says
    {"a first chunk", START, IN(0, 0, 100, 0, 100), TAKE},
    {"payload at the limit less one", START, IN(0, 0, 399, 0, 399), TAKE},
    {"payload at the limit", START, IN(0, 0, 400, 0, 400), TAKE},
    {"payload over the limit", START, IN(0, 0, 401, 0, 401), REFUSE(INVALID_ARGUMENT, "at most 400")},
    {"chunk at the limit less one", START, IN(0, 0, 999, 0, 400), TAKE},
    {"chunk at the limit", START, IN(0, 0, 1000, 0, 400), TAKE},
    {"chunk over the limit", START, IN(0, 0, 1001, 0, 400), REFUSE(INVALID_ARGUMENT, "at most 1000")},
    {"chunk of 2^64 - 1", START, IN(0, 0, UINT64_MAX, 0, 400), REFUSE(INVALID_ARGUMENT, "at most 1000")},
    {"fragment that ends the chunk", IN_CHUNK, IN(0, 300, 900, 300, 400), TAKE},
    {"fragment beyond the chunk's end", START, IN(0, 0, 100, 0, 101), REFUSE(INVALID_ARGUMENT, "beyond its end")},
    {"fragment that begins beyond it", START, IN(0, 0, 100, 101, 0), REFUSE(INVALID_ARGUMENT, "beyond its end")},
    {"fragment offset of 2^64 - 1", START, IN(0, 0, 100, UINT64_MAX, 2), REFUSE(INVALID_ARGUMENT, "beyond its end")},
    {"fragment without bytes", START, IN(0, 0, 100, 0, 0), REFUSE(INVALID_ARGUMENT, "without bytes")},
    {"empty chunk that isn't final", START, IN(0, 0, 0, 0, 0), REFUSE(INVALID_ARGUMENT, "without bytes")},
    {"final fragment without bytes", START, IN(0, 0, 100, 0, 0, .final = true), REFUSE(INVALID_ARGUMENT, "without bytes")},
    {"empty final chunk: an empty object", START, IN(0, 0, 0, 0, 0, .final = true), TAKE},
    {"empty final chunk at the end", SECOND, IN(1, 100, 0, 0, 0, .final = true), TAKE},
    {"offset of 2^63 and more", START, IN(0, UINT64_MAX - 5, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "beyond any")},
    {"offset whose sum goes over 2^63", START, IN(0, INT64_MAX - 5, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "beyond any")},
    {"index too high", START, IN(1, 0, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "out of order: chunk 1")},
    {"index of 2^64 - 1", START, IN(UINT64_MAX, 0, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "out of order")},
    {"the same index again", SECOND, IN(0, 0, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "chunk 1 at offset 100")},
    {"offset too high", SECOND, IN(1, 101, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "out of order")},
    {"offset too low", SECOND, IN(1, 99, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "out of order")},
    {"a chunk that begins in the middle", SECOND, IN(1, 100, 100, 50, 50), REFUSE(INVALID_ARGUMENT, "byte 50")},
    {"credit used up but for one", SECOND, IN(1, 100, 899, 0, 400), TAKE},
    {"credit used up", SECOND, IN(1, 100, 900, 0, 400), TAKE},
    {"credit exceeded by one", SECOND, IN(1, 100, 901, 0, 400), REFUSE(RESOURCE_EXHAUSTED, "900 bytes; wait")},
    {"fragment again", IN_CHUNK, IN(0, 0, 900, 0, 300), REFUSE(INVALID_ARGUMENT, "byte 300, was")},
    {"fragment left out", IN_CHUNK, IN(0, 301, 900, 301, 100), REFUSE(INVALID_ARGUMENT, "out of order")},
    {"offsets that don't go together", IN_CHUNK, IN(0, 301, 900, 300, 100), REFUSE(INVALID_ARGUMENT, "out of order")},
    {"next chunk before the end", IN_CHUNK, IN(1, 300, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "out of order")},
    {"size that changes", IN_CHUNK, IN(0, 300, 800, 300, 100), REFUSE(INVALID_ARGUMENT, "size of 900")},
    {"the drained chunk goes on", DRAINING, IN(0, 300, 900, 300, 400), DRAIN},
    {"the drained chunk leaves bytes out", DRAINING, IN(0, 400, 900, 400, 400), REFUSE(INVALID_ARGUMENT, "order")},
    {"the drained chunk changes its size", DRAINING, IN(0, 300, 800, 300, 400), REFUSE(INVALID_ARGUMENT, "order")},
    {"next chunk in a drained one", DRAINING, IN(1, 900, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "order")},
    {"sent again before it was asked for", DRAINING, IN(0, 0, 900, 0, 300), REFUSE(INVALID_ARGUMENT, "order")},
    {"and so after it was drained whole", DRAINED, IN(0, 0, 300, 0, 300), REFUSE(INVALID_ARGUMENT, "order")},
    {"a late copy", DRAINED, IN(1, 300, 400, 0, 400), DRAIN},
    {"a late copy of the last credit", DRAINED, IN(1, 300, 700, 0, 400), DRAIN},
    {"a late copy over the credit", DRAINED, IN(1, 300, 701, 0, 400), REFUSE(RESOURCE_EXHAUSTED, "credit")},
    {"a late copy after the answer", ASKED, IN(1, 300, 700, 0, 400), DRAIN},
    {"a late copy that leaves one out", DRAINED, IN(2, 300, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "order")},
    {"a late copy over the chunk's limit", DRAINED, IN(1, 300, 1001, 0, 100), REFUSE(INVALID_ARGUMENT, "at most")},
    {"again as asked, still no credit", ASKED, IN(0, 0, 300, 0, 300), DRAIN},
    {"again as asked, elsewhere", ASKED, IN(0, 1, 300, 0, 300), REFUSE(INVALID_ARGUMENT, "order")},
    {"a chunk after the final one", AFTER_END, IN(1, 100, 100, 0, 100), REFUSE(INVALID_ARGUMENT, "after the final")},
    {"another final one", AFTER_END, IN(1, 100, 0, 0, 0, .final = true), REFUSE(INVALID_ARGUMENT, "after the final")},
    {"from before the seek, whatever it is", SOUGHT, IN(77, 5, 5000, 1, 900, .generation = 2), DRAIN},
    {"of the seek", SOUGHT, IN(0, 0, 100, 0, 100, .generation = 3), TAKE},
    {"of a seek to come", SOUGHT, IN(0, 0, 100, 0, 100, .generation = 4), REFUSE(INVALID_ARGUMENT, "seek 4")},
#undef IN
#undef TAKE
#undef DRAIN
#undef REFUSE
};

static void judges_fragments(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        go_to(rows[i].place);
        struct tv_receiver before = receiver;
        enum tv_receive verdict = tv_receiver_fragment(&receiver, &rows[i].in, &error);
        assert_int_equal(verdict, rows[i].verdict);
        assert_int_equal(error.status, rows[i].status);
        assert_non_null(strstr(error.message, rows[i].says));
        if (verdict == TV_RECEIVE_TAKE)
            assert_int_equal(receiver.held_bytes, before.held_bytes + rows[i].in.payload_bytes);
        else
            assert_int_equal(receiver.held_bytes, before.held_bytes);
        if (rows[i].in.generation < before.generation)
            assert_memory_equal(&receiver, &before, sizeof before);
    }
}

/* ---- longer stories
 * ------------------------------------------------------------------------------------------------------------- */

static void a_stream_from_end_to_end(void **state) {
    (void)state;
    fresh(2000);
    assert_int_equal(feed(0, 0, 900, 0, 400), TV_RECEIVE_TAKE);
    assert_int_equal(feed(0, 400, 900, 400, 400), TV_RECEIVE_TAKE);
    assert_int_equal(receiver.outstanding_bytes, 1100); /* taken whole when it began */
    tv_receiver_taken(&receiver, 800, false);
    expect_no_ack(); /* not before the chunk is whole */
    assert_int_equal(feed(0, 800, 900, 800, 100), TV_RECEIVE_TAKE);
    struct tv_fragment_in last = piece(1, 900, 50, 0, 50);
    last.final = true;
    assert_int_equal(tv_receiver_fragment(&receiver, &last, &error), TV_RECEIVE_TAKE);
    expect_no_ack(); /* received is not taken */
    assert_false(tv_receiver_finished(&receiver));
    tv_receiver_taken(&receiver, 100, true);
    tv_receiver_taken(&receiver, 50, true);
    expect_ack(0, 2, false);
    expect_no_ack();
    assert_true(tv_receiver_finished(&receiver));
    assert_int_equal(receiver.taken_offset, 950);
    assert_int_equal(receiver.received_chunks, 2);
}

static void an_empty_object_is_one_empty_chunk(void **state) {
    (void)state;
    fresh(0);
    struct tv_fragment_in only = piece(0, 0, 0, 0, 0);
    only.final = true;
    assert_int_equal(tv_receiver_fragment(&receiver, &only, &error), TV_RECEIVE_TAKE);
    assert_false(tv_receiver_finished(&receiver));
    tv_receiver_taken(&receiver, 0, true);
    assert_true(tv_receiver_finished(&receiver));
    expect_ack(0, 1, false);
}

static void a_grant_expires_while_chunks_are_under_way(void **state) {
    (void)state;
    fresh(600);
    assert_int_equal(feed_whole(0, 0, 200), TV_RECEIVE_TAKE);
    assert_int_equal(tv_receiver_expire(&receiver), 400);
    assert_int_equal(tv_receiver_expire(&receiver), 0);
    assert_int_equal(feed_whole(1, 200, 200), TV_RECEIVE_DRAIN);
    assert_int_equal(feed_whole(2, 400, 200), TV_RECEIVE_DRAIN); /* behind it: no answer of its own */
    tv_receiver_taken(&receiver, 200, true);
    expect_ack(0, 1, false); /* the kind "taken" comes first */
    expect_ack(1, 1, true);
    expect_no_ack();
    tv_receiver_grant(&receiver, 400);
    assert_int_equal(feed_whole(1, 200, 200), TV_RECEIVE_TAKE);
    assert_int_equal(feed_whole(2, 400, 200), TV_RECEIVE_TAKE);
    assert_int_equal(receiver.outstanding_bytes, 0);
    assert_int_equal(feed_whole(3, 600, 1), TV_RECEIVE_DRAIN); /* the peer may not know yet */
}

static void a_newer_grant_carries_what_was_begun_on_the_old(void **state) {
    (void)state;
    fresh(300);
    assert_int_equal(tv_receiver_expire(&receiver), 300);
    tv_receiver_grant(&receiver, 300);
    assert_int_equal(feed_whole(0, 0, 300), TV_RECEIVE_TAKE);
    assert_int_equal(receiver.outstanding_bytes, 0);
    assert_int_equal(feed_whole(1, 300, 1), TV_RECEIVE_DRAIN);
}

/* Once more has begun than the grants before the expiry allowed, the sender must have heard of it. */
static void expired_credit_does_not_last(void **state) {
    (void)state;
    fresh(300);
    assert_int_equal(tv_receiver_expire(&receiver), 300);
    tv_receiver_grant(&receiver, 400);
    assert_int_equal(feed_whole(0, 0, 300), TV_RECEIVE_TAKE);
    assert_int_equal(receiver.expired_bytes, 300);
    assert_int_equal(feed_whole(1, 300, 1), TV_RECEIVE_TAKE);
    assert_int_equal(receiver.expired_bytes, 0);
    assert_int_equal(feed_whole(2, 301, 100), TV_RECEIVE_FAIL);
    assert_int_equal(error.status, TROVE_RESOURCE_EXHAUSTED);
}

static void a_declined_chunk_of_several_fragments(void **state) {
    (void)state;
    fresh(1000);
    assert_int_equal(feed_whole(0, 0, 100), TV_RECEIVE_TAKE);
    struct tv_fragment_in first = piece(1, 100, 800, 0, 400);
    struct tv_receiver before = receiver;
    assert_int_equal(tv_receiver_fragment(&receiver, &first, &error), TV_RECEIVE_TAKE);
    tv_receiver_decline(&receiver, &first);
    assert_int_equal(receiver.outstanding_bytes, before.outstanding_bytes);
    assert_int_equal(receiver.held_bytes, before.held_bytes);
    assert_int_equal(receiver.expected_index, 1);
    assert_int_equal(receiver.expected_offset, 100);
    expect_ack(1, 1, true); /* at once: the sender may break the rest off */
    assert_int_equal(feed(1, 500, 800, 400, 200), TV_RECEIVE_DRAIN);
    assert_int_equal(feed(1, 100, 800, 0, 400), TV_RECEIVE_TAKE); /* and begins anew */
    assert_int_equal(feed(1, 500, 800, 400, 400), TV_RECEIVE_TAKE);
    assert_int_equal(receiver.received_bytes, 900);
}

static void a_declined_final_chunk(void **state) {
    (void)state;
    fresh(1000);
    struct tv_fragment_in only = piece(0, 0, 100, 0, 100);
    only.final = true;
    assert_int_equal(tv_receiver_fragment(&receiver, &only, &error), TV_RECEIVE_TAKE);
    assert_false(tv_receiver_awaits_resend(&receiver));
    tv_receiver_decline(&receiver, &only);
    assert_false(receiver.final_seen);
    assert_int_equal(receiver.received_chunks, 0);
    assert_true(tv_receiver_awaits_resend(&receiver));
    expect_ack(0, 1, true);
    assert_int_equal(tv_receiver_fragment(&receiver, &only, &error), TV_RECEIVE_TAKE);
    assert_false(tv_receiver_awaits_resend(&receiver));
    tv_receiver_taken(&receiver, 100, true);
    assert_true(tv_receiver_finished(&receiver));
}

static void a_late_copy_is_broken_off(void **state) {
    (void)state;
    go_to(ASKED);
    assert_int_equal(feed(1, 300, 600, 0, 200), TV_RECEIVE_DRAIN);
    tv_receiver_grant(&receiver, 300);
    assert_int_equal(feed_whole(0, 0, 300), TV_RECEIVE_TAKE);
    assert_false(receiver.in_chunk);
    assert_int_equal(receiver.expected_index, 1);
}

static void an_aborted_chunk_goes_on_as_another(void **state) {
    (void)state;
    go_to(IN_CHUNK);
    assert_int_equal(tv_receiver_abort(&receiver, 1, &error), TROVE_INVALID_ARGUMENT);
    assert_int_equal(tv_receiver_abort(&receiver, 0, &error), TROVE_OK);
    assert_int_equal(receiver.outstanding_bytes, 700);
    assert_int_equal(tv_receiver_abort(&receiver, 0, &error), TROVE_INVALID_ARGUMENT); /* none is coming in */
    assert_int_equal(feed(0, 300, 350, 0, 350), TV_RECEIVE_TAKE);
    tv_receiver_taken(&receiver, 650, true);
    expect_ack(0, 1, false);
}

static void an_aborted_chunk_that_was_drained(void **state) {
    (void)state;
    go_to(DRAINING);
    assert_int_equal(tv_receiver_abort(&receiver, 0, &error), TROVE_OK);
    assert_int_equal(receiver.outstanding_bytes, 0);
    assert_int_equal(feed_whole(1, 900, 100), TV_RECEIVE_DRAIN);
    expect_ack(0, 1, true);
    tv_receiver_grant(&receiver, 900);
    assert_int_equal(feed(0, 0, 900, 0, 300), TV_RECEIVE_TAKE);
}

/* Before the sender has heard that it wasn't taken, the same index goes on at the next byte: one more late copy, on the credit
 * that the abort gave back. */
static void an_aborted_chunk_that_was_drained_goes_on(void **state) {
    (void)state;
    for (int asked = 0; asked <= 1; asked++) {
        go_to(DRAINING);
        if (asked)
            expect_ack(0, 1, true);
        assert_int_equal(tv_receiver_abort(&receiver, 0, &error), TROVE_OK);
        assert_int_equal(feed(0, 300, 600, 0, 400), TV_RECEIVE_DRAIN);
        assert_int_equal(feed(0, 700, 600, 400, 200), TV_RECEIVE_DRAIN);
        assert_int_equal(feed_whole(1, 900, 100), TV_RECEIVE_DRAIN);
        struct tv_receiver all = receiver;
        assert_int_equal(feed_whole(2, 1000, 1), TV_RECEIVE_FAIL);
        assert_int_equal(error.status, TROVE_RESOURCE_EXHAUSTED);
        receiver = all;
        if (!asked)
            expect_ack(0, 1, true);
        tv_receiver_grant(&receiver, 900);
        assert_int_equal(feed(0, 0, 900, 0, 300), TV_RECEIVE_TAKE);
    }
}

/* ---- gaps and seeks
 * ------------------------------------------------------------------------------------------------------------- */

static enum tv_receive gap(uint64_t first_index, uint64_t count, uint64_t offset, uint64_t length) {
    const struct tv_gap_in in = {.first_index = first_index, .count = count, .offset = offset, .length = length};
    return tv_receiver_gap(&receiver, &in, &error);
}

static void judges_gaps(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum place place;
        uint64_t first_index, count, offset, length;
        enum tv_receive verdict;
    } gaps[] = {
        {"at the beginning", START, 0, 3, 0, 30, TV_RECEIVE_TAKE},
        {"in order", SECOND, 1, 1, 100, 1000, TV_RECEIVE_TAKE},
        {"none", SECOND, 1, 0, 100, 0, TV_RECEIVE_FAIL},
        {"chunks without bytes", SECOND, 1, 2, 100, 1, TV_RECEIVE_FAIL},
        {"more bytes than the chunks can have", SECOND, 1, 1, 100, 1001, TV_RECEIVE_FAIL},
        {"at another index", SECOND, 2, 1, 100, 10, TV_RECEIVE_FAIL},
        {"at another offset", SECOND, 1, 1, 101, 10, TV_RECEIVE_FAIL},
        {"the same again", SECOND, 0, 1, 0, 100, TV_RECEIVE_FAIL},
        {"2^64 - 1 chunks", SECOND, 1, UINT64_MAX, 100, UINT64_MAX, TV_RECEIVE_FAIL},
        {"beyond any object", START, 0, UINT64_MAX / 1000, 0, INT64_MAX + UINT64_C(1), TV_RECEIVE_FAIL},
        {"within a chunk", IN_CHUNK, 1, 1, 900, 10, TV_RECEIVE_FAIL},
        {"among late copies, within one", DRAINING, 1, 1, 900, 10, TV_RECEIVE_FAIL},
    };
    for (size_t i = 0; i < sizeof gaps / sizeof gaps[0]; i++) {
        unit_row(gaps[i].name);
        go_to(gaps[i].place);
        assert_int_equal(gap(gaps[i].first_index, gaps[i].count, gaps[i].offset, gaps[i].length), gaps[i].verdict);
        if (gaps[i].verdict == TV_RECEIVE_FAIL)
            assert_int_equal(error.status, TROVE_INVALID_ARGUMENT);
    }
}

/* A gap among late copies is drained, but only one that can be there. */
static void judges_gaps_while_a_chunk_is_to_come_again(void **state) {
    (void)state;
    go_to(DRAINED);
    assert_int_equal(gap(1, 1, 300, 10), TV_RECEIVE_DRAIN);
    go_to(DRAINED);
    struct tv_gap_in future = {.first_index = 1, .count = 1, .offset = 300, .length = 10, .generation = 1};
    assert_int_equal(tv_receiver_gap(&receiver, &future, &error), TV_RECEIVE_FAIL);
    assert_non_null(strstr(error.message, "seek 1"));
    go_to(DRAINED); /* the sender doesn't know yet that it wasn't taken, so it can't have lost it since */
    assert_int_equal(gap(0, 1, 0, 300), TV_RECEIVE_FAIL);
    expect_ack(0, 1, true);
    go_to(ASKED);
    assert_int_equal(gap(0, 1, 0, 300), TV_RECEIVE_TAKE);
    expect_no_ack();
}

static void a_gap_is_acknowledged_with_its_neighbours(void **state) {
    (void)state;
    fresh(1000);
    assert_int_equal(feed_whole(0, 0, 100), TV_RECEIVE_TAKE);
    assert_int_equal(gap(1, 2, 100, 50), TV_RECEIVE_TAKE);
    assert_int_equal(feed_whole(3, 150, 100), TV_RECEIVE_TAKE);
    assert_int_equal(receiver.outstanding_bytes, 800); /* it takes no credit */
    tv_receiver_taken(&receiver, 100, true);
    tv_receiver_gap_taken(&receiver, 2, 50);
    tv_receiver_taken(&receiver, 100, true);
    expect_ack(0, 4, false);
    expect_no_ack();
    assert_int_equal(receiver.taken_offset, 250);
    assert_int_equal(receiver.lost_bytes, 50);
}

static void gaps_among_late_copies_are_passed_over(void **state) {
    (void)state;
    fresh(100);
    (void)tv_receiver_expire(&receiver);
    assert_int_equal(feed_whole(0, 0, 50), TV_RECEIVE_DRAIN);
    assert_int_equal(gap(1, 1, 50, 10), TV_RECEIVE_DRAIN);
    assert_int_equal(feed_whole(2, 60, 50), TV_RECEIVE_DRAIN);
    expect_ack(0, 1, true);
    assert_int_equal(gap(3, 1, 110, 10), TV_RECEIVE_DRAIN);
    tv_receiver_grant(&receiver, 100);
    assert_int_equal(gap(0, 2, 0, 60), TV_RECEIVE_TAKE); /* the sender has lost the one that was asked for */
    assert_int_equal(feed_whole(2, 60, 50), TV_RECEIVE_TAKE);
}

static void a_seek_forgets_what_was_not_acknowledged(void **state) {
    (void)state;
    fresh(1000);
    assert_int_equal(feed_whole(0, 0, 100), TV_RECEIVE_TAKE);
    assert_int_equal(feed_whole(1, 100, 100), TV_RECEIVE_TAKE);
    tv_receiver_taken(&receiver, 100, true);
    expect_ack(0, 1, false);
    tv_receiver_taken(&receiver, 100, true); /* taken, and the sender doesn't know */
    assert_int_equal(feed(2, 200, 500, 0, 200), TV_RECEIVE_TAKE);
    assert_int_equal(tv_receiver_seek(&receiver, 5000, 1), 100);
    expect_no_ack();
    assert_int_equal(receiver.outstanding_bytes, 800);
    assert_int_equal(receiver.held_bytes, 0);
    assert_int_equal(feed(2, 400, 500, 200, 300), TV_RECEIVE_DRAIN); /* from before it */
    struct tv_fragment_in first = piece(0, 5000, 100, 0, 100);
    first.generation = 1;
    assert_int_equal(tv_receiver_fragment(&receiver, &first, &error), TV_RECEIVE_TAKE);
    assert_int_equal(receiver.outstanding_bytes, 700);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_fragments),
        cmocka_unit_test(a_stream_from_end_to_end),
        cmocka_unit_test(an_empty_object_is_one_empty_chunk),
        cmocka_unit_test(a_grant_expires_while_chunks_are_under_way),
        cmocka_unit_test(a_newer_grant_carries_what_was_begun_on_the_old),
        cmocka_unit_test(expired_credit_does_not_last),
        cmocka_unit_test(a_declined_chunk_of_several_fragments),
        cmocka_unit_test(a_declined_final_chunk),
        cmocka_unit_test(a_late_copy_is_broken_off),
        cmocka_unit_test(an_aborted_chunk_goes_on_as_another),
        cmocka_unit_test(an_aborted_chunk_that_was_drained),
        cmocka_unit_test(an_aborted_chunk_that_was_drained_goes_on),
        cmocka_unit_test(judges_gaps),
        cmocka_unit_test(judges_gaps_while_a_chunk_is_to_come_again),
        cmocka_unit_test(a_gap_is_acknowledged_with_its_neighbours),
        cmocka_unit_test(gaps_among_late_copies_are_passed_over),
        cmocka_unit_test(a_seek_forgets_what_was_not_acknowledged),
    };
    return cmocka_run_group_tests_name("receiver", tests, NULL, NULL);
}
