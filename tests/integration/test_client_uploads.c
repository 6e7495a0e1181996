/* test_client_uploads.c - resumable uploads seen from outside: listed, looked at, thrown away. They are begun frame by frame, so
 * that it is known how far each has got. */
#include "client_test.h"
#include "resumable.h"

#include <stdio.h>
#include <string.h>

#define UPLOADS 3

struct begun {
    struct raw_client client;
    struct resumable uploads[UPLOADS];
    char ids[UPLOADS][TROVE_UPLOAD_ID_BYTES];
};

static void id_text(const struct resumable *upload, char text[TROVE_UPLOAD_ID_BYTES]) {
    for (size_t i = 0; i < UPLOAD_ID_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", upload->upload_id[i]);
}

/* Of the keys KEY0, KEY1, ...: each with so many pieces as its number says. */
static void begin(const struct client_test *test, const char *key, uint8_t request, struct begun *begun) {
    raw_open(&begun->client, test->url);
    raw_greet(&begun->client, false);
    for (unsigned i = 0; i < UPLOADS; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%u", key, i);
        resumable_begin(&begun->uploads[i], &begun->client, name, (uint8_t)(request + i));
        resumable_send_until(&begun->uploads[i], i, false);
        id_text(&begun->uploads[i], begun->ids[i]);
    }
}

static void end(const struct client_test *test, struct begun *begun) {
    trove_error error;
    for (unsigned i = 0; i < UPLOADS; i++)
        (void)!trove_upload_abort(test->client, begun->ids[i], 0, &error);
    raw_close(&begun->client);
}

static trove_upload_page *list_page(const struct client_test *test, const char *bucket, const char *cursor, uint32_t limit) {
    trove_upload_list_options options;
    trove_upload_page *page = NULL;
    trove_error error;
    trove_upload_list_options_init(&options);
    options.bucket = bucket;
    options.cursor = cursor;
    options.limit = limit;
    CHECK_OK(trove_upload_list(test->client, &options, &page, &error), &error);
    return page;
}

static void test_list(void **state) {
    const struct client_test *test = *state;
    struct begun begun;
    begin(test, "list", 10, &begun);
    trove_upload_page *page = list_page(test, NULL, NULL, 0);
    assert_int_equal(page->count, UPLOADS);
    assert_null(page->next_cursor);
    for (unsigned i = 0; i < UPLOADS; i++) {
        const trove_upload *upload = &page->uploads[i];
        char name[32];
        snprintf(name, sizeof name, "list%u", i);
        assert_string_equal(upload->id, begun.ids[i]);
        assert_string_equal(upload->bucket, BUCKET);
        assert_string_equal(upload->key, name);
        assert_int_equal(upload->received_offset, (uint64_t)i * PIECE);
        assert_true(upload->durable_offset <= upload->received_offset);
        assert_true(upload->created_ns > 0 && upload->expires_ns > upload->created_ns);
        assert_null(upload->completed);
    }
    trove_upload_page_free(page);
    end(test, &begun);
    page = list_page(test, BUCKET, NULL, 0);
    assert_int_equal(page->count, 0);
    trove_upload_page_free(page);
    trove_upload_page_free(NULL);
}

/* Page by page, each of one; and of another bucket none. */
static void test_pages(void **state) {
    const struct client_test *test = *state;
    struct begun begun;
    trove_error error;
    begin(test, "page", 20, &begun);
    char cursor[4096];
    unsigned seen = 0;
    for (bool more = true; more;) {
        trove_upload_page *page = list_page(test, BUCKET, seen > 0 ? cursor : NULL, 1);
        assert_true(page->count <= 1);
        if (page->count == 1)
            assert_string_equal(page->uploads[0].id, begun.ids[seen++]);
        more = page->next_cursor != NULL;
        if (more)
            snprintf(cursor, sizeof cursor, "%s", page->next_cursor);
        trove_upload_page_free(page);
    }
    assert_int_equal(seen, UPLOADS);
    CHECK_OK(trove_bucket_create(test->client, "another", 0, &error), &error);
    trove_upload_page *page = list_page(test, "another", NULL, 0);
    assert_int_equal(page->count, 0);
    trove_upload_page_free(page);
    end(test, &begun);
}

static void test_stat(void **state) {
    const struct client_test *test = *state;
    struct begun begun;
    trove_upload *upload = NULL;
    trove_error error;
    begin(test, "stat", 30, &begun);
    CHECK_OK(trove_upload_stat(test->client, begun.ids[2], 0, &upload, &error), &error);
    assert_string_equal(upload->id, begun.ids[2]);
    assert_string_equal(upload->key, "stat2");
    assert_int_equal(upload->received_offset, 2 * PIECE);
    assert_null(upload->completed);
    trove_upload_free(upload);
    resumable_send_until(&begun.uploads[2], 3, true); /* whom nobody has fenced */
    resumable_send_complete(&begun.uploads[2], NULL);
    resumable_expect_completed(&begun.uploads[2], 3 * PIECE);
    CHECK_OK(trove_upload_stat(test->client, begun.ids[2], 0, &upload, &error), &error);
    assert_non_null(upload->completed);
    assert_int_equal(upload->completed->size, 3 * PIECE);
    assert_string_equal(upload->completed->key, "stat2");
    trove_upload_free(upload);
    trove_upload_free(NULL);
    CHECK_FAILS(trove_upload_abort(test->client, begun.ids[2], 0, &error), FAILED_PRECONDITION, "complete", &error);
    end(test, &begun);
}

static void test_abort(void **state) {
    const struct client_test *test = *state;
    struct begun begun;
    trove_upload *upload = NULL;
    trove_error error;
    begin(test, "abort", 40, &begun);
    CHECK_OK(trove_upload_abort(test->client, begun.ids[1], 0, &error), &error);
    raw_frame *frame = raw_expect(&begun.client, begun.uploads[1].call_id, RAW_BODY(STATUS));
    assert_int_equal(frame->status->code, CODE(ABORTED));
    raw_free(frame);
    CHECK_FAILS(trove_upload_stat(test->client, begun.ids[1], 0, &upload, &error), NOT_FOUND, "", &error);
    CHECK_FAILS(trove_upload_abort(test->client, begun.ids[1], 0, &error), NOT_FOUND, "", &error);
    assert_null(upload);
    trove_upload_page *page = list_page(test, NULL, NULL, 0);
    assert_int_equal(page->count, 2);
    assert_string_equal(page->uploads[0].id, begun.ids[0]);
    assert_string_equal(page->uploads[1].id, begun.ids[2]);
    trove_upload_page_free(page);
    end(test, &begun);
}

static void test_arguments(void **state) {
    const struct client_test *test = *state;
    static const char *const wrong[] = {"", "12", "0123456789abcdef0123456789abcdeg", "0123456789abcdef0123456789abcdef0"};
    trove_upload *upload = NULL;
    trove_upload_page *page = NULL;
    trove_upload_list_options options;
    trove_error error;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_FAILS(trove_upload_stat(test->client, wrong[i], 0, &upload, &error), INVALID_ARGUMENT, "hexadecimal", &error);
        CHECK_FAILS(trove_upload_abort(test->client, wrong[i], 0, &error), INVALID_ARGUMENT, "hexadecimal", &error);
    }
    CHECK_FAILS(trove_upload_stat(test->client, NULL, 0, &upload, &error), INVALID_ARGUMENT, "NULL", &error);
    CHECK_FAILS(trove_upload_abort(test->client, NULL, 0, &error), INVALID_ARGUMENT, "NULL", &error);
    CHECK_FAILS(trove_upload_stat(test->client, "0123456789abcdef0123456789abcdef", 0, NULL, &error), INVALID_ARGUMENT, "NULL",
                &error);
    CHECK_FAILS(trove_upload_list(test->client, NULL, NULL, &error), INVALID_ARGUMENT, "NULL", &error);
    CHECK_FAILS(trove_upload_list(NULL, NULL, &page, &error), INVALID_ARGUMENT, "client is NULL", &error);
    trove_upload_list_options_init(&options);
    options.limit = 1001;
    CHECK_FAILS(trove_upload_list(test->client, &options, &page, &error), INVALID_ARGUMENT, "1001", &error);
    trove_upload_list_options_init(&options);
    options.cursor = "nonsense";
    CHECK_FAILS(trove_upload_list(test->client, &options, &page, &error), INVALID_ARGUMENT, "no cursor", &error);
    options.cursor = NULL;
    options.bucket = "No Bucket";
    CHECK_FAILS(trove_upload_list(test->client, &options, &page, &error), INVALID_ARGUMENT, "No Bucket", &error);
    options.bucket = "missing";
    CHECK_FAILS(trove_upload_list(test->client, &options, &page, &error), NOT_FOUND, "missing", &error);
    options = (trove_upload_list_options){0};
    CHECK_FAILS(trove_upload_list(test->client, &options, &page, &error), INVALID_ARGUMENT, "_init", &error);
    assert_null(page);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),  cmocka_unit_test(test_pages),     cmocka_unit_test(test_stat),
        cmocka_unit_test(test_abort), cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
