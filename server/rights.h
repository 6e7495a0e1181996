/* rights.h - what somebody may do: a list of grants, each some rights on everything, on a bucket, or on the keys of one that
 * begin alike.
 *
 * As text: grants with blanks between them, each RIGHTS[:BUCKET[/PREFIX]].
 *
 *   read,list                   in all buckets
 *   read,write,list:media/raw/  on what begins with "raw/" in the bucket media
 *   all                         everything, admin included
 *
 * A prefix is a prefix of keys, no folder: media/raw also covers "rawest". What can't stand in a word (blanks, control
 * characters, '%') is written as %XX.
 * Threads: any; a list never changes once it is made, and its references are counted.
 */
#ifndef TVS_RIGHTS_H
#define TVS_RIGHTS_H

#include "status.h"

#include <stdbool.h>

#define TVS_GRANTS_MAX            64
#define TVS_RIGHTS_TEXT_BYTES_MAX 8192

enum tvs_right {
    TVS_RIGHT_READ = 1 << 0,   /* objects: get, stat, copy from */
    TVS_RIGHT_WRITE = 1 << 1,  /* objects: put, replace, copy to; on a whole bucket: make it */
    TVS_RIGHT_DELETE = 1 << 2, /* objects; on a whole bucket: remove it */
    TVS_RIGHT_LIST = 1 << 3,   /* keys */
    TVS_RIGHT_ADMIN = 1 << 4,  /* streams and uploads of others; on everything: pools, and what concerns the server */
};
#define TVS_RIGHTS_ALL ((1u << 5) - 1)

struct tvs_rights;

/* *rights has one reference. Errors: INVALID_ARGUMENT, naming the grant; RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tvs_rights_parse(const char *text, struct tvs_rights **rights, trove_error *error);
struct tvs_rights *tvs_rights_acquire(struct tvs_rights *rights); /* returns it; NULL is allowed, here and below: no rights */
void tvs_rights_release(struct tvs_rights *rights);

/* Whether all of `wanted` (a sum of rights) is granted on each key that begins with `prefix`; "" is the whole bucket, and NULL as
 * the bucket everything. */
bool tvs_rights_allow(const struct tvs_rights *rights, unsigned wanted, const char *bucket, const char *prefix);
/* Whether one of the rights `any_of` is granted on something in the bucket. */
bool tvs_rights_touch(const struct tvs_rights *rights, unsigned any_of, const char *bucket);

/* The word for one right: "read". */
const char *tvs_right_name(enum tvs_right right);

#endif
