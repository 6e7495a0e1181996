/* resumable.c - resumable uploads frame by frame, with both stores that have them: request ids, epochs, what is durable when, the
 * result told again, parking, expiry, and the calls on uploads.
 */
#include "resumable.h"

#include <sodium.h>

static struct resumable_server server;
static struct raw_client client;
static struct raw_client other; /* another connection */

static int begin(void **state) {
    (void)state;
    resumable_connect(&client, &server);
    resumable_connect(&other, &server);
    resumable_make_bucket(&client);
    return 0;
}

static int end(void **state) {
    (void)state;
    raw_close(&client);
    raw_close(&other);
    return 0;
}

static void a_request_id_again_is_the_same_upload(void **state) {
    struct resumable first, second;
    (void)state;
    resumable_begin(&first, &client, "again", 1);
    resumable_send_until(&first, 2, false);
    resumable_begin(&second, &other, "again", 1);
    assert_memory_equal(first.upload_id, second.upload_id, UPLOAD_ID_BYTES);
    assert_true(second.epoch > first.epoch);
    raw_expect_failure(&client, first.call_id, CODE(ABORTED), "attached elsewhere");
    resumable_send_until(&second, 3, true);
    resumable_send_complete(&second, NULL);
    resumable_expect_completed(&second, UINT64_C(3) * PIECE);
    resumable_check_object(&other, "again", UINT64_C(3) * PIECE);
}

static void attaching_fences_and_goes_on_at_the_durable_offset(void **state) {
    struct resumable first, second;
    (void)state;
    resumable_begin(&first, &client, "fenced", 2);
    resumable_send_until(&first, 2, false);
    uint64_t id = resumable_call_flush(&other, &first, first.epoch);
    raw_free(raw_expect(&other, id, RAW_BODY(STATUS)));
    resumable_await_durable(&first, UINT64_C(2) * PIECE);
    resumable_attach(&second, &other, "fenced", &first);
    assert_int_equal(second.epoch, first.epoch + 1);
    assert_int_equal(second.durable_offset, UINT64_C(2) * PIECE);
    raw_expect_failure(&client, first.call_id, CODE(ABORTED), "attached elsewhere");
    resumable_send_until(&second, 4, true);
    resumable_send_complete(&second, NULL);
    resumable_expect_completed(&second, UINT64_C(4) * PIECE);
    resumable_check_object(&client, "fenced", UINT64_C(4) * PIECE);
}

static void another_epoch_is_aborted(void **state) {
    struct resumable upload;
    (void)state;
    resumable_begin(&upload, &client, "stale", 3);
    resumable_send_control(&upload, TROVE__V1__CONTROL_TYPE__CANCEL, 0, upload.epoch + 1);
    raw_frame *frame = raw_expect(&client, upload.call_id, RAW_BODY(STATE));
    assert_non_null(frame->state->status);
    assert_int_equal(frame->state->status->code, CODE(ABORTED));
    assert_int_equal(frame->state->state, TROVE__V1__STREAM_STATE__ACTIVE);
    raw_free(frame);
    uint64_t id = resumable_call_flush(&other, &upload, upload.epoch + 1);
    raw_expect_failure(&other, id, CODE(ABORTED), "epoch");
    resumable_send_until(&upload, 1, false);
    resumable_send(&upload, false, upload.epoch + 1);
    raw_expect_failure(&client, upload.call_id, CODE(ABORTED), "epoch");
    resumable_await_parked(&client, &upload, PIECE);
}

static void the_result_is_told_again(void **state) {
    struct resumable upload;
    Trove__V1__Open open;
    (void)state;
    resumable_begin(&upload, &client, "result", 4);
    resumable_send_until(&upload, 2, true);
    resumable_send_complete(&upload, NULL);
    resumable_expect_completed(&upload, UINT64_C(2) * PIECE);
    for (int attaches = 0; attaches < 2; attaches++) {
        if (attaches)
            resumable_init_attach(&open, "result", &upload);
        else
            resumable_init_open(&open, "result", 4);
        uint64_t id = raw_open_stream(&other, &open);
        raw_frame *frame = raw_expect(&other, id, RAW_BODY(OPENED));
        assert_non_null(frame->opened->completed);
        assert_int_equal(frame->opened->completed->size, UINT64_C(2) * PIECE);
        raw_free(frame);
        frame = raw_expect(&other, id, RAW_BODY(COMPLETED));
        assert_int_equal(frame->completed->object->size, UINT64_C(2) * PIECE);
        raw_free(frame);
    }
    Trove__V1__UploadAttachResponse *status = resumable_status(&client, &upload);
    assert_non_null(status);
    assert_non_null(status->upload->completed);
    protobuf_c_message_free_unpacked(&status->base, NULL);
}

static void a_lost_connection_parks(void **state) {
    struct resumable upload, next;
    (void)state;
    resumable_begin(&upload, &client, "lost", 5);
    resumable_send_until(&upload, 3, false);
    raw_close(&client);
    resumable_await_parked(&other, &upload, UINT64_C(3) * PIECE);
    resumable_connect(&client, &server);
    resumable_attach(&next, &client, "lost", &upload);
    assert_int_equal(next.durable_offset, UINT64_C(3) * PIECE);
    /* All was there already: nothing is left to be sent but that. */
    resumable_send_complete(&next, NULL);
    resumable_expect_completed(&next, UINT64_C(3) * PIECE);
    resumable_check_object(&client, "lost", UINT64_C(3) * PIECE);
}

static void failing_parks_and_cancelling_aborts(void **state) {
    struct resumable upload, next;
    (void)state;
    resumable_begin(&upload, &client, "given up", 6);
    resumable_send_until(&upload, 2, false);
    resumable_send_control(&upload, TROVE__V1__CONTROL_TYPE__FAIL, 0, upload.epoch);
    raw_free(raw_expect(&client, upload.call_id, RAW_BODY(STATE)));
    raw_expect_failure(&client, upload.call_id, CODE(ABORTED), "given up");
    resumable_await_parked(&other, &upload, UINT64_C(2) * PIECE);
    resumable_attach(&next, &client, "given up", &upload);
    resumable_send_control(&next, TROVE__V1__CONTROL_TYPE__CANCEL, 0, next.epoch);
    raw_free(raw_expect(&client, next.call_id, RAW_BODY(STATE)));
    raw_expect_failure(&client, next.call_id, CODE(CANCELLED), "cancelled");
    resumable_await_gone(&other, &upload);
}

static void aborting_ends_the_stream(void **state) {
    struct resumable upload;
    Trove__V1__UploadAbortRequest request = TROVE__V1__UPLOAD_ABORT_REQUEST__INIT;
    Trove__V1__Open open;
    (void)state;
    resumable_begin(&upload, &client, "aborted", 7);
    resumable_send_until(&upload, 1, false);
    request.upload_id.data = upload.upload_id;
    request.upload_id.len = UPLOAD_ID_BYTES;
    uint64_t id = raw_call(&other, "trove.v1.Uploads/Abort", &request.base);
    protobuf_c_message_free_unpacked(raw_answer(&other, id, &trove__v1__upload_abort_response__descriptor), NULL);
    raw_expect_failure(&client, upload.call_id, CODE(ABORTED), "aborted");
    assert_null(resumable_status(&other, &upload));
    resumable_init_attach(&open, "aborted", &upload);
    id = raw_open_stream(&other, &open);
    raw_expect_failure(&other, id, CODE(NOT_FOUND), "upload");
}

static void seeking_stays_above_what_is_durable(void **state) {
    struct resumable upload;
    (void)state;
    resumable_begin(&upload, &client, "sought", 8);
    resumable_send_until(&upload, 1, false);
    raw_free(raw_expect(&other, resumable_call_flush(&other, &upload, upload.epoch), RAW_BODY(STATUS)));
    resumable_await_durable(&upload, PIECE);
    resumable_send_control(&upload, TROVE__V1__CONTROL_TYPE__SEEK, PIECE - 1, upload.epoch);
    raw_frame *frame = raw_expect(&client, upload.call_id, RAW_BODY(STATE));
    assert_non_null(frame->state->status);
    assert_int_equal(frame->state->status->code, CODE(FAILED_PRECONDITION));
    raw_free(frame);
    resumable_send_control(&upload, TROVE__V1__CONTROL_TYPE__SEEK, PIECE, upload.epoch);
    frame = raw_expect(&client, upload.call_id, RAW_BODY(STATE));
    assert_null(frame->state->status);
    raw_free(frame);
    resumable_send_control(&upload, TROVE__V1__CONTROL_TYPE__CANCEL, 0, upload.epoch);
    raw_free(raw_expect(&client, upload.call_id, RAW_BODY(STATE)));
    raw_expect_failure(&client, upload.call_id, CODE(CANCELLED), "cancelled");
}

static void a_second_makes_durable_what_has_come(void **state) {
    struct resumable upload;
    (void)state;
    resumable_begin(&upload, &client, "slow", 9);
    resumable_send_until(&upload, 1, false);
    resumable_await_durable(&upload, PIECE);
    /* And what the client can't keep, at half of that. */
    Trove__V1__Open open;
    resumable_init_open(&open, "keeps", 10);
    open.keep_bytes = UINT64_C(4) * PIECE;
    resumable_open(&upload, &client, &open);
    resumable_send_until(&upload, 2, false);
    resumable_await_durable(&upload, UINT64_C(2) * PIECE);
}

static void lists_come_in_pages(void **state) {
    struct resumable uploads[5];
    char key[16];
    (void)state;
    for (uint8_t i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "page/%u", i);
        resumable_begin(&uploads[i], &client, key, (uint8_t)(20 + i));
    }
    Trove__V1__UploadListRequest request = TROVE__V1__UPLOAD_LIST_REQUEST__INIT;
    request.bucket = raw_text("media");
    request.limit = 2;
    uint8_t cursor[2048];
    unsigned found = 0;
    for (bool more = true; more;) {
        uint64_t id = raw_call(&other, "trove.v1.Uploads/List", &request.base);
        ProtobufCMessage *answer = raw_answer(&other, id, &trove__v1__upload_list_response__descriptor);
        const Trove__V1__UploadListResponse *page = (const Trove__V1__UploadListResponse *)answer;
        assert_true(page->n_uploads <= 2);
        for (size_t i = 0; i < page->n_uploads; i++) {
            snprintf(key, sizeof key, "page/%u", found);
            if (strncmp(page->uploads[i]->key, "page/", 5) != 0)
                continue; /* of the tests before */
            assert_string_equal(page->uploads[i]->key, key);
            assert_memory_equal(page->uploads[i]->upload_id.data, uploads[found].upload_id, UPLOAD_ID_BYTES);
            assert_int_equal(page->uploads[i]->epoch, uploads[found].epoch);
            found++;
        }
        more = page->next_cursor.len > 0;
        assert_true(page->next_cursor.len <= sizeof cursor);
        if (more)
            memcpy(cursor, page->next_cursor.data, page->next_cursor.len);
        request.cursor.data = cursor;
        request.cursor.len = page->next_cursor.len;
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    assert_int_equal(found, 5);
    request.cursor.len = 3;
    memset(cursor, 0xff, 3);
    raw_expect_failure(&other, raw_call(&other, "trove.v1.Uploads/List", &request.base), CODE(INVALID_ARGUMENT), "cursor");
}

/* Declared when opening, or with the complete; of a resumable upload or a plain one. */
static void digest_case(bool resumable, bool when_opening, bool right, uint8_t request) {
    struct resumable upload;
    uint8_t value[crypto_hash_sha256_BYTES];
    Trove__V1__Digest digest = TROVE__V1__DIGEST__INIT;
    Trove__V1__Digest kind_only = TROVE__V1__DIGEST__INIT;
    Trove__V1__Open open;
    crypto_hash_sha256(value, resumable_bytes, UINT64_C(2) * PIECE);
    value[0] ^= !right;
    digest.kind = kind_only.kind = TROVE__V1__DIGEST_KIND__SHA256;
    digest.value.data = value;
    digest.value.len = sizeof value;
    resumable_init_open(&open, "digest", request);
    open.digest = when_opening ? &digest : &kind_only;
    if (resumable) {
        resumable_open(&upload, &client, &open);
    } else {
        open.resumable = false;
        open.request_id.len = 0;
        upload = (struct resumable){.client = &client, .call_id = raw_opened_stream(&client, &open)};
    }
    resumable_send_until(&upload, 2, true);
    resumable_send_complete(&upload, when_opening ? NULL : &digest);
    if (right)
        resumable_expect_completed(&upload, UINT64_C(2) * PIECE);
    else
        raw_expect_failure(&client, upload.call_id, CODE(DATA_LOSS), "declared");
}

static void digests_are_compared(void **state) {
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        digest_case((i & 1) != 0, (i & 2) != 0, (i & 4) != 0, (uint8_t)(30 + i));
}

static void put_pieces(const char *key, uint8_t request, uint64_t count) {
    struct resumable upload;
    resumable_begin(&upload, &other, key, request);
    resumable_send_until(&upload, count, true);
    resumable_send_complete(&upload, NULL);
    resumable_expect_completed(&upload, count * PIECE);
}

static Trove__V1__ObjectHeadResponse *head(const char *key) {
    Trove__V1__ObjectHeadRequest request = TROVE__V1__OBJECT_HEAD_REQUEST__INIT;
    request.bucket = raw_text("media");
    request.key = raw_text(key);
    raw_frame *frame = raw_expect(&other, raw_call(&other, "trove.v1.Objects/Head", &request.base), RAW_BODY(STATUS));
    assert_int_equal(frame->status->code, CODE(OK));
    Trove__V1__ObjectHeadResponse *answer =
        trove__v1__object_head_response__unpack(NULL, frame->payload.len, frame->payload.data);
    assert_non_null(answer);
    raw_free(frame);
    return answer;
}

/* Judged when the upload begins, and again when it takes effect; not when it is attached to, for what it has led to may be why
 * they don't hold any more. */
static void conditions_case(bool if_none, bool if_generation, bool changes, uint8_t request) {
    struct resumable upload, next;
    Trove__V1__Open open;
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    char key[32];
    Trove__V1__ObjectHeadResponse *before = NULL;
    snprintf(key, sizeof key, "conditions-%u", request);
    if (!if_none) {
        put_pieces(key, request, 1);
        before = head(key);
    }
    conditions.if_none_match = if_none;
    if (!if_none && if_generation)
        conditions.if_generation = before->object->generation;
    else if (!if_none)
        conditions.if_match = before->object->etag;
    resumable_init_open(&open, key, (uint8_t)(request + 1));
    open.conditions = &conditions;
    resumable_open(&upload, &client, &open);
    resumable_send_until(&upload, 2, false);
    if (changes)
        put_pieces(key, (uint8_t)(request + 2), 3);
    resumable_attach(&next, &other, key, &upload);
    raw_expect_failure(&client, upload.call_id, CODE(ABORTED), "attached elsewhere");
    resumable_send_until(&next, 4, true);
    resumable_send_complete(&next, NULL);
    if (changes)
        raw_expect_failure(&other, next.call_id, CODE(FAILED_PRECONDITION), key);
    else
        resumable_expect_completed(&next, UINT64_C(4) * PIECE);
    resumable_check_object(&client, key, (changes ? UINT64_C(3) : UINT64_C(4)) * PIECE);
    /* The same conditions again: they don't hold now, and the upload isn't even begun; unless it is the same request. */
    resumable_init_open(&open, key, (uint8_t)(request + 3));
    open.conditions = &conditions;
    raw_expect_failure(&client, raw_open_stream(&client, &open), CODE(FAILED_PRECONDITION), key);
    if (before != NULL)
        protobuf_c_message_free_unpacked(&before->base, NULL);
}

static void conditions_hold_at_the_end(void **state) {
    (void)state;
    conditions_case(true, false, false, 100);
    conditions_case(true, false, true, 104);
    conditions_case(false, false, false, 108);
    conditions_case(false, false, true, 112);
    conditions_case(false, true, false, 116);
    conditions_case(false, true, true, 120);
}

static void what_contradicts_is_refused(void **state) {
    static const struct {
        const char *name;
        bool lossy, download, two_way, short_request, short_upload, small_keep;
        const char *word;
    } rows[] = {
        {"lossy", .lossy = true, .word = "lossy"},
        {"download", .download = true, .word = "only an upload"},
        {"two-way", .two_way = true, .word = "only an upload"},
        {"short request id", .short_request = true, .word = "request id"},
        {"short upload id", .short_upload = true, .word = "upload id"},
        {"hardly anything kept", .small_keep = true, .word = "keep_bytes"},
    };
    uint8_t id[8] = {0};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Trove__V1__Open open;
        print_message("  %s\n", rows[i].name);
        resumable_init_open(&open, "refused", 50);
        open.lossy = rows[i].lossy;
        if (rows[i].download)
            open.direction = TROVE__V1__DIRECTION__DOWNLOAD;
        if (rows[i].two_way)
            open.direction = TROVE__V1__DIRECTION__BIDI;
        if (rows[i].short_request)
            open.request_id.len = 8;
        if (rows[i].short_upload) {
            open.upload_id.data = id;
            open.upload_id.len = sizeof id;
        }
        if (rows[i].small_keep)
            open.keep_bytes = 1;
        raw_expect_failure(&client, raw_open_stream(&client, &open), CODE(INVALID_ARGUMENT), rows[i].word);
    }
    /* Attaching for something else fences nobody. */
    struct resumable upload;
    Trove__V1__Open open;
    resumable_begin(&upload, &client, "right", 51);
    resumable_init_attach(&open, "wrong", &upload);
    raw_expect_failure(&other, raw_open_stream(&other, &open), CODE(INVALID_ARGUMENT), "media/right");
    resumable_send_until(&upload, 1, true);
    resumable_send_complete(&upload, NULL);
    resumable_expect_completed(&upload, PIECE);
}

static void begin_two_durable(struct resumable *upload, Trove__V1__Open *attach, const char *key, uint8_t request) {
    resumable_begin(upload, &client, key, request);
    resumable_send_until(upload, 2, false);
    raw_free(raw_expect(&other, resumable_call_flush(&other, upload, upload->epoch), RAW_BODY(STATUS)));
    resumable_await_durable(upload, UINT64_C(2) * PIECE);
    resumable_init_attach(attach, key, upload);
    attach->written_given_case = TROVE__V1__OPEN__WRITTEN_GIVEN_WRITTEN;
}

/* Nor does who comes back with less than is durable by now; what is complete is told to anybody. */
static void who_is_behind_fences_nobody(void **state) {
    static const uint64_t written[] = {0, PIECE, UINT64_C(2) * PIECE - 1};
    struct resumable upload;
    Trove__V1__Open open;
    (void)state;
    begin_two_durable(&upload, &open, "behind", 52);
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        open.written = written[i];
        raw_expect_failure(&other, raw_open_stream(&other, &open), CODE(FAILED_PRECONDITION), "of which only");
    }
    resumable_send_until(&upload, 3, true);
    resumable_send_complete(&upload, NULL);
    resumable_expect_completed(&upload, UINT64_C(3) * PIECE);
    open.written = 0;
    raw_free(raw_expect(&other, raw_open_stream(&other, &open), RAW_BODY(OPENED)));
}

/* One that has just as much goes on, and fences. */
static void who_is_not_behind_attaches(void **state) {
    struct resumable upload, next;
    Trove__V1__Open open;
    (void)state;
    begin_two_durable(&upload, &open, "not behind", 53);
    open.written = UINT64_C(2) * PIECE;
    resumable_open(&next, &other, &open);
    raw_expect_failure(&client, upload.call_id, CODE(ABORTED), "attached elsewhere");
    resumable_send_until(&next, 3, true);
    resumable_send_complete(&next, NULL);
    resumable_expect_completed(&next, UINT64_C(3) * PIECE);
}

/* ---- across restarts, and with options of their own ---- */

static void what_is_durable_survives_a_kill(void **state) {
    struct resumable_server crashing;
    struct raw_client before, after;
    struct resumable upload, next;
    (void)state;
    resumable_start(&crashing, "local://%s/store", NULL);
    resumable_connect(&before, &crashing);
    resumable_make_bucket(&before);
    resumable_begin(&upload, &before, "crash", 1);
    resumable_send_until(&upload, 3, false);
    resumable_await_durable(&upload, UINT64_C(3) * PIECE);
    resumable_send_until(&upload, 4, false);
    uint64_t durable = upload.durable_offset;
    resumable_kill_and_restart(&crashing);
    raw_close(&before);
    resumable_connect(&after, &crashing);
    resumable_attach(&next, &after, "crash", &upload);
    assert_true(next.epoch > upload.epoch);
    assert_true(next.durable_offset >= durable && next.durable_offset <= upload.received_offset);
    resumable_send_until(&next, 5, true);
    resumable_send_complete(&next, NULL);
    resumable_expect_completed(&next, UINT64_C(5) * PIECE);
    resumable_check_object(&after, "crash", UINT64_C(5) * PIECE);
    raw_close(&after);
    assert_int_equal(troved_stop(crashing.troved, false), 0);
}

static void the_end_of_the_server_parks(void **state) {
    struct resumable_server ending;
    struct raw_client before, after;
    struct resumable upload, next;
    char folder[256];
    (void)state;
    resumable_start(&ending, "local://%s/store", "drain_timeout: 60s\n");
    resumable_connect(&before, &ending);
    resumable_make_bucket(&before);
    resumable_begin(&upload, &before, "drained", 1);
    resumable_send_until(&upload, 2, false);
    snprintf(folder, sizeof folder, "%s", troved_folder(ending.troved));
    troved_ask_to_end(ending.troved);
    raw_frame *frame;
    while ((frame = raw_receive_answer(&before)) != NULL && frame->body_case == RAW_BODY(GO_AWAY))
        raw_free(frame);
    assert_non_null(frame);
    assert_int_equal(frame->body_case, RAW_BODY(STATUS));
    assert_int_equal(frame->status->code, CODE(UNAVAILABLE));
    raw_free(frame);
    assert_int_equal(troved_stop(ending.troved, true), 0);
    raw_close(&before);
    ending.troved = troved_start(&ending.options, folder);
    resumable_connect(&after, &ending);
    resumable_attach(&next, &after, "drained", &upload);
    assert_int_equal(next.durable_offset, UINT64_C(2) * PIECE);
    raw_close(&after);
    assert_int_equal(troved_stop(ending.troved, false), 0);
}

static void what_nobody_touches_expires(void **state) {
    struct resumable_server forgetful;
    struct raw_client one;
    struct resumable upload;
    (void)state;
    resumable_start(&forgetful, "mem://", "uploads: {idle_timeout: 100ms, keep: 100ms}\n");
    resumable_connect(&one, &forgetful);
    resumable_make_bucket(&one);
    resumable_begin(&upload, &one, "forgotten", 1);
    resumable_send_control(&upload, TROVE__V1__CONTROL_TYPE__FAIL, 0, upload.epoch);
    raw_free(raw_expect(&one, upload.call_id, RAW_BODY(STATE)));
    raw_expect_failure(&one, upload.call_id, CODE(ABORTED), "given up");
    resumable_await_gone(&one, &upload);
    raw_close(&one);
    assert_int_equal(troved_stop(forgetful.troved, false), 0);
}

static void a_store_without_says_so(void **state) {
    struct resumable_server plain;
    struct raw_client one;
    Trove__V1__Open open;
    (void)state;
    resumable_start(&plain, "null://", NULL);
    resumable_connect(&one, &plain);
    resumable_init_open(&open, "nothing", 1);
    raw_expect_failure(&one, raw_open_stream(&one, &open), CODE(UNIMPLEMENTED), "null://");
    Trove__V1__UploadListRequest request = TROVE__V1__UPLOAD_LIST_REQUEST__INIT;
    raw_expect_failure(&one, raw_call(&one, "trove.v1.Uploads/List", &request.base), CODE(UNIMPLEMENTED), "null://");
    raw_close(&one);
    assert_int_equal(troved_stop(plain.troved, false), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static int with_store(const char *store) {
    static const struct CMUnitTest tests[] = {
        TEST(a_request_id_again_is_the_same_upload),
        TEST(attaching_fences_and_goes_on_at_the_durable_offset),
        TEST(another_epoch_is_aborted),
        TEST(the_result_is_told_again),
        TEST(a_lost_connection_parks),
        TEST(failing_parks_and_cancelling_aborts),
        TEST(aborting_ends_the_stream),
        TEST(seeking_stays_above_what_is_durable),
        TEST(a_second_makes_durable_what_has_come),
        TEST(lists_come_in_pages),
        TEST(digests_are_compared),
        TEST(conditions_hold_at_the_end),
        TEST(what_contradicts_is_refused),
        TEST(who_is_behind_fences_nobody),
        TEST(who_is_not_behind_attaches),
    };
    resumable_start(&server, store, NULL);
    int failed = cmocka_run_group_tests_name(store, tests, NULL, NULL);
    return failed + troved_stop(server.troved, false);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_durable_survives_a_kill),
        cmocka_unit_test(the_end_of_the_server_parks),
        cmocka_unit_test(what_nobody_touches_expires),
        cmocka_unit_test(a_store_without_says_so),
    };
    int failed = with_store("mem://") + with_store("local://%s/store");
    return failed + cmocka_run_group_tests_name("servers of their own", tests, NULL, NULL);
}
