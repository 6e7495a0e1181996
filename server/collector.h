/* collector.h - resumable uploads that nobody has touched for too long, and results that were kept long enough, are removed.
 *
 * The timer looks whether it is time; a worker removes a bounded number and comes again behind the others where there are more.
 */
#ifndef TVS_COLLECTOR_H
#define TVS_COLLECTOR_H

#include "session.h"

void tvs_collector_init(struct tvs_server *server);
/* On the timer's thread. */
void tvs_collector_tick(struct tvs_server *server, uint64_t now_ns);

#endif
