/* sorted.c - see sorted.h. */
#include "sorted.h"

#include "status.h"

#include <string.h>

#define CAPACITY_MIN 16

size_t tvs_sorted_find(const struct tvs_sorted *sorted, tvs_sorted_compare compare, const void *key, bool *found) {
    size_t low = 0, high = sorted->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(key, sorted->all[middle]) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < sorted->count && compare(key, sorted->all[low]) == 0;
    return low;
}

bool tvs_sorted_reserve(struct tvs_sorted *sorted) {
    if (sorted->count < sorted->capacity)
        return true;
    size_t capacity = sorted->capacity == 0 ? CAPACITY_MIN : sorted->capacity * 2;
    void **grown = realloc(sorted->all, capacity * sizeof(void *));
    if (grown == NULL)
        return false;
    sorted->all = grown;
    sorted->capacity = capacity;
    return true;
}

void tvs_sorted_insert(struct tvs_sorted *sorted, size_t at, void *item) {
    TV_ASSERT(at <= sorted->count && sorted->count < sorted->capacity);
    memmove(sorted->all + at + 1, sorted->all + at, (sorted->count - at) * sizeof(void *));
    sorted->all[at] = item;
    sorted->count++;
}

void tvs_sorted_remove(struct tvs_sorted *sorted, size_t at) {
    TV_ASSERT(at < sorted->count);
    sorted->count--;
    memmove(sorted->all + at, sorted->all + at + 1, (sorted->count - at) * sizeof(void *));
}

void tvs_sorted_fini(struct tvs_sorted *sorted) {
    free(sorted->all);
    *sorted = (struct tvs_sorted){0};
}
