/* bad_streams.c - frames for streams that end their stream, and only that. See bad_input.h. */
#include "bad_input.h"

/* A good first chunk of 1,000 bytes. */
static uint64_t begun_upload(struct raw_client *client) {
    Trove__V1__Chunk chunk;
    uint64_t id = raw_upload(client);
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 1000);
    raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    return id;
}

/* ---- calls that aren't there ---- */

static uint64_t chunk_without_open(struct raw_client *client) {
    Trove__V1__Chunk chunk;
    uint64_t id = raw_new_id(client);
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 1000);
    raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    return id;
}

static uint64_t complete_without_open(struct raw_client *client) {
    uint64_t id = raw_new_id(client);
    raw_send_complete(client, id, 0, 0);
    return id;
}

static uint64_t control_without_open(struct raw_client *client) {
    uint64_t id = raw_new_id(client);
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__PAUSE, 1);
    return id;
}

static uint64_t duplicate_open(struct raw_client *client) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open;
    uint64_t id = begun_upload(client);
    raw_init_open(&open, "bad", "never stored", true);
    frame.call_id = id;
    frame.body_case = RAW_BODY(OPEN);
    frame.open = &open;
    raw_send(client, &frame);
    return id;
}

static uint64_t duplicate_call(struct raw_client *client) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Call call = TROVE__V1__CALL__INIT;
    uint64_t id = raw_upload(client);
    call.method = raw_text("trove.v1.Server/Health");
    frame.call_id = id;
    frame.body_case = RAW_BODY(CALL);
    frame.call = &call;
    raw_send(client, &frame);
    return id;
}

/* ---- chunks ---- */

/* The next chunk after a good one; `spoil` changes what is wrong with it. */
static uint64_t second_chunk(struct raw_client *client, void (*spoil)(Trove__V1__Chunk *chunk), uint64_t index, uint64_t offset,
                             size_t count) {
    Trove__V1__Chunk chunk;
    uint64_t id = begun_upload(client);
    raw_init_chunk(&chunk, id, index, offset, bad_bytes, count);
    if (spoil != NULL)
        spoil(&chunk);
    raw_send_chunk(client, id, &chunk, bad_bytes, count);
    return id;
}

static uint64_t chunk_index_ahead(struct raw_client *client) {
    return second_chunk(client, NULL, 2, 1000, 1000);
}

static uint64_t chunk_index_again(struct raw_client *client) {
    return second_chunk(client, NULL, 0, 1000, 1000);
}

static uint64_t chunk_offset_ahead(struct raw_client *client) {
    return second_chunk(client, NULL, 1, 1001, 1000);
}

static uint64_t chunk_offset_again(struct raw_client *client) {
    return second_chunk(client, NULL, 1, 0, 1000);
}

static uint64_t chunk_offset_huge(struct raw_client *client) {
    return second_chunk(client, NULL, 1, UINT64_MAX - 10, 1000);
}

static void damage(Trove__V1__Chunk *chunk) {
    chunk->checksum ^= 1;
}

static uint64_t chunk_damaged(struct raw_client *client) {
    return second_chunk(client, damage, 1, 1000, 1000);
}

/* The checksum covers where the bytes belong, too. */
static uint64_t chunk_of_another_call(struct raw_client *client) {
    Trove__V1__Chunk chunk;
    uint64_t id = begun_upload(client);
    raw_init_chunk(&chunk, id + 1, 1, 1000, bad_bytes, 1000);
    raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    return id;
}

static uint64_t chunk_larger_than_agreed(struct raw_client *client) {
    return second_chunk(client, NULL, 1, 1000, 1001);
}

static void shorten(Trove__V1__Chunk *chunk) {
    chunk->chunk_bytes = 999;
}

static uint64_t chunk_beyond_its_end(struct raw_client *client) {
    return second_chunk(client, shorten, 1, 1000, 1000);
}

static uint64_t chunk_empty(struct raw_client *client) {
    return second_chunk(client, NULL, 1, 1000, 0);
}

static void from_the_middle(Trove__V1__Chunk *chunk) {
    chunk->chunk_bytes = 1000;
    chunk->fragment_offset = 500;
}

static uint64_t chunk_from_the_middle(struct raw_client *client) {
    return second_chunk(client, from_the_middle, 1, 1000, 500);
}

static void overflow(Trove__V1__Chunk *chunk) {
    chunk->fragment_offset = UINT64_MAX - 99;
    chunk->chunk_bytes = 900;
}

static uint64_t chunk_overflow(struct raw_client *client) {
    return second_chunk(client, overflow, 1, 1000, 100);
}

static void after_seek(Trove__V1__Chunk *chunk) {
    chunk->generation = 1;
}

static uint64_t chunk_after_no_seek(struct raw_client *client) {
    return second_chunk(client, after_seek, 1, 1000, 1000);
}

static uint64_t chunk_grows(struct raw_client *client) {
    Trove__V1__Chunk chunk;
    uint64_t id = raw_upload(client);
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 400);
    chunk.chunk_bytes = 800;
    raw_send_chunk(client, id, &chunk, bad_bytes, 400);
    raw_init_chunk(&chunk, id, 0, 400, bad_bytes, 400);
    chunk.chunk_bytes = 900;
    chunk.fragment_offset = 400;
    raw_send_chunk(client, id, &chunk, bad_bytes, 400);
    return id;
}

static uint64_t chunk_after_final(struct raw_client *client) {
    Trove__V1__Chunk chunk;
    uint64_t id = raw_upload(client);
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 1000);
    chunk.final = true;
    raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    raw_init_chunk(&chunk, id, 1, 1000, bad_bytes, 1000);
    raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    return id;
}

/* Without any demand there is no credit. */
static uint64_t credit_ignored_at_once(struct raw_client *client) {
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    raw_init_open(&open, "bad", "never stored", true);
    open.demand = 0;
    uint64_t id = raw_opened_stream(client, &open);
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 1000);
    raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    return id;
}

/* Two chunks on the credit for one, in one write. With a demand of 1,000 bytes no more is ever granted than that at a time, but
 * the first may have been taken before the second comes: so it is paused first, and nothing is granted any more. */
static uint64_t credit_ignored(struct raw_client *client) {
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    raw_init_open(&open, "bad", "never stored", true);
    open.demand = 1000;
    uint64_t id = raw_opened_stream(client, &open);
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__PAUSE, 1);
    raw_frame *state = raw_receive(client);
    assert_non_null(state);
    assert_int_equal(state->body_case, RAW_BODY(STATE));
    assert_int_equal(state->state->state, TROVE__V1__STREAM_STATE__PAUSED);
    raw_free(state);
    for (uint64_t i = 0; i < 2; i++) {
        raw_init_chunk(&chunk, id, i, i * 1000, bad_bytes, 1000);
        raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    }
    return id;
}

/* ---- the end of an upload ---- */

static uint64_t complete_early(struct raw_client *client) {
    uint64_t id = begun_upload(client);
    raw_send_complete(client, id, 1000, 1);
    return id;
}

/* A whole upload of 1,000 bytes, with what is said about it at its end. */
static uint64_t finish_with(struct raw_client *client, uint64_t declared, uint64_t size, uint64_t chunks, const char *etag) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Complete complete = TROVE__V1__COMPLETE__INIT;
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    raw_init_open(&open, "bad", "never stored", true);
    open.size_given_case = TROVE__V1__OPEN__SIZE_GIVEN_SIZE;
    open.size = declared;
    uint64_t id = raw_opened_stream(client, &open);
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 1000);
    chunk.final = true;
    raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    complete.size = size;
    complete.chunks = chunks;
    complete.etag = raw_text(etag);
    frame.call_id = id;
    frame.body_case = RAW_BODY(COMPLETE);
    frame.complete = &complete;
    raw_send(client, &frame);
    return id;
}

static uint64_t complete_wrong_size(struct raw_client *client) {
    return finish_with(client, 1000, 1001, 1, "");
}

static uint64_t declared_wrong_size(struct raw_client *client) {
    return finish_with(client, 1002, 1000, 1, "");
}

static uint64_t complete_wrong_chunks(struct raw_client *client) {
    return finish_with(client, 1000, 1000, 2, "");
}

static uint64_t complete_wrong_etag(struct raw_client *client) {
    return finish_with(client, 1000, 1000, 1, "00112233445566778899aabbccddeeff");
}

static uint64_t complete_long_etag(struct raw_client *client) {
    return finish_with(client, 1000, 1000, 1, "00112233445566778899aabbccddeeff0");
}

static uint64_t abort_nothing(struct raw_client *client) {
    Trove__V1__ChunkAbort abort_chunk = TROVE__V1__CHUNK_ABORT__INIT;
    uint64_t id = begun_upload(client);
    abort_chunk.index = 1;
    raw_send_body(client, id, RAW_BODY(CHUNK_ABORT), &abort_chunk.base);
    return id;
}

/* ---- frames of the other direction or kind ---- */

static uint64_t ack_for_upload(struct raw_client *client) {
    Trove__V1__Ack ack = TROVE__V1__ACK__INIT;
    uint64_t id = raw_upload(client);
    raw_send_body(client, id, RAW_BODY(ACK), &ack.base);
    return id;
}

static uint64_t gap_for_upload(struct raw_client *client) {
    Trove__V1__Gap gap = TROVE__V1__GAP__INIT;
    uint64_t id = raw_upload(client);
    gap.count = 1;
    raw_send_body(client, id, RAW_BODY(GAP), &gap.base);
    return id;
}

static uint64_t gap_of_lossy(struct raw_client *client, uint64_t first_index, uint64_t count, uint64_t offset, uint64_t length) {
    Trove__V1__Open open;
    Trove__V1__Gap gap = TROVE__V1__GAP__INIT;
    raw_init_open(&open, "bad", "never stored", true);
    open.lossy = true;
    open.backpressure_given_case = TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE;
    open.backpressure = TROVE__V1__BACKPRESSURE__DROP;
    uint64_t id = raw_opened_stream(client, &open);
    gap.first_index = first_index;
    gap.count = count;
    gap.offset = offset;
    gap.length = length;
    raw_send_body(client, id, RAW_BODY(GAP), &gap.base);
    return id;
}

static uint64_t gap_elsewhere(struct raw_client *client) {
    return gap_of_lossy(client, 1, 1, 0, 1000);
}

static uint64_t gap_at_another_offset(struct raw_client *client) {
    return gap_of_lossy(client, 0, 1, 7, 1000);
}

static uint64_t gap_too_long(struct raw_client *client) {
    return gap_of_lossy(client, 0, 1, 0, 1001);
}

static uint64_t gap_beyond_any_object(struct raw_client *client) {
    return gap_of_lossy(client, 0, UINT64_MAX / 1000, 0, UINT64_MAX / 1000 * 1000);
}

static uint64_t jump_without_gap(struct raw_client *client) {
    Trove__V1__Open open;
    Trove__V1__Chunk chunk;
    uint8_t bytes[1000] = {0};
    raw_init_open(&open, "bad", "never stored", true);
    open.lossy = true;
    uint64_t id = raw_opened_stream(client, &open);
    raw_init_chunk(&chunk, id, 1, 1000, bytes, sizeof bytes);
    raw_send_chunk(client, id, &chunk, bytes, sizeof bytes);
    return id;
}

static uint64_t drop_without_lossy(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.backpressure_given_case = TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE;
    open.backpressure = TROVE__V1__BACKPRESSURE__DROP;
    return raw_open_stream(client, &open);
}

static uint64_t lossy_and_resumable(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.lossy = open.resumable = true;
    return raw_open_stream(client, &open);
}

static uint64_t status_for_upload(struct raw_client *client) {
    Trove__V1__Status status = TROVE__V1__STATUS__INIT;
    uint64_t id = raw_upload(client);
    status.code = 77;
    status.message = raw_text("enough");
    raw_send_body(client, id, RAW_BODY(STATUS), &status.base);
    return id;
}

/* ---- downloads ---- */

/* A download of "kept"; all its chunks have been sent where there is credit. */
static uint64_t download(struct raw_client *client, uint64_t credit) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "kept", false);
    open.credit = credit;
    uint64_t id = raw_open_stream(client, &open);
    raw_free(raw_expect(client, id, RAW_BODY(OPENED)));
    if (credit < BAD_KEPT_BYTES)
        return id;
    raw_free(raw_expect(client, id, RAW_BODY(CHUNK)));
    raw_free(raw_expect(client, id, RAW_BODY(COMPLETE)));
    return id;
}

static uint64_t send_ack(struct raw_client *client, uint64_t id, uint64_t first, uint64_t count, bool not_taken) {
    Trove__V1__Ack ack = TROVE__V1__ACK__INIT;
    Trove__V1__IndexRange range = TROVE__V1__INDEX_RANGE__INIT;
    Trove__V1__IndexRange *ranges[] = {&range};
    range.first = first;
    range.count = count;
    ack.n_ranges = 1;
    ack.ranges = ranges;
    ack.not_taken = not_taken;
    raw_send_body(client, id, RAW_BODY(ACK), &ack.base);
    return id;
}

static uint64_t ack_never_sent(struct raw_client *client) {
    return send_ack(client, download(client, 0), 0, 1, false);
}

static uint64_t ack_too_many(struct raw_client *client) {
    return send_ack(client, download(client, 1000), 0, 2, false);
}

static uint64_t ack_ahead(struct raw_client *client) {
    return send_ack(client, download(client, 1000), 1, 1, false);
}

static uint64_t ack_overflow(struct raw_client *client) {
    return send_ack(client, download(client, 1000), 0, UINT64_MAX, false);
}

static uint64_t not_taken_never_sent(struct raw_client *client) {
    return send_ack(client, download(client, 0), 0, 1, true);
}

static uint64_t completed_early(struct raw_client *client) {
    Trove__V1__Completed completed = TROVE__V1__COMPLETED__INIT;
    uint64_t id = download(client, 0);
    raw_send_body(client, id, RAW_BODY(COMPLETED), &completed.base);
    return id;
}

static uint64_t chunk_for_download(struct raw_client *client) {
    Trove__V1__Chunk chunk;
    uint64_t id = download(client, 0);
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 1000);
    raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    return id;
}

static uint64_t demand_for_download(struct raw_client *client) {
    Trove__V1__Demand demand = TROVE__V1__DEMAND__INIT;
    uint64_t id = download(client, 0);
    raw_send_body(client, id, RAW_BODY(DEMAND), &demand.base);
    return id;
}

static uint64_t complete_for_download(struct raw_client *client) {
    uint64_t id = download(client, 0);
    raw_send_complete(client, id, 0, 0);
    return id;
}

/* Credit, and what is taken back of it, add up to more than a number can hold; then an acknowledgement that can't be. */
static uint64_t credit_overflow(struct raw_client *client) {
    Trove__V1__Credit credit = TROVE__V1__CREDIT__INIT;
    uint64_t id = download(client, 0);
    credit.bytes = UINT64_MAX;
    raw_send_body(client, id, RAW_BODY(CREDIT), &credit.base);
    raw_send_body(client, id, RAW_BODY(CREDIT), &credit.base);
    raw_free(raw_expect(client, id, RAW_BODY(CHUNK)));
    raw_free(raw_expect(client, id, RAW_BODY(COMPLETE)));
    credit.bytes = 0;
    credit.expired = UINT64_MAX;
    raw_send_body(client, id, RAW_BODY(CREDIT), &credit.base);
    raw_send_body(client, id, RAW_BODY(CREDIT), &credit.base);
    return send_ack(client, id, 7, 1, false);
}

/* The same in the open itself. */
static uint64_t early_credit_overflow(struct raw_client *client) {
    return send_ack(client, download(client, UINT64_MAX), 7, 1, false);
}

/* What was announced as empty may be stored at the moment when a chunk comes after all. A pause holds it up until then. */
static uint64_t chunk_after_complete(struct raw_client *client) {
    Trove__V1__Chunk chunk;
    uint64_t id = raw_upload(client);
    raw_send_control(client, id, TROVE__V1__CONTROL_TYPE__PAUSE, 1);
    raw_frame *paused = raw_receive(client);
    assert_non_null(paused);
    assert_int_equal(paused->body_case, RAW_BODY(STATE));
    raw_free(paused);
    raw_send_complete(client, id, 0, 0);
    raw_init_chunk(&chunk, id, 0, 0, bad_bytes, 1000);
    raw_send_chunk(client, id, &chunk, bad_bytes, 1000);
    return id;
}

#define CODE(name) TROVE__V1__CODE__##name

const struct bad_case bad_stream_cases[] = {
    {"chunk without open", BAD_WELCOMED, chunk_without_open, CODE(INVALID_ARGUMENT), "never opened"},
    {"complete without open", BAD_WELCOMED, complete_without_open, CODE(INVALID_ARGUMENT), "never opened"},
    {"control without open", BAD_WELCOMED, control_without_open, CODE(INVALID_ARGUMENT), "never opened"},
    {"duplicate call id of an open", BAD_WELCOMED, duplicate_open, CODE(INVALID_ARGUMENT), "in use already"},
    {"duplicate call id of a call", BAD_WELCOMED, duplicate_call, CODE(INVALID_ARGUMENT), "in use already"},
    {"chunk index ahead", BAD_WELCOMED, chunk_index_ahead, CODE(INVALID_ARGUMENT), "out of order"},
    {"chunk index again", BAD_WELCOMED, chunk_index_again, CODE(INVALID_ARGUMENT), "out of order"},
    {"chunk offset ahead", BAD_WELCOMED, chunk_offset_ahead, CODE(INVALID_ARGUMENT), "out of order"},
    {"chunk offset again", BAD_WELCOMED, chunk_offset_again, CODE(INVALID_ARGUMENT), "out of order"},
    {"chunk offset beyond all", BAD_WELCOMED, chunk_offset_huge, CODE(INVALID_ARGUMENT), "beyond any object's end"},
    {"damaged chunk", BAD_WELCOMED, chunk_damaged, CODE(DATA_LOSS), "checksum"},
    {"chunk of another call", BAD_CHECKSUMS, chunk_of_another_call, CODE(DATA_LOSS), "checksum"},
    {"chunk larger than agreed", BAD_WELCOMED, chunk_larger_than_agreed, CODE(INVALID_ARGUMENT), "1001"},
    {"fragment beyond its chunk", BAD_WELCOMED, chunk_beyond_its_end, CODE(INVALID_ARGUMENT), "999"},
    {"empty chunk", BAD_WELCOMED, chunk_empty, CODE(INVALID_ARGUMENT), "only the last chunk may be empty"},
    {"chunk from its middle", BAD_WELCOMED, chunk_from_the_middle, CODE(INVALID_ARGUMENT), "out of order"},
    {"fragment that overflows", BAD_WELCOMED, chunk_overflow, CODE(INVALID_ARGUMENT), "beyond its end"},
    {"chunk after no seek", BAD_WELCOMED, chunk_after_no_seek, CODE(INVALID_ARGUMENT), "seek"},
    {"chunk that grows", BAD_WELCOMED, chunk_grows, CODE(INVALID_ARGUMENT), "900"},
    {"chunk after the final one", BAD_WELCOMED, chunk_after_final, CODE(INVALID_ARGUMENT), "final"},
    {"chunk after complete", BAD_WELCOMED, chunk_after_complete, CODE(INVALID_ARGUMENT), "after its complete"},
    {"no credit at all", BAD_WELCOMED, credit_ignored_at_once, CODE(RESOURCE_EXHAUSTED), "wait for credit"},
    {"more than the credit", BAD_WELCOMED, credit_ignored, CODE(RESOURCE_EXHAUSTED), "wait for credit"},
    {"complete before the final chunk", BAD_WELCOMED, complete_early, CODE(FAILED_PRECONDITION), "final chunk"},
    {"another size at the end", BAD_WELCOMED, complete_wrong_size, CODE(INVALID_ARGUMENT), "1001"},
    {"another size than declared", BAD_WELCOMED, declared_wrong_size, CODE(INVALID_ARGUMENT), "1002"},
    {"another number of chunks", BAD_WELCOMED, complete_wrong_chunks, CODE(INVALID_ARGUMENT), "2 chunks"},
    {"another etag", BAD_WELCOMED, complete_wrong_etag, CODE(DATA_LOSS), "00112233445566778899aabbccddeeff"},
    {"long etag", BAD_WELCOMED, complete_long_etag, CODE(INVALID_ARGUMENT), "33"},
    {"abort of no chunk", BAD_WELCOMED, abort_nothing, CODE(INVALID_ARGUMENT), "aborted"},
    {"acknowledgement for an upload", BAD_WELCOMED, ack_for_upload, CODE(INVALID_ARGUMENT), "direction"},
    {"gap for an upload", BAD_WELCOMED, gap_for_upload, CODE(INVALID_ARGUMENT), "lossy"},
    {"gap at another index", BAD_WELCOMED, gap_elsewhere, CODE(INVALID_ARGUMENT), "out of order"},
    {"gap at another offset", BAD_WELCOMED, gap_at_another_offset, CODE(INVALID_ARGUMENT), "out of order"},
    {"gap longer than its chunks", BAD_WELCOMED, gap_too_long, CODE(INVALID_ARGUMENT), "can't be"},
    {"gap beyond any object", BAD_WELCOMED, gap_beyond_any_object, CODE(INVALID_ARGUMENT), "can't be"},
    {"jump without a gap", BAD_WELCOMED, jump_without_gap, CODE(INVALID_ARGUMENT), "out of order"},
    {"drop without lossy", BAD_WELCOMED, drop_without_lossy, CODE(INVALID_ARGUMENT), "lossy"},
    {"lossy and resumable", BAD_WELCOMED, lossy_and_resumable, CODE(INVALID_ARGUMENT), "resumable"},
    {"unknown code", BAD_WELCOMED, status_for_upload, CODE(UNKNOWN), "enough"},
    {"acknowledgement for what was never sent", BAD_WELCOMED, ack_never_sent, CODE(INVALID_ARGUMENT), "acknowledged"},
    {"acknowledgement of too many", BAD_WELCOMED, ack_too_many, CODE(INVALID_ARGUMENT), "only 1 were sent"},
    {"acknowledgement ahead", BAD_WELCOMED, ack_ahead, CODE(INVALID_ARGUMENT), "oldest outstanding"},
    {"acknowledgement that overflows", BAD_WELCOMED, ack_overflow, CODE(INVALID_ARGUMENT), "acknowledged"},
    {"not taken what was never sent", BAD_WELCOMED, not_taken_never_sent, CODE(INVALID_ARGUMENT), "not taken"},
    {"completed before everything was sent", BAD_WELCOMED, completed_early, CODE(FAILED_PRECONDITION), "before everything"},
    {"chunk for a download", BAD_WELCOMED, chunk_for_download, CODE(INVALID_ARGUMENT), "download"},
    {"demand for a download", BAD_WELCOMED, demand_for_download, CODE(INVALID_ARGUMENT), "direction"},
    {"complete for a download", BAD_WELCOMED, complete_for_download, CODE(INVALID_ARGUMENT), "direction"},
    {"credit that overflows", BAD_WELCOMED, credit_overflow, CODE(INVALID_ARGUMENT), "acknowledged"},
    {"early credit that overflows", BAD_WELCOMED, early_credit_overflow, CODE(INVALID_ARGUMENT), "acknowledged"},
    {.name = NULL},
};
