/* call.h - the unary calls of a connection. See session.h and rpc.h.
 *
 * Threads: the connection's receiving thread, unless it says otherwise. Not under the session's lock.
 */
#ifndef TVS_CALL_H
#define TVS_CALL_H

#include "session.h"

/* Does what a Call frame asks for, with the packed request in its payload, and answers it, or lets a worker do so later. An
 * error, the method's own or that it can't be begun (RESOURCE_EXHAUSTED), is the caller's to answer. */
trove_status tvs_call_begin(struct tvs_session *session, const tv_frame *frame, const void *payload, uint64_t payload_bytes,
                            trove_error *error);
/* Answers the call with `status` and `why` and forgets it, if it is still under way. Any thread. */
void tvs_call_cancel(struct tvs_session *session, uint64_t call_id, trove_status status, const char *why);
/* The calls that waited for the peer to read go on. On the sending thread. */
void tvs_calls_resume(struct tvs_session *session);
/* Those that are under way are answered with `why`; those that haven't begun never do. Any thread. */
void tvs_calls_refuse(struct tvs_session *session, const trove_error *why);
/* The connection has ended: nobody wants the answers. */
void tvs_calls_abandon(struct tvs_session *session);

#endif
