/* server_output.c - see server_output.h. */
#include "server_output.h"

#include "failure.h"
#include "human.h"
#include "object_output.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *direction_name(trove_direction direction) {
    switch (direction) {
    case TROVE_DIRECTION_UPLOAD:
        return "up";
    case TROVE_DIRECTION_DOWNLOAD:
        return "down";
    default:
        return "both";
    }
}

static struct cli_human rate(double bytes_per_second) {
    struct cli_human human = cli_human_size(bytes_per_second > 0 ? (uint64_t)bytes_per_second : 0);
    struct cli_human text;
    snprintf(text.text, sizeof text.text, "%.30s/s", human.text);
    return text;
}

/* "840 us", "1.25 ms", "12.5 ms", "1.50 s" */
static struct cli_human latency(uint64_t ns) {
    struct cli_human text;
    double value = (double)ns;
    if (ns == 0)
        snprintf(text.text, sizeof text.text, "-");
    else if (value < 1e6)
        snprintf(text.text, sizeof text.text, "%.0f us", value / 1e3);
    else if (value < 1e9)
        snprintf(text.text, sizeof text.text, value < 1e7 ? "%.2f ms" : "%.1f ms", value / 1e6);
    else
        snprintf(text.text, sizeof text.text, "%.2f s", value / 1e9);
    return text;
}

/* ---- pools ---- */

#define POOL_LINE "%-16s %13s %7s %12s %12s %9s %9s %9s"

char *cli_pool_head(void) {
    return cli_format(POOL_LINE, "POOL", "STREAMS", "WAITING", "RATE", "LIMIT", "P99", "TOTAL", "FAILED");
}

char *cli_pool_row(const trove_server_pool *pool) {
    char streams[32];
    char waiting[16];
    char failed[24];
    snprintf(streams, sizeof streams, "%u/%u", pool->streams_active, pool->streams_max);
    snprintf(waiting, sizeof waiting, "%u", pool->acquires_waiting);
    snprintf(failed, sizeof failed, "%" PRIu64, pool->failed_streams);
    char *name = cli_format("%s%s", pool->name, pool->closing ? " (closing)" : "");
    char *row = cli_format(POOL_LINE, name, streams, waiting, rate(pool->bytes_per_second).text,
                           pool->bandwidth_bytes_per_second > 0 ? rate((double)pool->bandwidth_bytes_per_second).text : "-",
                           latency(pool->latency_p99_ns).text, cli_human_size(pool->total_bytes).text, failed);
    free(name);
    return row;
}

static void set_number(json_t *object, const char *key, uint64_t value) {
    json_object_set_new(object, key, cli_json_number(value));
}

json_t *cli_pool_json(const trove_server_pool *pool) {
    json_t *object = json_object();
    json_object_set_new(object, "pool", cli_json_text(pool->name));
    json_object_set_new(object, "closing", json_boolean(pool->closing));
    set_number(object, "streams_active", pool->streams_active);
    set_number(object, "streams_max", pool->streams_max);
    set_number(object, "acquires_waiting", pool->acquires_waiting);
    set_number(object, "chunk_bytes", pool->chunk_bytes);
    set_number(object, "channel_chunks", pool->channel_chunks);
    set_number(object, "buffers_max", pool->buffers_max);
    set_number(object, "memory_budget_bytes", pool->memory_budget_bytes);
    set_number(object, "memory_in_use_bytes", pool->memory_in_use_bytes);
    set_number(object, "memory_high_water_bytes", pool->memory_high_water_bytes);
    set_number(object, "buffers_allocated", pool->buffers_allocated);
    set_number(object, "buffers_released", pool->buffers_released);
    set_number(object, "stream_timeout_ms", pool->stream_timeout_ms);
    set_number(object, "idle_timeout_ms", pool->idle_timeout_ms);
    set_number(object, "paused_timeout_ms", pool->paused_timeout_ms);
    set_number(object, "bandwidth_bytes_per_second", pool->bandwidth_bytes_per_second);
    json_object_set_new(object, "bytes_per_second", json_real(pool->bytes_per_second));
    set_number(object, "total_bytes", pool->total_bytes);
    set_number(object, "total_chunks", pool->total_chunks);
    set_number(object, "total_streams", pool->total_streams);
    set_number(object, "failed_streams", pool->failed_streams);
    set_number(object, "cancelled_streams", pool->cancelled_streams);
    set_number(object, "latency_p50_ns", pool->latency_p50_ns);
    set_number(object, "latency_p90_ns", pool->latency_p90_ns);
    set_number(object, "latency_p99_ns", pool->latency_p99_ns);
    set_number(object, "retries", pool->retries);
    set_number(object, "drops", pool->drops);
    set_number(object, "spills", pool->spills);
    set_number(object, "waiting_bytes", pool->waiting_bytes);
    return object;
}

/* ---- streams ---- */

enum stream_column {
    COLUMN_ID,
    COLUMN_DIR,
    COLUMN_STATE,
    COLUMN_PLACE,
    COLUMN_POOL,
    COLUMN_DONE,
    COLUMN_OF,
    COLUMN_RATE,
    COLUMN_P99,
    COLUMN_WHO,
    COLUMN_COUNT, /* and then the object, however long it is */
};

/* A negative width: to the left. */
static const struct {
    const char *head;
    int width;
    unsigned leaves; /* as which column it leaves where there is no room, from 1 on; 0: never */
} stream_columns[COLUMN_COUNT] = {
    [COLUMN_ID] = {"ID", 8, 0},       [COLUMN_DIR] = {"DIR", -4, 0},    [COLUMN_STATE] = {"STATE", -11, 0},
    [COLUMN_PLACE] = {"PLACE", 5, 3}, [COLUMN_POOL] = {"POOL", -12, 4}, [COLUMN_DONE] = {"DONE", 10, 0},
    [COLUMN_OF] = {"OF", 10, 5},      [COLUMN_RATE] = {"RATE", 12, 6},  [COLUMN_P99] = {"P99", 9, 2},
    [COLUMN_WHO] = {"WHO", -10, 1},
};

enum {
    OBJECT_CELLS_MIN = 18
};

/* The number of columns that have left so that the object has room. */
static unsigned columns_left_out(size_t cells) {
    for (unsigned gone = 0; gone < COLUMN_COUNT; gone++) {
        size_t taken = 0;
        for (size_t i = 0; i < COLUMN_COUNT; i++)
            if (stream_columns[i].leaves == 0 || stream_columns[i].leaves > gone)
                taken += (size_t)abs(stream_columns[i].width) + 1;
        if (taken + OBJECT_CELLS_MIN <= cells)
            return gone;
    }
    return COLUMN_COUNT;
}

static char *stream_line(const char *const texts[COLUMN_COUNT], const char *object, size_t cells) {
    unsigned gone = columns_left_out(cells);
    char *line = cli_copy("");
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (stream_columns[i].leaves != 0 && stream_columns[i].leaves <= gone)
            continue;
        char *longer = cli_format("%s%*s ", line, stream_columns[i].width, texts[i]);
        free(line);
        line = longer;
    }
    char *whole = cli_format("%s%s", line, object);
    free(line);
    return whole;
}

char *cli_stream_head(size_t cells) {
    const char *texts[COLUMN_COUNT];
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        texts[i] = stream_columns[i].head;
    return stream_line(texts, "OBJECT", cells);
}

char *cli_stream_row(const trove_server_stream *stream, size_t cells) {
    char id[24];
    char place[16] = "-";
    bool waits = stream->acquire_place > 0;
    snprintf(id, sizeof id, "%" PRIu64, stream->stream_id);
    if (waits)
        snprintf(place, sizeof place, "%u", stream->acquire_place);
    struct cli_human done = cli_human_size(stream->bytes);
    struct cli_human size = cli_human_size(stream->size);
    struct cli_human speed = rate(stream->bytes_per_second);
    struct cli_human p99 = latency(stream->latency_p99_ns);
    const char *const texts[COLUMN_COUNT] = {
        [COLUMN_ID] = id,
        [COLUMN_DIR] = direction_name(stream->direction),
        [COLUMN_STATE] = waits && stream->state != TROVE_STREAM_PAUSED ? "waiting" : trove_stream_state_name(stream->state),
        [COLUMN_PLACE] = place,
        [COLUMN_POOL] = stream->pool,
        [COLUMN_DONE] = done.text,
        [COLUMN_OF] = stream->size != TROVE_SIZE_UNKNOWN ? size.text : "-",
        [COLUMN_RATE] = speed.text,
        [COLUMN_P99] = p99.text,
        [COLUMN_WHO] = stream->principal,
    };
    char *object = cli_format("%s/%s", stream->bucket, stream->key);
    char *row = stream_line(texts, object, cells);
    free(object);
    return row;
}

json_t *cli_stream_json(const trove_server_stream *stream) {
    static const char *const directions[] = {"none", "upload", "download", "bidi"};
    json_t *object = json_object();
    set_number(object, "stream", stream->stream_id);
    json_object_set_new(
        object, "direction",
        json_string((unsigned)stream->direction <= TROVE_DIRECTION_BIDI ? directions[stream->direction] : "none"));
    json_object_set_new(object, "state", json_string(trove_stream_state_name(stream->state)));
    json_object_set_new(object, "bucket", cli_json_text(stream->bucket));
    json_object_set_new(object, "key", cli_json_text(stream->key));
    json_object_set_new(object, "pool", cli_json_text(stream->pool));
    json_object_set_new(object, "principal", cli_json_text(stream->principal));
    set_number(object, "bytes", stream->bytes);
    json_object_set_new(object, "size", stream->size != TROVE_SIZE_UNKNOWN ? cli_json_number(stream->size) : json_null());
    set_number(object, "chunks", stream->chunks);
    set_number(object, "offset", stream->offset);
    json_object_set_new(object, "started", cli_json_text(cli_human_time_utc(stream->started_ns).text));
    json_object_set_new(object, "bytes_per_second", json_real(stream->bytes_per_second));
    set_number(object, "latency_p50_ns", stream->latency_p50_ns);
    set_number(object, "latency_p90_ns", stream->latency_p90_ns);
    set_number(object, "latency_p99_ns", stream->latency_p99_ns);
    set_number(object, "retries", stream->retries);
    set_number(object, "drops", stream->drops);
    set_number(object, "spills", stream->spills);
    set_number(object, "waiting_bytes", stream->waiting_bytes);
    set_number(object, "acquire_place", stream->acquire_place);
    return object;
}

trove_status cli_streams_run(trove_client *client, const char *pool, cli_streams_fn take, void *context, trove_error *error) {
    trove_server_stream_options options;
    trove_server_stream_options_init(&options);
    options.pool = pool;
    for (bool more = true; more;) {
        trove_server_stream_page *page = NULL;
        trove_status status = trove_server_stream_list(client, &options, &page, error);
        if (status != TROVE_OK)
            return status;
        more = take(context, page) && page->more && page->count > 0;
        if (page->count > 0)
            options.after_stream_id = page->streams[page->count - 1].stream_id;
        trove_server_stream_page_free(page);
    }
    return TROVE_OK;
}
