/* mem_map.c - see mem_map.h. */
#include "mem_map.h"

#include <string.h>

void tvs_mem_object_acquire(struct tvs_mem_object *object) {
    atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
}

void tvs_mem_object_release(struct tvs_mem_object *object) {
    if (object == NULL || atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < object->block_count; i++)
        free(object->blocks[i]);
    free(object->blocks);
    free(object->sums);
    free(object->packed_gaps);
    atomic_fetch_sub_explicit(object->charge, object->charged_bytes, memory_order_relaxed);
    free(object);
}

static int compare(const struct tvs_mem_object *object, const char *key, size_t key_bytes) {
    size_t common = object->key_bytes < key_bytes ? object->key_bytes : key_bytes;
    int order = memcmp(object->key, key, common);
    if (order != 0)
        return order;
    return object->key_bytes < key_bytes ? -1 : object->key_bytes > key_bytes;
}

struct tvs_mem_object *tvs_mem_map_find(const struct tvs_mem_map *map, const char *key) {
    size_t key_bytes = strlen(key);
    struct tvs_mem_object *at = map->root;
    int order;
    while (at != NULL && (order = compare(at, key, key_bytes)) != 0)
        at = order > 0 ? at->left : at->right;
    return at;
}

struct tvs_mem_object *tvs_mem_map_seek(const struct tvs_mem_map *map, const char *key, size_t key_bytes, bool beyond) {
    struct tvs_mem_object *best = NULL;
    for (struct tvs_mem_object *at = map->root; at != NULL;) {
        int order = compare(at, key, key_bytes);
        if (order > 0 || (order == 0 && !beyond)) {
            best = at;
            at = at->left;
        } else {
            at = at->right;
        }
    }
    return best;
}

/* Cuts a tree into what is less than the key and what is greater. */
static void split(struct tvs_mem_object *tree, const char *key, size_t key_bytes, struct tvs_mem_object **less,
                  struct tvs_mem_object **greater) {
    while (tree != NULL) {
        if (compare(tree, key, key_bytes) < 0) {
            *less = tree;
            less = &tree->right;
            tree = tree->right;
        } else {
            *greater = tree;
            greater = &tree->left;
            tree = tree->left;
        }
    }
    *less = NULL;
    *greater = NULL;
}

void tvs_mem_map_insert(struct tvs_mem_map *map, struct tvs_mem_object *object_move) {
    struct tvs_mem_object *object = object_move;
    object->priority = tv_hash_seeded(object->key, object->key_bytes, map->seed);
    struct tvs_mem_object **at = &map->root;
    while (*at != NULL && (*at)->priority > object->priority)
        at = compare(*at, object->key, object->key_bytes) > 0 ? &(*at)->left : &(*at)->right;
    split(*at, object->key, object->key_bytes, &object->left, &object->right);
    *at = object;
}

struct tvs_mem_object *tvs_mem_map_remove(struct tvs_mem_map *map, const char *key) {
    size_t key_bytes = strlen(key);
    struct tvs_mem_object **at = &map->root;
    int order;
    while (*at != NULL && (order = compare(*at, key, key_bytes)) != 0)
        at = order > 0 ? &(*at)->left : &(*at)->right;
    struct tvs_mem_object *removed = *at;
    if (removed == NULL)
        return NULL;
    /* Joins the two halves: of each pair of roots the one with the greater priority comes on top. */
    struct tvs_mem_object *less = removed->left, *greater = removed->right;
    while (less != NULL && greater != NULL) {
        if (less->priority > greater->priority) {
            *at = less;
            at = &less->right;
            less = less->right;
        } else {
            *at = greater;
            at = &greater->left;
            greater = greater->left;
        }
    }
    *at = less != NULL ? less : greater;
    removed->left = removed->right = NULL;
    return removed;
}
