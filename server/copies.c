/* copies.c - see copies.h. */
#include "copies.h"

#include "container.h"
#include "rpc.h"
#include "storage_quota.h"
#include "wire.h"

#include <string.h>

struct tvs_copy_job {
    struct tvs_task task;
    struct tvs_copy_job *next; /* under the lock of all copies */
    struct tvs_rpc rpc;
    struct tvs_copy *copy; /* NULL: it hasn't begun */
    struct tvs_conditions conditions;
    const char *from_bucket;
    const char *from_key;
    const char *to_bucket;
    const char *to_key;
    char texts[];
};

void tvs_copies_init(struct tvs_copies *copies, uint32_t workers) {
    *copies = (struct tvs_copies){.running_max = workers > 1 ? workers / 2 : 1, .last = &copies->first};
    pthread_mutex_init(&copies->lock, NULL);
}

void tvs_copies_fini(struct tvs_copies *copies) {
    pthread_mutex_destroy(&copies->lock);
}

/* ---- their turns ---- */

/* True: it is its turn. Else it waits, or, with an error, there are too many. */
static bool enter(struct tvs_copies *copies, struct tvs_copy_job *job, trove_error *error) {
    pthread_mutex_lock(&copies->lock);
    bool now = copies->running < copies->running_max;
    bool full = !now && copies->waiting == TV_COPIES_WAITING_MAX;
    if (now) {
        copies->running++;
    } else if (!full) {
        job->next = NULL;
        *copies->last = job;
        copies->last = &job->next;
        copies->waiting++;
    }
    pthread_mutex_unlock(&copies->lock);
    if (full)
        TV_FAIL(error, RESOURCE_EXHAUSTED, "%d copies wait already, and more than that can't; try again later",
                TV_COPIES_WAITING_MAX);
    return now;
}

/* One has ended. Returns whose turn it is now; NULL: nobody waits. */
static struct tvs_copy_job *leave(struct tvs_copies *copies) {
    pthread_mutex_lock(&copies->lock);
    struct tvs_copy_job *next = copies->first;
    if (next != NULL) {
        copies->first = next->next;
        if (copies->first == NULL)
            copies->last = &copies->first;
        copies->waiting--;
    } else {
        copies->running--;
    }
    pthread_mutex_unlock(&copies->lock);
    return next;
}

/* ---- one copy ---- */

static void finish(struct tvs_copy_job *job) {
    struct tvs_server *server = job->rpc.server;
    struct tvs_copy_job *next = leave(&server->copies);
    if (next != NULL)
        tvs_workers_submit(server->workers, &next->task);
    tvs_rpc_end(&job->rpc);
    free(job);
}

/* On a thread of the driver's. */
static void on_committed(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    struct tvs_copy_job *job = context;
    if (status == TROVE_OK) {
        struct tvs_wire_object wire;
        Trove__V1__ObjectCopyResponse response = TROVE__V1__OBJECT_COPY_RESPONSE__INIT;
        tvs_wire_object(job->to_bucket, object, &wire);
        response.object = &wire.info;
        tvs_rpc_respond(&response.base, &job->rpc);
    } else {
        tv_error_copy(&job->rpc.error, error);
    }
    finish(job);
}

/* What is copied counts as what is put. */
static trove_status check_quota(struct tvs_copy_job *job, trove_error *error) {
    const struct tvs_server *server = job->rpc.server;
    struct tvs_object object = {0};
    if (!tvs_storage_quota_has(job->rpc.session))
        return TROVE_OK;
    trove_status status = server->ops->head(server->driver, job->from_bucket, job->from_key, &object, error);
    uint64_t bytes = object.size;
    if (status != TROVE_OK)
        return status;
    tvs_object_fini(&object);
    return tvs_storage_quota_check(job->rpc.session, NULL, bytes, NULL, error);
}

/* The next step. */
static trove_status go_on(struct tvs_copy_job *job, bool *finished, trove_error *error) {
    const struct tvs_server *server = job->rpc.server;
    if (!tvs_rpc_wanted(&job->rpc))
        return TV_FAIL(error, CANCELLED, "the copy isn't wanted any more");
    if (job->copy != NULL)
        return server->ops->copy_step(job->copy, finished, error);
    trove_status status = check_quota(job, error);
    if (status != TROVE_OK)
        return status;
    return server->ops->copy_begin(server->driver, job->from_bucket, job->from_key, job->to_bucket, job->to_key, &job->conditions,
                                   &job->copy, error);
}

static void run(struct tvs_task *task) {
    struct tvs_copy_job *job = TV_CONTAINER_OF(task, struct tvs_copy_job, task);
    const struct tvs_server *server = job->rpc.server;
    bool finished = false;
    if (go_on(job, &finished, &job->rpc.error) != TROVE_OK) {
        server->ops->copy_abort(job->copy);
        finish(job);
    } else if (finished && tvs_session_may(job->rpc.session, TVS_RIGHT_WRITE, job->to_bucket, job->to_key, &job->rpc.error) !=
                               TROVE_OK) { /* any more */
        server->ops->copy_abort(job->copy);
        finish(job);
    } else if (finished) {
        server->ops->copy_commit(job->copy, on_committed, job);
    } else {
        tvs_workers_submit(server->workers, &job->task);
    }
}

static const char *take_text(char **at, const char *text) {
    char *copy = *at;
    *at = stpcpy(copy, text) + 1;
    return copy;
}

static struct tvs_copy_job *create(const Trove__V1__ObjectCopyRequest *request) {
    struct tvs_conditions conditions;
    tvs_conditions_from_wire(request->conditions, &conditions);
    const char *if_match = conditions.if_match != NULL ? conditions.if_match : "";
    size_t bytes = strlen(request->from_bucket) + strlen(request->from_key) + strlen(request->to_bucket) +
                   strlen(request->to_key) + strlen(if_match) + 5;
    struct tvs_copy_job *job = malloc(sizeof *job + bytes);
    if (job == NULL)
        return NULL;
    char *at = job->texts;
    *job = (struct tvs_copy_job){.task.run = run, .conditions = conditions};
    job->from_bucket = take_text(&at, request->from_bucket);
    job->from_key = take_text(&at, request->from_key);
    job->to_bucket = take_text(&at, request->to_bucket);
    job->to_key = take_text(&at, request->to_key);
    if (conditions.if_match != NULL)
        job->conditions.if_match = take_text(&at, if_match);
    return job;
}

void tvs_copy_begin(const Trove__V1__ObjectCopyRequest *request, struct tvs_rpc *rpc) {
    struct tvs_server *server = rpc->server;
    struct tvs_copy_job *job = create(request);
    if (job == NULL) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory for a copy");
        return;
    }
    tvs_rpc_later(rpc, &job->rpc);
    trove_error full = {TROVE_OK, ""};
    if (enter(&server->copies, job, &full)) {
        tvs_workers_submit(server->workers, &job->task);
    } else if (full.status != TROVE_OK) { /* else it may be over already */
        job->rpc.error = full;
        tvs_rpc_end(&job->rpc);
        free(job);
    }
}
