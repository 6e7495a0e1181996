/* timer.c - see timer.h.
 *
 * A binary heap ordered by due_ns; each timer knows its place in it, so that moving and cancelling cost a logarithm. One thread
 * sleeps until the first is due. (Rejected: nng_sleep_aio for each timer, whose cancellation is asynchronous and whose callbacks
 * run at the same time as each other; a timer wheel: deadlines here are few and far apart.)
 *
 * Once `fire` has been entered the timer itself is never touched again by this file unless its owner arms or cancels it: a
 * callback may free what holds it. `running` is compared, never followed.
 */
#include "timer.h"

#include "bounds.h"

#include "thread.h"

#include <time.h>

#define NS_PER_S    UINT64_C(1000000000)
#define SLOTS_FIRST 64

struct tv_timers {
    pthread_t thread; /* constant */

    pthread_mutex_t lock;
    pthread_cond_t wake;     /* the first due time, or `ending`, has changed; on CLOCK_MONOTONIC */
    pthread_cond_t returned; /* a callback has returned */
    /* under the lock */
    struct tv_timer **heap; /* slots 1 to count; 0 stays empty so that position 0 means "not armed" */
    size_t count;
    size_t slots;
    const struct tv_timer *running; /* whose callback is under way */
    bool ending;
};

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t tv_now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t tv_wall_ns(void) {
    return clock_ns(CLOCK_REALTIME);
}

/* ---- the heap; under the lock ---------------------------------------------------------------------------------------------- */

static void place(struct tv_timers *timers, struct tv_timer *timer, size_t position) {
    timers->heap[position] = timer;
    timer->position = position;
}

static void sift_up(struct tv_timers *timers, struct tv_timer *timer, size_t position) {
    for (; position > 1 && timers->heap[position / 2]->due_ns > timer->due_ns; position /= 2)
        place(timers, timers->heap[position / 2], position);
    place(timers, timer, position);
}

static void sift_down(struct tv_timers *timers, struct tv_timer *timer, size_t position) {
    for (size_t child = 2 * position; child <= timers->count; child = 2 * position) {
        if (child < timers->count && timers->heap[child + 1]->due_ns < timers->heap[child]->due_ns)
            child++;
        if (timers->heap[child]->due_ns >= timer->due_ns)
            break;
        place(timers, timers->heap[child], position);
        position = child;
    }
    place(timers, timer, position);
}

/* Puts `timer` where it belongs, coming from `position`. */
static void settle(struct tv_timers *timers, struct tv_timer *timer, size_t position) {
    if (position > 1 && timers->heap[position / 2]->due_ns > timer->due_ns)
        sift_up(timers, timer, position);
    else
        sift_down(timers, timer, position);
}

static void remove_armed(struct tv_timers *timers, struct tv_timer *timer) {
    size_t position = timer->position;
    if (position == 0)
        return;
    TV_ASSERT(position <= timers->count && timers->heap[position] == timer);
    struct tv_timer *last = timers->heap[timers->count--];
    timer->position = 0;
    if (last != timer)
        settle(timers, last, position);
}

/* Whoever's callback is under way keeps the slot that it had: it can always be armed again from there. */
static bool make_room(struct tv_timers *timers, const struct tv_timer *timer) {
    size_t kept = timers->running != NULL && timers->running != timer ? 1 : 0;
    if (timers->count + kept >= TV_TIMERS_MAX)
        return false;
    if (timers->count + kept + 1 < timers->slots)
        return true;
    size_t slots = timers->slots == 0 ? SLOTS_FIRST : 2 * timers->slots;
    struct tv_timer **heap = realloc(timers->heap, slots * sizeof *heap);
    if (heap == NULL)
        return false;
    timers->heap = heap;
    timers->slots = slots;
    return true;
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------ */

static void wait_until(struct tv_timers *timers, uint64_t due_ns) {
    struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_S), .tv_nsec = (long)(due_ns % NS_PER_S)};
    pthread_cond_timedwait(&timers->wake, &timers->lock, &due);
}

static void fire(struct tv_timers *timers, struct tv_timer *timer) {
    remove_armed(timers, timer);
    timers->running = timer;
    pthread_mutex_unlock(&timers->lock);
    timer->fire(timer);
    pthread_mutex_lock(&timers->lock);
    timers->running = NULL;
    pthread_cond_broadcast(&timers->returned);
}

static void *run(void *context) {
    struct tv_timers *timers = context;
    pthread_mutex_lock(&timers->lock);
    while (!timers->ending) {
        if (timers->count == 0)
            pthread_cond_wait(&timers->wake, &timers->lock);
        else if (timers->heap[1]->due_ns > tv_now_ns())
            wait_until(timers, timers->heap[1]->due_ns);
        else
            fire(timers, timers->heap[1]);
    }
    pthread_mutex_unlock(&timers->lock);
    return NULL;
}

static void free_timers(struct tv_timers *timers) {
    pthread_cond_destroy(&timers->returned);
    pthread_cond_destroy(&timers->wake);
    pthread_mutex_destroy(&timers->lock);
    free(timers->heap);
    free(timers);
}

trove_status tv_timers_create(struct tv_timers **timers, trove_error *error) {
    struct tv_timers *made = calloc(1, sizeof *made);
    if (made == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for timers");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->wake, &monotonic);
    pthread_cond_init(&made->returned, NULL);
    pthread_condattr_destroy(&monotonic);
    trove_status status = tv_thread_start("trove-timer", run, made, &made->thread, error);
    if (status != TROVE_OK) {
        free_timers(made);
        return status;
    }
    *timers = made;
    return TROVE_OK;
}

void tv_timers_destroy(struct tv_timers *timers) {
    if (timers == NULL)
        return;
    TV_ASSERT(!pthread_equal(pthread_self(), timers->thread));
    pthread_mutex_lock(&timers->lock);
    timers->ending = true;
    pthread_cond_signal(&timers->wake);
    pthread_mutex_unlock(&timers->lock);
    pthread_join(timers->thread, NULL);
    free_timers(timers);
}

/* ---- arming and cancelling ------------------------------------------------------------------------------------------------- */

trove_status tv_timer_arm(struct tv_timers *timers, struct tv_timer *timer, uint64_t due_ns, trove_error *error) {
    trove_status status = TROVE_OK;
    pthread_mutex_lock(&timers->lock);
    if (timer->position != 0) {
        timer->due_ns = due_ns;
        settle(timers, timer, timer->position);
    } else if (make_room(timers, timer)) {
        timer->due_ns = due_ns;
        timers->count++;
        sift_up(timers, timer, timers->count);
    } else {
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for another deadline; %zu are waiting", timers->count);
    }
    if (timer->position == 1)
        pthread_cond_signal(&timers->wake);
    pthread_mutex_unlock(&timers->lock);
    return status;
}

void tv_timer_cancel(struct tv_timers *timers, struct tv_timer *timer) {
    pthread_mutex_lock(&timers->lock);
    remove_armed(timers, timer);
    /* The callback may arm its timer again while it is being waited for. On the timer's own thread no other callback is under
     * way, and one's own can't be waited for. */
    while (timers->running == timer && !pthread_equal(pthread_self(), timers->thread)) {
        pthread_cond_wait(&timers->returned, &timers->lock);
        remove_armed(timers, timer);
    }
    pthread_mutex_unlock(&timers->lock);
}
