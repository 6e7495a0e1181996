/* audit_events.h - what goes into the audit log, and in which words. All do nothing where there is none. Any thread, under no
 * lock.
 *
 *   event=connect      principal, peer, agent; or why not. A flood of those that aren't let in isn't written whole (refusals.h):
 *   event=left_out     so many connections that weren't let in have no line
 *   event=disconnect   of who was let in. OK: closed by the client, which had nothing under way
 *   event=upload, download, bidi   a stream has ended, or wasn't opened: bucket, key, bytes
 *   event=put          a small object in one flight
 *   event=SERVICE/METHOD           a call: what its request says of the object, upload or stream
 *
 * Each with principal, peer, status, and the error where there is one. Calls that concern nobody's data (Server/...) are left out
 * unless they are refused.
 */
#ifndef TVS_AUDIT_EVENTS_H
#define TVS_AUDIT_EVENTS_H

#include "audit.h"
#include "rpc.h"

struct tvs_stream;

/* `agent` NULL: it didn't get as far as to say it. */
void tvs_audit_connect(struct tvs_session *session, const char *agent, const trove_error *result);
void tvs_audit_disconnect(struct tvs_session *session, const trove_error *why);
/* Once a second, and at the end. */
void tvs_audit_left_out(struct tvs_server *server);
void tvs_audit_stream(const struct tvs_stream *stream);
/* An open that was refused; its words are what the peer sent. */
void tvs_audit_refused(struct tvs_session *session, trove_direction direction, const char *bucket, const char *key,
                       const trove_error *result);
void tvs_audit_put(struct tvs_session *session, const char *bucket, const char *key, uint64_t bytes, const trove_error *result);
void tvs_audit_call(struct tvs_session *session, const struct tvs_method *method, const void *request, size_t request_bytes,
                    const trove_error *result);

#endif
