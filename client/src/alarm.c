/* alarm.c - see alarm.h. */
#include "alarm.h"

#include "client.h"
#include "pool.h"
#include "stream.h"
#include "stream_limit.h"

/* Thousands of limits that are due at different moments are looked at together, a thousand times a second at most. */
#define STEP_NS UINT64_C(1000000)

void tvc_alarm_by(struct trove_client *client, uint64_t due_ns) {
    if (due_ns < UINT64_MAX - STEP_NS)
        due_ns += STEP_NS - 1 - (due_ns + STEP_NS - 1) % STEP_NS;
    if (due_ns >= client->alarm_due_ns || client->phase == TVC_LOST) /* the timers may be gone */
        return;
    client->alarm_due_ns = due_ns;
    if (tv_timer_arm(client->timers, &client->alarm, due_ns, NULL) != TROVE_OK)
        client->alarm_due_ns = UINT64_MAX;
}

void tvc_alarm_look(struct trove_client *client, uint64_t now_ns) {
    tvc_limits_look(client, now_ns);
    tvc_pools_look(client, now_ns);
    tvc_resume_look(client);
}

void tvc_alarm_fire(struct tv_timer *timer) {
    struct trove_client *client = (struct trove_client *)((char *)timer - offsetof(struct trove_client, alarm));
    pthread_mutex_lock(&client->lock);
    client->alarm_due_ns = UINT64_MAX;
    pthread_mutex_unlock(&client->lock);
    tvc_alarm_look(client, tv_now_ns());
}
