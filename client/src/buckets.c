/* buckets.c - buckets: unary calls. See trove.h. */
#include "call.h"
#include "names.h"

#include <string.h>

static trove_status check_bucket(const char *bucket, trove_error *error) {
    if (bucket == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the bucket is NULL");
    return tv_bucket_check(bucket, error);
}

trove_status trove_bucket_create(trove_client *client, const char *bucket, uint32_t timeout_ms, trove_error *error) {
    trove_status status = check_bucket(bucket, error);
    if (status != TROVE_OK)
        return status;
    Trove__V1__BucketCreateRequest request = TROVE__V1__BUCKET_CREATE_REQUEST__INIT;
    request.bucket = (char *)bucket;
    return tvc_call(client, "trove.v1.Buckets/Create", &request.base, &trove__v1__bucket_create_response__descriptor, timeout_ms,
                    NULL, error);
}

trove_status trove_bucket_delete(trove_client *client, const char *bucket, uint32_t timeout_ms, trove_error *error) {
    trove_status status = check_bucket(bucket, error);
    if (status != TROVE_OK)
        return status;
    Trove__V1__BucketDeleteRequest request = TROVE__V1__BUCKET_DELETE_REQUEST__INIT;
    request.bucket = (char *)bucket;
    return tvc_call(client, "trove.v1.Buckets/Delete", &request.base, &trove__v1__bucket_delete_response__descriptor, timeout_ms,
                    NULL, error);
}

trove_status trove_bucket_list(trove_client *client, uint32_t timeout_ms, trove_bucket_info **buckets_out, size_t *count,
                               trove_error *error) {
    if (buckets_out == NULL || count == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the place for the buckets is NULL");
    Trove__V1__BucketListRequest request = TROVE__V1__BUCKET_LIST_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    trove_status status = tvc_call(client, "trove.v1.Buckets/List", &request.base, &trove__v1__bucket_list_response__descriptor,
                                   timeout_ms, &answer, error);
    if (status != TROVE_OK)
        return status;
    const Trove__V1__BucketListResponse *list = (const Trove__V1__BucketListResponse *)answer;
    trove_bucket_info *buckets = calloc(list->n_buckets + 1, sizeof *buckets); /* never of size 0 */
    if (buckets == NULL) {
        TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a list of %zu buckets", list->n_buckets);
        tvc_answer_free(answer);
        return TROVE_RESOURCE_EXHAUSTED;
    }
    for (size_t i = 0; i < list->n_buckets; i++) {
        const Trove__V1__BucketInfo *from = list->buckets[i];
        snprintf(buckets[i].name, sizeof buckets[i].name, "%s", from->name);
        buckets[i].created_ns = from->created_ns;
        buckets[i].object_count = from->object_count;
        buckets[i].object_bytes = from->object_bytes;
    }
    *buckets_out = buckets;
    *count = list->n_buckets;
    tvc_answer_free(answer);
    return TROVE_OK;
}

void trove_bucket_list_free(trove_bucket_info *buckets) {
    free(buckets);
}
