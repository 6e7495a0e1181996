/* fuzz_cursor.c - where a listing of uploads goes on, as a client may make it up. libFuzzer; see CMakeLists.txt. */
#include "upload.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    struct tvs_upload_cursor cursor = {.count = count};
    struct tvs_upload_cursor again;
    uint64_t bucket_id = 0;
    const char *key = NULL;
    struct tvs_upload_id id;
    trove_error error;
    if (count > sizeof cursor.bytes) /* the server's check */
        return 0;
    if (count > 0)
        memcpy(cursor.bytes, bytes, count);
    if (count == 0 || tvs_upload_cursor_read(&cursor, &bucket_id, &key, &id, &error) != TROVE_OK)
        return 0;
    tvs_upload_cursor_write(bucket_id, key, &id, &again);
    TV_ASSERT(again.count == cursor.count && memcmp(again.bytes, cursor.bytes, count) == 0);
    return 0;
}
