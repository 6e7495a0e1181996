/* sim_download.c - a program that reads an object through a stream. See sim.h. */
#include "sim_programs.h"

#include <string.h>

#define CHUNKS_MAX 60

/* ---- what must be there ---- */

static bool zeros(const unsigned char *bytes, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high) {
    return value < low ? low : value > high ? high : value;
}

static bool bytes_are_of(const struct sim_object *object, uint32_t version, uint64_t offset, const unsigned char *bytes,
                         uint64_t count) {
    uint64_t end = offset + count;
    uint64_t gap = clamp(object->gap_length > 0 ? object->gap_offset : end, offset, end);
    uint64_t gap_end = clamp(object->gap_length > 0 ? object->gap_offset + object->gap_length : end, offset, end);
    return sim_pattern_is(version, offset, bytes, gap - offset) && zeros(bytes + (gap - offset), gap_end - gap) &&
           sim_pattern_is(version, gap_end, bytes + (gap_end - offset), end - gap_end);
}

/* An object that is replaced some time is read as it was, or as it is then, but never as a mix. */
static bool bytes_are_right(struct sim_reader *reader, uint64_t offset, const unsigned char *bytes, uint64_t count) {
    const struct sim_object *object = reader->object;
    unsigned may_be = bytes_are_of(object, object->version, offset, bytes, count) ? 1 : 0;
    if (object->later_version != 0 && bytes_are_of(object, object->later_version, offset, bytes, count))
        may_be |= 2;
    reader->may_be = (reader->may_be == 0 ? 3 : reader->may_be) & may_be;
    return reader->may_be != 0;
}

/* ---- reading ---- */

static void give_back_one(struct sim_reader *reader) {
    trove_stream_chunk_put(reader->stream, reader->held[0]);
    memmove(reader->held, reader->held + 1, --reader->held_count * sizeof reader->held[0]);
}

static void judge_chunk(struct sim_reader *reader, const trove_chunk *chunk) {
    bool lossy = reader->lossy;
    bool in_order = chunk->offset >= reader->next && chunk->index >= reader->next_index &&
                    (lossy || (chunk->offset == reader->next && chunk->index == reader->next_index));
    if (!in_order || chunk->size == 0 || chunk->size > reader->end - chunk->offset)
        sim_fail("client %u: chunk %llu, %zu bytes at %llu, came where chunk %llu at %llu was expected", reader->client->number,
                 (unsigned long long)chunk->index, chunk->size, (unsigned long long)chunk->offset,
                 (unsigned long long)reader->next_index, (unsigned long long)reader->next);
    else if (!bytes_are_right(reader, chunk->offset, chunk->data, chunk->size))
        sim_fail("client %u: %s: the %zu bytes at %llu are others than were stored", reader->client->number, reader->object->key,
                 chunk->size, (unsigned long long)chunk->offset);
    reader->lost_bytes += chunk->offset - reader->next;
    reader->next = chunk->offset + chunk->size;
    reader->next_index = chunk->index + 1;
}

/* False: it has ended, well (*done) or not. */
static bool read_one(struct sim_reader *reader, bool *done) {
    trove_chunk *chunk = NULL;
    trove_error error;
    if (trove_stream_read(reader->stream, SIM_TIMEOUT_MS, &chunk, &error) != TROVE_OK) {
        bool left = reader->follows && error.status == TROVE_ABORTED; /* by the one that it follows, who failed */
        bool replaced = reader->lasting && error.status == TROVE_FAILED_PRECONDITION && reader->object->later_version != 0;
        sim_met.replaced += replaced;
        if (!left && !replaced)
            sim_judge_lasting(reader->client, reader->lasting, "reading", &error, reader->meddler->cancels);
        return false;
    }
    if (chunk == NULL) {
        *done = true;
        return false;
    }
    judge_chunk(reader, chunk);
    reader->held[reader->held_count++] = chunk;
    while (reader->held_count > reader->held_most)
        give_back_one(reader);
    return true;
}

static bool seek(struct sim_reader *reader) {
    uint64_t offset = sim_between(reader->begin, reader->end);
    trove_error error;
    reader->seeks_left--;
    trove_status status = trove_stream_control(reader->stream, TROVE_CONTROL_SEEK, offset, SIM_TIMEOUT_MS, NULL, &error);
    sim_trace("client %u: %s: seek to %llu: %s", reader->client->number, reader->object->key, (unsigned long long)offset,
              status == TROVE_OK ? "OK" : error.message);
    if (status == TROVE_OK) {
        sim_met.download_seeks++;
        reader->next = offset;
        reader->next_index = 0;
        reader->sought = true;
        return true;
    }
    if (status == TROVE_FAILED_PRECONDITION) /* the server had sent all; or it has ended, which reading will tell */
        return true;
    if (reader->lasting &&
        (status == TROVE_UNAVAILABLE || status == TROVE_OUT_OF_RANGE)) /* lost; or to before where it went on */
        return true;
    sim_judge(reader->client, "seeking", &error, reader->meddler->cancels);
    return false;
}

bool sim_read_all(struct sim_reader *reader) {
    uint64_t pause_ns = sim_chance(50) ? sim_between(0, 300 * SIM_MS) : 0;
    unsigned window = sim_check_window(reader->stream); /* who holds all of it waits for ever */
    reader->held_most = (unsigned)sim_between(0, window < SIM_HELD_MAX ? window - 1 : SIM_HELD_MAX - 1);
    if (reader->follows) /* who keeps what it got from a silent writer counts as idle */
        reader->held_most = 0;
    for (bool done = false;;) {
        if (pause_ns > 0)
            sim_sleep(sim_between(0, pause_ns));
        if (sim_chance(3)) /* a slow consumer */
            sim_sleep(sim_between(0, 3 * SIM_SECOND));
        if (reader->seeks_left > 0 && sim_chance(20) && !seek(reader))
            return false;
        if (!read_one(reader, &done))
            return done;
        if (sim_chance(1))
            return false; /* it has lost interest */
    }
}

void sim_give_back(struct sim_reader *reader) {
    while (reader->held_count > 0)
        give_back_one(reader);
}

void sim_judge_read(const struct sim_reader *reader, const struct sim_hooked *hooked) {
    uint64_t lost = reader->lost_bytes + (reader->end - reader->next);
    bool whole = reader->lossy ? lost == hooked->dropped_below || reader->sought : lost == 0;
    if (!whole)
        sim_fail("client %u: %s was read up to %llu of %llu, and %llu bytes were jumped over; hooks were told of %llu",
                 reader->client->number, reader->object->key, (unsigned long long)reader->next, (unsigned long long)reader->end,
                 (unsigned long long)lost, (unsigned long long)hooked->dropped_below);
}

/* ---- a stream ---- */

struct download {
    struct sim_reader reader;
    struct sim_hooked hooked;
    struct sim_meddler meddler;
};

static void draw(struct download *download, trove_stream_options *options) {
    struct sim_reader *reader = &download->reader;
    const struct sim_object *object = &sim.objects[sim_chance(30) ? 0 : sim_between(0, SIM_OBJECTS - 1)]; /* that is replaced */
    reader->object = object;
    reader->meddler = &download->meddler;
    sim_draw_options(reader->client, options);
    sim_draw_backpressure(options);
    reader->lossy = options->lossy;
    reader->end = object->size;
    bool many = object->size > CHUNKS_MAX * options->chunk_bytes;
    if (many || sim_chance(30)) {
        reader->begin = options->range_offset = sim_between(0, object->size);
        options->range_length = sim_size(object->size - reader->begin);
        if (options->range_length > CHUNKS_MAX * options->chunk_bytes)
            options->range_length = CHUNKS_MAX * options->chunk_bytes;
        reader->end = reader->begin + options->range_length;
    }
    options->allow_gaps = sim_chance(80);
    options->resumable = !options->lossy && sim_chance(reader->client->retries ? 70 : 20);
    reader->lasting = options->resumable && reader->client->retries;
    reader->next = reader->begin;
    reader->seeks_left = sim_chance(35) ? (unsigned)sim_between(1, 4) : 0;
    sim_hooks(&download->hooked, &options->hooks);
}

/* Whether the object has lost something of the range. */
static bool has_gap(const struct sim_reader *reader) {
    const struct sim_object *object = reader->object;
    return reader->begin < reader->end && object->gap_length > 0 && object->gap_offset < reader->end &&
           object->gap_offset + object->gap_length > reader->begin;
}

static void complete(struct sim_reader *reader) {
    trove_object_info *info = NULL;
    trove_error error;
    if (trove_stream_complete(reader->stream, SIM_TIMEOUT_MS, &info, &error) != TROVE_OK) {
        sim_fail("client %u: a download that was read to its end can't be completed: %s", reader->client->number, error.message);
        return;
    }
    if (info->size != reader->object->size || trove_stream_offset(reader->stream) != reader->end)
        sim_fail("client %u: %s has %llu bytes, and was said to have %llu; it was read up to %llu", reader->client->number,
                 reader->object->key, (unsigned long long)reader->object->size, (unsigned long long)info->size,
                 (unsigned long long)trove_stream_offset(reader->stream));
    trove_object_info_free(info);
    sim_met.downloads++;
}

void sim_download_run(struct sim_client *client) {
    struct download download = {.reader = {.client = client}};
    struct sim_reader *reader = &download.reader;
    trove_stream_options options;
    trove_stream_metrics metrics;
    draw(&download, &options);
    bool lacks = has_gap(reader) && !options.allow_gaps;
    trove_status may_be = lacks ? TROVE_DATA_LOSS : TROVE_OK;
    if (sim_open(client, reader->object->key, TROVE_DIRECTION_DOWNLOAD, &options, may_be, &reader->stream) != TROVE_OK)
        return;
    if (lacks)
        sim_fail("client %u: %s was opened across a gap that isn't allowed", client->number, reader->object->key);
    sim_begin(client, reader->stream, &download.meddler);
    bool done = sim_read_all(reader);
    if (done)
        complete(reader);
    sim_give_back(reader);
    sim_finish(reader->stream, &download.meddler, &metrics);
    if (done)
        sim_judge_read(reader, &download.hooked);
    sim_hooks_judge(&download.hooked, &metrics, reader->sought);
}
