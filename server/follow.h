/* follow.h - streams that write what others read meanwhile, and those others. See feed.h and stream.h.
 *
 * Threads: as it says with each; "locked" functions are called under the session's lock.
 */
#ifndef TVS_FOLLOW_H
#define TVS_FOLLOW_H

#include "stream.h"

/* The first stream of an object writes it, others follow it. By the way up's strand. Errors: PERMISSION_DENIED (nobody
 * writes it, and this one may not), RESOURCE_EXHAUSTED, UNIMPLEMENTED (the store can't read what isn't complete). */
trove_status tvs_follow_join(struct tvs_stream *stream, trove_error *error);
/* The writer has ended, its feed is closed: followers are told. By the way up's strand. */
void tvs_follow_settle(struct tvs_stream *stream);
void tvs_follow_fini(struct tvs_stream *stream);
/* Why nothing may come up. */
trove_status tvs_follow_refuse(const struct tvs_stream *stream, trove_error *error);
/* A follower comes, when all but that is set up; and goes. By the way down's strand. */
void tvs_follow_enter(struct tvs_stream *stream);
void tvs_follow_leave(struct tvs_stream *stream);
/* Whether a follower has to ask how far it may read. Under the lock. */
bool tvs_follow_work_locked(const struct tvs_stream *stream);
/* It does so. By the way down's strand. */
void tvs_follow_step(struct tvs_stream *stream);
/* Whether the stream follows, has delivered all, and waits for its writer. Under the lock. */
bool tvs_follow_idles_locked(const struct tvs_stream *stream);

#endif
