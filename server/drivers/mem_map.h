/* mem_map.h - an ordered map from keys to reference-counted objects, for the mem driver: a treap.
 *
 * Its priorities are a seeded hash of the key, so a client can't choose keys that make it deep. Every operation costs the
 * logarithm of the count; a listing goes from key to key by searching, which costs the page. The caller locks.
 * (Rejected: glibc's tsearch, which can't begin in the middle.)
 */
#ifndef TVS_MEM_MAP_H
#define TVS_MEM_MAP_H

#include "driver.h"

#include <stdatomic.h>

/* An object as mem keeps it; constant once it is in a map, so that gets read it without a lock. */
struct tvs_mem_object {
    atomic_uint refs;
    struct tvs_mem_object *left, *right; /* the map's */
    uint64_t priority;                   /* the map's */
    uint64_t size;
    uint64_t generation;
    uint64_t modified_ns;
    char etag[TROVE_ETAG_BYTES];
    size_t charged_bytes;  /* of the store's memory */
    atomic_ullong *charge; /* where they are given back to */
    void **blocks;         /* NULL: one that lies in a gap, all zeros */
    uint64_t *sums;
    size_t block_count;
    uint8_t *packed_gaps;
    struct tv_packed_gaps gaps; /* in packed_gaps */
    size_t key_bytes;
    size_t strings_bytes;
    size_t metadata_count;
    const char *strings; /* behind the key */
    char key[];          /* NUL-terminated */
};

void tvs_mem_object_acquire(struct tvs_mem_object *object);
void tvs_mem_object_release(struct tvs_mem_object *object); /* NULL is allowed */

struct tvs_mem_map {
    struct tvs_mem_object *root;
    uint64_t seed;
};

struct tvs_mem_object *tvs_mem_map_find(const struct tvs_mem_map *map, const char *key);
/* The first that isn't less than these bytes (or, with `beyond`, that is greater); NULL: none. */
struct tvs_mem_object *tvs_mem_map_seek(const struct tvs_mem_map *map, const char *key, size_t key_bytes, bool beyond);
/* Takes the reference over. The key must not be there. */
void tvs_mem_map_insert(struct tvs_mem_map *map, struct tvs_mem_object *object_move);
/* Gives the map's reference to the caller; NULL: not there. */
struct tvs_mem_object *tvs_mem_map_remove(struct tvs_mem_map *map, const char *key);

#endif
