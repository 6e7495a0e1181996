/* sorted.h - a growing array of pointers that is kept in order. Looking one up costs the logarithm of the count, inserting one a
 * move of pointers. The caller locks; what the pointers point at is the caller's.
 */
#ifndef TVS_SORTED_H
#define TVS_SORTED_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory is an empty one. */
struct tvs_sorted {
    void **all;
    size_t count;
    size_t capacity;
};

/* How `key` compares to an item: negative, 0 or positive. */
typedef int (*tvs_sorted_compare)(const void *key, const void *item);

/* Where the first item is that isn't less than `key`; *found: it is equal. */
size_t tvs_sorted_find(const struct tvs_sorted *sorted, tvs_sorted_compare compare, const void *key, bool *found);
/* Makes room for one more, so that inserting it can't fail. False: no memory. */
bool tvs_sorted_reserve(struct tvs_sorted *sorted);
void tvs_sorted_insert(struct tvs_sorted *sorted, size_t at, void *item);
void tvs_sorted_remove(struct tvs_sorted *sorted, size_t at);
void tvs_sorted_fini(struct tvs_sorted *sorted);

#endif
