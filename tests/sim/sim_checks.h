/* sim_checks.h - what sim_plants.c sees passing by, for sim_check.c. Apart from sim.h, for it knows the server's types. */
#ifndef TROVE_TESTS_SIM_CHECKS_H
#define TROVE_TESTS_SIM_CHECKS_H

#include "server/pool.h"

/* A stream has entered a pool's queue; one has got its place, and is out of it. */
void sim_check_queued(const struct tvs_waiter *waiter);
void sim_check_served(const struct tvs_acquire_queue *queue, const struct tvs_waiter *waiter);
/* A pool's bandwidth has let so many bytes pass. */
void sim_check_allowed(const struct tvs_pool *pool, uint64_t bytes);

#endif
