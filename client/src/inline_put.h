/* inline_put.h - a small object in one flight: open, bytes and end are one frame, answered by `completed` or a status. */
#ifndef TVC_INLINE_PUT_H
#define TVC_INLINE_PUT_H

#include "call.h"

/* The lists that an Open points to. */
struct tvc_open_parts {
    Trove__V1__Conditions conditions;
    Trove__V1__ByteRange range;
    Trove__V1__Digest digest;
    Trove__V1__Entry entries[TV_METADATA_COUNT_MAX];
    Trove__V1__Entry *entry_list[TV_METADATA_COUNT_MAX];
};

/* Fills *open from checked options; it borrows their strings. */
void tvc_open_fill(Trove__V1__Open *open, struct tvc_open_parts *parts, const char *bucket, const char *key,
                   trove_direction direction, const trove_stream_options *options);

/* Sends a claimed call as an inline put. On failure the slot is still the caller's. Without the lock. */
trove_status tvc_inline_put_start(trove_client *client, struct tvc_call *call, const char *bucket, const char *key,
                                  const void *data, size_t size, const trove_stream_options *options, trove_error *error);

/* The largest object that may go in one flight. */
uint64_t tvc_inline_put_most(trove_client *client);
/* Puts a small object and waits. *not_taken: the server asks for a stream instead (an error is returned then, too). `info` may
 * be NULL. */
trove_status tvc_inline_put(trove_client *client, const char *bucket, const char *key, const void *data, size_t size,
                            const trove_stream_options *options, uint64_t deadline_ns, trove_object_info **info, bool *not_taken,
                            trove_error *error);

#endif
