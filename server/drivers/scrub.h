/* scrub.h - one step of a scrub, over whatever a driver has its keys in: which object comes next, its bytes block by block, what
 * is told of it. The bytes are read by the driver's own gets, so that a scrub finds exactly what a reader would stumble over.
 *
 * Any thread; a scrub belongs to one at a time.
 */
#ifndef TVS_SCRUB_H
#define TVS_SCRUB_H

#include "driver.h"

struct tvs_scrub_source {
    void *context;
    /* The first key that isn't less than `from` or, with `beyond`, that is greater; *found false: there is none. */
    trove_status (*seek)(void *context, const char *from, bool beyond, char key[TV_KEY_BYTES_MAX + 1], bool *found,
                         trove_error *error);
    /* Whether checksums, etag, and what the driver keeps elsewhere about the object of this get fit together. DATA_LOSS: they
     * don't; the message doesn't name the object. */
    trove_status (*check)(void *context, const char *key, struct tvs_get *get, const struct tvs_object *object,
                          trove_error *error);
};

/* driver.h's `scrub`, for a bucket that exists. */
trove_status tvs_scrub_step(struct tvs_driver *driver, const char *bucket, const struct tvs_scrub_source *source,
                            struct tvs_scrub *scrub, bool *finished, trove_error *error);

#endif
