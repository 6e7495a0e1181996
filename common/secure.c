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
    self->scratch_bytes_max = TV_SCRATCH_BYTES_MAX;
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

/* Whether there is to be a whole message's; it is counted and charged then. */
static bool take_whole(struct tv_secure *self) {
    pthread_mutex_lock(&self->lock);
    bool fits = self->scratch_bytes < self->scratch_bytes_max;
    self->scratch_bytes += fits ? WHOLE_BYTES : 0;
    pthread_mutex_unlock(&self->lock);
    if (!fits || self->charge == NULL || self->charge(self->context, WHOLE_BYTES))
        return fits;
    pthread_mutex_lock(&self->lock);
    self->scratch_bytes -= WHOLE_BYTES;
    pthread_mutex_unlock(&self->lock);
    return false;
}

static struct tv_scratch *take_spare(struct tv_secure *self) {
    pthread_mutex_lock(&self->lock);
    struct tv_scratch *scratch = self->spare;
    if (scratch != NULL) {
        self->spare = scratch->next;
        self->spare_count--;
    }
    pthread_mutex_unlock(&self->lock);
    return scratch;
}

/* No more of it is used, whether it is kept or not. */
static void give_back(struct tv_secure *self, size_t bytes) {
    pthread_mutex_lock(&self->lock);
    self->scratch_bytes -= bytes;
    pthread_mutex_unlock(&self->lock);
    if (bytes == WHOLE_BYTES && self->uncharge != NULL)
        self->uncharge(self->context, bytes);
}

struct tv_scratch *tv_secure_scratch_get(struct tv_secure *self, size_t plain_bytes) {
    size_t bytes = FRAMING_BYTES + (plain_bytes < TV_RECORD_BYTES_MAX ? plain_bytes : TV_RECORD_BYTES_MAX);
    struct tv_scratch *scratch = NULL;
    if (plain_bytes > TV_RECORD_BYTES_MAX && take_whole(self)) {
        bytes = WHOLE_BYTES;
        scratch = take_spare(self);
    } else {
        pthread_mutex_lock(&self->lock);
        self->scratch_bytes += bytes;
        pthread_mutex_unlock(&self->lock);
    }
    if (scratch == NULL && (scratch = malloc(sizeof *scratch + bytes)) != NULL)
        scratch->capacity = bytes;
    if (scratch == NULL)
        give_back(self, bytes);
    return scratch;
}

void tv_secure_scratch_put(struct tv_secure *self, struct tv_scratch *scratch) {
    size_t bytes = scratch->capacity;
    pthread_mutex_lock(&self->lock);
    bool keep = bytes == WHOLE_BYTES && self->spare_count < SPARES_MAX;
    if (keep) {
        scratch->next = self->spare;
        self->spare = scratch;
        self->spare_count++;
    }
    pthread_mutex_unlock(&self->lock);
    if (!keep)
        free(scratch);
    give_back(self, bytes);
}
