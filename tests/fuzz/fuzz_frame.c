/* fuzz_frame.c - everything that a connection does with a message that somebody sent. libFuzzer; see CMakeLists.txt. */
#include "frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    static uint8_t packed[TV_HEADER_BYTES_MAX];
    uint8_t *message = malloc(count > 0 ? count : 1); /* no byte more: what is read behind the end is found */
    if (message == NULL)
        return 0;
    memcpy(message, bytes, count);
    struct tv_arena arena;
    tv_arena_init(&arena, TV_ARENA_BYTES_MAX);
    struct tv_frame_layout layout;
    trove_error error;
    enum tv_scan scan = tv_frame_scan(message, count, count, &layout, &error);
    bool whole =
        scan == TV_SCAN_OK || (scan == TV_SCAN_SHUFFLED && tv_frame_compact(message, count, &layout, &error) == TROVE_OK);
    tv_frame *frame = NULL;
    if (whole && tv_frame_unpack(message, layout.header_bytes, &arena, &frame, &error) == TROVE_OK)
        (void)tv_frame_pack(frame, 0, true, packed, sizeof packed);
    tv_arena_fini(&arena);
    free(message);
    return 0;
}
