/* sim_two_way.c - programs whose streams go both ways: one replaces an object while it reads it, others write one and follow it.
 * See sim.h. */
#include "sim_programs.h"

#include <string.h>

/* ---- both ways at once ---- */

struct both {
    struct sim_reader reader;
    struct sim_writer writer;
    struct sim_hooked hooked;
    struct sim_meddler meddler;
    const struct sim_object *object; /* that there was before */
    bool read_it;
    bool completing; /* the way up has ended, or is about to */
};

static void draw_both(struct both *both, struct sim_client *client, trove_stream_options *options) {
    sim_draw_options(client, options);
    if (options->chunk_bytes < both->object->size / 60)
        options->chunk_bytes = both->object->size / 60;
    sim_draw_backpressure(options);
    both->writer = (struct sim_writer){
        .client = client,
        .stored = sim_new_stored(),
        .meddler = &both->meddler,
        .lossy = options->lossy,
        .buffers = options->backpressure == TROVE_BACKPRESSURE_BUFFER,
        .total = sim_total(options),
        .flags_last = sim_chance(60),
    };
    both->reader = (struct sim_reader){
        .client = client,
        .object = both->object,
        .meddler = &both->meddler,
        .lossy = options->lossy,
        .end = both->object->size,
    };
    sim_hooks(&both->hooked, &options->hooks);
}

/* One way that is given up ends both. */
static void give_up(struct both *both) {
    if (trove_stream_state_get(both->writer.stream) >= TROVE_STREAM_COMPLETED)
        return;
    both->meddler.cancels = true;
    trove_stream_fail(both->writer.stream, TROVE_ABORTED, "one way has had enough");
}

static void read_down(void *argument) {
    struct both *both = argument;
    both->read_it = sim_read_all(&both->reader);
    if (!both->read_it)
        give_up(both);
    else if (trove_stream_read_offset(both->reader.stream) != both->reader.end)
        sim_fail("client %u: the way down was read up to %llu, of %llu bytes", both->reader.client->number,
                 (unsigned long long)trove_stream_read_offset(both->reader.stream), (unsigned long long)both->reader.end);
}

static void complete_both(struct both *both) {
    struct sim_writer *writer = &both->writer;
    trove_object_info *info = NULL;
    trove_error error;
    both->completing = true;
    if (trove_stream_complete(writer->stream, SIM_TIMEOUT_MS, &info, &error) != TROVE_OK) {
        sim_judge(writer->client, "completing both ways", &error, both->meddler.cancels);
        return;
    }
    sim_met.two_way++;
    if (info->size != writer->total)
        sim_fail("client %u: %s: %llu bytes were stored; written were %llu", writer->client->number, writer->stored->key,
                 (unsigned long long)info->size, (unsigned long long)writer->total);
    trove_object_info_free(info);
}

/* What must be there: the new one, or as it was before. */
static void settle(const struct both *both, trove_stream_state state) {
    struct sim_client *client = both->writer.client;
    struct sim_stored *stored = both->writer.stored;
    bool lost = client->closing || sim_unsure(client);
    stored->size = both->writer.total;
    stored->wanted = SIM_PRESENT;
    if (state == TROVE_STREAM_COMPLETED)
        return;
    stored->wanted = SIM_ANY;
    if ((both->completing || both->writer.ended) && lost)
        return;
    stored->wanted = both->object->exists ? SIM_PRESENT : SIM_ABSENT;
    stored->size = both->object->size;
    stored->parts[0].version = both->object->version;
    stored->part_count = 1;
    stored->gap_count = 0;
}

void sim_two_way_run(struct sim_client *client) {
    struct both both = {.object = &sim.replaced[sim.replaced_count]};
    trove_stream_options options;
    trove_stream_metrics metrics;
    if (sim.replaced_count == SIM_REPLACED || sim.upload_count == SIM_UPLOADS_MAX)
        return;
    sim.replaced_count++;
    draw_both(&both, client, &options);
    struct sim_stored *stored = both.writer.stored;
    snprintf(stored->key, sizeof stored->key, "%s", both.object->key);
    if (sim_open(client, stored->key, TROVE_DIRECTION_BIDI, &options, TROVE_OK, &both.writer.stream) != TROVE_OK) {
        settle(&both, TROVE_STREAM_FAILED);
        return;
    }
    both.reader.stream = both.writer.stream;
    sim_begin(client, both.writer.stream, &both.meddler);
    struct sim_thread *reader = sim_spawn("reader", read_down, &both);
    if (sim_write_all(&both.writer))
        complete_both(&both);
    else
        give_up(&both);
    sim_join(reader);
    sim_give_back(&both.reader);
    sim_finish(both.writer.stream, &both.meddler, &metrics);
    settle(&both, metrics.state);
    if (both.read_it)
        sim_judge_read(&both.reader, &both.hooked);
    sim_hooks_judge(&both.hooked, &metrics, false);
}

/* ---- one writes, others follow ---- */

static void lead(struct sim_client *client, const struct sim_object *object, trove_stream *stream,
                 const trove_stream_options *options, const struct sim_meddler *meddler) {
    struct sim_stored written = {.parts = {{0, object->version}}, .part_count = 1};
    struct sim_writer writer = {
        .client = client,
        .stored = &written,
        .meddler = meddler,
        .stream = stream,
        .total = sim_total(options),
        .flags_last = sim_chance(50),
    };
    trove_object_info *info = NULL;
    trove_error error;
    if (!sim_write_all(&writer))
        return;
    if (trove_stream_complete(stream, SIM_TIMEOUT_MS, &info, &error) != TROVE_OK) {
        sim_judge(client, "completing what others follow", &error, meddler->cancels);
        return;
    }
    if (info->size != writer.total)
        sim_fail("client %u: %s: %llu bytes were stored; written were %llu", client->number, object->key,
                 (unsigned long long)info->size, (unsigned long long)writer.total);
    sim_met.led++;
    trove_object_info_free(info);
}

static void follow(struct sim_client *client, const struct sim_object *object, trove_stream *stream,
                   const struct sim_meddler *meddler) {
    struct sim_reader reader = {
        .client = client,
        .object = object,
        .meddler = meddler,
        .stream = stream,
        .follows = true,
        .end = SIM_NEVER,
    };
    trove_object_info *info = NULL;
    trove_error error;
    bool done = sim_read_all(&reader);
    sim_give_back(&reader);
    if (!done)
        return;
    if (trove_stream_complete(stream, SIM_TIMEOUT_MS, &info, &error) != TROVE_OK) {
        sim_judge(client, "completing what was followed", &error, true);
        return;
    }
    if (info->size != reader.next)
        sim_fail("client %u: %s was followed up to %llu, and has %llu bytes", client->number, object->key,
                 (unsigned long long)reader.next, (unsigned long long)info->size);
    sim_met.followed++;
    trove_object_info_free(info);
}

void sim_follow_run(struct sim_client *client) {
    const struct sim_object *object = &sim.followed[sim_between(0, SIM_FOLLOWED - 1)];
    struct sim_meddler meddler;
    struct sim_hooked hooked;
    trove_stream_options options;
    trove_stream_metrics metrics;
    trove_stream *stream = NULL;
    sim_draw_options(client, &options);
    options.follow = true;
    sim_hooks(&hooked, &options.hooks);
    if (sim_open(client, object->key, TROVE_DIRECTION_BIDI, &options, TROVE_ABORTED, &stream) != TROVE_OK)
        return;
    bool leads = trove_stream_is_writer(stream);
    sim_trace("client %u: stream %llu %s", client->number, (unsigned long long)trove_stream_id(stream),
              leads ? "leads" : "follows");
    sim_begin(client, stream, &meddler);
    if (leads)
        lead(client, object, stream, &options, &meddler);
    else
        follow(client, object, stream, &meddler);
    sim_finish(stream, &meddler, &metrics);
    sim_hooks_judge(&hooked, &metrics, false);
}
