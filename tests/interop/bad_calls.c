/* bad_calls.c - unary calls and opens that fail alone: the connection goes on. See bad_input.h. */
#include "bad_input.h"

static char long_key[1026]; /* 1,025 bytes */

static const char *key_of_1025(void) {
    memset(long_key, 'k', sizeof long_key - 1);
    return long_key;
}

/* ---- methods and requests ---- */

static uint64_t call_unknown_method(struct raw_client *client) {
    return raw_call(client, "trove.v1.Objects/Explode", NULL);
}

static uint64_t call_unknown_service(struct raw_client *client) {
    return raw_call(client, "trove.v2.Objects/Head", NULL);
}

static uint64_t call_nonsense(struct raw_client *client) {
    return raw_call(client, "nonsense", NULL);
}

static uint64_t call_nothing(struct raw_client *client) {
    return raw_call(client, "", NULL);
}

static uint64_t call_transfer(struct raw_client *client) {
    return raw_call(client, "trove.v1.Transfer/Stream", NULL);
}

static uint64_t call_with_garbage(struct raw_client *client) {
    return raw_call_bytes(client, "trove.v1.Objects/Head", "\xFF\xFF\xFF", 3);
}

static uint64_t call_with_half(struct raw_client *client) {
    return raw_call_bytes(client, "trove.v1.Objects/Head", "\x0A\x05kep", 5);
}

static uint64_t call_with_invalid_utf8(struct raw_client *client) {
    return raw_call_bytes(client, "trove.v1.Buckets/Create", "\x0A\x05\x62\xC0\xAF\x62\x62", 7);
}

static uint64_t call_with_nul(struct raw_client *client) {
    return raw_call_bytes(client, "trove.v1.Objects/Head", "\x0A\x03\x62\x61\x64\x12\x06kept\0x", 13);
}

static uint64_t call_with_large_request(struct raw_client *client) {
    return raw_call_bytes(client, "trove.v1.Server/Echo", bad_bytes, 262145);
}

static uint64_t call_with_bomb(struct raw_client *client) {
    uint8_t *bomb = malloc(200001);
    assert_non_null(bomb);
    for (size_t i = 0; i < 200001; i += 3)
        memcpy(bomb + i, "\xC0\x3E\x00", 3); /* field 1000 = 0 */
    uint64_t id = raw_call_bytes(client, "trove.v1.Server/Echo", bomb, 200001);
    free(bomb);
    return id;
}

static uint64_t call_with_bomb_on_worker(struct raw_client *client) {
    uint8_t *bomb = malloc(240000);
    assert_non_null(bomb);
    for (size_t i = 0; i < 240000; i += 3)
        memcpy(bomb + i, "\xC0\x3E\x00", 3);
    uint64_t id = raw_call_bytes(client, "trove.v1.Objects/Head", bomb, 240000);
    free(bomb);
    return id;
}

static uint64_t echo_too_much(struct raw_client *client) {
    Trove__V1__EchoRequest request = TROVE__V1__ECHO_REQUEST__INIT;
    request.data.data = bad_bytes;
    request.data.len = 65537;
    return raw_call(client, "trove.v1.Server/Echo", &request.base);
}

/* ---- names ---- */

static uint64_t create_bucket(struct raw_client *client, const char *name) {
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = raw_text(name);
    return raw_call(client, "trove.v1.Buckets/Create", &request.base);
}

static uint64_t create_bad_bucket(struct raw_client *client) {
    return create_bucket(client, "No_Such.Name");
}

/* 22 characters of three octets: where a message repeats 64 octets of it, a character is cut in two. */
static uint64_t create_bucket_of_66(struct raw_client *client) {
    char name[67] = "";
    for (unsigned i = 0; i < 22; i++)
        strcat(name, "\xE9\x9B\xAA");
    return create_bucket(client, name);
}

static uint64_t create_nameless_bucket(struct raw_client *client) {
    return create_bucket(client, "");
}

static uint64_t create_bucket_again(struct raw_client *client) {
    return create_bucket(client, "bad");
}

static uint64_t delete_full_bucket(struct raw_client *client) {
    Trove__V1__BucketDeleteRequest request = TROVE__V1__BUCKET_DELETE_REQUEST__INIT;
    request.bucket = raw_text("bad");
    return raw_call(client, "trove.v1.Buckets/Delete", &request.base);
}

static uint64_t list(struct raw_client *client, const char *bucket, const char *cursor, uint32_t limit) {
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text(bucket);
    request.cursor.data = (uint8_t *)(uintptr_t)cursor;
    request.cursor.len = strlen(cursor);
    request.limit = limit;
    return raw_call(client, "trove.v1.Objects/List", &request.base);
}

static uint64_t list_missing_bucket(struct raw_client *client) {
    return list(client, "missing", "", 0);
}

static uint64_t list_1001(struct raw_client *client) {
    return list(client, "bad", "", 1001);
}

static uint64_t list_bad_cursor(struct raw_client *client) {
    return list(client, "bad", "\xFF\xFE", 0);
}

static uint64_t list_long_prefix(struct raw_client *client) {
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = raw_text("bad");
    request.prefix = raw_text(key_of_1025());
    return raw_call(client, "trove.v1.Objects/List", &request.base);
}

static uint64_t list_long_delimiter(struct raw_client *client) {
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    char delimiter[66];
    memset(delimiter, '/', 65);
    delimiter[65] = '\0';
    request.bucket = raw_text("bad");
    request.delimiter = delimiter;
    return raw_call(client, "trove.v1.Objects/List", &request.base);
}

static uint64_t scrub(struct raw_client *client, const char *bucket, const char *cursor, size_t cursor_bytes,
                      uint32_t budget_ms) {
    Trove__V1__ScrubRequest request = TROVE__V1__SCRUB_REQUEST__INIT;
    request.bucket = raw_text(bucket);
    request.cursor.data = (uint8_t *)(uintptr_t)cursor;
    request.cursor.len = cursor_bytes;
    request.budget_ms = budget_ms;
    return raw_call(client, "trove.v1.Admin/Scrub", &request.base);
}

static uint64_t scrub_missing_bucket(struct raw_client *client) {
    return scrub(client, "missing", "", 0, 1);
}

static uint64_t scrub_long_budget(struct raw_client *client) {
    return scrub(client, "bad", "", 0, 10001);
}

static uint64_t scrub_short_cursor(struct raw_client *client) {
    return scrub(client, "bad", "\1generation", 11, 1);
}

static uint64_t scrub_cursor_inside_a_block(struct raw_client *client) {
    return scrub(client, "bad", "\1\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0kept", 21, 1);
}

static uint64_t scrub_cursor_with_a_nul(struct raw_client *client) {
    return scrub(client, "bad", "\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0ke\0t", 21, 1);
}

static uint64_t head(struct raw_client *client, const char *bucket, const char *key) {
    Trove__V1__ObjectHeadRequest request = TROVE__V1__OBJECT_HEAD_REQUEST__INIT;
    request.bucket = raw_text(bucket);
    request.key = raw_text(key);
    return raw_call(client, "trove.v1.Objects/Head", &request.base);
}

static uint64_t head_missing_bucket(struct raw_client *client) {
    return head(client, "missing", "key");
}

static uint64_t head_missing_key(struct raw_client *client) {
    return head(client, "bad", "nowhere");
}

static uint64_t head_long_key(struct raw_client *client) {
    return head(client, "bad", key_of_1025());
}

static uint64_t head_no_key(struct raw_client *client) {
    return head(client, "bad", "");
}

/* ---- opens ---- */

static uint64_t open_with(struct raw_client *client, const char *bucket, const char *key, bool upload) {
    Trove__V1__Open open;
    raw_init_open(&open, bucket, key, upload);
    return raw_open_stream(client, &open);
}

static uint64_t open_missing_bucket(struct raw_client *client) {
    return open_with(client, "missing", "key", true);
}

static uint64_t open_bad_bucket(struct raw_client *client) {
    return open_with(client, "../etc", "key", true);
}

static uint64_t open_long_key(struct raw_client *client) {
    return open_with(client, "bad", key_of_1025(), true);
}

static uint64_t get_missing_key(struct raw_client *client) {
    return open_with(client, "bad", "nowhere", false);
}

static uint64_t get_missing_bucket(struct raw_client *client) {
    return open_with(client, "missing", "kept", false);
}

static uint64_t open_without_direction(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.direction = TROVE__V1__DIRECTION__DIRECTION_UNSPECIFIED;
    return raw_open_stream(client, &open);
}

static uint64_t open_resumable(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.resumable = true;
    return raw_open_stream(client, &open);
}

static uint64_t open_huge_chunks(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.chunk_bytes = ((uint64_t)64 << 20) + 1;
    return raw_open_stream(client, &open);
}

static uint64_t open_chunks_beyond_budget(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.chunk_bytes = ((uint64_t)4 << 20) + 1;
    return raw_open_stream(client, &open);
}

static uint64_t open_long_channel(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.channel_chunks = 1025;
    return raw_open_stream(client, &open);
}

static uint64_t open_unknown_pool(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.pool = raw_text("swimming");
    return raw_open_stream(client, &open);
}

static uint64_t open_bad_content_type(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.content_type = raw_text("text/plain\r\nX-Evil: 1");
    return raw_open_stream(client, &open);
}

static uint64_t open_with_entries(struct raw_client *client, size_t count, size_t value_bytes, bool same) {
    static Trove__V1__Entry entries[65];
    Trove__V1__Entry *entry_list[65];
    static char names[65][16];
    static char value[9000];
    Trove__V1__Open open;
    memset(value, 'v', value_bytes);
    value[value_bytes] = '\0';
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "name%zu", same ? 0 : i);
        trove__v1__entry__init(&entries[i]);
        entries[i].key = names[i];
        entries[i].value = value;
        entry_list[i] = &entries[i];
    }
    raw_init_open(&open, "bad", "never stored", true);
    open.n_metadata = count;
    open.metadata = entry_list;
    return raw_open_stream(client, &open);
}

static uint64_t open_with_65_entries(struct raw_client *client) {
    return open_with_entries(client, 65, 1, false);
}

static uint64_t open_with_long_entry(struct raw_client *client) {
    return open_with_entries(client, 1, 8192, false);
}

static uint64_t open_with_entry_twice(struct raw_client *client) {
    return open_with_entries(client, 2, 1, true);
}

static uint64_t open_beyond_end(struct raw_client *client) {
    Trove__V1__Open open;
    Trove__V1__ByteRange range = TROVE__V1__BYTE_RANGE__INIT;
    raw_init_open(&open, "bad", "kept", false);
    range.offset = BAD_KEPT_BYTES + 1;
    open.range = &range;
    return raw_open_stream(client, &open);
}

static uint64_t open_if_none(struct raw_client *client) {
    Trove__V1__Open open;
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    raw_init_open(&open, "bad", "kept", true);
    conditions.if_none_match = true;
    open.conditions = &conditions;
    return raw_open_stream(client, &open);
}

static uint64_t get_if_match(struct raw_client *client) {
    Trove__V1__Open open;
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    raw_init_open(&open, "bad", "kept", false);
    conditions.if_match = raw_text("00000000000000000000000000000000");
    open.conditions = &conditions;
    return raw_open_stream(client, &open);
}

static uint64_t delete_if(struct raw_client *client, Trove__V1__Conditions *conditions) {
    Trove__V1__ObjectDeleteRequest request = TROVE__V1__OBJECT_DELETE_REQUEST__INIT;
    request.bucket = raw_text("bad");
    request.key = raw_text("kept");
    request.conditions = conditions;
    return raw_call(client, "trove.v1.Objects/Delete", &request.base);
}

static uint64_t delete_if_match(struct raw_client *client) {
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    conditions.if_match = raw_text("00000000000000000000000000000000");
    return delete_if(client, &conditions);
}

static uint64_t delete_if_generation(struct raw_client *client) {
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    conditions.if_generation = UINT64_MAX;
    return delete_if(client, &conditions);
}

static uint64_t delete_if_none(struct raw_client *client) {
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    conditions.if_none_match = true;
    return delete_if(client, &conditions);
}

static uint64_t copy_if(struct raw_client *client, const char *to_key, Trove__V1__Conditions *conditions) {
    Trove__V1__ObjectCopyRequest request = TROVE__V1__OBJECT_COPY_REQUEST__INIT;
    request.from_bucket = request.to_bucket = raw_text("bad");
    request.from_key = raw_text("kept");
    request.to_key = raw_text(to_key);
    request.conditions = conditions;
    return raw_call(client, "trove.v1.Objects/Copy", &request.base);
}

static uint64_t copy_if_none(struct raw_client *client) {
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    conditions.if_none_match = true;
    return copy_if(client, "kept", &conditions);
}

/* An etag that is none matches nothing, however it begins. */
static uint64_t copy_if_match(struct raw_client *client) {
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    conditions.if_match = raw_text(key_of_1025());
    return copy_if(client, "kept", &conditions);
}

static uint64_t copy_if_it_is_there(struct raw_client *client) {
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    conditions.if_generation = 1;
    return copy_if(client, "not there", &conditions);
}

/* ---- inline objects ---- */

static uint64_t put_inline(struct raw_client *client, Trove__V1__Open *open, size_t count, uint64_t damage) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    frame.call_id = raw_new_id(client);
    open->inline_checksum_given_case = TROVE__V1__OPEN__INLINE_CHECKSUM_GIVEN_INLINE_CHECKSUM;
    open->inline_checksum = stock_chunk_checksum(frame.call_id, 0, 0, bad_bytes, count) ^ damage;
    frame.body_case = RAW_BODY(OPEN);
    frame.open = open;
    frame.payload.data = bad_bytes;
    frame.payload.len = count;
    raw_send(client, &frame);
    return frame.call_id;
}

static uint64_t inline_damaged(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    return put_inline(client, &open, 100, 1);
}

static uint64_t inline_too_large(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    return put_inline(client, &open, 65537, 0);
}

static uint64_t inline_wrong_size(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    open.size_given_case = TROVE__V1__OPEN__SIZE_GIVEN_SIZE;
    open.size = 101;
    return put_inline(client, &open, 100, 0);
}

static uint64_t inline_missing_bucket(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "missing", "never stored", true);
    return put_inline(client, &open, 100, 0);
}

static uint64_t inline_long_key(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", key_of_1025(), true);
    return put_inline(client, &open, 100, 0);
}

static uint64_t inline_download(struct raw_client *client) {
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "kept", false);
    return put_inline(client, &open, 100, 0);
}

static uint64_t inline_if_none(struct raw_client *client) {
    Trove__V1__Open open;
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    raw_init_open(&open, "bad", "kept", true);
    conditions.if_none_match = true;
    open.conditions = &conditions;
    return put_inline(client, &open, 100, 0);
}

static uint64_t open_with_payload(struct raw_client *client) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open;
    raw_init_open(&open, "bad", "never stored", true);
    frame.call_id = raw_new_id(client);
    frame.body_case = RAW_BODY(OPEN);
    frame.open = &open;
    frame.payload.data = bad_bytes;
    frame.payload.len = 100;
    raw_send(client, &frame);
    return frame.call_id;
}

#define CODE(name) TROVE__V1__CODE__##name

const struct bad_case bad_call_cases[] = {
    {"unknown method", BAD_WELCOMED, call_unknown_method, CODE(UNIMPLEMENTED), "trove.v1.Objects/Explode"},
    {"unknown service", BAD_WELCOMED, call_unknown_service, CODE(UNIMPLEMENTED), "trove.v2.Objects/Head"},
    {"malformed method", BAD_WELCOMED, call_nonsense, CODE(INVALID_ARGUMENT), "nonsense"},
    {"no method", BAD_WELCOMED, call_nothing, CODE(INVALID_ARGUMENT), "method"},
    {"streaming method as a call", BAD_WELCOMED, call_transfer, CODE(UNIMPLEMENTED), "Transfer/Stream"},
    {"request of garbage", BAD_WELCOMED, call_with_garbage, CODE(INVALID_ARGUMENT), "malformed"},
    {"half a request", BAD_WELCOMED, call_with_half, CODE(INVALID_ARGUMENT), "malformed"},
    {"request with invalid UTF-8", BAD_WELCOMED, call_with_invalid_utf8, CODE(INVALID_ARGUMENT), "UTF-8"},
    {"request with NUL", BAD_WELCOMED, call_with_nul, CODE(INVALID_ARGUMENT), "\"key\""},
    {"large request", BAD_WELCOMED, call_with_large_request, CODE(RESOURCE_EXHAUSTED), "262145"},
    {"request that unpacks to much", BAD_WELCOMED, call_with_bomb, CODE(INVALID_ARGUMENT), "would unpack to more"},
    {"the same on a worker", BAD_WELCOMED, call_with_bomb_on_worker, CODE(INVALID_ARGUMENT), "would unpack to more"},
    {"echo of too much", BAD_WELCOMED, echo_too_much, CODE(INVALID_ARGUMENT), "65537"},
    {"bad bucket name", BAD_WELCOMED, create_bad_bucket, CODE(INVALID_ARGUMENT), "No_Such.Name"},
    {"bucket name of 22 long characters", BAD_WELCOMED, create_bucket_of_66, CODE(INVALID_ARGUMENT), "66"},
    {"no bucket name", BAD_WELCOMED, create_nameless_bucket, CODE(INVALID_ARGUMENT), "bucket name"},
    {"bucket exists", BAD_WELCOMED, create_bucket_again, CODE(ALREADY_EXISTS), "bad"},
    {"bucket isn't empty", BAD_WELCOMED, delete_full_bucket, CODE(FAILED_PRECONDITION), "bad"},
    {"list of a missing bucket", BAD_WELCOMED, list_missing_bucket, CODE(NOT_FOUND), "missing"},
    {"list with a large limit", BAD_WELCOMED, list_1001, CODE(INVALID_ARGUMENT), "1001"},
    {"list with a bad cursor", BAD_WELCOMED, list_bad_cursor, CODE(INVALID_ARGUMENT), "cursor"},
    {"scrub a missing bucket", BAD_WELCOMED, scrub_missing_bucket, CODE(NOT_FOUND), "missing"},
    {"scrub with a long budget", BAD_WELCOMED, scrub_long_budget, CODE(INVALID_ARGUMENT), "10001"},
    {"scrub with a short cursor", BAD_WELCOMED, scrub_short_cursor, CODE(INVALID_ARGUMENT), "cursor"},
    {"scrub inside a block", BAD_WELCOMED, scrub_cursor_inside_a_block, CODE(INVALID_ARGUMENT), "cursor"},
    {"scrub a key with a NUL", BAD_WELCOMED, scrub_cursor_with_a_nul, CODE(INVALID_ARGUMENT), "cursor"},
    {"list with a long prefix", BAD_WELCOMED, list_long_prefix, CODE(INVALID_ARGUMENT), "1025"},
    {"list with a long delimiter", BAD_WELCOMED, list_long_delimiter, CODE(INVALID_ARGUMENT), "65"},
    {"head in a missing bucket", BAD_WELCOMED, head_missing_bucket, CODE(NOT_FOUND), "missing"},
    {"head of a missing key", BAD_WELCOMED, head_missing_key, CODE(NOT_FOUND), "nowhere"},
    {"key too long", BAD_WELCOMED, head_long_key, CODE(INVALID_ARGUMENT), "1025"},
    {"no key", BAD_WELCOMED, head_no_key, CODE(INVALID_ARGUMENT), "key is empty"},
    {"upload to a missing bucket", BAD_WELCOMED, open_missing_bucket, CODE(NOT_FOUND), "missing"},
    {"upload to a bad bucket name", BAD_WELCOMED, open_bad_bucket, CODE(INVALID_ARGUMENT), "../etc"},
    {"upload with a long key", BAD_WELCOMED, open_long_key, CODE(INVALID_ARGUMENT), "1025"},
    {"download of a missing key", BAD_WELCOMED, get_missing_key, CODE(NOT_FOUND), "nowhere"},
    {"download from a missing bucket", BAD_WELCOMED, get_missing_bucket, CODE(NOT_FOUND), "missing"},
    {"open without direction", BAD_WELCOMED, open_without_direction, CODE(INVALID_ARGUMENT), "direction"},
    {"resumable upload without a request id", BAD_WELCOMED, open_resumable, CODE(INVALID_ARGUMENT), "request id"},
    {"huge chunks", BAD_WELCOMED, open_huge_chunks, CODE(INVALID_ARGUMENT), "67108865"},
    {"chunks beyond the budget", BAD_WELCOMED, open_chunks_beyond_budget, CODE(RESOURCE_EXHAUSTED), "4194305"},
    {"long channel", BAD_WELCOMED, open_long_channel, CODE(INVALID_ARGUMENT), "1025"},
    {"unknown pool", BAD_WELCOMED, open_unknown_pool, CODE(NOT_FOUND), "swimming"},
    {"bad content type", BAD_WELCOMED, open_bad_content_type, CODE(INVALID_ARGUMENT), "content type"},
    {"65 metadata entries", BAD_WELCOMED, open_with_65_entries, CODE(INVALID_ARGUMENT), "65"},
    {"long metadata", BAD_WELCOMED, open_with_long_entry, CODE(INVALID_ARGUMENT), "8192"},
    {"metadata twice", BAD_WELCOMED, open_with_entry_twice, CODE(INVALID_ARGUMENT), "name0"},
    {"range beyond the end", BAD_WELCOMED, open_beyond_end, CODE(OUT_OF_RANGE), "1001"},
    {"upload if there is none", BAD_WELCOMED, open_if_none, CODE(FAILED_PRECONDITION), "kept"},
    {"download if it matches", BAD_WELCOMED, get_if_match, CODE(FAILED_PRECONDITION), "kept"},
    {"delete if it matches", BAD_WELCOMED, delete_if_match, CODE(FAILED_PRECONDITION), "bad/kept has the etag"},
    {"delete of a generation", BAD_WELCOMED, delete_if_generation, CODE(FAILED_PRECONDITION), "bad/kept has generation"},
    {"delete if there is none", BAD_WELCOMED, delete_if_none, CODE(FAILED_PRECONDITION), "bad/kept exists"},
    {"copy if there is none", BAD_WELCOMED, copy_if_none, CODE(FAILED_PRECONDITION), "bad/kept exists"},
    {"copy if it matches", BAD_WELCOMED, copy_if_match, CODE(FAILED_PRECONDITION), "bad/kept has the etag"},
    {"copy onto what isn't there", BAD_WELCOMED, copy_if_it_is_there, CODE(FAILED_PRECONDITION), "not there doesn't exist"},
    {"damaged inline object", BAD_WELCOMED, inline_damaged, CODE(DATA_LOSS), "checksum"},
    {"large inline object", BAD_WELCOMED, inline_too_large, CODE(INVALID_ARGUMENT), "65537"},
    {"inline object of another size", BAD_WELCOMED, inline_wrong_size, CODE(INVALID_ARGUMENT), "101"},
    {"inline object in a missing bucket", BAD_WELCOMED, inline_missing_bucket, CODE(NOT_FOUND), "missing"},
    {"inline object with a long key", BAD_WELCOMED, inline_long_key, CODE(INVALID_ARGUMENT), "1025"},
    {"inline download", BAD_WELCOMED, inline_download, CODE(INVALID_ARGUMENT), "inline"},
    {"inline object if there is none", BAD_WELCOMED, inline_if_none, CODE(FAILED_PRECONDITION), "kept"},
    {"open with a payload", BAD_WELCOMED, open_with_payload, CODE(INVALID_ARGUMENT), "inline_checksum"},
    {.name = NULL},
};
