/* scrubs.c - see scrubs.h. */
#include "scrubs.h"

#include "container.h"
#include "rpc.h"

#include <string.h>

#define BUDGET_MS_DEFAULT 1000u
#define NS_PER_MS         UINT64_C(1000000)
/* What a damage takes on the wire besides its texts: tags, lengths, numbers. */
#define ENTRY_BYTES 64
/* With this much an answer is sent: what one more step may tell still fits. */
#define FULL_BYTES  (TVS_PAGE_BYTES_MAX / 2)
#define DAMAGES_MAX 1024
#define FULL_COUNT  (DAMAGES_MAX - TVS_SCRUB_STEP_DAMAGES)

_Static_assert(TVS_SCRUB_STEP_DAMAGES *(TV_KEY_BYTES_MAX + TROVE_ERROR_MESSAGE_BYTES + ENTRY_BYTES) <=
                   TVS_PAGE_BYTES_MAX - FULL_BYTES,
               "what a step tells fits an answer that isn't full");

struct tvs_scrub_job {
    struct tvs_task task;
    struct tvs_scrub_job *next; /* under the lock of all scrubs */
    struct tvs_rpc rpc;
    struct tvs_scrub scrub;
    uint64_t budget_ns;
    uint64_t end_ns; /* 0: it hasn't begun */
    struct tv_arena arena;
    Trove__V1__ScrubDamage *damages; /* DAMAGES_MAX; NULL: none yet */
    size_t count;
    size_t bytes; /* of theirs in the answer */
    bool no_memory;
    const char *bucket;
    char texts[];
};

void tvs_scrubs_init(struct tvs_scrubs *scrubs) {
    *scrubs = (struct tvs_scrubs){.last = &scrubs->first};
    pthread_mutex_init(&scrubs->lock, NULL);
}

void tvs_scrubs_fini(struct tvs_scrubs *scrubs) {
    pthread_mutex_destroy(&scrubs->lock);
}

/* ---- their turns ---- */

/* True: it is its turn. Else it waits, or, with an error, there are too many. */
static bool enter(struct tvs_scrubs *scrubs, struct tvs_scrub_job *job, trove_error *error) {
    pthread_mutex_lock(&scrubs->lock);
    bool now = !scrubs->running;
    bool full = !now && scrubs->waiting == TV_SCRUBS_WAITING_MAX;
    if (now) {
        scrubs->running = true;
    } else if (!full) {
        job->next = NULL;
        *scrubs->last = job;
        scrubs->last = &job->next;
        scrubs->waiting++;
    }
    pthread_mutex_unlock(&scrubs->lock);
    if (full)
        TV_FAIL(error, RESOURCE_EXHAUSTED, "%d scrubs wait already, and more than that can't; try again later",
                TV_SCRUBS_WAITING_MAX);
    return now;
}

/* One has ended. Returns whose turn it is now; NULL: nobody waits. */
static struct tvs_scrub_job *leave(struct tvs_scrubs *scrubs) {
    pthread_mutex_lock(&scrubs->lock);
    struct tvs_scrub_job *next = scrubs->first;
    if (next != NULL) {
        scrubs->first = next->next;
        if (scrubs->first == NULL)
            scrubs->last = &scrubs->first;
        scrubs->waiting--;
    } else {
        scrubs->running = false;
    }
    pthread_mutex_unlock(&scrubs->lock);
    return next;
}

/* ---- damage ---- */

static char *keep(struct tv_arena *arena, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = tv_arena_alloc(arena, bytes);
    return copy != NULL ? memcpy(copy, text, bytes) : NULL;
}

static void note(void *context, const struct tvs_scrub_damage *damage) {
    struct tvs_scrub_job *job = context;
    Trove__V1__ScrubDamage *last = job->count > 0 ? &job->damages[job->count - 1] : NULL;
    if (last != NULL && damage->length > 0 && last->length > 0 && last->offset + last->length == damage->offset &&
        last->generation == damage->generation && strcmp(last->key, damage->key) == 0) {
        last->length += damage->length;
        return;
    }
    if (job->damages == NULL)
        job->damages = calloc(DAMAGES_MAX, sizeof *job->damages);
    char *key = job->damages == NULL ? NULL : keep(&job->arena, damage->key);
    char *message = job->damages == NULL ? NULL : keep(&job->arena, damage->message);
    job->no_memory |= key == NULL || message == NULL;
    if (job->no_memory)
        return;
    TV_ASSERT(job->count < DAMAGES_MAX);
    Trove__V1__ScrubDamage *wire = &job->damages[job->count++];
    trove__v1__scrub_damage__init(wire);
    wire->key = key;
    wire->generation = damage->generation;
    wire->offset = damage->offset;
    wire->length = damage->length;
    wire->message = message;
    job->bytes += strlen(key) + strlen(message) + ENTRY_BYTES;
}

/* ---- one call ---- */

static void destroy(struct tvs_scrub_job *job) {
    tv_arena_fini(&job->arena);
    free(job->damages);
    free(job);
}

static void respond(struct tvs_scrub_job *job, bool finished) {
    Trove__V1__ScrubResponse response = TROVE__V1__SCRUB_RESPONSE__INIT;
    Trove__V1__ScrubDamage *list[DAMAGES_MAX];
    uint8_t cursor[TVS_SCRUB_CURSOR_BYTES_MAX];
    for (size_t i = 0; i < job->count; i++)
        list[i] = &job->damages[i];
    response.n_damages = job->count;
    response.damages = list;
    response.objects = job->scrub.objects;
    response.bytes = job->scrub.bytes;
    if (!finished) {
        response.next_cursor.data = cursor;
        response.next_cursor.len = tvs_scrub_cursor_write(&job->scrub.place, cursor);
    }
    tvs_rpc_respond(&response.base, &job->rpc);
}

static void finish(struct tvs_scrub_job *job) {
    struct tvs_server *server = job->rpc.server;
    struct tvs_scrub_job *next = leave(&server->scrubs);
    if (next != NULL)
        tvs_workers_submit(server->workers, &next->task);
    tvs_rpc_end(&job->rpc);
    destroy(job);
}

/* What there is to answer when a step has failed: what was found before it. */
struct mark {
    struct tvs_scrub scrub;
    size_t count;
    uint64_t last_length;
};

static struct mark mark_now(const struct tvs_scrub_job *job) {
    return (struct mark){job->scrub, job->count, job->count > 0 ? job->damages[job->count - 1].length : 0};
}

static void go_back(struct tvs_scrub_job *job, const struct mark *mark) {
    job->scrub = mark->scrub;
    job->count = mark->count;
    if (mark->count > 0)
        job->damages[mark->count - 1].length = mark->last_length;
}

static trove_status step(struct tvs_scrub_job *job, bool *finished, trove_error *error) {
    struct tvs_server *server = job->rpc.server;
    if (!tvs_rpc_wanted(&job->rpc))
        return TV_FAIL(error, CANCELLED, "the scrub isn't wanted any more");
    trove_status status = server->ops->scrub(server->driver, job->bucket, &job->scrub, finished, error);
    if (status == TROVE_OK && job->no_memory)
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for what a scrub has found");
    return status;
}

static void run(struct tvs_task *task) {
    struct tvs_scrub_job *job = TV_CONTAINER_OF(task, struct tvs_scrub_job, task);
    bool first = job->end_ns == 0, finished = false;
    if (first)
        job->end_ns = tv_now_ns() + job->budget_ns;
    struct mark before = mark_now(job);
    if (step(job, &finished, &job->rpc.error) != TROVE_OK) {
        if (!first) { /* the next call is told, if it is still so */
            go_back(job, &before);
            respond(job, false);
        }
        finish(job);
    } else if (finished || tv_now_ns() >= job->end_ns || job->bytes > FULL_BYTES || job->count > FULL_COUNT) {
        respond(job, finished);
        finish(job);
    } else {
        tvs_workers_submit(job->rpc.server->workers, &job->task);
    }
}

static struct tvs_scrub_job *create(const Trove__V1__ScrubRequest *request, const struct tvs_scrub_place *from) {
    struct tvs_scrub_job *job = malloc(sizeof *job + strlen(request->bucket) + strlen(request->prefix) + 2);
    if (job == NULL)
        return NULL;
    *job = (struct tvs_scrub_job){.task.run = run};
    job->scrub = (struct tvs_scrub){.visit = note, .context = job, .place = *from};
    char *behind = stpcpy(job->texts, request->bucket) + 1;
    stpcpy(behind, request->prefix);
    job->bucket = job->texts;
    job->scrub.prefix = behind;
    job->budget_ns = (request->budget_ms != 0 ? request->budget_ms : BUDGET_MS_DEFAULT) * NS_PER_MS;
    tv_arena_init(&job->arena, 2 * TV_MESSAGE_BYTES_MAX);
    return job;
}

void tvs_scrub_begin(const Trove__V1__ScrubRequest *request, const struct tvs_scrub_place *from, struct tvs_rpc *rpc) {
    struct tvs_server *server = rpc->server;
    struct tvs_scrub_job *job = create(request, from);
    if (job == NULL) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory for a scrub");
        return;
    }
    tvs_rpc_later(rpc, &job->rpc);
    trove_error full = {TROVE_OK, ""};
    if (enter(&server->scrubs, job, &full)) {
        tvs_workers_submit(server->workers, &job->task);
    } else if (full.status != TROVE_OK) { /* else it may be over already */
        job->rpc.error = full;
        tvs_rpc_end(&job->rpc);
        destroy(job);
    }
}
