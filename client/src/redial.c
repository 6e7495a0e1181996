/* redial.c - making a lost connection again. See client.h.
 *
 *     lost -> BROKEN -- dialled, welcomed --> READY
 *               |  ^
 *      time over|  |somebody needs it
 *               v  |
 *            GIVEN_UP
 *
 * The dialler, a thread that is started with the first loss, does what blocks: destroying the old connection, dialling, waiting
 * for the welcome. When to try is the backoff's word (backoff.h); in between the thread sleeps, and a timer posts its job.
 */
#include "client.h"

#include "stream.h"
#include "wait.h"

#include <sodium.h>
#include <string.h>

void tvc_redial_begin(struct trove_client *client) {
    uint64_t now_ns = tv_now_ns();
    bool alone = client->phase == TVC_GIVEN_UP; /* else `closed` will start the dialler */
    if (alone && tvc_job_thread_start(&client->dialler, NULL) != TROVE_OK)
        return; /* it couldn't be before, either */
    if (alone)  /* what is there tells of the time before */
        TV_FAIL(&client->lost, UNAVAILABLE, "there is no connection to %s", client->url);
    client->phase = TVC_BROKEN;
    tvc_backoff_begin(&client->backoff, client->retry_for_ms, now_ns);
    client->dial_ns = alone ? now_ns : tvc_backoff_next(&client->backoff, now_ns, randombytes_random());
    if (alone)
        tvc_job_thread_post(&client->dialler, &client->dial_job);
}

/* Of a message that begins with the URL, which the one before it has told already. */
static const char *behind_url(const struct trove_client *client, const char *message) {
    size_t bytes = strlen(client->url);
    bool told = strncmp(message, client->url, bytes) == 0 && strncmp(message + bytes, ": ", 2) == 0;
    return told ? message + bytes + 2 : message;
}

/* Nobody waits any longer: what does is told. Without the lock. */
static void give_up(struct trove_client *client, const trove_error *why) {
    pthread_mutex_lock(&client->lock);
    bool broken = client->phase == TVC_BROKEN;
    trove_error lost;
    TV_FAIL(&lost, UNAVAILABLE, "%.200s; it couldn't be made again in time: %.200s", client->lost.message,
            behind_url(client, why->message));
    if (broken) {
        client->phase = TVC_GIVEN_UP;
        client->lost = lost;
        client->times_given_up++;
        pthread_cond_broadcast(&client->changed);
    }
    pthread_mutex_unlock(&client->lock);
    if (broken)
        tvc_resume_give_up(client, &lost);
}

void tvc_redial_start(struct trove_client *client) {
    trove_error why;
    if (tvc_job_thread_start(&client->dialler, &why) == TROVE_OK)
        tvc_job_thread_post(&client->dialler, &client->dial_job);
    else
        give_up(client, &why);
}

void tvc_redial_fire(struct tv_timer *timer) {
    struct trove_client *client = (struct trove_client *)((char *)timer - offsetof(struct trove_client, dial));
    tvc_job_thread_post(&client->dialler, &client->dial_job);
}

/* Whether to dial now; where that is later, the timer is set. */
static bool is_due(struct trove_client *client) {
    uint64_t now_ns = tv_now_ns();
    pthread_mutex_lock(&client->lock);
    bool broken = client->phase == TVC_BROKEN && client->conn_closed;
    bool later = broken && client->dial_ns > now_ns;
    if (later && tv_timer_arm(client->timers, &client->dial, client->dial_ns, NULL) != TROVE_OK)
        later = false; /* no memory for that: sooner than it should */
    pthread_mutex_unlock(&client->lock);
    return broken && !later;
}

/* No connection was made. Returns whether there is time for another try. */
static bool plan_next(struct trove_client *client) {
    pthread_mutex_lock(&client->lock);
    client->dial_ns = tvc_backoff_next(&client->backoff, tv_now_ns(), randombytes_random());
    bool over = client->dial_ns == TVC_BACKOFF_OVER;
    pthread_mutex_unlock(&client->lock);
    return !over;
}

/* As long as a connection may take to be made, but not beyond the time for all tries. */
static uint64_t dial_deadline(struct trove_client *client) {
    pthread_mutex_lock(&client->lock);
    uint64_t until_ns = client->backoff.until_ns;
    pthread_mutex_unlock(&client->lock);
    uint64_t deadline_ns = tvc_deadline_after_ms(client->connect_timeout_ms);
    uint64_t least_ns = tvc_deadline_after_ms(1000); /* the last try is one, too */
    if (deadline_ns > until_ns)
        deadline_ns = until_ns > least_ns ? until_ns : least_ns;
    return deadline_ns;
}

void tvc_redial_run(struct tvc_job *job) {
    struct trove_client *client = (struct trove_client *)((char *)job - offsetof(struct trove_client, dial_job));
    trove_error why;
    while (is_due(client)) {
        tvc_client_disconnect(client);
        trove_status status = tvc_client_connect(client, dial_deadline(client), &why);
        if (status != TROVE_OK && !plan_next(client))
            give_up(client, &why);
    }
    tvc_resume_look(client);
}
