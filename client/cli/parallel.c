/* parallel.c - see parallel.h. */
#include "parallel.h"

#include <pthread.h>
#include <stdbool.h>

struct run {
    size_t count;
    cli_parallel_fn work;
    void *context;
    pthread_mutex_t lock;
    size_t next; /* under the lock, as what follows */
    bool stopped;
    enum cli_exit worst;
};

static void *work_until_done(void *context) {
    struct run *run = context;
    pthread_mutex_lock(&run->lock);
    while (!run->stopped && run->next < run->count) {
        size_t index = run->next++;
        pthread_mutex_unlock(&run->lock);
        enum cli_exit code = run->work(run->context, index);
        pthread_mutex_lock(&run->lock);
        run->worst = cli_exit_worst(run->worst, code);
        if (code == CLI_EXIT_UNAVAILABLE)
            run->stopped = true;
    }
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

enum cli_exit cli_parallel_run(size_t count, size_t threads, cli_parallel_fn work, void *context, size_t *skipped) {
    struct run run = {.count = count, .work = work, .context = context, .worst = CLI_EXIT_OK};
    pthread_mutex_init(&run.lock, NULL);
    pthread_t others[CLI_PARALLEL_MAX];
    size_t wanted = threads < count ? threads : count;
    if (wanted > CLI_PARALLEL_MAX)
        wanted = CLI_PARALLEL_MAX;
    size_t started = 0;
    /* With fewer threads than wanted it takes longer, no more. */
    while (started + 1 < wanted && pthread_create(&others[started], NULL, work_until_done, &run) == 0)
        started++;
    work_until_done(&run);
    for (size_t i = 0; i < started; i++)
        pthread_join(others[i], NULL);
    pthread_mutex_destroy(&run.lock);
    *skipped = run.count - run.next;
    return run.worst;
}
