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

bool sim_unsure(const struct sim_client *client) {
    return sim.lost[client->number] || sim.memory.link_number == client->number + 1;
}

static bool is_usual(const struct sim_client *client, const trove_error *error, bool cancels) {
    switch (error->status) {
    case TROVE_UNAVAILABLE:
        return sim.lost[client->number] || client->closing;
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

/* The server was refused memory, and one client suffers for it: one thing that it asked for has failed, or its connection. */
static bool is_without_memory(const struct sim_client *client, const trove_error *error) {
    bool told = error->status == TROVE_RESOURCE_EXHAUSTED && strstr(error->message, "no memory") != NULL;
    bool may = sim.memory.refused && (sim.memory.link_number == 0 || sim.memory.link_number == client->number + 1);
    if (may && told && sim.memory.told[0] == '\0')
        snprintf(sim.memory.told, sizeof sim.memory.told, "%s", error->message);
    if (!may || !(told ? strcmp(error->message, sim.memory.told) == 0 : error->status == TROVE_UNAVAILABLE))
        return false;
    sim.memory.link_number = client->number + 1;
    return true;
}

bool sim_excused(const struct sim_client *client, const trove_error *error, bool cancels) {
    return is_usual(client, error, cancels) || is_without_memory(client, error);
}

void sim_judge(const struct sim_client *client, const char *what, const trove_error *error, bool cancels) {
    sim_trace("client %u: %s: %s", client->number, what, error->message);
    sim_met.failures++;
    sim_met.late_places += error->status == TROVE_DEADLINE_EXCEEDED;
    if (!sim_excused(client, error, cancels))
        sim_fail("client %u: %s failed without a reason: %s: %s", client->number, what, trove_status_name(error->status),
                 error->message);
}

void sim_judge_lasting(const struct sim_client *client, bool lasting, const char *what, const trove_error *error, bool cancels) {
    if (lasting && error->status == TROVE_UNAVAILABLE && !client->closing)
        sim_fail("client %u: %s failed, though it outlives its connection: %s", client->number, what, error->message);
    sim_judge(client, what, error, cancels);
}

/* ---- a client ---- */

static void run_program(void *argument) {
    struct sim_client *client = argument;
    for (unsigned times = (unsigned)sim_between(1, 2); times > 0 && !client->closing; times--) {
        sim_sleep(sim_between(0, sim.tight || sim_chance(50) ? 0 : SIM_SECOND));
        unsigned kind = (unsigned)sim_between(0, 99);
        if (client->closing)
            return;
        if (kind < 30)
            sim_upload_run(client);
        else if (kind < 38)
            sim_take_over_run(client);
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

bool sim_client_refused(unsigned number) {
    return number + 1 < sim.link_count && clients[number].retries && sim_chance(sim.refused_percent);
}

/* Some connections don't even last until what was there before is there again. */
void sim_client_dialled(unsigned number) {
    struct sim_client *client = &clients[number];
    if (number + 1 < sim.link_count && client->retries && sim.now_ns < SIM_CALM_NS && sim_chance(25))
        sim_at(sim.now_ns + sim_between(0, 500 * SIM_MS), break_link, client);
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
    options.retry_for_ms = client->retries ? (uint32_t)sim_between(150000, 250000) : TROVE_NO_RETRY;
    snprintf(url, sizeof url, "%u", client->number);
    sim.lost[client->number] = false;
    trove_status status = client->retries ? trove_connect_wait(url, &options, 100000, &client->client, &error)
                                          : trove_connect(url, &options, &client->client, &error);
    bool silent = status == TROVE_DEADLINE_EXCEEDED && sim.lost[client->number];
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
    for (unsigned times = !breaks ? 0 : client->retries ? (unsigned)sim_between(1, 4) : 1; times > 0; times--)
        sim_at(sim.now_ns + sim_between(0, (client->retries ? 6 : 10) * SIM_SECOND), break_link, client);
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
    client->retries = sim_chance(50);
    bool breaks = sim_chance(client->retries ? 80 : 15);
    sim_sleep(sim_between(0, sim.tight ? 0 : SIM_SECOND));
    live(client, breaks);
    if (breaks && !client->retries && sim.now_ns < SIM_CALM_NS) /* another connection, another try */
        live(client, false);
}

/* ---- somebody outside ---- */

/* What was paused; a stream that is attached again has another id, so that its key is what tells it. */
struct paused {
    char keys[64][24];
    unsigned count;
};

/* Whether the server can't be reached for a while. */
static bool is_away(const struct sim_client *client, const trove_error *error) {
    return (error->status == TROVE_UNAVAILABLE && sim.lost[client->number]) || is_without_memory(client, error);
}

static void control_outside(struct sim_client *client, const trove_server_stream *stream, trove_control what) {
    uint64_t id = stream->stream_id;
    trove_error error = {TROVE_OK, ""};
    trove_status status = trove_server_stream_control(client->client, id, what, SIM_TIMEOUT_MS, NULL, &error);
    sim_trace("operator: control %d of stream %llu: %s", (int)what, (unsigned long long)id, error.message);
    /* RESOURCE_EXHAUSTED: the stream's client hasn't read, or hasn't been told, what came before. */
    bool may = status == TROVE_OK || status == TROVE_NOT_FOUND || status == TROVE_FAILED_PRECONDITION ||
               status == TROVE_RESOURCE_EXHAUSTED || is_away(client, &error);
    if (!may)
        sim_fail("the operator can't control stream %llu: %s", (unsigned long long)id, error.message);
    if (status == TROVE_OK && !sim_check_key(id, stream->key))
        sim_fail("the operator controlled stream %llu, which was %s, and it is another one", (unsigned long long)id, stream->key);
    sim_met.outside_controls += status == TROVE_OK;
}

static trove_server_stream_page *list_outside(struct sim_client *client) {
    trove_server_stream_page *page = NULL;
    trove_error error;
    if (trove_server_stream_list(client->client, NULL, &page, &error) == TROVE_OK)
        return page;
    if (!is_away(client, &error))
        sim_fail("the operator can't list the streams: %s", error.message);
    return NULL;
}

static void meddle_outside(struct sim_client *client, struct paused *paused) {
    trove_server_stream_page *page = list_outside(client);
    if (page != NULL && page->count > 0) {
        const trove_server_stream *stream = &page->streams[sim_between(0, page->count - 1)];
        if (sim_chance(10)) {
            sim.operator_cancels = true;
            control_outside(client, stream, TROVE_CONTROL_CANCEL);
        } else if (paused->count < sizeof paused->keys / sizeof paused->keys[0]) {
            snprintf(paused->keys[paused->count++], sizeof paused->keys[0], "%s", stream->key);
            control_outside(client, stream, TROVE_CONTROL_PAUSE);
        }
    }
    trove_server_stream_page_free(page);
}

/* Asking how an upload stands fences nobody, and tells nothing that isn't so. */
static void ask_outside(struct sim_client *client) {
    const struct sim_stored *stored = sim_begun_upload(false);
    trove_upload *upload = NULL;
    trove_error error;
    if (stored == NULL)
        return;
    trove_status status = trove_upload_stat(client->client, stored->upload_id, SIM_TIMEOUT_MS, &upload, &error);
    bool may = status == TROVE_OK || status == TROVE_NOT_FOUND || is_away(client, &error) ||
               (status == TROVE_RESOURCE_EXHAUSTED && sim.disk_failures > 0);
    if (!may)
        sim_fail("the operator can't look at upload %s: %s", stored->upload_id, error.message);
    if (status == TROVE_OK) {
        sim_met.looks++;
        if (strcmp(upload->key, stored->key) != 0 || upload->durable_offset > upload->received_offset ||
            upload->received_offset > stored->size)
            sim_fail("upload %s is said to be %s, with %llu bytes, %llu of them durable; it is %s, with %llu", stored->upload_id,
                     upload->key, (unsigned long long)upload->received_offset, (unsigned long long)upload->durable_offset,
                     stored->key, (unsigned long long)stored->size);
    }
    trove_upload_free(upload);
}

static bool was_paused(const struct paused *paused, const char *key) {
    for (unsigned i = 0; i < paused->count; i++)
        if (strcmp(paused->keys[i], key) == 0)
            return true;
    return false;
}

/* The server has one that comes back paused as idle. */
static bool stands(const trove_server_stream *stream) {
    return stream->state == TROVE_STREAM_PAUSED || stream->state == TROVE_STREAM_IDLE;
}

/* Of all that could be resumed, so many percent. */
static void resume_outside(struct sim_client *client, const struct paused *paused, unsigned percent) {
    trove_server_stream_page *page = list_outside(client);
    for (size_t i = 0; page != NULL && i < page->count; i++)
        if (stands(&page->streams[i]) && was_paused(paused, page->streams[i].key) && sim_chance(percent))
            control_outside(client, &page->streams[i], TROVE_CONTROL_RESUME);
    trove_server_stream_page_free(page);
}

/* Nobody may stay paused: not one either that comes back paused. */
static void resume_all(struct sim_client *client, const struct paused *paused) {
    while (!sim.clients_gone && sim.failure[0] == '\0') {
        resume_outside(client, paused, 100);
        sim_sleep(sim_between(SIM_MS, SIM_SECOND));
    }
}

void sim_operator_run(void *argument) {
    struct sim_client client = {.number = (unsigned)(uintptr_t)argument, .retries = sim.restarts || sim.memory.refuse != 0};
    struct paused paused = {.count = 0};
    if (connect_client(&client) != TROVE_OK)
        return;
    while (sim.now_ns < SIM_CALM_NS / 2 && !sim.clients_gone) {
        sim_sleep(sim_between(0, SIM_SECOND));
        if (sim_chance(20))
            ask_outside(&client);
        else if (sim_chance(60))
            meddle_outside(&client, &paused);
        else
            resume_outside(&client, &paused, 50);
    }
    resume_all(&client, &paused);
    trove_close(client.client);
}
