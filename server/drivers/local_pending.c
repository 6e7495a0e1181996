/* local_pending.c - see local_pending.h. Open addressing, at most a quarter full; a slot counts while its round is the
 * present. */
#include "local_pending.h"

#include <string.h>

struct slot {
    uint64_t round;
    const struct tvs_commit *commit;
};

struct tvs_pending_table {
    uint64_t round;
    size_t mask;
    struct slot slots[];
};

struct tvs_pending_table *tvs_pending_create(size_t count_max) {
    size_t size = 1;
    while (size < count_max * 4)
        size *= 2;
    struct tvs_pending_table *table = calloc(1, sizeof *table + size * sizeof *table->slots);
    if (table != NULL) {
        table->round = 1;
        table->mask = size - 1;
    }
    return table;
}

void tvs_pending_destroy(struct tvs_pending_table *table) {
    free(table);
}

static bool same_key(const struct tvs_commit *a, const struct tvs_commit *b) {
    return a->hash == b->hash && a->index_key_bytes == b->index_key_bytes &&
           memcmp(a->index_key, b->index_key, a->index_key_bytes) == 0;
}

/* The slot of the key, or the free one where it belongs. */
static size_t slot_of(const struct tvs_pending_table *table, const struct tvs_commit *commit) {
    size_t at = commit->hash & table->mask;
    while (table->slots[at].round == table->round && !same_key(table->slots[at].commit, commit))
        at = (at + 1) & table->mask;
    return at;
}

const struct tvs_commit *tvs_pending_find(const struct tvs_pending_table *table, const struct tvs_commit *commit) {
    const struct slot *slot = &table->slots[slot_of(table, commit)];
    return slot->round == table->round ? slot->commit : NULL;
}

void tvs_pending_insert(struct tvs_pending_table *table, const struct tvs_commit *commit) {
    table->slots[slot_of(table, commit)] = (struct slot){.round = table->round, .commit = commit};
}

void tvs_pending_clear(struct tvs_pending_table *table) {
    table->round++;
}
