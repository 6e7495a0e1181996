/* local_waiter.c - see local_waiter.h. */
#include "local_waiter.h"

#include <string.h>

void tvs_waiter_init(struct tvs_waiter *waiter, struct tvs_object *object, trove_error *error) {
    *waiter = (struct tvs_waiter){.object = object, .error = error};
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->finished, NULL);
}

/* The object is only lent during the call. Its strings lie in one piece (object.h). */
static trove_status keep_object(const struct tvs_object *from, struct tvs_object *to, trove_error *error) {
    const char *last = from->metadata_count > 0 ? from->metadata[from->metadata_count - 1].value : from->content_type;
    struct tvs_object_facts facts = {.key = from->key,
                                     .key_bytes = strlen(from->key),
                                     .size = from->size,
                                     .generation = from->generation,
                                     .modified_ns = from->modified_ns,
                                     .etag = from->etag,
                                     .strings = from->content_type,
                                     .strings_bytes = (size_t)(last - from->content_type) + strlen(last) + 1,
                                     .metadata_count = from->metadata_count};
    return tvs_object_build(&facts, to, error);
}

void tvs_waiter_done(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    struct tvs_waiter *waiter = context;
    if (status != TROVE_OK && waiter->error != NULL)
        *waiter->error = *error;
    else if (status == TROVE_OK && waiter->object != NULL)
        status = keep_object(object, waiter->object, waiter->error);
    pthread_mutex_lock(&waiter->lock);
    waiter->status = status;
    waiter->is_finished = true;
    pthread_cond_signal(&waiter->finished);
    pthread_mutex_unlock(&waiter->lock);
}

trove_status tvs_waiter_wait(struct tvs_waiter *waiter) {
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->is_finished)
        pthread_cond_wait(&waiter->finished, &waiter->lock);
    pthread_mutex_unlock(&waiter->lock);
    pthread_cond_destroy(&waiter->finished);
    pthread_mutex_destroy(&waiter->lock);
    return waiter->status;
}
