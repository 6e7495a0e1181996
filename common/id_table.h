/* id_table.h - finds calls and streams by id: a hash table of nodes that live in what they find.
 *
 * On the server a peer chooses the ids. Each table spreads them by an odd multiplier of its own, which nobody can guess: the
 * product's high bits are the slot (multiply-shift, universal hashing). So however they are chosen, chains stay short. (Rejected:
 * the low bits, which is all that ids counted up need: 16,384 ids alike in theirs are one chain, walked for each frame.)
 * The owner's lock protects a table.
 */
#ifndef TV_ID_TABLE_H
#define TV_ID_TABLE_H

#include "status.h"

#include <stddef.h>

struct tv_id_node {
    uint64_t id;
    struct tv_id_node *next;
};

struct tv_id_table {
    struct tv_id_node **slots;
    size_t slot_count; /* a power of two */
    unsigned shift;    /* leaves as many bits as name a slot */
    uint64_t mix;      /* constant; odd */
    size_t count;
};

/* Errors: RESOURCE_EXHAUSTED; INTERNAL (the system has no random number). */
TROVE_WARN_UNUSED trove_status tv_id_table_init(struct tv_id_table *table, trove_error *error);
/* Doesn't touch the nodes. Zeroed tables are allowed. */
void tv_id_table_fini(struct tv_id_table *table);

/* NULL if there is none. */
struct tv_id_node *tv_id_table_find(const struct tv_id_table *table, uint64_t id);
/* node->id must not be in the table. */
void tv_id_table_add(struct tv_id_table *table, struct tv_id_node *node);
void tv_id_table_remove(struct tv_id_table *table, struct tv_id_node *node);

/* Any node of the table, NULL when it is empty: to take them out one by one. */
struct tv_id_node *tv_id_table_any(const struct tv_id_table *table);
/* The node behind `node` in the table's own order; NULL starts with the first and ends the walk. The table must not change
 * meanwhile. */
struct tv_id_node *tv_id_table_next(const struct tv_id_table *table, const struct tv_id_node *node);

#endif
