/* rpc.c - finding and invoking unary methods. See rpc.h. Any thread. */
#include "rpc.h"

#include <string.h>

static const struct {
    ProtobufCService *service;
    bool blocks;
} services[] = {
    {&tvs_buckets_service.base, true}, {&tvs_objects_service.base, true}, {&tvs_admin_service.base, true},
    {&tvs_pools_service.base, true}, /* many locks, and answers of some size */
    {&tvs_streams_service.base, true}, {&tvs_uploads_service.base, true}, {&tvs_server_service.base, false},
};

trove_status tvs_rpc_find(const char *name, struct tvs_method *method, trove_error *error) {
    const char *slash = strchr(name, '/');
    if (slash == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "method \"%.100s\" isn't named like trove.v1.SERVICE/METHOD", name);
    size_t service_bytes = (size_t)(slash - name);
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        const ProtobufCServiceDescriptor *descriptor = services[i].service->descriptor;
        if (strlen(descriptor->name) != service_bytes || memcmp(descriptor->name, name, service_bytes) != 0)
            continue;
        const ProtobufCMethodDescriptor *found = protobuf_c_service_descriptor_get_method_by_name(descriptor, slash + 1);
        if (found == NULL)
            break;
        *method = (struct tvs_method){
            .service = services[i].service,
            .index = (unsigned)(found - descriptor->methods),
            .descriptor = found,
            .access = tvs_access_find(descriptor, found->name),
            .blocks = services[i].blocks,
        };
        return TROVE_OK;
    }
    return TV_FAIL(error, UNIMPLEMENTED, "method \"%.100s\" doesn't exist in this version of the server", name);
}

void tvs_rpc_respond(const ProtobufCMessage *response, struct tvs_rpc *rpc) {
    TV_ASSERT(rpc->response == NULL);
    rpc->error = (trove_error){TROVE_OK, ""}; /* what was tried in vain on the way is forgotten */
    size_t bytes = protobuf_c_message_get_packed_size(response);
    if (bytes > TV_MESSAGE_BYTES_MAX) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "the answer would have %zu bytes; at most %llu fit", bytes,
                (unsigned long long)TV_MESSAGE_BYTES_MAX);
        return;
    }
    rpc->response = malloc(bytes + 1);
    if (rpc->response == NULL) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory for an answer of %zu bytes", bytes);
        return;
    }
    rpc->response_bytes = protobuf_c_message_pack(response, rpc->response);
}

trove_status tvs_rpc_invoke(const struct tvs_method *method, const void *request, size_t request_bytes, struct tv_arena *arena,
                            struct tvs_rpc *rpc) {
    rpc->error = (trove_error){TROVE_OK, ""};
    ProtobufCMessage *input = NULL;
    trove_status status = tv_message_unpack(method->descriptor->input, request, request_bytes, arena, &input, &rpc->error);
    if (status == TROVE_OK)
        status = tvs_access_check(method->access, input, rpc->session, &rpc->error);
    if (status != TROVE_OK)
        return status;
    method->service->invoke(method->service, method->index, input, (ProtobufCClosure)tvs_rpc_respond, rpc);
    return rpc->error.status;
}
