/* record.h - what travels after the handshake: bytes, sealed in records of at most 32 KiB, several to an SP message. Pure.
 *
 *   message = entry... sealed...      as many sealed records as entries, in their order
 *   entry = 32 bits, big-endian: the highest is set in the message's last entry, the others are the record's length; then its tag
 *
 * A record's associated data are the four bytes before its tag, so neither lengths nor the end of a message can be changed; its
 * nonce is a counter, so records can't be repeated, left out or moved. The bytes inside go on from one record and one message to
 * the next: frames, each after its length, wherever the records are cut.
 * The tags are gathered in front, so that payloads lie side by side and are received straight to their place. A sender cuts
 * records where a large buffer begins, that is where a payload does.
 * (Rejected: one record a frame. A batch of small frames would pay for each what one record costs.)
 *
 * Threads: one for each direction. One writer seals, and so no counter is used twice.
 */
#ifndef TV_RECORD_H
#define TV_RECORD_H

#include "bounds.h"
#include "noise_cipher.h"

#include <sys/uio.h>

#define TV_RECORD_LENGTH_BYTES 4
#define TV_RECORD_ENTRY_BYTES  (TV_RECORD_LENGTH_BYTES + TV_NOISE_TAG_BYTES)
#define TV_RECORD_TABLE_BYTES  (TV_RECORDS_MAX * TV_RECORD_ENTRY_BYTES)
#define TV_SEALED_BYTES_MAX    (TV_RECORD_TABLE_BYTES + TV_RECORDS_MAX * TV_RECORD_BYTES_MAX) /* a message */
#define TV_RECORD_FINAL        (UINT32_C(1) << 31)

_Static_assert(TV_SEALED_BYTES_MAX < TV_MIB, "stock nng sockets take it");

/* Seals the beginning of what `iov` holds as one message to `out`, of `capacity` bytes, which hold one record at least.
 * *plain_bytes is how much of it that was, *sealed_bytes what it has become. There must be something.
 * Errors: RESOURCE_EXHAUSTED (the key is used up). */
TROVE_WARN_UNUSED trove_status tv_records_seal(struct tv_noise_cipher *cipher, const struct iovec *iov, unsigned iov_count,
                                               uint8_t *out, size_t capacity, size_t *plain_bytes, size_t *sealed_bytes,
                                               trove_error *error);

/* An entry's length and whether it is the last one. Errors: INVALID_ARGUMENT (a record that is empty or too long). */
TROVE_WARN_UNUSED trove_status tv_record_entry(const uint8_t entry[static TV_RECORD_ENTRY_BYTES], size_t *bytes, bool *final,
                                               trove_error *error);

/* Opens one record; `plain` may be `sealed`. Errors: DATA_LOSS (it isn't the one that comes now), RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tv_record_open(struct tv_noise_cipher *cipher, const uint8_t entry[static TV_RECORD_ENTRY_BYTES],
                                              const void *sealed, void *plain, trove_error *error);

#endif
