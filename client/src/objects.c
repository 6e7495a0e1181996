/* objects.c - objects without their bytes: unary calls. See trove.h. */
#include "call.h"
#include "conditions.h"
#include "names.h"
#include "object_info.h"
#include "options.h"

trove_status trove_object_head(trove_client *client, const char *bucket, const char *key, uint32_t timeout_ms,
                               trove_object_info **info, trove_error *error) {
    trove_status status = tvc_names_check(bucket, key, error);
    if (status == TROVE_OK && info == NULL)
        status = TV_FAIL(error, INVALID_ARGUMENT, "the place for the description is NULL");
    if (status != TROVE_OK)
        return status;
    Trove__V1__ObjectHeadRequest request = TROVE__V1__OBJECT_HEAD_REQUEST__INIT;
    request.bucket = (char *)bucket;
    request.key = (char *)key;
    ProtobufCMessage *answer = NULL;
    status = tvc_call(client, "trove.v1.Objects/Head", &request.base, &trove__v1__object_head_response__descriptor, timeout_ms,
                      &answer, error);
    if (status != TROVE_OK)
        return status;
    const Trove__V1__ObjectHeadResponse *head = (const Trove__V1__ObjectHeadResponse *)answer;
    status = tvc_object_info_create_with_gaps(head->object, head->gaps, head->n_gaps, bucket, key, info, error);
    tvc_answer_free(answer);
    return status;
}

trove_status trove_object_delete(trove_client *client, const char *bucket, const char *key, const trove_conditions *conditions,
                                 uint32_t timeout_ms, trove_error *error) {
    trove_status status = tvc_names_check(bucket, key, error);
    if (status == TROVE_OK)
        status = tvc_conditions_check(conditions, false, error);
    if (status != TROVE_OK)
        return status;
    Trove__V1__ObjectDeleteRequest request = TROVE__V1__OBJECT_DELETE_REQUEST__INIT;
    Trove__V1__Conditions wire;
    request.bucket = (char *)bucket;
    request.key = (char *)key;
    request.conditions = tvc_conditions_to_wire(conditions, &wire);
    return tvc_call(client, "trove.v1.Objects/Delete", &request.base, &trove__v1__object_delete_response__descriptor, timeout_ms,
                    NULL, error);
}

trove_status trove_object_copy(trove_client *client, const char *from_bucket, const char *from_key, const char *to_bucket,
                               const char *to_key, const trove_conditions *conditions, uint32_t timeout_ms,
                               trove_object_info **info, trove_error *error) {
    trove_status status = tvc_names_check(from_bucket, from_key, error);
    if (status == TROVE_OK)
        status = tvc_names_check(to_bucket, to_key, error);
    if (status == TROVE_OK)
        status = tvc_conditions_check(conditions, true, error);
    if (status != TROVE_OK)
        return status;
    Trove__V1__ObjectCopyRequest request = TROVE__V1__OBJECT_COPY_REQUEST__INIT;
    Trove__V1__Conditions wire;
    request.from_bucket = (char *)from_bucket;
    request.from_key = (char *)from_key;
    request.to_bucket = (char *)to_bucket;
    request.to_key = (char *)to_key;
    request.conditions = tvc_conditions_to_wire(conditions, &wire);
    ProtobufCMessage *answer = NULL;
    status = tvc_call(client, "trove.v1.Objects/Copy", &request.base, &trove__v1__object_copy_response__descriptor, timeout_ms,
                      &answer, error);
    if (status != TROVE_OK)
        return status;
    if (info != NULL)
        status = tvc_object_info_create(((Trove__V1__ObjectCopyResponse *)answer)->object, to_bucket, to_key, info, error);
    tvc_answer_free(answer);
    return status;
}

/* ---- listing ---- */

static trove_status list(trove_client *client, const char *bucket, const trove_list_options *options,
                         const ProtobufCBinaryData *cursor, trove_list_page **page, trove_error *error) {
    Trove__V1__ObjectListRequest request = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    request.bucket = (char *)bucket;
    if (options->prefix != NULL)
        request.prefix = (char *)options->prefix;
    if (options->delimiter != NULL)
        request.delimiter = (char *)options->delimiter;
    request.cursor = *cursor;
    request.limit = options->limit;
    ProtobufCMessage *answer = NULL;
    trove_status status = tvc_call(client, "trove.v1.Objects/List", &request.base, &trove__v1__object_list_response__descriptor,
                                   options->timeout_ms, &answer, error);
    if (status != TROVE_OK)
        return status;
    status = tvc_list_page_create((const Trove__V1__ObjectListResponse *)answer, page, error);
    tvc_answer_free(answer);
    return status;
}

trove_status trove_list(trove_client *client, const char *bucket, const trove_list_options *given, trove_list_page **page,
                        trove_error *error) {
    if (bucket == NULL || page == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s is NULL", bucket == NULL ? "bucket" : "place for the page");
    trove_list_options options;
    trove_status status = tv_bucket_check(bucket, error);
    if (status == TROVE_OK)
        status = tvc_list_options_take(given, &options, error);
    if (status != TROVE_OK)
        return status;
    ProtobufCBinaryData cursor = {0, NULL};
    if (options.cursor != NULL)
        status = tvc_cursor_decode(options.cursor, &cursor.data, &cursor.len, error);
    if (status == TROVE_OK)
        status = list(client, bucket, &options, &cursor, page, error);
    free(cursor.data);
    return status;
}
