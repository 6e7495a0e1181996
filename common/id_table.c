/* id_table.c - see id_table.h. */
#include "id_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define FIRST_SLOT_BITS 4
#define FIRST_SLOTS     ((size_t)1 << FIRST_SLOT_BITS)

trove_status tv_id_table_init(struct tv_id_table *table, trove_error *error) {
    uint64_t mix;
    if (getrandom(&mix, sizeof mix, 0) != (ssize_t)sizeof mix)
        return tv_error_errno(error, errno, "drawing a random number");
    struct tv_id_node **slots = calloc(FIRST_SLOTS, sizeof *slots);
    if (slots == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a table of ids");
    *table = (struct tv_id_table){.slots = slots, .slot_count = FIRST_SLOTS, .shift = 64 - FIRST_SLOT_BITS, .mix = mix | 1};
    return TROVE_OK;
}

void tv_id_table_fini(struct tv_id_table *table) {
    free(table->slots);
    table->slots = NULL;
    table->slot_count = table->count = 0;
}

static size_t slot_of(const struct tv_id_table *table, uint64_t id) {
    return (size_t)(id * table->mix >> table->shift);
}

struct tv_id_node *tv_id_table_find(const struct tv_id_table *table, uint64_t id) {
    if (table->slot_count == 0)
        return NULL;
    for (struct tv_id_node *node = table->slots[slot_of(table, id)]; node != NULL; node = node->next)
        if (node->id == id)
            return node;
    return NULL;
}

static void put(struct tv_id_table *table, struct tv_id_node *node) {
    struct tv_id_node **slot = &table->slots[slot_of(table, node->id)];
    node->next = *slot;
    *slot = node;
    table->count++;
}

/* Without memory for more slots the chains just get longer. */
static void grow(struct tv_id_table *table) {
    struct tv_id_table larger = {.slot_count = table->slot_count * 2, .shift = table->shift - 1, .mix = table->mix};
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (larger.slots == NULL)
        return;
    for (size_t i = 0; i < table->slot_count; i++) {
        while (table->slots[i] != NULL) {
            struct tv_id_node *node = table->slots[i];
            table->slots[i] = node->next;
            put(&larger, node);
        }
    }
    free(table->slots);
    *table = larger;
}

void tv_id_table_add(struct tv_id_table *table, struct tv_id_node *node) {
    if (table->count >= table->slot_count)
        grow(table);
    put(table, node);
}

void tv_id_table_remove(struct tv_id_table *table, struct tv_id_node *node) {
    struct tv_id_node **at = &table->slots[slot_of(table, node->id)];
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
    for (size_t i = node == NULL ? 0 : slot_of(table, node->id) + 1; i < table->slot_count; i++)
        if (table->slots[i] != NULL)
            return table->slots[i];
    return NULL;
}
