/* storage_quota.h - what a key or a user may have stored.
 *
 * Objects have no owner. So a quota is one of the buckets that the principal may write something to: what they hold together,
 * with what resumable uploads hold there that aren't complete, is compared with it when an object begins, where its size is
 * known, as it grows, and when it is about to be published. An object that replaces another counts beside it until it has; and
 * what several streams store at the same moment may pass the quota once, by what they have.
 */
#ifndef TVS_STORAGE_QUOTA_H
#define TVS_STORAGE_QUOTA_H

#include "session.h"

bool tvs_storage_quota_has(struct tvs_session *session);
/* Whether an object of so many bytes may be stored; OK without a quota. `own` is the resumable upload that becomes it, which
 * doesn't count besides; NULL: none. *fits_bytes (may be NULL) is how large it may become before this is to be asked again. Not
 * under the lock; blocks for the store. Errors: RESOURCE_EXHAUSTED, with the numbers; those of the store. */
TROVE_WARN_UNUSED trove_status tvs_storage_quota_check(struct tvs_session *session, const struct tvs_upload_id *own,
                                                       uint64_t bytes, uint64_t *fits_bytes, trove_error *error);

#endif
