/* principal_bandwidth.c - see principal_bandwidth.h. A list: it is walked when a connection begins, not while bytes move. */
#include "principal_bandwidth.h"

#include <string.h>

void tvs_principal_bandwidths_init(struct tvs_principal_bandwidths *list) {
    pthread_mutex_init(&list->lock, NULL);
    list->first = NULL;
}

void tvs_principal_bandwidths_fini(struct tvs_principal_bandwidths *list) {
    TV_ASSERT(list->first == NULL);
    pthread_mutex_destroy(&list->lock);
}

static struct tvs_principal_bandwidth *make(struct tv_timers *timers, const struct tvs_principal *principal) {
    struct tvs_principal_bandwidth *bandwidth = calloc(1, sizeof *bandwidth);
    if (bandwidth == NULL)
        return NULL;
    tvs_throttle_init(&bandwidth->throttle, timers, principal->bandwidth);
    memcpy(bandwidth->name, principal->name, sizeof bandwidth->name);
    return bandwidth;
}

struct tvs_principal_bandwidth *tvs_principal_bandwidth_acquire(struct tvs_principal_bandwidths *list, struct tv_timers *timers,
                                                                const struct tvs_principal *principal) {
    pthread_mutex_lock(&list->lock);
    struct tvs_principal_bandwidth *bandwidth = list->first;
    while (bandwidth != NULL && strcmp(bandwidth->name, principal->name) != 0)
        bandwidth = bandwidth->next;
    if (bandwidth != NULL) {
        tvs_throttle_set(&bandwidth->throttle, principal->bandwidth);
    } else if ((bandwidth = make(timers, principal)) != NULL) {
        bandwidth->next = list->first;
        list->first = bandwidth;
    }
    if (bandwidth != NULL)
        bandwidth->references++;
    pthread_mutex_unlock(&list->lock);
    return bandwidth;
}

void tvs_principal_bandwidth_release(struct tvs_principal_bandwidths *list, struct tvs_principal_bandwidth *bandwidth) {
    if (bandwidth == NULL)
        return;
    pthread_mutex_lock(&list->lock);
    bool last = --bandwidth->references == 0;
    for (struct tvs_principal_bandwidth **at = &list->first; last && *at != NULL; at = &(*at)->next)
        if (*at == bandwidth) {
            *at = bandwidth->next;
            break;
        }
    pthread_mutex_unlock(&list->lock);
    if (!last)
        return;
    tvs_throttle_disarm(&bandwidth->throttle);
    tvs_throttle_fini(&bandwidth->throttle);
    free(bandwidth);
}
