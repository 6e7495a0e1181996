/* inline_put.h - small objects in one flight: the open's payload is the whole object. See Open.inline_checksum in trove.proto. */
#ifndef TVS_INLINE_PUT_H
#define TVS_INLINE_PUT_H

#include "session.h"

/* Takes the object, or answers why not; `payload` is read during the call. On the connection's receiving thread, not under the
 * session's lock. */
void tvs_inline_put(struct tvs_session *session, const tv_frame *frame, const void *payload, uint64_t payload_bytes);

#endif
