/* sim_upload.c - a program that writes an object through a stream, or puts one whole. See sim.h. */
#include "sim_programs.h"

#include <string.h>

#define CHUNKS_MAX 40

/* ---- what must be there in the end ---- */

struct sim_stored *sim_new_stored(void) {
    if (sim.upload_count == SIM_UPLOADS_MAX)
        return NULL;
    struct sim_stored *stored = &sim.uploads[sim.upload_count];
    snprintf(stored->key, sizeof stored->key, "upload-%u", sim.upload_count);
    stored->parts[0].version = 100 + 100 * sim.upload_count++;
    stored->part_count = 1;
    stored->wanted = SIM_UNKNOWN;
    return stored;
}

/* In order; neighbours become one. Losses don't come in order: a chunk that was not taken may be lost after a later one. */
static void add_gap(struct sim_stored *stored, uint64_t offset, uint64_t length) {
    trove_gap *grown = realloc(stored->gaps, (stored->gap_count + 1) * sizeof *grown);
    TV_ASSERT(grown != NULL);
    stored->gaps = grown;
    size_t at = stored->gap_count++;
    for (; at > 0 && grown[at - 1].offset > offset; at--)
        grown[at] = grown[at - 1];
    grown[at] = (trove_gap){offset, length};
    size_t kept = 0;
    for (size_t i = 1; i < stored->gap_count; i++) {
        if (grown[kept].offset + grown[kept].length == grown[i].offset)
            grown[kept].length += grown[i].length;
        else
            grown[++kept] = grown[i];
    }
    stored->gap_count = kept + 1;
}

/* What lies from `offset` on is written again, with other bytes. */
static void go_back(struct sim_stored *stored, uint64_t offset) {
    uint32_t version = stored->parts[stored->part_count - 1].version + 1;
    while (stored->part_count > 0 && stored->parts[stored->part_count - 1].from >= offset)
        stored->part_count--;
    stored->parts[stored->part_count].from = offset;
    stored->parts[stored->part_count++].version = version;
    while (stored->gap_count > 0 && stored->gaps[stored->gap_count - 1].offset >= offset)
        stored->gap_count--;
    trove_gap *last = stored->gap_count > 0 ? &stored->gaps[stored->gap_count - 1] : NULL;
    if (last != NULL && last->offset + last->length > offset)
        last->length = offset - last->offset;
}

/* ---- writing ---- */

uint64_t sim_total(const trove_stream_options *options) {
    uint64_t total = sim_size(900 * TV_KIB);
    if (total > CHUNKS_MAX * options->chunk_bytes)
        total = CHUNKS_MAX * options->chunk_bytes;
    return sim_chance(10) ? 0 : total;
}

static bool seek(struct sim_writer *writer) {
    uint64_t taken = 0;
    trove_error error;
    if (!sim_check_taken(trove_stream_id(writer->stream), &taken))
        return true;
    writer->seeks_left--;
    uint64_t durable = trove_stream_durable_offset(writer->stream);
    uint64_t offset = durable < taken ? sim_between(durable, taken) : taken;
    trove_status status = trove_stream_control(writer->stream, TROVE_CONTROL_SEEK, offset, SIM_TIMEOUT_MS, NULL, &error);
    sim_trace("client %u: %s: seek to %llu of %llu: %s", writer->client->number, writer->stored->key, (unsigned long long)offset,
              (unsigned long long)taken, status == TROVE_OK ? "OK" : error.message);
    if (status == TROVE_OK) {
        sim_met.upload_seeks++;
        go_back(writer->stored, offset);
        writer->offset = offset;
        writer->sought = true;
        return true;
    }
    if (writer->lasting && status == TROVE_UNAVAILABLE) /* then it is as if it hadn't been asked for */
        return true;
    bool refused = strstr(error.message, "can't go on at") != NULL;
    if (refused && writer->resumable) /* more of it has become durable */
        return true;
    if (refused) /* else it has ended meanwhile, which writing will tell */
        sim_fail("client %u: an upload that has %llu bytes there can't go back to %llu: %s", writer->client->number,
                 (unsigned long long)taken, (unsigned long long)offset, error.message);
    return false;
}

/* Writes *chunk, once there is room in the overflow. */
static trove_status write_chunk(struct sim_writer *writer, trove_chunk **chunk, trove_error *error) {
    for (;;) {
        trove_drop dropped = {0};
        trove_status status = trove_stream_write_lossy(writer->stream, chunk, SIM_TIMEOUT_MS, &dropped, error);
        if (status == TROVE_OK && dropped.count > 0)
            add_gap(writer->stored, dropped.offset, dropped.length);
        bool full = status == TROVE_RESOURCE_EXHAUSTED && writer->buffers &&
                    trove_stream_state_get(writer->stream) < TROVE_STREAM_COMPLETED;
        if (!full)
            return status;
        sim_sleep(50 * SIM_MS);
    }
}

/* By another program, which had it completed, or thrown away, or has got further: nobody skips ahead. */
static bool taken_over(const struct sim_writer *writer, const trove_error *error) {
    bool completed = trove_stream_state_get(writer->stream) == TROVE_STREAM_COMPLETED;
    bool ahead = error->status == TROVE_FAILED_PRECONDITION && strstr(error->message, "of which only") != NULL;
    bool taken = ahead || error->status == TROVE_ABORTED || error->status == TROVE_NOT_FOUND;
    return writer->stored->takers > 0 && (completed || taken);
}

static void judge(const struct sim_writer *writer, const char *what, const trove_error *error) {
    /* Its own cancel has thrown it away, and the answer was lost with the connection. */
    bool thrown_away = error->status == TROVE_NOT_FOUND && writer->resumable && writer->meddler->cancels;
    if (!thrown_away && !taken_over(writer, error))
        sim_judge_lasting(writer->client, writer->lasting, what, error, writer->meddler->cancels);
}

static bool write_one(struct sim_writer *writer) {
    trove_chunk *chunk = NULL;
    trove_error error;
    trove_status status = trove_stream_chunk_get(writer->stream, SIM_TIMEOUT_MS, &chunk, &error);
    if (status == TROVE_OK) {
        const struct sim_stored *stored = writer->stored;
        uint64_t left = writer->total - writer->offset;
        chunk->size = sim_chance(60) ? chunk->capacity : sim_between(1, chunk->capacity);
        if (chunk->size > left)
            chunk->size = left;
        chunk->final = chunk->size == left && (writer->flags_last || left == 0);
        writer->ended = chunk->final;
        uint64_t bytes = chunk->size;
        sim_pattern(stored->parts[stored->part_count - 1].version, writer->offset, chunk->data, bytes);
        status = write_chunk(writer, &chunk, &error);
        if (status == TROVE_OK)
            writer->offset += bytes;
        else
            trove_stream_chunk_put(writer->stream, chunk);
    }
    if (status != TROVE_OK)
        judge(writer, "writing", &error);
    else if (trove_stream_offset(writer->stream) != writer->offset)
        sim_fail("client %u: %llu bytes were written, and the next offset is %llu", writer->client->number,
                 (unsigned long long)writer->offset, (unsigned long long)trove_stream_offset(writer->stream));
    return status == TROVE_OK;
}

bool sim_write_all(struct sim_writer *writer) {
    uint64_t pause_ns = sim_chance(50) ? sim_between(0, 300 * SIM_MS) : 0;
    while (writer->offset < writer->total) {
        if (pause_ns > 0)
            sim_sleep(sim_between(0, pause_ns));
        if (sim_chance(2)) /* longer than an upload keeps its credit for */
            sim_sleep(sim_between(0, 3 * SIM_SECOND));
        if (writer->seeks_left > 0 && sim_chance(15) && !seek(writer))
            return false;
        if (writer->offset < writer->total && !write_one(writer))
            return false;
        if (sim_chance(1))
            return false; /* it has lost interest */
    }
    /* The library's own would make a lossy stream lose one, of which a program learns by a hook alone. */
    bool end_it = (writer->lossy || writer->flags_last) && !writer->ended;
    return !end_it || write_one(writer);
}

/* ---- a stream ---- */

struct upload {
    struct sim_writer writer;
    struct sim_hooked hooked;
    struct sim_meddler meddler;
    bool completing; /* it has asked for the end */
};

static void draw_resumable(struct upload *upload, trove_stream_options *options) {
    struct sim_writer *writer = &upload->writer;
    if (writer->lossy || writer->buffers || !sim_chance(writer->client->retries ? 75 : 25))
        return;
    options->resumable = writer->resumable = upload->hooked.resumable = true;
    writer->lasting = writer->client->retries;
    options->keep_bytes = sim_chance(15) ? 0 : 65536 + sim_size(TV_MIB);
    if (options->keep_bytes != 0 && options->keep_bytes < 2 * options->chunk_bytes)
        options->keep_bytes = 2 * options->chunk_bytes;
}

static void draw(struct upload *upload, trove_stream_options *options) {
    struct sim_writer *writer = &upload->writer;
    sim_draw_options(writer->client, options);
    sim_draw_backpressure(options);
    sim_hooks(&upload->hooked, &options->hooks);
    writer->meddler = &upload->meddler;
    writer->lossy = options->lossy;
    writer->buffers = options->backpressure == TROVE_BACKPRESSURE_BUFFER;
    writer->total = sim_total(options);
    if (sim_chance(30))
        options->size = writer->total;
    draw_resumable(upload, options);
    writer->flags_last = sim_chance(40);
    writer->seeks_left = sim_chance(35) ? (unsigned)sim_between(1, 3) : 0;
}

static void complete(struct upload *upload) {
    struct sim_writer *writer = &upload->writer;
    struct sim_stored *stored = writer->stored;
    trove_object_info *info = NULL;
    trove_error error;
    upload->completing = true;
    if (trove_stream_complete(writer->stream, SIM_TIMEOUT_MS, &info, &error) != TROVE_OK) {
        judge(writer, "completing an upload", &error);
        return;
    }
    sim_met.uploads++;
    if (info->size != writer->total || info->gap_count != stored->gap_count)
        sim_fail("client %u: %s: %llu bytes with %llu gaps were stored; written were %llu with %zu", writer->client->number,
                 stored->key, (unsigned long long)info->size, (unsigned long long)info->gap_count,
                 (unsigned long long)writer->total, stored->gap_count);
    trove_object_info_free(info);
}

/* Where the connection was lost while the server may have been publishing, nobody knows; nor while others are at it. */
static void settle(const struct upload *upload, trove_stream_state state) {
    struct sim_client *client = upload->writer.client;
    struct sim_stored *stored = upload->writer.stored;
    bool lost = client->closing || sim_unsure(client) || stored->takers > 0;
    stored->holders--;
    stored->published |= state == TROVE_STREAM_COMPLETED;
    stored->perhaps |= upload->completing && lost;
    stored->wanted = stored->published ? SIM_PRESENT : stored->holders > 0 || stored->perhaps ? SIM_UNKNOWN : SIM_ABSENT;
    stored->size = upload->writer.total;
}

static void write_and_complete(struct upload *upload) {
    struct sim_writer *writer = &upload->writer;
    trove_stream_metrics metrics;
    sim_begin(writer->client, writer->stream, &upload->meddler);
    if (trove_stream_state_get(writer->stream) == TROVE_STREAM_COMPLETED || sim_write_all(writer))
        complete(upload);
    sim_finish(writer->stream, &upload->meddler, &metrics);
    settle(upload, metrics.state);
    sim_hooks_judge(&upload->hooked, &metrics, writer->sought);
}

void sim_upload_run(struct sim_client *client) {
    struct upload upload = {.writer = {.client = client, .stored = sim_new_stored()}};
    struct sim_writer *writer = &upload.writer;
    trove_stream_options options;
    if (writer->stored == NULL)
        return;
    draw(&upload, &options);
    writer->stored->holders = 1;
    if (sim_open(client, writer->stored->key, TROVE_DIRECTION_UPLOAD, &options, TROVE_OK, &writer->stream) != TROVE_OK) {
        settle(&upload, TROVE_STREAM_FAILED);
        return;
    }
    writer->stored->size = writer->total;
    if (writer->seeks_left == 0) /* else others don't know what to write */
        snprintf(writer->stored->upload_id, sizeof writer->stored->upload_id, "%s", trove_stream_upload_id(writer->stream));
    write_and_complete(&upload);
}

/* ---- an upload that another program has begun ---- */

struct sim_stored *sim_begun_upload(bool held) {
    unsigned first = (unsigned)sim_between(0, SIM_UPLOADS_MAX - 1);
    for (unsigned i = 0; i < SIM_UPLOADS_MAX; i++) {
        struct sim_stored *stored = &sim.uploads[(first + i) % SIM_UPLOADS_MAX];
        if (stored->upload_id[0] != '\0' && !stored->published && (!held || stored->holders > 0))
            return stored;
    }
    return NULL;
}

/* Opens it; whether it stands at a place where it may. */
static bool take_over(struct upload *upload, const trove_stream_options *options) {
    struct sim_writer *writer = &upload->writer;
    struct sim_client *client = writer->client;
    trove_error error;
    client->entering++;
    trove_status status = trove_stream_open(client->client, SIM_BUCKET, writer->stored->key, TROVE_DIRECTION_UPLOAD, options,
                                            &writer->stream, &error);
    client->entering--;
    if (status != TROVE_OK) {
        if (status != TROVE_NOT_FOUND && status != TROVE_ABORTED) /* thrown away; taken over in turn */
            sim_judge(client, "taking an upload over", &error, false);
        return false;
    }
    writer->offset = trove_stream_offset(writer->stream);
    sim_trace("client %u: takes %s over at %llu of %llu as stream %llu", client->number, writer->stored->key,
              (unsigned long long)writer->offset, (unsigned long long)writer->total,
              (unsigned long long)trove_stream_id(writer->stream));
    sim_met.taken_over++;
    if (writer->offset > writer->total)
        sim_fail("client %u: %s has %llu bytes, of which %llu are said to be durable", client->number, writer->stored->key,
                 (unsigned long long)writer->total, (unsigned long long)writer->offset);
    return true;
}

/* More often one that somebody is writing, for which it waits a while. */
static struct sim_stored *wait_for_upload(void) {
    struct sim_stored *stored = NULL;
    bool held = sim_chance(70);
    for (unsigned tries = 0; stored == NULL && held && tries < 20; tries++) {
        sim_sleep(sim_between(0, 100 * SIM_MS));
        stored = sim_begun_upload(true);
    }
    return stored != NULL ? stored : sim_begun_upload(false);
}

void sim_take_over_run(struct sim_client *client) {
    struct upload upload = {
        .writer = {.client = client, .stored = wait_for_upload(), .resumable = true, .lasting = client->retries}};
    struct sim_writer *writer = &upload.writer;
    trove_stream_options options;
    if (client->closing) /* meanwhile */
        return;
    if (writer->stored == NULL) {
        sim_upload_run(client);
        return;
    }
    sim_draw_options(client, &options);
    options.client_pool = NULL;
    options.upload_id = writer->stored->upload_id;
    options.resumable = true;
    sim_hooks(&upload.hooked, &options.hooks);
    upload.hooked.resumable = true;
    writer->meddler = &upload.meddler;
    writer->total = writer->stored->size;
    if (options.chunk_bytes < writer->total / CHUNKS_MAX)
        options.chunk_bytes = writer->total / CHUNKS_MAX;
    writer->stored->holders++;
    writer->stored->takers++;
    writer->stored->wanted = SIM_UNKNOWN;
    if (take_over(&upload, &options))
        write_and_complete(&upload);
    else
        settle(&upload, TROVE_STREAM_FAILED);
}

/* ---- whole objects ---- */

static void put_whole(struct sim_client *client) {
    struct sim_stored *stored = sim_new_stored();
    trove_stream_options options;
    trove_error error;
    if (stored == NULL)
        return;
    sim_draw_options(client, &options);
    stored->size = sim_size(400 * TV_KIB);
    if (stored->size > CHUNKS_MAX * options.chunk_bytes)
        stored->size = CHUNKS_MAX * options.chunk_bytes;
    char *data = malloc(stored->size + 1);
    TV_ASSERT(data != NULL);
    sim_pattern(stored->parts[0].version, 0, data, stored->size);
    options.resumable = sim_chance(30);
    client->entering++;
    trove_status status = trove_put_memory(client->client, SIM_BUCKET, stored->key, data, stored->size, &options, NULL, &error);
    client->entering--;
    free(data);
    stored->wanted = SIM_PRESENT;
    if (status == TROVE_OK) {
        sim_met.whole_objects++;
        return;
    }
    sim_judge_lasting(client, options.resumable && client->retries, "putting an object", &error, false);
    stored->wanted = sim_unsure(client) ? SIM_UNKNOWN : SIM_ABSENT;
}

static void get_whole(struct sim_client *client) {
    const struct sim_object *object = &sim.objects[2 * sim_between(0, SIM_OBJECTS / 2 - 1)]; /* without a gap */
    trove_stream_options options;
    trove_error error;
    size_t bytes = 0;
    sim_draw_options(client, &options);
    if (object->size > CHUNKS_MAX * options.chunk_bytes)
        options.chunk_bytes = object->size / CHUNKS_MAX + 1;
    char *data = malloc(object->size + 1);
    TV_ASSERT(data != NULL);
    options.resumable = sim_chance(30);
    client->entering++;
    trove_status status =
        trove_get_memory(client->client, SIM_BUCKET, object->key, data, object->size, &options, &bytes, NULL, &error);
    client->entering--;
    bool lasting = options.resumable && client->retries;
    bool later = object->later_version != 0;
    bool replaced = status == TROVE_FAILED_PRECONDITION && lasting && later;
    if (status != TROVE_OK && !replaced)
        sim_judge_lasting(client, lasting, "getting an object", &error, false);
    else if (status == TROVE_OK && (bytes != object->size || !(sim_pattern_is(object->version, 0, data, bytes) ||
                                                               (later && sim_pattern_is(object->later_version, 0, data, bytes)))))
        sim_fail("client %u: %s has other bytes than it should have", client->number, object->key);
    sim_met.whole_objects += status == TROVE_OK;
    free(data);
}

void sim_whole_run(struct sim_client *client) {
    if (sim_chance(50))
        put_whole(client);
    else
        get_whole(client);
}
