/* id_table.c - see id_table.h. */
#include "id_table.h"

#define FIRST_SLOTS 16

trove_status tv_id_table_init(struct tv_id_table *table, trove_error *error) {
    table->slots = calloc(FIRST_SLOTS, sizeof(struct tv_id_node *));
    if (table->slots == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a table of calls");
    table->slot_count = FIRST_SLOTS;
    table->count = 0;
    return TROVE_OK;
}

void tv_id_table_fini(struct tv_id_table *table) {
    free(table->slots);
    table->slots = NULL;
    table->slot_count = table->count = 0;
}

static struct tv_id_node **slot_of(const struct tv_id_table *table, uint64_t id) {
    return &table->slots[id & (table->slot_count - 1)];
}

struct tv_id_node *tv_id_table_find(const struct tv_id_table *table, uint64_t id) {
    if (table->slot_count == 0)
        return NULL;
    for (struct tv_id_node *node = *slot_of(table, id); node != NULL; node = node->next)
        if (node->id == id)
            return node;
    return NULL;
}

/* Without memory for more slots the chains just get longer. */
static void grow(struct tv_id_table *table) {
    struct tv_id_table larger = {calloc(table->slot_count * 2, sizeof(struct tv_id_node *)), table->slot_count * 2, 0};
    if (larger.slots == NULL)
        return;
    for (size_t i = 0; i < table->slot_count; i++) {
        while (table->slots[i] != NULL) {
            struct tv_id_node *node = table->slots[i];
            table->slots[i] = node->next;
            tv_id_table_add(&larger, node);
        }
    }
    free(table->slots);
    *table = larger;
}

void tv_id_table_add(struct tv_id_table *table, struct tv_id_node *node) {
    if (table->count >= table->slot_count)
        grow(table);
    struct tv_id_node **slot = slot_of(table, node->id);
    node->next = *slot;
    *slot = node;
    table->count++;
}

void tv_id_table_remove(struct tv_id_table *table, struct tv_id_node *node) {
    struct tv_id_node **at = slot_of(table, node->id);
    while (*at != node) {
        TV_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    table->count--;
}

struct tv_id_node *tv_id_table_any(const struct tv_id_table *table) {
    return tv_id_table_next(table, NULL);
}

struct tv_id_node *tv_id_table_next(const struct tv_id_table *table, const struct tv_id_node *node) {
    if (table->count == 0)
        return NULL;
    if (node != NULL && node->next != NULL)
        return node->next;
    for (size_t i = node == NULL ? 0 : (node->id & (table->slot_count - 1)) + 1; i < table->slot_count; i++)
        if (table->slots[i] != NULL)
            return table->slots[i];
    return NULL;
}
