/* server_streams.c - the server's pools and streams, seen and controlled from outside: unary calls. See trove_pools.h. */
#include "call.h"
#include "options.h"

#include <string.h>

/* ---- pools ---- */

static void take_pool(const Trove__V1__PoolInfo *from, trove_server_pool *to) {
    *to = (trove_server_pool){
        .closing = from->closing,
        .streams_active = from->streams_active,
        .streams_max = from->streams_max,
        .acquires_waiting = from->acquires_waiting,
        .channel_chunks = from->channel_chunks,
        .chunk_bytes = from->chunk_bytes,
        .buffers_max = from->buffers_max,
        .memory_budget_bytes = from->memory_budget_bytes,
        .memory_in_use_bytes = from->memory_in_use_bytes,
        .memory_high_water_bytes = from->memory_high_water_bytes,
        .buffers_allocated = from->buffers_allocated,
        .buffers_released = from->buffers_released,
        .stream_timeout_ms = from->stream_timeout_ms,
        .idle_timeout_ms = from->idle_timeout_ms,
        .paused_timeout_ms = from->paused_timeout_ms,
        .bandwidth_bytes_per_second = from->bandwidth_bytes_per_second,
        .bytes_per_second = (double)from->bytes_per_second,
        .total_bytes = from->total_bytes,
        .total_chunks = from->total_chunks,
        .total_streams = from->total_streams,
        .failed_streams = from->failed_streams,
        .cancelled_streams = from->cancelled_streams,
        .latency_p50_ns = from->latency_p50_ns,
        .latency_p90_ns = from->latency_p90_ns,
        .latency_p99_ns = from->latency_p99_ns,
        .retries = from->retries,
        .drops = from->drops,
        .spills = from->spills,
        .waiting_bytes = from->waiting_bytes,
    };
    snprintf(to->name, sizeof to->name, "%s", from->name);
}

trove_status trove_server_pool_list(trove_client *client, uint32_t timeout_ms, trove_server_pool **pools_out, size_t *count,
                                    trove_error *error) {
    if (pools_out == NULL || count == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the place for the pools is NULL");
    Trove__V1__PoolListRequest request = TROVE__V1__POOL_LIST_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    trove_status status = tvc_call(client, "trove.v1.Pools/List", &request.base, &trove__v1__pool_list_response__descriptor,
                                   timeout_ms, &answer, error);
    if (status != TROVE_OK)
        return status;
    const Trove__V1__PoolListResponse *list = (const Trove__V1__PoolListResponse *)answer;
    trove_server_pool *pools = calloc(list->n_pools + 1, sizeof *pools); /* never of size 0 */
    if (pools == NULL) {
        TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a list of %zu pools", list->n_pools);
        tvc_answer_free(answer);
        return TROVE_RESOURCE_EXHAUSTED;
    }
    for (size_t i = 0; i < list->n_pools; i++)
        take_pool(list->pools[i], &pools[i]);
    *pools_out = pools;
    *count = list->n_pools;
    tvc_answer_free(answer);
    return TROVE_OK;
}

void trove_server_pool_list_free(trove_server_pool *pools) {
    free(pools);
}

/* ---- streams ---- */

static const char *take_text(char **at, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

static void take_stream(const Trove__V1__StreamInfo *from, char **at, trove_server_stream *to) {
    *to = (trove_server_stream){
        .stream_id = from->stream_id,
        .direction = (trove_direction)from->direction,
        .state = (trove_stream_state)from->state,
        .bucket = take_text(at, from->bucket),
        .key = take_text(at, from->key),
        .pool = take_text(at, from->pool),
        .principal = take_text(at, from->principal),
        .bytes = from->bytes,
        .size = from->size != 0 ? from->size : TROVE_SIZE_UNKNOWN,
        .chunks = from->chunks,
        .offset = from->offset,
        .started_ns = from->started_ns,
        .bytes_per_second = (double)from->bytes_per_second,
        .latency_p50_ns = from->latency_p50_ns,
        .latency_p90_ns = from->latency_p90_ns,
        .latency_p99_ns = from->latency_p99_ns,
        .retries = from->retries,
        .drops = from->drops,
        .spills = from->spills,
        .waiting_bytes = from->waiting_bytes,
        .acquire_place = from->acquire_place,
    };
}

/* One block: the page, its streams, their strings. */
static trove_server_stream_page *make_page(const Trove__V1__StreamListResponse *list) {
    size_t bytes = sizeof(trove_server_stream_page) + list->n_streams * sizeof(trove_server_stream);
    for (size_t i = 0; i < list->n_streams; i++) {
        const Trove__V1__StreamInfo *info = list->streams[i];
        bytes += strlen(info->bucket) + strlen(info->key) + strlen(info->pool) + strlen(info->principal) + 4;
    }
    trove_server_stream_page *page = malloc(bytes);
    if (page == NULL)
        return NULL;
    trove_server_stream *streams = (trove_server_stream *)(page + 1);
    char *at = (char *)(streams + list->n_streams);
    for (size_t i = 0; i < list->n_streams; i++)
        take_stream(list->streams[i], &at, &streams[i]);
    *page = (trove_server_stream_page){.streams = streams, .count = list->n_streams, .more = list->more};
    return page;
}

trove_status trove_server_stream_list(trove_client *client, const trove_server_stream_options *options,
                                      trove_server_stream_page **page_out, trove_error *error) {
    trove_server_stream_options taken;
    if (page_out == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the place for the page is NULL");
    trove_status status = tvc_server_stream_options_take(options, &taken, error);
    if (status != TROVE_OK)
        return status;
    Trove__V1__StreamListRequest request = TROVE__V1__STREAM_LIST_REQUEST__INIT;
    if (taken.pool != NULL)
        request.pool = (char *)taken.pool;
    request.after_stream_id = taken.after_stream_id;
    request.limit = taken.limit;
    ProtobufCMessage *answer = NULL;
    status = tvc_call(client, "trove.v1.Streams/List", &request.base, &trove__v1__stream_list_response__descriptor,
                      taken.timeout_ms, &answer, error);
    if (status != TROVE_OK)
        return status;
    trove_server_stream_page *page = make_page((const Trove__V1__StreamListResponse *)answer);
    tvc_answer_free(answer);
    if (page == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a page of streams");
    *page_out = page;
    return TROVE_OK;
}

void trove_server_stream_page_free(trove_server_stream_page *page) {
    free(page);
}

static trove_status control_stream(trove_client *client, Trove__V1__StreamControlRequest *request, uint32_t timeout_ms,
                                   trove_stream_state *state, trove_error *error) {
    ProtobufCMessage *answer = NULL;
    trove_status status = tvc_call(client, "trove.v1.Streams/Control", &request->base,
                                   &trove__v1__stream_control_response__descriptor, timeout_ms, &answer, error);
    if (status != TROVE_OK)
        return status;
    if (state != NULL)
        *state = (trove_stream_state)((const Trove__V1__StreamControlResponse *)answer)->state;
    tvc_answer_free(answer);
    return TROVE_OK;
}

trove_status trove_server_stream_control(trove_client *client, uint64_t stream_id, trove_control control, uint32_t timeout_ms,
                                         trove_stream_state *state, trove_error *error) {
    static const Trove__V1__ControlType types[] = {
        [TROVE_CONTROL_PAUSE] = TROVE__V1__CONTROL_TYPE__PAUSE,
        [TROVE_CONTROL_RESUME] = TROVE__V1__CONTROL_TYPE__RESUME,
        [TROVE_CONTROL_CANCEL] = TROVE__V1__CONTROL_TYPE__CANCEL,
    };
    if (control < TROVE_CONTROL_PAUSE || control > TROVE_CONTROL_CANCEL)
        return TV_FAIL(
            error, INVALID_ARGUMENT,
            "control %d; a stream can be paused, resumed and cancelled from outside, and trove_server_stream_seek moves it",
            (int)control);
    Trove__V1__StreamControlRequest request = TROVE__V1__STREAM_CONTROL_REQUEST__INIT;
    request.stream_id = stream_id;
    request.type = types[control];
    return control_stream(client, &request, timeout_ms, state, error);
}

trove_status trove_server_stream_seek(trove_client *client, uint64_t stream_id, uint64_t offset, uint32_t timeout_ms,
                                      trove_stream_state *state, trove_error *error) {
    Trove__V1__StreamControlRequest request = TROVE__V1__STREAM_CONTROL_REQUEST__INIT;
    request.stream_id = stream_id;
    request.type = TROVE__V1__CONTROL_TYPE__SEEK;
    request.offset = offset;
    return control_stream(client, &request, timeout_ms, state, error);
}
