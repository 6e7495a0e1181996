/* uploads.c - resumable uploads, seen from outside: unary calls that fence nobody. See trove.h. */
#include "call.h"
#include "object_info.h"
#include "options.h"

#include <sodium.h>
#include <string.h>

#define ID_BYTES 16

/* ---- descriptions: structures first, then their strings, in one block ---- */

static size_t strings_bytes(const Trove__V1__UploadInfo *info) {
    return strlen(info->bucket) + strlen(info->key) + 2;
}

static const char *take_text(char **at, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

/* An id of another length can't be told: it stays empty. */
static void take_upload(const Trove__V1__UploadInfo *from, char **at, trove_upload *to) {
    *to = (trove_upload){
        .bucket = take_text(at, from->bucket),
        .key = take_text(at, from->key),
        .received_offset = from->received_offset,
        .durable_offset = from->durable_offset,
        .created_ns = from->created_ns,
        .expires_ns = from->expires_ns,
    };
    if (from->upload_id.len == ID_BYTES)
        sodium_bin2hex(to->id, sizeof to->id, from->upload_id.data, ID_BYTES);
}

static trove_status read_id(const char *text, uint8_t id[ID_BYTES], trove_error *error) {
    const char *end = NULL;
    size_t bytes = 0;
    if (text == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the upload's id is NULL");
    if (strlen(text) != 2 * (size_t)ID_BYTES ||
        sodium_hex2bin(id, ID_BYTES, text, 2 * (size_t)ID_BYTES, NULL, &bytes, &end) != 0 || bytes != ID_BYTES)
        return TV_FAIL(error, INVALID_ARGUMENT, "\"%.40s\" is no upload's id; they have 32 hexadecimal digits", text);
    return TROVE_OK;
}

/* ---- list ---- */

static trove_upload_page *make_page(const Trove__V1__UploadListResponse *list) {
    size_t bytes = sizeof(trove_upload_page) + list->n_uploads * sizeof(trove_upload) + 2 * list->next_cursor.len + 1;
    for (size_t i = 0; i < list->n_uploads; i++)
        bytes += strings_bytes(list->uploads[i]);
    trove_upload_page *page = calloc(1, bytes);
    if (page == NULL)
        return NULL;
    trove_upload *uploads = (trove_upload *)(page + 1);
    char *at = (char *)(uploads + list->n_uploads);
    for (size_t i = 0; i < list->n_uploads; i++)
        take_upload(list->uploads[i], &at, &uploads[i]);
    page->uploads = uploads;
    page->count = list->n_uploads;
    if (list->next_cursor.len > 0)
        page->next_cursor = sodium_bin2hex(at, 2 * list->next_cursor.len + 1, list->next_cursor.data, list->next_cursor.len);
    return page;
}

static trove_status list(trove_client *client, const trove_upload_list_options *options, const ProtobufCBinaryData *cursor,
                         trove_upload_page **page_out, trove_error *error) {
    Trove__V1__UploadListRequest request = TROVE__V1__UPLOAD_LIST_REQUEST__INIT;
    if (options->bucket != NULL)
        request.bucket = (char *)options->bucket;
    request.cursor = *cursor;
    request.limit = options->limit;
    ProtobufCMessage *answer = NULL;
    trove_status status = tvc_call(client, "trove.v1.Uploads/List", &request.base, &trove__v1__upload_list_response__descriptor,
                                   options->timeout_ms, &answer, error);
    if (status != TROVE_OK)
        return status;
    trove_upload_page *page = make_page((const Trove__V1__UploadListResponse *)answer);
    tvc_answer_free(answer);
    if (page == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a page of uploads");
    *page_out = page;
    return TROVE_OK;
}

trove_status trove_upload_list(trove_client *client, const trove_upload_list_options *given, trove_upload_page **page,
                               trove_error *error) {
    trove_upload_list_options options;
    if (page == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the place for the page is NULL");
    trove_status status = tvc_upload_list_options_take(given, &options, error);
    if (status != TROVE_OK)
        return status;
    ProtobufCBinaryData cursor = {0, NULL};
    if (options.cursor != NULL)
        status = tvc_cursor_decode(options.cursor, &cursor.data, &cursor.len, error);
    if (status == TROVE_OK)
        status = list(client, &options, &cursor, page, error);
    free(cursor.data);
    return status;
}

void trove_upload_page_free(trove_upload_page *page) {
    free(page);
}

/* ---- one upload ---- */

/* Its result is a block of its own. */
static trove_status make_upload(const Trove__V1__UploadInfo *info, trove_upload **upload_out, trove_error *error) {
    trove_object_info *completed = NULL;
    trove_status status = TROVE_OK;
    if (info == NULL)
        return TV_FAIL(error, INTERNAL, "the server answered without describing the upload");
    if (info->completed != NULL)
        status = tvc_object_info_create(info->completed, info->bucket, info->key, &completed, error);
    if (status != TROVE_OK)
        return status;
    trove_upload *upload = malloc(sizeof *upload + strings_bytes(info));
    if (upload == NULL) {
        trove_object_info_free(completed);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for an upload's description");
    }
    char *at = (char *)(upload + 1);
    take_upload(info, &at, upload);
    upload->completed = completed;
    *upload_out = upload;
    return TROVE_OK;
}

trove_status trove_upload_stat(trove_client *client, const char *upload_id, uint32_t timeout_ms, trove_upload **upload,
                               trove_error *error) {
    uint8_t id[ID_BYTES];
    if (upload == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the place for the upload is NULL");
    trove_status status = read_id(upload_id, id, error);
    if (status != TROVE_OK)
        return status;
    Trove__V1__UploadAttachRequest request = TROVE__V1__UPLOAD_ATTACH_REQUEST__INIT;
    request.upload_id = (ProtobufCBinaryData){.len = sizeof id, .data = id};
    ProtobufCMessage *answer = NULL;
    status = tvc_call(client, "trove.v1.Uploads/Attach", &request.base, &trove__v1__upload_attach_response__descriptor,
                      timeout_ms, &answer, error);
    if (status != TROVE_OK)
        return status;
    status = make_upload(((const Trove__V1__UploadAttachResponse *)answer)->upload, upload, error);
    tvc_answer_free(answer);
    return status;
}

void trove_upload_free(trove_upload *upload) {
    if (upload == NULL)
        return;
    trove_object_info_free((trove_object_info *)(uintptr_t)upload->completed);
    free(upload);
}

trove_status trove_upload_abort(trove_client *client, const char *upload_id, uint32_t timeout_ms, trove_error *error) {
    uint8_t id[ID_BYTES];
    trove_status status = read_id(upload_id, id, error);
    if (status != TROVE_OK)
        return status;
    Trove__V1__UploadAbortRequest request = TROVE__V1__UPLOAD_ABORT_REQUEST__INIT;
    request.upload_id = (ProtobufCBinaryData){.len = sizeof id, .data = id};
    return tvc_call(client, "trove.v1.Uploads/Abort", &request.base, &trove__v1__upload_abort_response__descriptor, timeout_ms,
                    NULL, error);
}
