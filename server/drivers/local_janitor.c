/* local_janitor.c - see local_janitor.h. */
#include "local_janitor.h"

#include "thread.h"

#include <string.h>

#define QUEUE_FIRST 256

static void *janitor_run(void *argument) {
    struct tvs_janitor *janitor = argument;
    pthread_mutex_lock(&janitor->lock);
    for (;;) {
        while (janitor->count == 0 && !janitor->stopping)
            pthread_cond_wait(&janitor->changed, &janitor->lock);
        if (janitor->stopping)
            break;
        struct tvs_file_id id = janitor->queue[janitor->first];
        janitor->first = (janitor->first + 1) % janitor->capacity;
        janitor->count--;
        janitor->removing = true;
        pthread_mutex_unlock(&janitor->lock);
        tvs_file_remove(janitor->files, &id);
        pthread_mutex_lock(&janitor->lock);
        janitor->removing = false;
        janitor->overflown &= janitor->count > 0;
    }
    pthread_mutex_unlock(&janitor->lock);
    return NULL;
}

trove_status tvs_janitor_start(struct tvs_janitor *janitor, struct tvs_file_store *files, const struct tvs_driver_config *config,
                               trove_error *error) {
    memset(janitor, 0, sizeof *janitor);
    janitor->files = files;
    janitor->log = config->log;
    janitor->log_context = config->log_context;
    pthread_mutex_init(&janitor->lock, NULL);
    pthread_cond_init(&janitor->changed, NULL);
    trove_status status = tv_thread_start("trove-janitor", janitor_run, janitor, &janitor->thread, error);
    if (status != TROVE_OK) {
        pthread_cond_destroy(&janitor->changed);
        pthread_mutex_destroy(&janitor->lock);
    }
    return status;
}

void tvs_janitor_stop(struct tvs_janitor *janitor) {
    pthread_mutex_lock(&janitor->lock);
    janitor->stopping = true;
    pthread_cond_signal(&janitor->changed);
    pthread_mutex_unlock(&janitor->lock);
    pthread_join(janitor->thread, NULL);
    free(janitor->queue);
    pthread_cond_destroy(&janitor->changed);
    pthread_mutex_destroy(&janitor->lock);
}

/* Under the lock. */
static bool make_room(struct tvs_janitor *janitor) {
    if (janitor->count < janitor->capacity)
        return true;
    if (janitor->capacity == TVS_JANITOR_QUEUE_MAX)
        return false;
    size_t capacity = janitor->capacity == 0 ? QUEUE_FIRST : 2 * janitor->capacity;
    struct tvs_file_id *queue = malloc(capacity * sizeof *queue);
    if (queue == NULL)
        return false;
    TV_ASSERT(janitor->count == janitor->capacity);
    for (size_t i = 0; i < janitor->count; i++)
        queue[i] = janitor->queue[(janitor->first + i) % janitor->capacity];
    free(janitor->queue);
    janitor->queue = queue;
    janitor->capacity = capacity;
    janitor->first = 0;
    return true;
}

_Static_assert(TVS_JANITOR_QUEUE_MAX % QUEUE_FIRST == 0 &&
                   ((TVS_JANITOR_QUEUE_MAX / QUEUE_FIRST) & (TVS_JANITOR_QUEUE_MAX / QUEUE_FIRST - 1)) == 0,
               "doubling the queue reaches its maximum");

void tvs_janitor_remove(struct tvs_janitor *janitor, const struct tvs_file_id *id) {
    pthread_mutex_lock(&janitor->lock);
    bool room = make_room(janitor);
    if (room) {
        janitor->queue[(janitor->first + janitor->count) % janitor->capacity] = *id;
        janitor->count++;
        pthread_cond_signal(&janitor->changed);
    }
    bool say = !room && !janitor->overflown && janitor->log != NULL;
    janitor->overflown |= !room;
    pthread_mutex_unlock(&janitor->lock);
    if (say)
        janitor->log(janitor->log_context,
                     "objects are deleted faster than their files can be removed: the space of some comes back "
                     "at the next start only");
}
