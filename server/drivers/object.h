/* object.h - what all drivers share: describing an object in one block of memory, judging conditions, naming things in messages.
 *
 * An object's texts are kept the same way everywhere, in memory and on disk: "content type NUL (key NUL value NUL)*", the
 * object's `strings`. None of them can hold a NUL, so that they can be copied in one piece and pointed into.
 */
#ifndef TVS_OBJECT_H
#define TVS_OBJECT_H

#include "driver.h"

/* The longest strings that the limits allow. */
#define TVS_STRINGS_BYTES_MAX (TV_CONTENT_TYPE_BYTES_MAX + 1 + TV_METADATA_BYTES_MAX + 2 * TV_METADATA_COUNT_MAX)

/* What a small put costs besides its texts and bytes, which see tvs_small_put_bytes. */
#define TVS_SMALL_PUT_FIXED_BYTES 1280

/* How long the strings are that an object put so has, and the strings, whose length is not told in them. */
size_t tvs_strings_bytes(const struct tvs_put_options *options);
void tvs_strings_write(const struct tvs_put_options *options, char *to); /* `to` has room for tvs_strings_bytes */
/* Whether `bytes` of foreign origin are the strings of `metadata_count` pairs, to the byte. */
bool tvs_strings_valid(const char *strings, size_t bytes, size_t metadata_count);

/* Everything that makes a tvs_object; borrowed. */
struct tvs_object_facts {
    const char *key;
    size_t key_bytes; /* without a NUL, which `key` need not have */
    uint64_t size;
    uint64_t generation;
    uint64_t modified_ns;
    const char *etag;
    const char *strings;
    size_t strings_bytes;
    size_t metadata_count;
    struct tv_packed_gaps gaps;
};

/* Builds *object in `memory`, which is aligned for pointers and has room for tvs_object_block_bytes. object->memory is NULL: the
 * block stays the caller's. */
size_t tvs_object_block_bytes(const struct tvs_object_facts *facts);
void tvs_object_place(const struct tvs_object_facts *facts, void *memory, struct tvs_object *object);
/* The same on the heap, for tvs_object_fini. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_object_build(const struct tvs_object_facts *facts, struct tvs_object *object, trove_error *error);

/* A list of gaps as all drivers keep it: packed. *memory is malloc'd; NULL where there are no gaps. Errors:
 * RESOURCE_EXHAUSTED. */
trove_status tvs_gaps_keep(const struct tv_gaps *gaps, uint8_t **memory, struct tv_packed_gaps *packed, trove_error *error);

/* Conditions that outlive their call. */
struct tvs_conditions_copy {
    bool any;
    bool if_none;
    bool has_etag;
    char etag[TROVE_ETAG_BYTES];
    uint64_t if_generation;
};

void tvs_conditions_keep(const struct tvs_conditions *conditions, struct tvs_conditions_copy *copy);

/* Whether the conditions hold for an object as it is now: `etag` NULL means that there is none. Errors: FAILED_PRECONDITION. */
trove_status tvs_conditions_check(const struct tvs_conditions_copy *conditions, const char *etag, uint64_t generation,
                                  const char *bucket, const char *key, trove_error *error);

/* A name of an object for a message: a long key is cut at a character, so that the advice behind it still fits. */
#define TVS_NAME_BYTES 224
const char *tvs_object_name(const char *bucket, const char *key, char name[TVS_NAME_BYTES]);

/* That what is to be read lies in this object of `size` bytes. Errors: OUT_OF_RANGE. */
trove_status tvs_range_check(const struct tv_data *data, uint64_t size, const char *bucket, const char *key, trove_error *error);

trove_status tvs_fail_too_many_buckets(trove_error *error);

/* Here and not in object.c, so that callers, and whoever reads them, see that these are never OK. */
static inline trove_status tvs_fail_no_bucket(const char *bucket, trove_error *error) {
    return TV_FAIL(error, NOT_FOUND, "bucket %s doesn't exist", bucket);
}

static inline trove_status tvs_fail_no_object(const char *bucket, const char *key, trove_error *error) {
    char name[TVS_NAME_BYTES];
    return TV_FAIL(error, NOT_FOUND, "object %s doesn't exist (its bucket does)", tvs_object_name(bucket, key, name));
}

static inline trove_status tvs_fail_no_memory(const char *what, trove_error *error) {
    return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for %s; try again when less is going on", what);
}

uint64_t tvs_now_ns(void); /* since the epoch */

#endif
