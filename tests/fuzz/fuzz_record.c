/* fuzz_record.c - rows of the local store's index, as they might be read from a damaged disk. libFuzzer; see CMakeLists.txt. */
#include "local_upload_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    struct tvs_record record;
    struct tvs_bucket_record bucket;
    struct tvs_owner_record owner;
    trove_error error;
    (void)!tvs_record_decode(bytes, count, &record, &error);
    (void)!tvs_bucket_record_decode(bytes, count, &bucket, &error);
    (void)!tvs_owner_record_decode(bytes, count, &owner, &error);
    static const struct tvs_upload_id id;
    static uint64_t sums[TVS_SEGMENT_SUMS];
    struct tvs_upload_record upload;
    struct tvs_journal journal;
    struct tvs_upload_id request;
    (void)!tvs_upload_record_decode(&id, bytes, count, &upload, &error);
    (void)!tvs_journal_decode(&id, bytes, count, &journal, &error);
    (void)!tvs_request_record_decode(bytes, count, &request, &error);
    (void)!tvs_segment_decode(&id, bytes, count, sums, count / 8 < TVS_SEGMENT_SUMS ? count / 8 : TVS_SEGMENT_SUMS, &error);
    return 0;
}
