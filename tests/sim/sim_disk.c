/* sim_disk.c - the store of the simulation: the driver "mem" behind a disk that takes its time, stalls, and fails now and then,
 * and that outlives the server; what downloads find there, and what uploads must have left there. Resumable ones are in
 * sim_uploads.c. See sim.h.
 */
#include "sim.h"
#include "sim_checks.h"

#include "server/session.h"

#include <string.h>

struct commit {
    struct sim_disk_job job; /* first */
    struct tvs_put *put;
    char etag[TROVE_ETAG_BYTES];
    tvs_commit_done done;
    void *context;
};

static struct {
    struct sim_disk_job *first;
    struct sim_disk_job *last;
    unsigned inside; /* calls and jobs under way */
    bool ending;
    struct sim_thread *committer;
    const struct tvs_driver_ops *mem;
    struct tvs_driver *driver; /* of all servers, one after the other */
} disk;

/* ---- time and failures ---- */

void sim_disk_take_time(uint64_t bytes) {
    if (sim.nonblocking_disk)
        return;
    uint64_t stalled_ns = sim.disk_stalled_until_ns > sim.now_ns ? sim.disk_stalled_until_ns - sim.now_ns : 0;
    disk.inside++;
    sim_sleep(stalled_ns + sim_between(10000, 200000) + bytes * SIM_MS / sim.disk_bytes_per_ms);
    disk.inside--;
}

bool sim_disk_fails(void) {
    if (sim.server_dead)
        return true;
    bool failed = sim.disk_failure_permille > 0 && sim.now_ns < SIM_CALM_NS && sim_between(0, 999) < sim.disk_failure_permille;
    sim.disk_failures += failed;
    sim_met.disk_failures += failed;
    return failed;
}

trove_status sim_disk_failure(trove_error *error) {
    return TV_FAIL(error, RESOURCE_EXHAUSTED, "the disk failed, as it was told to");
}

/* ---- the driver ---- */

static trove_status head(struct tvs_driver *driver, const char *bucket, const char *key, struct tvs_object *object,
                         trove_error *error) {
    sim_disk_take_time(0);
    return disk.mem->head(driver, bucket, key, object, error);
}

static trove_status put_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                              const struct tvs_put_options *options, struct tvs_put **put, trove_error *error) {
    sim_disk_take_time(0);
    return sim_disk_fails() ? sim_disk_failure(error) : disk.mem->put_begin(driver, bucket, key, options, put, error);
}

static trove_status put_write(struct tvs_put *put, const struct tv_data *data, trove_error *error) {
    uint64_t epoch = sim_uploads_epoch(put);
    sim_disk_take_time(data->bytes);
    trove_status status = sim_disk_fails() ? sim_disk_failure(error) : disk.mem->put_write(put, data, error);
    if (status == TROVE_OK)
        sim_uploads_judge(put, epoch);
    return status;
}

static trove_status put_gap(struct tvs_put *put, uint64_t offset, uint64_t length, trove_error *error) {
    sim_disk_take_time(0);
    return sim_disk_fails() ? sim_disk_failure(error) : disk.mem->put_gap(put, offset, length, error);
}

static trove_status put_rewind(struct tvs_put *put, uint64_t offset, trove_error *error) {
    sim_disk_take_time(0);
    return sim_disk_fails() ? sim_disk_failure(error) : disk.mem->put_rewind(put, offset, error);
}

static trove_status put_read(struct tvs_put *put, struct tv_data *data, trove_error *error) {
    sim_disk_take_time(data->bytes);
    return sim_disk_fails() ? sim_disk_failure(error) : disk.mem->put_read(put, data, error);
}

static void put_abort(struct tvs_put *put) {
    if (put != NULL)
        sim_disk_take_time(0);
    disk.mem->put_abort(put);
}

static void commit_now(struct sim_disk_job *job) {
    struct commit *commit = (struct commit *)job;
    trove_error error;
    bool failed = sim.server_dead ? sim_chance(50) : sim_disk_fails(); /* one that has died may have done it before */
    if (failed) {
        disk.mem->put_abort(commit->put);
        commit->done(commit->context, sim_disk_failure(&error), NULL, &error);
    } else {
        disk.mem->put_commit(commit->put, commit->etag[0] != '\0' ? commit->etag : NULL, commit->done, commit->context);
    }
    free(commit);
}

static void put_commit(struct tvs_put *put, const char *etag, tvs_commit_done done, void *context) {
    struct commit *commit = calloc(1, sizeof *commit);
    TV_ASSERT(commit != NULL);
    *commit = (struct commit){.job = {.run = commit_now}, .put = put, .done = done, .context = context};
    if (etag != NULL)
        snprintf(commit->etag, sizeof commit->etag, "%s", etag);
    sim_disk_later(&commit->job);
}

void sim_disk_later(struct sim_disk_job *job) {
    if (sim_chance(20)) {
        job->run(job);
        return;
    }
    disk.inside++;
    job->next = NULL;
    if (disk.last != NULL)
        disk.last->next = job;
    else
        disk.first = job;
    disk.last = job;
    sim_wake(&disk);
}

static void run_jobs(void *unused) {
    (void)unused;
    for (;;) {
        struct sim_disk_job *job = disk.first;
        if (job == NULL && disk.ending)
            return;
        if (job == NULL) {
            sim_wait(&disk, SIM_NEVER);
            continue;
        }
        disk.first = job->next;
        if (disk.first == NULL)
            disk.last = NULL;
        sim_sleep(sim_between(10000, 20 * SIM_MS));
        (void)sim_serve(true); /* who is told is the server */
        job->run(job);
        (void)sim_serve(false);
        disk.inside--;
    }
}

bool sim_disk_still(void) {
    return disk.inside == 0;
}

static void put_small(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_put_options *options,
                      const struct tv_data *data, tvs_commit_done done, void *context) {
    trove_error error;
    sim_disk_take_time(data->bytes);
    if (sim_disk_fails())
        done(context, sim_disk_failure(&error), NULL, &error);
    else
        disk.mem->put_small(driver, bucket, key, options, data, done, context);
}

static trove_status get_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                              const struct tvs_conditions *conditions, struct tvs_get **get, struct tvs_object *object,
                              trove_error *error) {
    sim_disk_take_time(0);
    return sim_disk_fails() ? sim_disk_failure(error) : disk.mem->get_begin(driver, bucket, key, conditions, get, object, error);
}

static trove_status get_read(struct tvs_get *get, struct tv_data *data, trove_error *error) {
    sim_disk_take_time(data->bytes);
    return sim_disk_fails() ? sim_disk_failure(error) : disk.mem->get_read(get, data, error);
}

static trove_status open_again(const struct tvs_driver_config *config, struct tvs_driver **driver, trove_error *error) {
    trove_status status = disk.driver == NULL ? disk.mem->open(config, &disk.driver, error) : TROVE_OK;
    *driver = disk.driver;
    return status;
}

static void leave_open(struct tvs_driver *driver) {
    (void)driver;
}

const struct tvs_driver_ops *__wrap_tvs_driver_find(const char *dsn, const char **path, trove_error *error);
const struct tvs_driver_ops *__real_tvs_driver_find(const char *dsn, const char **path, trove_error *error);
const struct tvs_driver_ops *__wrap_tvs_driver_find(const char *dsn, const char **path, trove_error *error) {
    static struct tvs_driver_ops slow;
    disk.mem = __real_tvs_driver_find(dsn, path, error);
    slow = *disk.mem;
    if (!sim.nonblocking_disk)
        slow.capabilities &= ~(uint32_t)TVS_CAP_NONBLOCKING;
    slow.capabilities |= TVS_CAP_UPLOADS_SURVIVE;
    sim_uploads_wrap(&slow, disk.mem);
    slow.open = open_again;
    slow.close = leave_open;
    slow.head = head;
    slow.put_begin = put_begin;
    slow.put_write = put_write;
    slow.put_gap = put_gap;
    slow.put_rewind = put_rewind;
    slow.put_read = put_read;
    slow.put_abort = put_abort;
    slow.put_commit = put_commit;
    slow.put_small = put_small;
    slow.get_begin = get_begin;
    slow.get_read = get_read;
    return &slow;
}

void sim_disk_start(void) {
    disk.first = disk.last = NULL;
    disk.inside = 0;
    disk.ending = false;
    disk.driver = NULL;
    disk.committer = sim_spawn("committer", run_jobs, NULL);
    sim_uploads_start();
}

void sim_disk_end(void) {
    disk.ending = true;
    sim_wake(&disk);
    sim_join(disk.committer);
    disk.mem->close(disk.driver);
}

/* ---- what downloads find ---- */

static void on_filled(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    (void)context, (void)object;
    if (status != TROVE_OK)
        sim_fail("filling the store: %s", error->message);
}

static void append(struct tvs_put *put, uint32_t version, uint64_t offset, uint64_t end) {
    static char block[TV_BLOCK_BYTES];
    trove_error error;
    while (offset < end) {
        uint64_t step = TV_BLOCK_BYTES - offset % TV_BLOCK_BYTES;
        if (step > end - offset)
            step = end - offset;
        sim_pattern(version, offset, block, step);
        struct tv_data data = {.offset = offset, .bytes = step, .iov_count = 1, .iov = {{block, step}}};
        tv_data_hash(&data);
        if (disk.mem->put_write(put, &data, &error) != TROVE_OK)
            sim_fail("filling the store: %s", error.message);
        offset += step;
    }
}

static void fill_object(const struct sim_object *object) {
    const struct tvs_put_options options = {.content_type = "", .size_hint = TROVE_SIZE_UNKNOWN};
    struct tvs_put *put = NULL;
    trove_error error;
    if (disk.mem->put_begin(disk.driver, SIM_BUCKET, object->key, &options, &put, &error) != TROVE_OK) {
        sim_fail("filling the store: %s", error.message);
        return;
    }
    uint64_t gap_end = object->gap_offset + object->gap_length;
    append(put, object->version, 0, object->gap_length > 0 ? object->gap_offset : object->size);
    if (object->gap_length > 0 && disk.mem->put_gap(put, object->gap_offset, object->gap_length, &error) != TROVE_OK)
        sim_fail("filling the store: %s", error.message);
    if (object->gap_length > 0)
        append(put, object->version, gap_end, object->size);
    disk.mem->put_commit(put, NULL, on_filled, NULL);
}

void sim_disk_replace(void *unused) {
    (void)unused;
    sim_sleep(sim_between(0, SIM_CALM_NS / 4));
    struct sim_object later = sim.objects[0];
    later.version = later.later_version;
    sim_trace("%s is replaced", later.key);
    fill_object(&later);
}

static void draw_object(struct sim_object *object, const char *kind, unsigned number, uint32_t version, uint64_t size_max) {
    snprintf(object->key, sizeof object->key, "%s-%u", kind, number);
    object->version = version;
    object->exists = size_max > 0;
    object->size = sim_size(size_max);
}

void sim_disk_fill(void) {
    trove_error error;
    if (disk.mem->bucket_create(disk.driver, SIM_BUCKET, &error) != TROVE_OK)
        sim_fail("filling the store: %s", error.message);
    for (unsigned i = 0; i < SIM_OBJECTS; i++) {
        struct sim_object *object = &sim.objects[i];
        draw_object(object, "object", i, 1 + i, i == 0 ? 2 * TV_MIB : 600 * TV_KIB);
        if (i % 2 == 1 && object->size > 1) {
            object->gap_offset = sim_between(0, object->size - 1);
            object->gap_length = sim_between(1, object->size - object->gap_offset);
        }
        fill_object(object);
    }
    sim.objects[0].later_version = 61;
    for (unsigned i = 0; i < SIM_REPLACED; i++) {
        draw_object(&sim.replaced[i], "replaced", i, 21 + i, i % 2 == 0 ? 400 * TV_KIB : 0);
        if (sim.replaced[i].exists)
            fill_object(&sim.replaced[i]);
    }
    for (unsigned i = 0; i < SIM_FOLLOWED; i++)
        draw_object(&sim.followed[i], "followed", i, 41 + i, 0);
}

/* ---- what uploads left ---- */

static uint32_t version_at(const struct sim_stored *stored, uint64_t offset, uint64_t *end) {
    unsigned part = stored->part_count - 1;
    while (part > 0 && stored->parts[part].from > offset)
        part--;
    *end = part + 1 < stored->part_count ? stored->parts[part + 1].from : stored->size;
    return stored->parts[part].version;
}

/* The bytes that must be at [offset, offset + bytes). */
static void expect(const struct sim_stored *stored, uint64_t offset, char *to, uint64_t bytes) {
    for (uint64_t at = offset; at < offset + bytes;) {
        uint64_t end = 0;
        uint32_t version = version_at(stored, at, &end);
        if (end > offset + bytes)
            end = offset + bytes;
        sim_pattern(version, at, to + (at - offset), end - at);
        at = end;
    }
    for (size_t i = 0; i < stored->gap_count; i++) {
        uint64_t from = stored->gaps[i].offset > offset ? stored->gaps[i].offset : offset;
        uint64_t end = stored->gaps[i].offset + stored->gaps[i].length;
        if (end > offset + bytes)
            end = offset + bytes;
        if (from < end)
            memset(to + (from - offset), 0, end - from);
    }
}

static void compare_bytes(const struct sim_stored *stored, struct tvs_get *get) {
    static char have[TV_BLOCK_BYTES];
    static char wanted[TV_BLOCK_BYTES];
    trove_error error;
    for (uint64_t at = 0; at < stored->size; at += TV_BLOCK_BYTES) {
        uint64_t bytes = stored->size - at < TV_BLOCK_BYTES ? stored->size - at : TV_BLOCK_BYTES;
        struct tv_data data = {.offset = at, .bytes = bytes, .iov_count = 1, .iov = {{have, bytes}}};
        if (disk.mem->get_read(get, &data, &error) != TROVE_OK)
            sim_fail("%s: %s", stored->key, error.message);
        expect(stored, at, wanted, bytes);
        if (memcmp(have, wanted, bytes) != 0)
            sim_fail("%s: its bytes from %llu on are others than were written", stored->key, (unsigned long long)at);
    }
}

static trove_gap last(const trove_gap *gaps, size_t count) {
    return count > 0 ? gaps[count - 1] : (trove_gap){0, 0};
}

static void compare_gaps(const struct sim_stored *stored, const struct tvs_object *object) {
    bool same = object->gap_count == stored->gap_count && object->gaps_listed == stored->gap_count;
    for (size_t i = 0; i < stored->gap_count && same; i++)
        same = object->gaps[i].offset == stored->gaps[i].offset && object->gaps[i].length == stored->gaps[i].length;
    if (!same)
        sim_fail("%s has %llu gaps, the last at %llu of %llu bytes; lost were %zu, the last at %llu of %llu bytes", stored->key,
                 (unsigned long long)object->gap_count, (unsigned long long)last(object->gaps, object->gaps_listed).offset,
                 (unsigned long long)last(object->gaps, object->gaps_listed).length, stored->gap_count,
                 (unsigned long long)last(stored->gaps, stored->gap_count).offset,
                 (unsigned long long)last(stored->gaps, stored->gap_count).length);
}

static void verify(const struct sim_stored *stored) {
    const struct tvs_conditions none = {0};
    struct tvs_object object = {0};
    struct tvs_get *get = NULL;
    trove_error error;
    if (stored->wanted == SIM_ANY)
        return;
    bool there = disk.mem->get_begin(disk.driver, SIM_BUCKET, stored->key, &none, &get, &object, &error) == TROVE_OK;
    if (there != (stored->wanted == SIM_PRESENT) && stored->wanted != SIM_UNKNOWN)
        sim_fail("%s is %s the store", stored->key, there ? "in" : "not in");
    if (!there)
        return;
    compare_gaps(stored, &object);
    if (object.size != stored->size)
        sim_fail("%s has %llu bytes; %llu were written", stored->key, (unsigned long long)object.size,
                 (unsigned long long)stored->size);
    else
        compare_bytes(stored, get);
    disk.mem->get_end(get);
    tvs_object_fini(&object);
}

/* Whoever has written it wrote the same. */
static void verify_followed(const struct sim_object *object) {
    struct sim_stored written = {.parts = {{0, object->version}}, .part_count = 1};
    struct tvs_object found = {0};
    trove_error error;
    if (disk.mem->head(disk.driver, SIM_BUCKET, object->key, &found, &error) != TROVE_OK)
        return;
    snprintf(written.key, sizeof written.key, "%s", object->key);
    written.size = found.size;
    tvs_object_fini(&found);
    verify(&written);
}

static void delete_object(const char *key) {
    const struct tvs_conditions none = {0};
    trove_error error;
    (void)!disk.mem->delete (disk.driver, SIM_BUCKET, key, &none, &error);
}

/* All that is there is taken out again: then the store must have nothing. */
void sim_disk_verify(void) {
    trove_error error;
    sim_uploads_end(disk.driver);
    for (unsigned i = 0; i < sim.upload_count; i++)
        verify(&sim.uploads[i]);
    for (unsigned i = 0; i < sim.upload_count; i++)
        delete_object(sim.uploads[i].key);
    for (unsigned i = 0; i < SIM_OBJECTS; i++)
        delete_object(sim.objects[i].key);
    for (unsigned i = 0; i < SIM_REPLACED; i++)
        delete_object(sim.replaced[i].key);
    for (unsigned i = 0; i < SIM_FOLLOWED; i++) {
        verify_followed(&sim.followed[i]);
        delete_object(sim.followed[i].key);
    }
    if (disk.mem->bucket_delete(disk.driver, SIM_BUCKET, &error) != TROVE_OK)
        sim_fail("at the end: %s", error.message);
}
