/* sim_client.c - clients and what surrounds their programs: connecting, pools, links that break, closing in the middle; who
 * controls their streams from outside; what may go wrong for whom. See sim.h.
 */
#include "sim_programs.h"

#include <string.h>

static const char *const pool_names[SIM_POOLS] = {"default", "second", "third"};
static struct sim_client clients[SIM_LINKS_MAX];

const char *sim_pool_name(unsigned number) {
    return pool_names[number];
}

/* ---- what may go wrong ---- */

/* A timeout of the server's third pool, or of a pool's queue. */
static bool late_as_it_may_be(const trove_error *error) {
    bool queue = strstr(error->message, "none ended in time") != NULL || strstr(error->message, "of its") != NULL;
    bool limit = strstr(error->message, "(stream_timeout)") != NULL || strstr(error->message, "(paused_timeout)") != NULL;
    return queue || (sim.timeouts && limit);
}

bool sim_excused(const struct sim_client *client, const trove_error *error, bool cancels) {
    struct sim_link *link = sim_link_of(client->number);
    switch (error->status) {
    case TROVE_UNAVAILABLE:
        return sim_link_broken(link) || client->closing;
    case TROVE_CANCELLED:
        return cancels || client->closing || sim.operator_cancels;
    case TROVE_ABORTED:
        return cancels;
    case TROVE_DEADLINE_EXCEEDED:
        return late_as_it_may_be(error);
    case TROVE_RESOURCE_EXHAUSTED:
        return strstr(error->message, "memory_bytes") != NULL ||
               (sim.disk_failures > 0 && strstr(error->message, "the disk failed") != NULL);
    default:
        return false;
    }
}

void sim_judge(const struct sim_client *client, const char *what, const trove_error *error, bool cancels) {
    sim_trace("client %u: %s: %s", client->number, what, error->message);
    sim_met.failures++;
    sim_met.late_places += error->status == TROVE_DEADLINE_EXCEEDED;
    if (!sim_excused(client, error, cancels))
        sim_fail("client %u: %s failed without a reason: %s: %s", client->number, what, trove_status_name(error->status),
                 error->message);
}

/* ---- a client ---- */

static void run_program(void *argument) {
    struct sim_client *client = argument;
    for (unsigned times = (unsigned)sim_between(1, 2); times > 0 && !client->closing; times--) {
        sim_sleep(sim_between(0, sim.tight || sim_chance(50) ? 0 : SIM_SECOND));
        unsigned kind = (unsigned)sim_between(0, 99);
        if (client->closing)
            return;
        if (kind < 38)
            sim_upload_run(client);
        else if (kind < 70)
            sim_download_run(client);
        else if (kind < 80)
            sim_two_way_run(client);
        else if (kind < 92)
            sim_follow_run(client);
        else
            sim_whole_run(client);
    }
}

static void break_link(void *object) {
    const struct sim_client *client = object;
    struct sim_link *link = sim_link_of(client->number);
    if (link != NULL && !client->closing)
        sim_link_break(link);
}

static void make_pool(struct sim_client *client) {
    trove_pool_options options;
    trove_error error;
    trove_pool_options_init(&options);
    options.max_streams = (uint32_t)sim_between(1, 4);
    options.server_pool = pool_names[sim_between(0, SIM_POOLS - 1)];
    if (sim_chance(20))
        options.bytes_per_second = sim_between(TV_MIB, 16 * TV_MIB);
    if (trove_pool_create(client->client, "programs", &options, &client->pool, &error) != TROVE_OK)
        sim_judge(client, "a pool", &error, false);
}

static trove_status connect_client(struct sim_client *client) {
    trove_client_options options;
    trove_error error;
    char url[8];
    trove_client_options_init(&options);
    options.memory_bytes = TV_MIB << sim_between(1, 4);
    options.call_timeout_ms = SIM_TIMEOUT_MS;
    options.connect_timeout_ms = 30000;
    options.retry_for_ms = TROVE_NO_RETRY; /* links that break stay broken */
    snprintf(url, sizeof url, "%u", client->number);
    trove_status status = trove_connect(url, &options, &client->client, &error);
    bool silent = status == TROVE_DEADLINE_EXCEEDED && sim_link_broken(sim_link_of(client->number));
    if (status != TROVE_OK && !silent)
        sim_judge(client, "connecting", &error, false);
    return status;
}

static void close_client(struct sim_client *client) {
    client->closing = true;
    sim_trace("client %u closes", client->number);
    if (sim_chance(50)) {
        (void)trove_pool_close(client->pool, 0);
        client->pool = NULL;
    }
    trove_close(client->client);
    (void)trove_pool_close(client->pool, 0);
    client->pool = NULL;
}

/* Programs that are on their way into the library are waited for: a client must not be used any more when it is closed. */
static void close_in_the_middle(struct sim_client *client) {
    sim_sleep(sim_between(0, 5 * SIM_SECOND));
    while (client->entering > 0)
        sim_sleep(SIM_MS);
    sim_met.closes++;
    close_client(client);
}

/* From connecting to closing. */
static void live(struct sim_client *client, bool breaks) {
    struct sim_thread *programs[SIM_PROGRAMS_MAX];
    unsigned count = (unsigned)sim_between(sim.tight ? SIM_PROGRAMS_MAX / 2 : 1, SIM_PROGRAMS_MAX);
    client->closing = false;
    client->pool = NULL;
    if (breaks)
        sim_at(sim.now_ns + sim_between(0, 10 * SIM_SECOND), break_link, client);
    if (connect_client(client) != TROVE_OK)
        return;
    if (sim_chance(40))
        make_pool(client);
    for (unsigned i = 0; i < count; i++)
        programs[i] = sim_spawn("program", run_program, client);
    bool early = sim_chance(8);
    if (early)
        close_in_the_middle(client);
    for (unsigned i = 0; i < count; i++)
        sim_join(programs[i]);
    if (!early)
        close_client(client);
}

void sim_client_run(void *argument) {
    unsigned number = (unsigned)(uintptr_t)argument;
    struct sim_client *client = &clients[number];
    *client = (struct sim_client){.number = number};
    bool breaks = sim_chance(15);
    sim_sleep(sim_between(0, sim.tight ? 0 : SIM_SECOND));
    live(client, breaks);
    if (breaks && sim.now_ns < SIM_CALM_NS) /* another connection, another try */
        live(client, false);
}

/* ---- somebody outside ---- */

struct paused_ids {
    uint64_t ids[64];
    unsigned count;
};

/* False: the stream's client hasn't read, or hasn't been told, what came before. */
static bool control_outside(struct sim_client *client, uint64_t id, trove_control what) {
    trove_error error = {TROVE_OK, ""};
    trove_status status = trove_server_stream_control(client->client, id, what, SIM_TIMEOUT_MS, NULL, &error);
    sim_trace("operator: control %d of stream %llu: %s", (int)what, (unsigned long long)id, error.message);
    bool may = status == TROVE_OK || status == TROVE_NOT_FOUND || status == TROVE_FAILED_PRECONDITION ||
               status == TROVE_RESOURCE_EXHAUSTED;
    if (!may)
        sim_fail("the operator can't control stream %llu: %s", (unsigned long long)id, error.message);
    sim_met.outside_controls += status == TROVE_OK;
    return status != TROVE_RESOURCE_EXHAUSTED;
}

static void meddle_outside(struct sim_client *client, struct paused_ids *paused) {
    trove_server_stream_page *page = NULL;
    trove_error error;
    if (trove_server_stream_list(client->client, NULL, &page, &error) != TROVE_OK) {
        sim_fail("the operator can't list the streams: %s", error.message);
        return;
    }
    uint64_t id = page->count > 0 ? page->streams[sim_between(0, page->count - 1)].stream_id : 0;
    trove_server_stream_page_free(page);
    if (id == 0)
        return;
    if (sim_chance(10)) {
        sim.operator_cancels = true;
        (void)control_outside(client, id, TROVE_CONTROL_CANCEL);
    } else if (paused->count < sizeof paused->ids / sizeof paused->ids[0]) {
        paused->ids[paused->count++] = id;
        (void)control_outside(client, id, TROVE_CONTROL_PAUSE);
    }
}

static void resume_outside(struct sim_client *client, struct paused_ids *paused) {
    if (paused->count == 0)
        return;
    unsigned at = (unsigned)sim_between(0, paused->count - 1);
    if (control_outside(client, paused->ids[at], TROVE_CONTROL_RESUME))
        paused->ids[at] = paused->ids[--paused->count];
}

/* Nobody may stay paused. */
static void resume_all(struct sim_client *client, struct paused_ids *paused) {
    while (paused->count > 0 && sim.failure[0] == '\0') {
        resume_outside(client, paused);
        sim_sleep(sim_between(0, 50 * SIM_MS));
    }
}

void sim_operator_run(void *argument) {
    struct sim_client client = {.number = (unsigned)(uintptr_t)argument};
    struct paused_ids paused = {0};
    if (connect_client(&client) != TROVE_OK)
        return;
    while (sim.now_ns < SIM_CALM_NS / 2) {
        sim_sleep(sim_between(0, SIM_SECOND));
        if (sim_chance(60))
            meddle_outside(&client, &paused);
        else
            resume_outside(&client, &paused);
    }
    resume_all(&client, &paused);
    trove_close(client.client);
}
