/* sim.c - chance, telling, and how a run is drawn from its seed. See sim.h. */
#include "sim.h"

#include "server/log.h"
#include "server/server.h"

#include <stdarg.h>
#include <string.h>

struct sim sim;
struct sim_met sim_met;
uint64_t sim_end_ns = SIM_END_NS;
unsigned char sim_pattern_bytes[2 * SIM_PATTERN_BYTES];

/* ---- chance ---- */

uint64_t sim_random(void) { /* splitmix64 */
    uint64_t z = (sim.random += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

uint64_t sim_between(uint64_t low, uint64_t high) {
    return low + sim_random() % (high - low + 1);
}

bool sim_chance(unsigned percent) {
    return sim_random() % 100 < percent;
}

uint64_t sim_size(uint64_t most) {
    unsigned bits = 64 - (unsigned)__builtin_clzll(most | 1);
    uint64_t below = UINT64_C(1) << (sim_chance(20) ? sim_between(0, bits) : sim_between(bits > 4 ? bits - 4 : 0, bits));
    uint64_t size = sim_between(0, below - 1);
    return size < most ? size : most;
}

/* What the shipped code draws has to differ from one time to the next. */
uint32_t __wrap_randombytes_random(void);
uint32_t __wrap_randombytes_random(void) {
    return (uint32_t)sim_random();
}

static void draw_bytes(uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)sim_random();
}

void __wrap_randombytes_buf(void *bytes, size_t count);
void __wrap_randombytes_buf(void *bytes, size_t count) {
    draw_bytes(bytes, count);
}

struct tvs_upload_id;
trove_status __wrap_tvs_upload_id_draw(struct tvs_upload_id *id, trove_error *error);
trove_status __wrap_tvs_upload_id_draw(struct tvs_upload_id *id, trove_error *error) {
    (void)error;
    draw_bytes((uint8_t *)id, 16);
    return TROVE_OK;
}

/* ---- bytes ---- */

static uint64_t place_of(uint32_t version, uint64_t offset) {
    return (offset + version * UINT64_C(7919)) % SIM_PATTERN_BYTES;
}

void sim_pattern(uint32_t version, uint64_t offset, void *to, size_t bytes) {
    for (char *at = to; bytes > 0;) {
        size_t step = bytes < SIM_PATTERN_BYTES ? bytes : SIM_PATTERN_BYTES;
        memcpy(at, sim_pattern_bytes + place_of(version, offset), step);
        at += step;
        offset += step;
        bytes -= step;
    }
}

bool sim_pattern_is(uint32_t version, uint64_t offset, const void *bytes, size_t count) {
    for (const char *at = bytes; count > 0;) {
        size_t step = count < SIM_PATTERN_BYTES ? count : SIM_PATTERN_BYTES;
        if (memcmp(at, sim_pattern_bytes + place_of(version, offset), step) != 0)
            return false;
        at += step;
        offset += step;
        count -= step;
    }
    return true;
}

static void make_pattern(void) {
    sim.random = 1;
    for (size_t i = 0; i < SIM_PATTERN_BYTES; i++)
        sim_pattern_bytes[i] = sim_pattern_bytes[i + SIM_PATTERN_BYTES] = (unsigned char)(1 + sim_random() % 255); /* no zeros */
}

/* ---- telling ---- */

void sim_note(uint64_t what) {
    sim.steps++;
    sim.notes = (sim.notes ^ what ^ sim.now_ns) * 0x9E3779B97F4A7C15;
    sim.notes ^= sim.notes >> 29;
}

void sim_fail(const char *format, ...) {
    if (sim.failure[0] != '\0')
        return;
    int length = snprintf(sim.failure, sizeof sim.failure, "at %.6f s, step %llu, in %s: ", (double)sim.now_ns / 1e9,
                          (unsigned long long)sim.steps, sim_thread_name());
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim.failure + length, sizeof sim.failure - (size_t)length, format, arguments);
    va_end(arguments);
}

void sim_trace(const char *format, ...) {
    if (!sim.trace)
        return;
    printf("%12.6f %-12s ", (double)sim.now_ns / 1e9, sim_thread_name());
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

/* ---- what goes wrong ---- */

static void stall_link(void *object) {
    struct sim_link_plan *plan = object;
    plan->stalled_until_ns = sim.now_ns + sim_between(0, 3 * SIM_SECOND);
}

static void stall_disk(void *object) {
    (void)object;
    sim.disk_stalled_until_ns = sim.now_ns + sim_between(0, 3 * SIM_SECOND);
}

static void some_time(unsigned percent, void (*what)(void *object), void *object) {
    for (unsigned i = 0; i < 3; i++)
        if (sim_chance(percent))
            sim_at(sim_between(0, SIM_CALM_NS / 2), what, object);
}

/* ---- a run ---- */

static void draw_link(struct sim_link_plan *plan) {
    *plan = (struct sim_link_plan){
        .bytes_per_ms = UINT64_C(1) << sim_between(11, 21), /* 2 MB/s to 2 GB/s */
        .delay_ns = sim_between(0, 1) * sim_between(0, 60 * SIM_MS),
        .jitter_ns = sim_between(0, 1) * sim_between(0, 20 * SIM_MS),
        .buffer_bytes = UINT64_C(1) << sim_between(14, 21),
    };
    some_time(20, stall_link, plan);
}

static void draw_pool(unsigned number, uint64_t shared_bytes, struct tvs_pool_config *config) {
    struct tvs_pool_limits *limits = &config->limits;
    snprintf(config->name, sizeof config->name, "%s", sim_pool_name(number));
    tvs_pool_limits_init(limits);
    if (sim_chance(60))
        limits->streams_max = (uint32_t)sim_between(1, 4);
    if (sim_chance(35))
        limits->bandwidth = UINT64_C(1) << sim_between(19, 26); /* 512 KiB/s to 64 MiB/s */
    if (number > 0 && sim_chance(40))
        limits->memory_bytes = sim_between(4, sim.tight ? 6 : 32) * TV_SEGMENT_BYTES;
    uint64_t own_bytes = tvs_pool_own_bytes(limits);
    uint64_t carried = (own_bytes > 0 ? own_bytes : shared_bytes) / 4;
    limits->chunk_bytes = 1 + sim_size(carried < 512 * TV_KIB ? carried - 1 : 512 * TV_KIB - 1);
    limits->channel_chunks = (uint32_t)sim_between(1, 16);
    limits->idle_timeout_ms = 30000;
    limits->grant_expiry_ms = (uint32_t)sim_between(100, 2000);
    if (number == SIM_POOLS - 1 && sim.timeouts) {
        limits->stream_timeout_ms = (uint32_t)sim_between(1000, 30000);
        limits->paused_timeout_ms = (uint32_t)sim_between(1000, 30000);
    }
    sim.bandwidth[number] = limits->bandwidth;
    sim.chunk_bytes_max[number] = carried < 512 * TV_KIB ? carried : 512 * TV_KIB;
}

static void draw(struct tvs_server_options *options) {
    sim.interrupt_percent = sim_chance(50) ? 0 : (unsigned)sim_between(1, 8);
    sim.sleepy_percent = sim_chance(70) ? 0 : (unsigned)sim_between(1, 5);
    sim.nonblocking_disk = sim_chance(15);
    sim.disk_bytes_per_ms = UINT64_C(1) << sim_between(12, 20); /* 4 MB/s to 1 GB/s */
    sim.disk_failure_permille = sim_chance(15) ? (unsigned)sim_between(1, 30) : 0;
    sim.timeouts = sim_chance(25);
    sim.link_count = (unsigned)sim_between(2, SIM_LINKS_MAX);
    sim.restarts = sim_chance(15);
    sim.refused_percent = sim_chance(50) ? 0 : (unsigned)sim_between(1, 50);
    some_time(30, stall_disk, NULL);
    for (unsigned i = 0; i < sim.link_count; i++)
        draw_link(&sim.links[i]);
    sim.tight = sim_chance(50);
    tvs_server_options_init(options);
    options->store = "mem://";
    options->insecure = true; /* its links have no credentials */
    options->memory_bytes = sim_between(4, sim.tight ? 8 : 64) * TV_SEGMENT_BYTES;
    options->workers = (uint32_t)sim_between(1, 4);
    options->call_deadline_ms = SIM_TIMEOUT_MS;
    options->pools.count = SIM_POOLS;
    for (unsigned i = 0; i < SIM_POOLS; i++)
        draw_pool(i, options->memory_bytes, &options->pools.pools[i]);
}

static void run_clients(struct tvs_server_options *options) {
    struct sim_thread *threads[SIM_LINKS_MAX];
    unsigned operator_number = sim.link_count - 1; /* the last link is the operator's */
    struct sim_thread *operator_thread = sim_spawn("operator", sim_operator_run, (void *)(uintptr_t)operator_number);
    struct sim_thread *restarter = sim.restarts ? sim_spawn("restarter", sim_server_restart_run, options) : NULL;
    struct sim_thread *replacer = sim_chance(70) ? sim_spawn("replacer", sim_disk_replace, NULL) : NULL;
    for (unsigned i = 0; i < operator_number; i++)
        threads[i] = sim_spawn("client", sim_client_run, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < operator_number; i++)
        sim_join(threads[i]);
    sim.clients_gone = true;
    sim_join(operator_thread);
    if (restarter != NULL)
        sim_join(restarter);
    if (replacer != NULL)
        sim_join(replacer);
}

static void live(void *unused) {
    (void)unused;
    struct tvs_server_options options;
    draw(&options);
    sim_network_start();
    sim_disk_start();
    sim_check_start();
    sim_server_start(&options);
    if (sim.server == NULL)
        return;
    sim_disk_fill();
    sim.memory.counts = true;
    run_clients(&options);
    sim_server_end();
    sim.memory.counts = false;
    sim_disk_verify();
    sim_disk_end();
    sim_network_end();
    for (unsigned i = 0; i < sim.upload_count; i++)
        free(sim.uploads[i].gaps);
}

bool sim_run(uint64_t seed, enum sim_plant plant, unsigned refuse, bool trace) {
    if (sim_pattern_bytes[0] == 0)
        make_pattern();
    memset(&sim, 0, sizeof sim);
    sim.seed = sim.random = seed;
    sim.plant = plant;
    sim.memory.refuse = refuse;
    sim.trace = trace;
    tvs_log_setup(trace ? TVS_LOG_DEBUG : (enum tvs_log_level)(TVS_LOG_ERROR + 1), TVS_LOG_LOGFMT, 1);
    sim_threads_run(live, NULL, sim_check_step, sim_check_idle);
    if (trace && sim.failure[0] != '\0')
        sim_check_dump();
    return sim.failure[0] == '\0';
}
