/* alarm.h - the client's one timer for what becomes due at moments that move: bandwidth and pools' timeouts.
 *
 * What has something due says when; the alarm goes off at the earliest of these and looks at all of it, which then says when
 * next. So streams and pools have no timers of their own, which could fire into what is being freed. The client's tick looks,
 * too, once a second: without memory to arm the timer everything only becomes slow.
 */
#ifndef TVC_ALARM_H
#define TVC_ALARM_H

#include "timer.h"

/* Looks by then. Under the client's lock. */
void tvc_alarm_by(struct trove_client *client, uint64_t due_ns);
/* Looks now. On the timers' thread, without the lock. */
void tvc_alarm_look(struct trove_client *client, uint64_t now_ns);
void tvc_alarm_fire(struct tv_timer *timer);

#endif
