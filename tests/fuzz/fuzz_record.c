/* fuzz_record.c - rows of the local store's index, as they might be read from a damaged disk. libFuzzer; see CMakeLists.txt. */
#include "local_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    struct tvs_record record;
    struct tvs_bucket_record bucket;
    struct tvs_owner_record owner;
    trove_error error;
    (void)!tvs_record_decode(bytes, count, &record, &error);
    (void)!tvs_bucket_record_decode(bytes, count, &bucket, &error);
    (void)!tvs_owner_record_decode(bytes, count, &owner, &error);
    return 0;
}
