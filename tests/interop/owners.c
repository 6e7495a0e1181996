/* owners.c - resumable uploads belong to who began them: others see nothing of them, unless they are admins there.
 *
 * Two principals of one server: this user over a unix socket, with some rights, and whoever comes over tcp, with all.
 */
#include "resumable.h"

#include <unistd.h>

static struct troved *troved;
static struct raw_client some; /* may write to the bucket, and is admin of what begins with "shared" */
static struct raw_client all;

static int begin(void **state) {
    static const char *const format = "users:\n  - uid: %u\n    rights: \"read,write:media admin:media/shared\"\n";
    static char config[256];
    (void)state;
    for (size_t i = 0; i < sizeof resumable_bytes; i++)
        resumable_bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    snprintf(config, sizeof config, format, (unsigned)geteuid());
    const struct troved_options options = {
        .listen = {"ipc://%s/socket", "tcp://127.0.0.1:0"}, .store = "local://%s/store", .config = config};
    troved = troved_start(&options, NULL);
    raw_open(&some, troved_url(troved, "ipc"));
    raw_greet(&some, false);
    raw_open(&all, troved_url(troved, "tcp"));
    raw_greet(&all, false);
    resumable_make_bucket(&all);
    return 0;
}

static int end(void **state) {
    (void)state;
    raw_close(&some);
    raw_close(&all);
    return troved_stop(troved, false);
}

/* How many of the uploads of `key` are listed. */
static unsigned listed(struct raw_client *client, const char *key) {
    Trove__V1__UploadListRequest request = TROVE__V1__UPLOAD_LIST_REQUEST__INIT;
    uint64_t id = raw_call(client, "trove.v1.Uploads/List", &request.base);
    ProtobufCMessage *answer = raw_answer(client, id, &trove__v1__upload_list_response__descriptor);
    const Trove__V1__UploadListResponse *page = (const Trove__V1__UploadListResponse *)answer;
    unsigned count = 0;
    for (size_t i = 0; i < page->n_uploads; i++)
        count += strcmp(page->uploads[i]->key, key) == 0;
    protobuf_c_message_free_unpacked(answer, NULL);
    return count;
}

static uint64_t call_abort(struct raw_client *client, const struct resumable *upload) {
    Trove__V1__UploadAbortRequest request = TROVE__V1__UPLOAD_ABORT_REQUEST__INIT;
    request.upload_id.data = (uint8_t *)(uintptr_t)upload->upload_id;
    request.upload_id.len = sizeof upload->upload_id;
    return raw_call(client, "trove.v1.Uploads/Abort", &request.base);
}

static void others_see_nothing_of_it(void **state) {
    struct resumable upload;
    Trove__V1__Open open;
    Trove__V1__UploadAttachRequest request = TROVE__V1__UPLOAD_ATTACH_REQUEST__INIT;
    (void)state;
    resumable_begin(&upload, &all, "private", 1);
    resumable_send_until(&upload, 2, false);
    request.upload_id.data = upload.upload_id;
    request.upload_id.len = sizeof upload.upload_id;
    assert_int_equal(listed(&some, "private"), 0);
    assert_int_equal(listed(&all, "private"), 1);
    raw_expect_failure(&some, raw_call(&some, "trove.v1.Uploads/Attach", &request.base), CODE(PERMISSION_DENIED), "");
    raw_expect_failure(&some, resumable_call_flush(&some, &upload, upload.epoch), CODE(PERMISSION_DENIED), "");
    raw_expect_failure(&some, call_abort(&some, &upload), CODE(PERMISSION_DENIED), "");
    resumable_init_attach(&open, "private", &upload);
    raw_expect_failure(&some, raw_open_stream(&some, &open), CODE(PERMISSION_DENIED), "");
    resumable_send_until(&upload, 3, true); /* it goes on as if nothing had been */
    resumable_send_complete(&upload, NULL);
    resumable_expect_completed(&upload, UINT64_C(3) * PIECE);
}

static void an_admin_may_look_and_abort(void **state) {
    struct resumable upload;
    (void)state;
    resumable_begin(&upload, &all, "shared/x", 2);
    resumable_send_until(&upload, 1, false);
    assert_int_equal(listed(&some, "shared/x"), 1);
    Trove__V1__UploadAttachResponse *status = resumable_status(&some, &upload);
    assert_string_equal(status->upload->key, "shared/x");
    protobuf_c_message_free_unpacked(&status->base, NULL);
    raw_free(raw_expect(&some, call_abort(&some, &upload), RAW_BODY(STATUS)));
    raw_expect_failure(&all, upload.call_id, CODE(ABORTED), "aborted");
    assert_null(resumable_status(&all, &upload));
}

/* The same request id is another upload for somebody else. */
static void a_request_id_is_its_principals(void **state) {
    struct resumable one;
    struct resumable two;
    (void)state;
    resumable_begin(&one, &all, "twice", 3);
    resumable_begin(&two, &some, "twice", 3);
    assert_memory_not_equal(one.upload_id, two.upload_id, UPLOAD_ID_BYTES);
    assert_int_equal(listed(&some, "twice"), 1);
    assert_int_equal(listed(&all, "twice"), 2);
    raw_free(raw_expect(&all, call_abort(&all, &two), RAW_BODY(STATUS)));
    raw_expect_failure(&some, two.call_id, CODE(ABORTED), "aborted");
    assert_int_equal(listed(&all, "twice"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_see_nothing_of_it),
        cmocka_unit_test(an_admin_may_look_and_abort),
        cmocka_unit_test(a_request_id_is_its_principals),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
