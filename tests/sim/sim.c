/* sim.c - clock, chance, events, network, and how a run is drawn from its seed. See sim.h. */
#include "sim.h"

#include "bounds.h"
#include "worker.h"

#include <string.h>

/* ---- chance ---------------------------------------------------------------------------------------------------------------------- */

uint64_t sim_random(struct sim *sim) { /* splitmix64 */
    uint64_t z = (sim->random += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high) {
    return low + sim_random(sim) % (high - low + 1);
}

bool sim_chance(struct sim *sim, unsigned percent) {
    return sim_random(sim) % 100 < percent;
}

/* ---- telling ----------------------------------------------------------------------------------------------------------------------- */

void sim_fail(struct sim *sim, const char *format, ...) {
    if (sim->failure[0] != '\0')
        return;
    int length = snprintf(sim->failure, sizeof sim->failure, "at %.6f s, step %llu: ", (double)sim->now_ns / 1e9,
                          (unsigned long long)sim->steps);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->failure + length, sizeof sim->failure - (size_t)length, format, arguments);
    va_end(arguments);
}

void sim_trace(struct sim *sim, const struct sim_stream *stream, const char *format, ...) {
    if (!sim->trace)
        return;
    printf("%12.6f stream %u: ", (double)sim->now_ns / 1e9, stream->number);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

/* ---- events: a heap -------------------------------------------------------------------------------------------------------------- */

static bool before(const struct sim_event *a, const struct sim_event *b) {
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

void sim_after(struct sim *sim, uint64_t delay_ns, sim_function function, void *object) {
    struct sim_event event = {sim->now_ns + delay_ns, sim->event_order++, function, object};
    TV_ASSERT(sim->event_count < SIM_EVENTS_MAX);
    size_t at = sim->event_count++;
    for (; at > 0 && before(&event, &sim->events[(at - 1) / 2]); at = (at - 1) / 2)
        sim->events[at] = sim->events[(at - 1) / 2];
    sim->events[at] = event;
}

static struct sim_event next_event(struct sim *sim) {
    struct sim_event first = sim->events[0], last = sim->events[--sim->event_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < sim->event_count && before(&sim->events[child + 1], &sim->events[child]))
            child++;
        if (child >= sim->event_count || !before(&sim->events[child], &last))
            break;
        sim->events[at] = sim->events[child];
        at = child;
    }
    sim->events[at] = last;
    return first;
}

/* ---- workers, as the budget knows them ----------------------------------------------------------------------------------------------- */

static void run_task(struct sim *sim, void *object) {
    (void)sim;
    struct tvs_task *task = object;
    task->run(task);
}

void tvs_workers_submit(struct tvs_workers *workers, struct tvs_task *task) {
    sim_after(workers->sim, sim_between(workers->sim, 0, SIM_MS), run_task, task);
}

/* ---- network ------------------------------------------------------------------------------------------------------------------------- */

static const char *const names[] = {"open",    "opened", "demand", "chunk",  "gap",       "complete",
                                    "control", "state",  "ack",    "credit", "completed", "status"};

static void deliver(struct sim *sim, struct sim_frame *frame, bool up) {
    struct sim_stream *stream = frame->stream;
    stream->granted_on_the_way -= frame->granted;
    stream->expired_on_the_way -= frame->expired;
    if (frame->epoch == stream->link->epoch) {
        sim_trace(sim, stream, "%s %s", up ? "-->" : "<--", names[frame->kind]);
        if (up)
            sim_server_frame(stream, frame);
        else
            sim_client_frame(stream, frame);
    }
    free(frame);
}

static void deliver_up(struct sim *sim, void *object) {
    deliver(sim, object, true);
}

static void deliver_down(struct sim *sim, void *object) {
    deliver(sim, object, false);
}

void sim_send(struct sim_stream *stream, bool up, const struct sim_frame *frame, uint64_t bytes) {
    struct sim *sim = stream->sim;
    struct sim_link *link = stream->link;
    struct sim_way *way = up ? &link->up : &link->down;
    if (link->dead)
        return;
    struct sim_frame *copy = malloc(sizeof *copy);
    TV_ASSERT(copy != NULL);
    *copy = *frame;
    copy->stream = stream;
    copy->epoch = link->epoch;
    uint64_t begins = way->busy_until_ns > sim->now_ns ? way->busy_until_ns : sim->now_ns;
    if (begins < link->stalled_until_ns)
        begins = link->stalled_until_ns;
    way->busy_until_ns = begins + (bytes + 40) * SIM_MS / link->bytes_per_ms;
    uint64_t arrives = way->busy_until_ns + link->delay_ns + sim_between(sim, 0, link->jitter_ns);
    bool swap = sim->plant == SIM_PLANT_SWAPPED_FRAMES && sim_chance(sim, 2);
    if (arrives < way->arrives_ns && !swap)
        arrives = way->arrives_ns;
    if (swap)
        arrives += SIM_MS;
    else
        way->arrives_ns = arrives;
    stream->granted_on_the_way += copy->granted;
    stream->expired_on_the_way += copy->expired;
    sim_after(sim, arrives - sim->now_ns, up ? deliver_up : deliver_down, copy);
}

/* One frame of the flow whose turn it is. */
static bool pull_one(struct sim_link *link, bool up) {
    struct sim *sim = link->sim;
    struct sim_way *way = up ? &link->up : &link->down;
    for (unsigned tried = 0; tried < sim->stream_count; tried++) {
        struct sim_stream *stream = &sim->streams[way->turn++ % sim->stream_count];
        bool *wants = up ? &stream->client.wants_data : &stream->server.wants_control;
        struct sim_frame frame = {0};
        uint64_t bytes = 0;
        if (stream->link != link || !*wants)
            continue;
        if (up ? sim_client_pull(stream, &frame, &bytes) : sim_server_pull(stream, &frame)) {
            sim_send(stream, up, &frame, bytes);
            return true;
        }
        *wants = false;
    }
    return false;
}

static void pump(struct sim_link *link, bool up) {
    struct sim_way *way = up ? &link->up : &link->down;
    way->pumping = false;
    if (!link->dead && pull_one(link, up))
        sim_pump(link, up);
}

static void pump_up(struct sim *sim, void *object) {
    (void)sim;
    pump(object, true);
}

static void pump_down(struct sim *sim, void *object) {
    (void)sim;
    pump(object, false);
}

void sim_pump(struct sim_link *link, bool up) {
    struct sim_way *way = up ? &link->up : &link->down;
    struct sim *sim = link->sim;
    if (way->pumping)
        return;
    way->pumping = true;
    sim_after(sim, way->busy_until_ns > sim->now_ns ? way->busy_until_ns - sim->now_ns : 0, up ? pump_up : pump_down, link);
}

/* ---- what goes wrong ----------------------------------------------------------------------------------------------------------------- */

static void stall_link(struct sim *sim, void *object) {
    struct sim_link *link = object;
    link->stalled_until_ns = sim->now_ns + sim_between(sim, 0, 3 * SIM_SECOND);
}

static void stall_disk(struct sim *sim, void *object) {
    (void)object;
    sim->disk_stalled_until_ns = sim->now_ns + sim_between(sim, 0, 3 * SIM_SECOND);
}

static void server_learns(struct sim *sim, void *object) {
    for (unsigned i = 0; i < sim->stream_count; i++)
        if (sim->streams[i].link == object)
            sim_server_abandon(&sim->streams[i]);
}

/* The client learns at once, the server some time later; what was under way is lost. */
static void disconnect(struct sim *sim, void *object) {
    struct sim_link *link = object;
    link->dead = true;
    link->epoch++;
    for (unsigned i = 0; i < sim->stream_count; i++)
        if (sim->streams[i].link == link)
            sim_client_end(&sim->streams[i], TV_EVENT_FAIL);
    sim_after(sim, sim_between(sim, 0, SIM_SECOND), server_learns, link);
}

static void some_time(struct sim *sim, unsigned percent, sim_function function, void *object) {
    for (unsigned i = 0; i < 3; i++)
        if (sim_chance(sim, percent))
            sim_after(sim, sim_between(sim, 0, SIM_CALM_NS), function, object);
}

/* ---- who holds memory is asked for it while somebody waits; after server/server.c ------------------------------------------------------ */

static void on_pressed(void *context);

static void relieve(struct sim *sim, void *object) {
    (void)object;
    sim->relieving = false;
    for (unsigned i = 0; i < sim->stream_count; i++)
        sim_server_relieve(&sim->streams[i]);
    if (tvs_budget_contended(sim->budget))
        on_pressed(sim);
}

static void on_pressed(void *context) {
    struct sim *sim = context;
    if (sim->relieving)
        return;
    sim->relieving = true;
    sim_after(sim, 50 * SIM_MS, relieve, NULL);
}

/* ---- a run ----------------------------------------------------------------------------------------------------------------------------- */

static void begin_stream(struct sim *sim, void *object) {
    (void)sim;
    sim_client_begin(object);
}

static void tick(struct sim *sim, void *object) {
    (void)object;
    bool running = false;
    for (unsigned i = 0; i < sim->stream_count; i++) {
        struct sim_stream *stream = &sim->streams[i];
        sim_client_tick(stream);
        sim_server_tick(stream);
        running |= !tv_stream_state_terminal(stream->client.state) || stream->server.listed;
    }
    if (running)
        sim_after(sim, 50 * SIM_MS, tick, NULL);
}

static void draw_link(struct sim *sim, struct sim_link *link) {
    *link = (struct sim_link){
        .sim = sim,
        .bytes_per_ms = UINT64_C(1) << sim_between(sim, 11, 21), /* 2 MB/s to 2 GB/s */
        .delay_ns = sim_between(sim, 0, 1) * sim_between(sim, 0, 60 * SIM_MS),
        .jitter_ns = sim_between(sim, 0, 1) * sim_between(sim, 0, 20 * SIM_MS),
    };
    some_time(sim, 20, stall_link, link);
    if (sim_chance(sim, 10))
        sim_after(sim, sim_between(sim, 0, SIM_CALM_NS), disconnect, link);
}

/* As server/stream.c cuts down what doesn't fit. */
static void draw_sizes(struct sim *sim, struct sim_stream *stream) {
    uint64_t budget_bytes = tvs_budget_bytes(sim->budget);
    uint64_t chunk_bytes = sim_between(sim, 1, UINT64_C(1) << sim_between(sim, sim->tight ? 18 : 0, 21));
    if (chunk_bytes > budget_bytes / 4)
        chunk_bytes = budget_bytes / 4;
    uint64_t slice_bytes = tvs_bandwidth_slice(sim->bandwidth.bytes_per_second);
    if (chunk_bytes > slice_bytes)
        chunk_bytes = slice_bytes;
    uint64_t channel_chunks = sim_between(sim, 1, 16);
    uint64_t fits = budget_bytes / 4 / chunk_bytes;
    if (channel_chunks > fits)
        channel_chunks = fits > 0 ? fits : 1;
    stream->payload_bytes_max = UINT64_C(1) << sim_between(sim, 16, 20);
    stream->server.grant.chunk_bytes = chunk_bytes;
    stream->server.grant.window_bytes = chunk_bytes * channel_chunks;
    stream->client.chunk_bytes = chunk_bytes;
    trove_status status = tv_sender_init(&stream->client.sender, (uint32_t)channel_chunks, 0, NULL);
    TV_ASSERT(status == TROVE_OK);
}

static void draw_stream(struct sim *sim, unsigned number) {
    struct sim_stream *stream = &sim->streams[number];
    memset(stream, 0, sizeof *stream);
    stream->sim = sim;
    stream->number = number;
    stream->link = &sim->links[sim_random(sim) % sim->link_count];
    draw_sizes(sim, stream);
    stream->client.lossy = sim_chance(sim, 20);
    stream->client.chunks_to_write = (unsigned)sim_between(sim, 0, 40);
    stream->client.gap_ns = sim_between(sim, 0, 1) * sim_between(sim, 0, 500 * SIM_MS);
    stream->client.deadline_ns = sim_chance(sim, 10) ? sim_between(sim, 0, SIM_CALM_NS) : UINT64_MAX;
    sim_after(sim, sim_between(sim, 0, 2 * SIM_SECOND), begin_stream, stream);
}

static void draw(struct sim *sim) {
    trove_error error;
    sim->workers.sim = sim;
    sim->tight = sim_chance(sim, 25);
    uint64_t segments = sim_between(sim, 8, UINT64_C(1) << (sim->tight ? 4 : sim_between(sim, 3, 7)));
    trove_status status = tvs_budget_create(segments * TV_SEGMENT_BYTES, &sim->workers, on_pressed, sim, &sim->budget, &error);
    TV_ASSERT(status == TROVE_OK);
    sim->disk_bytes_per_ms = UINT64_C(1) << sim_between(sim, 12, 20); /* 4 MB/s to 1 GB/s */
    sim->limited = sim_chance(sim, 25);
    tvs_bandwidth_init(&sim->bandwidth, sim->limited ? UINT64_C(1) << sim_between(sim, 20, 30) : 0, 0); /* 1 MB/s to 1 GB/s */
    sim->expiry_ns = sim_between(sim, 100, 2000) * SIM_MS;
    sim->link_count = (unsigned)sim_between(sim, 1, SIM_LINKS_MAX);
    sim->stream_count = (unsigned)sim_between(sim, 1, SIM_STREAMS_MAX);
    some_time(sim, 30, stall_disk, NULL);
    for (unsigned i = 0; i < sim->link_count; i++)
        draw_link(sim, &sim->links[i]);
    for (unsigned i = 0; i < sim->stream_count; i++)
        draw_stream(sim, i);
    sim_after(sim, 0, tick, NULL);
}

/* All that a failed run left: chunks, claims, frames that were not delivered, a task of the budget's, which holds it. */
static void clear(struct sim *sim) {
    for (unsigned i = 0; i < sim->stream_count; i++) {
        if (!sim->streams[i].client.sender_gone)
            tv_sender_fini(&sim->streams[i].client.sender);
        (void)tvs_budget_forget(sim->budget, &sim->streams[i].server.claim);
    }
    for (size_t i = 0; i < sim->event_count; i++) {
        if (sim->events[i].function == deliver_up || sim->events[i].function == deliver_down)
            free(sim->events[i].object);
        else if (sim->events[i].function == run_task)
            run_task(sim, sim->events[i].object);
    }
    tvs_budget_release(sim->budget);
}

bool sim_run(struct sim *sim, uint64_t seed, enum sim_plant plant, bool trace) {
    uint64_t met[] = {sim->expired_grants, sim->resent_chunks, sim->dropped_chunks,
                      sim->waited_claims,  sim->waited_turns,  sim->completed_streams};
    memset(sim, 0, offsetof(struct sim, events));
    sim->event_count = 0;
    memset((char *)sim + offsetof(struct sim, event_count), 0, offsetof(struct sim, links) - offsetof(struct sim, event_count));
    sim->failure[0] = '\0';
    sim->seed = sim->random = seed;
    sim->plant = plant;
    sim->trace = trace;
    sim->expired_grants = met[0], sim->resent_chunks = met[1], sim->dropped_chunks = met[2];
    sim->waited_claims = met[3], sim->waited_turns = met[4], sim->completed_streams = met[5];
    draw(sim);
    while (sim->event_count > 0 && sim->failure[0] == '\0') {
        struct sim_event event = next_event(sim);
        sim->now_ns = event.at_ns;
        sim->steps++;
        event.function(sim, event.object);
        sim_check(sim);
        if (sim->now_ns > SIM_END_NS)
            sim_fail(sim, "the run doesn't end");
    }
    if (sim->failure[0] == '\0')
        sim_check_end(sim);
    clear(sim);
    return sim->failure[0] == '\0';
}
