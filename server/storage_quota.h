/* storage_quota.h - what a key or a user may have stored.
 *
 * Objects have no owner. So a quota is one of the buckets that the principal may write something to: what they hold together is compared
 * with it when an object is about to be published. An object that replaces another counts beside it until it has; and what several uploads
 * publish at the same moment may pass the quota once, by what they have.
 */
#ifndef TVS_STORAGE_QUOTA_H
#define TVS_STORAGE_QUOTA_H

#include "session.h"

bool tvs_storage_quota_has(struct tvs_session *session);
/* Whether so many bytes more may be stored; OK without a quota. Not under the lock; blocks for the store.
 * Errors: RESOURCE_EXHAUSTED, with the numbers; those of the store. */
TROVE_WARN_UNUSED trove_status tvs_storage_quota_check(struct tvs_session *session, uint64_t bytes, trove_error *error);

#endif
