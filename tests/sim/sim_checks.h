/* sim_checks.h - what sim_plants.c sees passing by, for sim_check.c; what the disk's parts are to each other. Apart from sim.h,
 * for it knows the server's types. */
#ifndef TROVE_TESTS_SIM_CHECKS_H
#define TROVE_TESTS_SIM_CHECKS_H

#include "server/drivers/driver.h"
#include "server/pool.h"

#include "sender.h"

/* A stream has entered a pool's queue; one has got its place, and is out of it. */
void sim_check_queued(const struct tvs_waiter *waiter);
void sim_check_served(const struct tvs_acquire_queue *queue, const struct tvs_waiter *waiter);
/* A stream's sender begins, and begins again on another connection. */
void sim_check_begun(const struct tv_sender *sender);
void sim_check_restarted(const struct tv_sender *sender);
/* So many bytes count as acknowledged, though the receiver hasn't said so. */
void sim_check_presumed(const struct tv_sender *sender, uint64_t bytes);
/* A pool's bandwidth has let so many bytes pass. */
void sim_check_allowed(const struct tvs_pool *pool, uint64_t bytes);

/* ---- sim_disk.c: for sim_uploads.c ---- */
void sim_disk_take_time(uint64_t bytes);
bool sim_disk_fails(void);
trove_status sim_disk_failure(trove_error *error);
/* Something that is done later, on a thread of the disk's; `run` frees it. */
struct sim_disk_job {
    struct sim_disk_job *next;
    void (*run)(struct sim_disk_job *job);
};
/* Or at once, which a driver may do as well. */
void sim_disk_later(struct sim_disk_job *job);

/* ---- sim_uploads.c ---- */
struct tvs_stream;
void sim_uploads_start(void);
/* Puts what it has into the place of what the driver has. */
void sim_uploads_wrap(struct tvs_driver_ops *slow, const struct tvs_driver_ops *mem);
/* The epoch of an upload's newest holder that was told of it; 0: the put is of none. */
uint64_t sim_uploads_epoch(const struct tvs_put *put);
/* The put has done something that began when its newest holder had `epoch`. */
void sim_uploads_judge(const struct tvs_put *put, uint64_t epoch);
/* After every step, of what nobody has locked. */
void sim_uploads_check_theirs(const struct tvs_stream *stream);
void sim_uploads_check_ours(const trove_stream *stream);
/* Throws away what is left in the store. */
void sim_uploads_end(struct tvs_driver *driver);

#endif
