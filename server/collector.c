/* collector.c - see collector.h. */
#include "collector.h"

#include "container.h"

#define AT_ONCE         100
#define NS_PER_MS       UINT64_C(1000000)
#define INTERVAL_MS_MIN 1000u
#define INTERVAL_MS_MAX 60000u
/* Of the time after which uploads expire: they stay for so much more at the most. */
#define INTERVAL_PART 4

/* Unless the server ends, after which nothing is submitted any more. */
static bool submit(struct tvs_server *server) {
    pthread_mutex_lock(&server->lock);
    bool go = !server->draining;
    if (go)
        tvs_workers_submit(server->workers, &server->collect);
    pthread_mutex_unlock(&server->lock);
    return go;
}

static void run(struct tvs_task *task) {
    struct tvs_server *server = TV_CONTAINER_OF(task, struct tvs_server, collect);
    uint32_t removed = 0;
    bool more = false;
    trove_error error;
    trove_status status = server->ops->upload_collect(server->driver, tv_wall_ns(), AT_ONCE, &removed, &more, &error);
    struct tvs_log_line line;
    if (status != TROVE_OK) {
        tvs_log_begin(&line, TVS_LOG_WARN, "expired uploads couldn't be removed");
        tvs_log_error(&line, &error);
        tvs_log_end(&line);
    } else if (removed > 0) {
        tvs_log_begin(&line, TVS_LOG_DEBUG, "expired uploads removed");
        tvs_log_number(&line, "count", removed);
        tvs_log_end(&line);
    }
    if (status != TROVE_OK || !more || !submit(server))
        atomic_store_explicit(&server->collecting, false, memory_order_release);
}

void tvs_collector_init(struct tvs_server *server) {
    server->collect.run = run;
}

void tvs_collector_tick(struct tvs_server *server, uint64_t now_ns) {
    bool resumes = (server->ops->capabilities & TVS_CAP_RESUMABLE) != 0;
    if (!resumes || now_ns < server->collect_ns || atomic_exchange_explicit(&server->collecting, true, memory_order_acquire))
        return;
    uint32_t shortest_ms = server->options.uploads_idle_ms < server->options.uploads_keep_ms ? server->options.uploads_idle_ms
                                                                                             : server->options.uploads_keep_ms;
    uint32_t interval_ms = shortest_ms / INTERVAL_PART;
    interval_ms = interval_ms < INTERVAL_MS_MIN ? INTERVAL_MS_MIN : interval_ms;
    interval_ms = interval_ms > INTERVAL_MS_MAX ? INTERVAL_MS_MAX : interval_ms;
    server->collect_ns = now_ns + interval_ms * NS_PER_MS;
    if (!submit(server))
        atomic_store_explicit(&server->collecting, false, memory_order_release);
}
