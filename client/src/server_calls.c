/* server_calls.c - about the server itself: unary calls. See trove.h. */
#include "call.h"

trove_status trove_ping(trove_client *client, uint32_t timeout_ms, uint64_t *round_trip_ns, trove_error *error) {
    Trove__V1__EchoRequest request = TROVE__V1__ECHO_REQUEST__INIT;
    uint64_t begun_ns = tv_now_ns();
    trove_status status =
        tvc_call(client, "trove.v1.Server/Echo", &request.base, &trove__v1__echo_response__descriptor, timeout_ms, NULL, error);
    if (status == TROVE_OK && round_trip_ns != NULL)
        *round_trip_ns = tv_now_ns() - begun_ns;
    return status;
}

trove_status trove_server_info_get(trove_client *client, uint32_t timeout_ms, trove_server_info *info, trove_error *error) {
    if (info == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the place for the server's description is NULL");
    Trove__V1__ServerInfoRequest request = TROVE__V1__SERVER_INFO_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    trove_status status = tvc_call(client, "trove.v1.Server/Info", &request.base, &trove__v1__server_info_response__descriptor,
                                   timeout_ms, &message, error);
    if (status != TROVE_OK)
        return status;
    const Trove__V1__ServerInfoResponse *answer = (const Trove__V1__ServerInfoResponse *)message;
    *info = (trove_server_info){
        .uptime_ms = answer->uptime_ms,
        .streams_active = answer->streams_active,
        .connections = answer->connections,
        .memory_budget_bytes = answer->memory_budget_bytes,
        .memory_in_use_bytes = answer->memory_in_use_bytes,
    };
    snprintf(info->name, sizeof info->name, "%s", answer->name);
    snprintf(info->version, sizeof info->version, "%s", answer->version);
    snprintf(info->driver, sizeof info->driver, "%s", answer->driver);
    tvc_answer_free(message);
    return TROVE_OK;
}
