/* local_pending.h - the keys that a batch changes, each with the last request that does: a hash table that is emptied in no time.
 * The committer's thread alone looks at it, also while the batch is being written.
 */
#ifndef TVS_LOCAL_PENDING_H
#define TVS_LOCAL_PENDING_H

#include "local_commit.h"

struct tvs_pending_table;

struct tvs_pending_table *tvs_pending_create(size_t count_max); /* NULL: no memory */
void tvs_pending_destroy(struct tvs_pending_table *table);      /* NULL is allowed */
/* The last request on this one's key; NULL: none. */
const struct tvs_commit *tvs_pending_find(const struct tvs_pending_table *table, const struct tvs_commit *commit);
void tvs_pending_insert(struct tvs_pending_table *table, const struct tvs_commit *commit);
void tvs_pending_clear(struct tvs_pending_table *table);

#endif
