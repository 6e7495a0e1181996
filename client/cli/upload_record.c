/* upload_record.c - see upload_record.h. */
#include "upload_record.h"

#include "parse.h"

#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
    VERSION = 1,
    CHECK_BYTES = 16,
};

static const char NO_UPLOAD[] = "00000000000000000000000000000000";

/* What stands before it is hashed. */
#define CHECK_BEGIN ",\"check\":\""
#define CHECK_END   "\"}\n"

static void hash(const char *text, size_t bytes, char hex[2 * CHECK_BYTES + 1]) {
    unsigned char sum[CHECK_BYTES];
    crypto_generichash(sum, sizeof sum, (const unsigned char *)text, bytes, NULL, 0);
    sodium_bin2hex(hex, 2 * CHECK_BYTES + 1, sum, sizeof sum);
}

void cli_upload_record_write(const struct cli_upload_record *record, char text[CLI_UPLOAD_RECORD_BYTES_MAX]) {
    char request[2 * TROVE_REQUEST_ID_BYTES + 1];
    char check[2 * CHECK_BYTES + 1];
    const struct cli_source_mark *source = &record->source;
    sodium_bin2hex(request, sizeof request, record->request_id, sizeof record->request_id);
    int bytes = snprintf(text, CLI_UPLOAD_RECORD_BYTES_MAX,
                         "{\"version\":%d,\"request\":\"%s\",\"upload\":\"%s\",\"how\":\"%s\",\"size\":\"%" PRIu64
                         "\",\"modified_ns\":\"%" PRIu64 "\",\"inode\":\"%" PRIu64 "\",\"device\":\"%" PRIu64 "\"",
                         VERSION, request, record->upload_id[0] != 0 ? record->upload_id : NO_UPLOAD, record->how, source->size,
                         source->modified_ns, source->inode, source->device);
    hash(text, (size_t)bytes, check);
    snprintf(text + bytes, CLI_UPLOAD_RECORD_BYTES_MAX - (size_t)bytes, CHECK_BEGIN "%s" CHECK_END, check);
}

static bool is_whole(const char *text) {
    char check[2 * CHECK_BYTES + 1];
    const char *begin = strstr(text, CHECK_BEGIN);
    if (begin == NULL)
        return false;
    hash(text, (size_t)(begin - text), check);
    begin += strlen(CHECK_BEGIN);
    return strncmp(begin, check, strlen(check)) == 0 && strcmp(begin + strlen(check), CHECK_END) == 0;
}

static bool take_number(const json_t *object, const char *key, uint64_t *number) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && cli_parse_count(text, 0, UINT64_MAX, number);
}

static bool take_digits(const json_t *object, const char *key, char digits[TROVE_UPLOAD_ID_BYTES]) {
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL || strlen(text) != TROVE_UPLOAD_ID_BYTES - 1 || strspn(text, "0123456789abcdef") != strlen(text))
        return false;
    memcpy(digits, text, TROVE_UPLOAD_ID_BYTES);
    return true;
}

static bool take(const json_t *object, struct cli_upload_record *record) {
    char request[TROVE_UPLOAD_ID_BYTES];
    struct cli_source_mark *source = &record->source;
    if (json_integer_value(json_object_get(object, "version")) != VERSION || !take_digits(object, "request", request) ||
        !take_digits(object, "upload", record->upload_id) || !take_digits(object, "how", record->how) ||
        !take_number(object, "size", &source->size) || !take_number(object, "modified_ns", &source->modified_ns) ||
        !take_number(object, "inode", &source->inode) || !take_number(object, "device", &source->device))
        return false;
    if (strcmp(record->upload_id, NO_UPLOAD) == 0)
        record->upload_id[0] = 0;
    return sodium_hex2bin(record->request_id, sizeof record->request_id, request, strlen(request), NULL, NULL, NULL) == 0;
}

bool cli_upload_record_read(const char *text, struct cli_upload_record *record) {
    struct cli_upload_record read = {0};
    json_t *object = is_whole(text) ? json_loads(text, 0, NULL) : NULL;
    bool ok = object != NULL && take(object, &read);
    json_decref(object);
    if (ok)
        *record = read;
    return ok;
}

bool cli_source_mark_equal(const struct cli_source_mark *left, const struct cli_source_mark *right) {
    return left->size == right->size && left->modified_ns == right->modified_ns && left->inode == right->inode &&
           left->device == right->device;
}
