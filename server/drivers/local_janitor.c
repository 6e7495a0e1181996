/* local_janitor.c - see local_janitor.h. */
#include "local_janitor.h"

#include "local_thread.h"

#include <string.h>

static void *janitor_run(void *argument) {
    struct tvs_janitor *janitor = argument;
    pthread_mutex_lock(&janitor->lock);
    for (;;) {
        while (janitor->count == 0 && !janitor->stopping)
            pthread_cond_wait(&janitor->changed, &janitor->lock);
        if (janitor->count == 0)
            break;
        struct tvs_file_id id = janitor->queue[janitor->first];
        janitor->first = (janitor->first + 1) % TVS_JANITOR_QUEUE;
        janitor->count--;
        pthread_mutex_unlock(&janitor->lock);
        tvs_file_remove(janitor->files, &id);
        pthread_mutex_lock(&janitor->lock);
    }
    pthread_mutex_unlock(&janitor->lock);
    return NULL;
}

trove_status tvs_janitor_start(struct tvs_janitor *janitor, struct tvs_file_store *files, trove_error *error) {
    memset(janitor, 0, sizeof *janitor);
    janitor->files = files;
    pthread_mutex_init(&janitor->lock, NULL);
    pthread_cond_init(&janitor->changed, NULL);
    trove_status status = tvs_local_thread_start(&janitor->thread, "trove-janitor", janitor_run, janitor, error);
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
    pthread_cond_destroy(&janitor->changed);
    pthread_mutex_destroy(&janitor->lock);
}

void tvs_janitor_remove(struct tvs_janitor *janitor, const struct tvs_file_id *id) {
    pthread_mutex_lock(&janitor->lock);
    bool room = janitor->count < TVS_JANITOR_QUEUE;
    if (room) {
        janitor->queue[(janitor->first + janitor->count) % TVS_JANITOR_QUEUE] = *id;
        janitor->count++;
        pthread_cond_signal(&janitor->changed);
    }
    pthread_mutex_unlock(&janitor->lock);
    if (!room)
        tvs_file_remove(janitor->files, id);
}
