/* fuzz_request.c - the request of any method, of any content: the first byte chooses the method. libFuzzer; see
 * CMakeLists.txt. */
#include "access.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    size_t row_count;
    const struct tvs_access *rows = tvs_access_rows(&row_count);
    if (count == 0)
        return 0;
    const struct tvs_access *row = &rows[bytes[0] % row_count];
    const ProtobufCMethodDescriptor *method = protobuf_c_service_descriptor_get_method_by_name(row->service, row->method);
    struct tv_arena arena;
    ProtobufCMessage *request = NULL;
    trove_error error;
    tv_arena_init(&arena, 4 * TV_MESSAGE_BYTES_MAX);
    if (tv_message_unpack(method->input, bytes + 1, count - 1, &arena, &request, &error) == TROVE_OK)
        for (size_t i = 0; i < 2; i++) {
            TV_ASSERT(tvs_access_field(request, row->needs[i].bucket) != NULL);
            TV_ASSERT(tvs_access_field(request, row->needs[i].prefix) != NULL);
        }
    tv_arena_fini(&arena);
    return 0;
}
