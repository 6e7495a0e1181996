/* record.c - see record.h. */
#include "record.h"

#include "iov.h"

#include <endian.h>

/* A buffer of this size is a payload, or a large part of one: it begins a record of its own. Smaller ones share one. */
#define LARGE_BYTES (16 * TV_KIB)

/* Where a message's records are cut. */
struct plan {
    unsigned count;
    uint32_t bytes[TV_RECORDS_MAX];
};

/* The record under way is full, or ends where a large buffer begins or ends. False: that was the last one. */
static bool cut(struct plan *plan, uint32_t *bytes) {
    if (*bytes > 0)
        plan->bytes[plan->count++] = *bytes;
    *bytes = 0;
    return plan->count < TV_RECORDS_MAX;
}

/* As much as fits behind a full table. */
static void make_plan(const struct iovec *iov, unsigned iov_count, size_t capacity, struct plan *plan) {
    uint32_t bytes = 0;
    size_t room = capacity - TV_RECORD_TABLE_BYTES;
    plan->count = 0;
    for (unsigned i = 0; i < iov_count && room > 0; i++) {
        bool large = iov[i].iov_len >= LARGE_BYTES;
        if (large && !cut(plan, &bytes))
            return;
        for (size_t left = iov[i].iov_len; left > 0 && room > 0;) {
            size_t step = TV_RECORD_BYTES_MAX - bytes;
            step = step < left ? step : left;
            step = step < room ? step : room;
            bytes += (uint32_t)step;
            left -= step;
            room -= step;
            if (bytes == TV_RECORD_BYTES_MAX && !cut(plan, &bytes))
                return;
        }
        if (large && !cut(plan, &bytes))
            return;
    }
    (void)cut(plan, &bytes);
}

/* The counter alone says when: both ends come to it with the same record. */
static void rekey_when_due(struct tv_noise_cipher *cipher) {
    if (cipher->counter % TV_RECORDS_PER_KEY == 0)
        tv_noise_rekey(cipher);
}

/* One record from where *at and *skip stand, which move on. One that lies in several buffers is put together first. */
static trove_status seal_record(struct tv_noise_cipher *cipher, const struct iovec *iov, unsigned iov_count, size_t at,
                                uint32_t bytes, uint8_t *entry, uint8_t *out, trove_error *error) {
    const void *plain = out;
    unsigned i = 0;
    while (i < iov_count && at >= iov[i].iov_len)
        at -= iov[i++].iov_len;
    if (iov[i].iov_len - at >= bytes)
        plain = (const char *)iov[i].iov_base + at;
    else
        (void)tv_iov_get(iov + i, iov_count - i, at, out, bytes);
    trove_status status =
        tv_noise_seal(cipher, entry, TV_RECORD_LENGTH_BYTES, plain, bytes, out, entry + TV_RECORD_LENGTH_BYTES, error);
    if (status == TROVE_OK)
        rekey_when_due(cipher);
    return status;
}

trove_status tv_records_seal(struct tv_noise_cipher *cipher, const struct iovec *iov, unsigned iov_count, uint8_t *out,
                             size_t capacity, size_t *plain_bytes, size_t *sealed_bytes, trove_error *error) {
    TV_ASSERT(capacity > TV_RECORD_TABLE_BYTES);
    struct plan plan;
    make_plan(iov, iov_count, capacity, &plan);
    TV_ASSERT(plan.count > 0);
    size_t table_bytes = plan.count * TV_RECORD_ENTRY_BYTES;
    size_t at = 0;
    trove_status status = TROVE_OK;
    for (unsigned i = 0; i < plan.count && status == TROVE_OK; i++) {
        uint8_t *entry = out + i * TV_RECORD_ENTRY_BYTES;
        uint32_t length = htobe32(plan.bytes[i] | (i + 1 == plan.count ? TV_RECORD_FINAL : 0));
        memcpy(entry, &length, sizeof length);
        status = seal_record(cipher, iov, iov_count, at, plan.bytes[i], entry, out + table_bytes + at, error);
        at += plan.bytes[i];
    }
    if (status != TROVE_OK)
        return status;
    *plain_bytes = at;
    *sealed_bytes = table_bytes + at;
    return TROVE_OK;
}

trove_status tv_record_entry(const uint8_t entry[static TV_RECORD_ENTRY_BYTES], size_t *bytes, bool *final, trove_error *error) {
    uint32_t length;
    memcpy(&length, entry, sizeof length);
    length = be32toh(length);
    uint32_t count = length & ~TV_RECORD_FINAL;
    if (count == 0 || count > TV_RECORD_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "an encrypted record of %u bytes; each has 1 to %u", count,
                       (unsigned)TV_RECORD_BYTES_MAX);
    *bytes = count;
    *final = (length & TV_RECORD_FINAL) != 0;
    return TROVE_OK;
}

trove_status tv_record_open(struct tv_noise_cipher *cipher, const uint8_t entry[static TV_RECORD_ENTRY_BYTES], const void *sealed,
                            void *plain, trove_error *error) {
    size_t bytes = 0;
    bool final;
    trove_status status = tv_record_entry(entry, &bytes, &final, error);
    if (status == TROVE_OK)
        status =
            tv_noise_open(cipher, entry, TV_RECORD_LENGTH_BYTES, sealed, bytes, entry + TV_RECORD_LENGTH_BYTES, plain, error);
    if (status == TROVE_OK)
        rekey_when_due(cipher);
    return status;
}
