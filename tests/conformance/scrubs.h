/* scrubs.h - scrubbing a store to its end, for tests. */
#ifndef CONFORMANCE_SCRUBS_H
#define CONFORMANCE_SCRUBS_H

#include "fixture.h"

#define SCRUB_TEXT_BYTES 4096

struct scrubbed {
    char text[SCRUB_TEXT_BYTES]; /* of each damage: "KEY OFFSET+LENGTH|" */
    char last[256];              /* the last one's message */
    uint64_t objects, bytes;
    unsigned steps;
};

/* A tvs_scrub_visit. */
static inline void scrub_note(void *context, const struct tvs_scrub_damage *damage) {
    struct scrubbed *scrubbed = context;
    size_t used = strlen(scrubbed->text);
    snprintf(scrubbed->text + used, sizeof scrubbed->text - used, "%s %llu+%llu|", damage->key,
             (unsigned long long)damage->offset, (unsigned long long)damage->length);
    snprintf(scrubbed->last, sizeof scrubbed->last, "%s", damage->message);
}

/* All steps of it; `between` (may be NULL) is called after each. The status of the first step that fails. */
static inline trove_status scrub_all(struct store *store, const char *prefix, void (*between)(struct store *, unsigned),
                                     struct scrubbed *scrubbed, trove_error *error) {
    struct tvs_scrub scrub = {.prefix = prefix, .visit = scrub_note, .context = scrubbed};
    trove_status status = TROVE_OK;
    *scrubbed = (struct scrubbed){.steps = 0};
    for (bool finished = false; status == TROVE_OK && !finished; scrubbed->steps++) {
        uint64_t before = scrub.bytes;
        status = store->ops->scrub(store->driver, "bucket", &scrub, &finished, error);
        assert_true(scrub.bytes - before < TVS_SCRUB_STEP_BYTES + TV_BLOCK_BYTES);
        if (between != NULL && !finished)
            between(store, scrubbed->steps);
    }
    scrubbed->objects = scrub.objects;
    scrubbed->bytes = scrub.bytes;
    return status;
}

#endif
