/* wire.h - the driver's terms into the wire's, and back. Pure: any thread. */
#ifndef TVS_WIRE_H
#define TVS_WIRE_H

#include "drivers/driver.h"
#include "frame.h"

/* An object's description; it borrows the object's strings. */
struct tvs_wire_object {
    Trove__V1__ObjectInfo info;
    Trove__V1__Entry entries[TV_METADATA_COUNT_MAX];
    Trove__V1__Entry *entry_list[TV_METADATA_COUNT_MAX];
};
/* A list of gaps; zeroed memory is an empty one. */
struct tvs_wire_gaps {
    Trove__V1__GapInfo **list;
    size_t count;
    void *memory;
};
/* What of the object was lost. Allocates only where something was. Errors: RESOURCE_EXHAUSTED. */
trove_status tvs_wire_gaps_init(struct tvs_wire_gaps *gaps, const struct tvs_object *object, trove_error *error);
void tvs_wire_gaps_fini(struct tvs_wire_gaps *gaps);
/* Fills in `completed` but for what was dropped, which the stream knows. Borrows `wire`, the object's, and `gaps`, which may be
 * NULL for an object without. */
void tvs_wire_completed(struct tvs_wire_object *wire, const struct tvs_wire_gaps *gaps, Trove__V1__Completed *completed);
/* Borrows the strings of `object`. */
void tvs_wire_object(const char *bucket, const struct tvs_object *object, struct tvs_wire_object *wire);
/* Fills `list` (room for TV_METADATA_COUNT_MAX) with borrowed strings. Errors: INVALID_ARGUMENT. */
trove_status tvs_metadata_from_wire(Trove__V1__Entry *const *entries, size_t count, trove_metadata *list, trove_error *error);
/* NULL is none. Errors: INVALID_ARGUMENT (a kind that is none, a value of another length). */
trove_status tvs_digest_from_wire(const Trove__V1__Digest *wire, struct tvs_declared_digest *digest, trove_error *error);
void tvs_conditions_from_wire(const Trove__V1__Conditions *wire, struct tvs_conditions *conditions);

#endif
