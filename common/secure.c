/* secure.c - see secure.h. */
#include "secure.h"

#include "record_reader.h"

#include <string.h>

#define SPARES_MAX 4
/* What stands before the sealed bytes. */
#define FRAMING_BYTES (TV_SEALED_PREFIX_BYTES_MAX + TV_RECORD_TABLE_BYTES)
#define WHOLE_BYTES   (TV_SEALED_PREFIX_BYTES_MAX + TV_SEALED_BYTES_MAX)

void tv_secure_init(struct tv_secure *self) {
    memset(self, 0, sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
}

void tv_secure_fini(struct tv_secure *self) {
    TV_ASSERT(self->scratch_bytes == 0);
    while (self->spare != NULL) {
        struct tv_scratch *scratch = self->spare;
        self->spare = scratch->next;
        free(scratch);
    }
    pthread_mutex_destroy(&self->lock);
}

struct tv_scratch *tv_secure_scratch_get(struct tv_secure *self, size_t plain_bytes) {
    size_t bytes = FRAMING_BYTES + plain_bytes;
    struct tv_scratch *scratch = NULL;
    pthread_mutex_lock(&self->lock);
    if (self->scratch_bytes >= TV_SCRATCH_BYTES_MAX && bytes > FRAMING_BYTES + TV_RECORD_BYTES_MAX)
        bytes = FRAMING_BYTES + TV_RECORD_BYTES_MAX;
    if (bytes > FRAMING_BYTES + TV_RECORD_BYTES_MAX) {
        bytes = WHOLE_BYTES;
        scratch = self->spare;
    }
    if (scratch != NULL) {
        self->spare = scratch->next;
        self->spare_count--;
    }
    self->scratch_bytes += bytes;
    pthread_mutex_unlock(&self->lock);
    if (scratch != NULL)
        return scratch;
    scratch = malloc(sizeof *scratch + bytes);
    if (scratch != NULL) {
        scratch->capacity = bytes;
        return scratch;
    }
    pthread_mutex_lock(&self->lock);
    self->scratch_bytes -= bytes;
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

void tv_secure_scratch_put(struct tv_secure *self, struct tv_scratch *scratch) {
    pthread_mutex_lock(&self->lock);
    self->scratch_bytes -= scratch->capacity;
    bool keep = scratch->capacity == WHOLE_BYTES && self->spare_count < SPARES_MAX;
    if (keep) {
        scratch->next = self->spare;
        self->spare = scratch;
        self->spare_count++;
    }
    pthread_mutex_unlock(&self->lock);
    if (!keep)
        free(scratch);
}
