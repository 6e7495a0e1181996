/* The table of rights has every method of the contract, and nothing else; its fields are the requests'. TROVE_PROTO is the path
 * of the contract. */
#include "access.h"
#include "unit.h"

#include <ctype.h>

#define NAME_BYTES 64

/* Reads the word behind `keyword` in a line such as "service Buckets {" or "  rpc List(...". */
static bool word_behind(const char *line, const char *keyword, char *word) {
    line += strspn(line, " ");
    size_t bytes = strlen(keyword);
    if (strncmp(line, keyword, bytes) != 0 || line[bytes] != ' ')
        return false;
    line += bytes + 1;
    size_t length = 0;
    while (isalnum((unsigned char)line[length]) && length + 1 < NAME_BYTES) {
        word[length] = line[length];
        length++;
    }
    word[length] = '\0';
    return length > 0;
}

static const struct tvs_access *find(const char *service, const char *method) {
    char name[2 * NAME_BYTES];
    size_t count;
    const struct tvs_access *rows = tvs_access_rows(&count);
    snprintf(name, sizeof name, "trove.v1.%s", service);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].service->name, name) == 0 && strcmp(rows[i].method, method) == 0)
            return &rows[i];
    return NULL;
}

static void every_method_has_its_row(void **state) {
    (void)state;
    FILE *proto = fopen(TROVE_PROTO, "r");
    char line[1024];
    char service[NAME_BYTES] = "";
    char method[NAME_BYTES];
    size_t methods = 0;
    size_t count;
    assert_non_null(proto);
    while (fgets(line, sizeof line, proto) != NULL) {
        if (word_behind(line, "service", service) || !word_behind(line, "rpc", method))
            continue;
        methods++;
        if (find(service, method) == NULL)
            fail_msg("%s/%s has no row in server/access.c: which right does it need?", service, method);
    }
    fclose(proto);
    (void)tvs_access_rows(&count);
    assert_true(methods > 0);
    assert_int_equal(count, methods); /* no row is of a method that doesn't exist, and none is there twice */
}

static void rows_name_methods_and_fields_that_exist(void **state) {
    (void)state;
    size_t count;
    const struct tvs_access *rows = tvs_access_rows(&count);
    for (size_t i = 0; i < count; i++) {
        unit_row(rows[i].method);
        assert_ptr_equal(tvs_access_find(rows[i].service, rows[i].method), &rows[i]);
        const ProtobufCMethodDescriptor *method =
            protobuf_c_service_descriptor_get_method_by_name(rows[i].service, rows[i].method);
        assert_non_null(method);
        assert_int_equal(rows[i].scope == TVS_SCOPE_OBJECT, rows[i].needs[0].right != 0);
        for (size_t j = 0; j < 2 && rows[i].needs[j].right != 0; j++) {
            uint64_t request[64]; /* larger than any */
            assert_true(method->input->sizeof_message <= sizeof request);
            protobuf_c_message_init(method->input, request);
            const ProtobufCMessage *message = (const ProtobufCMessage *)request;
            assert_string_equal(tvs_access_field(message, rows[i].needs[j].bucket), "");
            assert_string_equal(tvs_access_field(message, rows[i].needs[j].prefix), "");
        }
    }
}

static void others_are_unknown(void **state) {
    (void)state;
    assert_null(tvs_access_find(&trove__v1__buckets__descriptor, "Copy"));
    assert_null(tvs_access_find(&trove__v1__buckets__descriptor, ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_has_its_row),
        cmocka_unit_test(rows_name_methods_and_fields_that_exist),
        cmocka_unit_test(others_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
