/* killed_writers.c - see killed.h. */
#include "killed.h"

#include "stock_client.h"

#define SMALL_MAX 65536

void killed_writer_init(struct killed_writer *writer, unsigned number, uint64_t seed) {
    *writer = (struct killed_writer){.kind = (enum killed_kind)(number % 3)};
    seeded_init(&writer->random, seed * 100 + number);
    for (unsigned i = 0; i < KILLED_OBJECTS_MAX; i++)
        snprintf(writer->objects[i].key, sizeof writer->objects[i].key, "%u/%u", number, i);
}

static bool same(const struct killed_version *one, const struct killed_version *other) {
    if (!one->exists || !other->exists)
        return one->exists == other->exists;
    return one->size == other->size && (one->content == other->content || one->size == 0);
}

void killed_object_found(struct killed_object *object, const struct killed_version *found) {
    bool right = same(found, &object->acknowledged) || (object->undecided && same(found, &object->attempted));
    if (!right)
        fail_msg("%s has %zu bytes (%s); %zu were acknowledged (%s)%s", object->key, found->size,
                 found->exists ? "it exists" : "it doesn't exist", object->acknowledged.size,
                 object->acknowledged.exists ? "it exists" : "it doesn't exist",
                 object->undecided ? ", and something was under way" : "");
    object->acknowledged = *found;
    object->undecided = false;
}

static void attempt(struct killed_object *object, struct killed_version version) {
    object->attempted = version;
    object->undecided = true;
}

static void acknowledge(struct killed_writer *writer, struct killed_object *object) {
    object->acknowledged = object->attempted;
    object->undecided = false;
    writer->operations++;
}

/* Whether to go on: a killed server is the one thing that may fail. */
static bool settle(struct killed_writer *writer, struct killed_object *object, trove_status status, const trove_error *error) {
    if (status == TROVE_OK)
        acknowledge(writer, object);
    else if (status != TROVE_UNAVAILABLE)
        fail_msg("%s: %s: %s", object->key, trove_status_name(status), error->message);
    return status == TROVE_OK;
}

static struct killed_object *draw_object(struct killed_writer *writer) {
    return &writer->objects[seeded_below(&writer->random, KILLED_OBJECTS_MAX)];
}

static struct killed_version draw_version(struct killed_writer *writer, size_t least, size_t most) {
    return (struct killed_version){
        .exists = true,
        .content = seeded_next(&writer->random),
        .size = least + seeded_size(&writer->random, most - least),
    };
}

/* ---- by libtrove ---- */

static bool put(struct killed_writer *writer, struct killed_version version) {
    struct killed_object *object = draw_object(writer);
    trove_object_info *info = NULL;
    trove_error error = {0};
    char etag[33];
    uint8_t *bytes = malloc(version.size + 1);
    assert_non_null(bytes);
    seeded_fill(version.content, 0, bytes, version.size);
    attempt(object, version);
    trove_status status = trove_put_memory(writer->client, HOLDER_BUCKET, object->key, bytes, version.size, NULL, &info, &error);
    if (status == TROVE_OK) {
        stock_etag(bytes, version.size, etag);
        assert_string_equal(info->etag, etag);
    }
    trove_object_info_free(info);
    free(bytes);
    return settle(writer, object, status, &error);
}

static bool delete (struct killed_writer *writer) {
    struct killed_object *object = draw_object(writer);
    trove_error error = {0};
    attempt(object, (struct killed_version){0});
    trove_status status = trove_object_delete(writer->client, HOLDER_BUCKET, object->key, NULL, 0, &error);
    if (status == TROVE_NOT_FOUND && !object->acknowledged.exists)
        status = TROVE_OK;
    return settle(writer, object, status, &error);
}

static bool copy(struct killed_writer *writer) {
    struct killed_object *object = draw_object(writer), *from = draw_object(writer);
    trove_error error = {0};
    if (!from->acknowledged.exists || from == object)
        return true;
    attempt(object, from->acknowledged);
    trove_status status =
        trove_object_copy(writer->client, HOLDER_BUCKET, from->key, HOLDER_BUCKET, object->key, NULL, 0, NULL, &error);
    return settle(writer, object, status, &error);
}

static void write_by_library(struct killed_writer *writer) {
    bool small = writer->kind == KILLED_SMALL, going = true;
    while (going) {
        if (seeded_once_in(&writer->random, 5))
            going = small ? delete (writer) : copy(writer);
        else
            going = put(writer, draw_version(writer, small ? 0 : SMALL_MAX + 1, small ? SMALL_MAX : KILLED_SIZE_MAX));
    }
}

/* ---- resumable uploads ---- */

static void draw_upload(struct killed_writer *writer) {
    struct killed_version version = draw_version(writer, 1, KILLED_SIZE_MAX);
    writer->object = (unsigned)seeded_below(&writer->random, KILLED_OBJECTS_MAX);
    attempt(&writer->objects[writer->object], version);
    writer->upload = (struct holder_upload){
        .size = version.size,
        .piece = 1 + version.size / 40 + seeded_size(&writer->random, 200000),
    };
    if (!seeded_once_in(&writer->random, 4))
        writer->upload.keep = 65536 + 2 * writer->upload.piece + seeded_size(&writer->random, KILLED_SIZE_MAX);
    snprintf(writer->upload.key, sizeof writer->upload.key, "%s", writer->objects[writer->object].key);
    for (unsigned i = 0; i < HOLDER_ID_BYTES; i++)
        writer->upload.request_id[i] = (uint8_t)seeded_next(&writer->random);
    writer->uploading = true;
}

/* Whether it has come to its end: the server may be gone. */
static bool upload(struct killed_writer *writer, struct raw_client *raw) {
    struct killed_object *object = &writer->objects[writer->object];
    const struct killed_version *version = &object->attempted;
    struct holder holder;
    char etag[33];
    holder_open(&holder, raw, &writer->upload);
    writer->resumed += holder.base > 0;
    holder_finish(&holder, version->content);
    if (holder.state == HOLDER_LOST)
        return false;
    if (holder.state != HOLDER_COMPLETED)
        fail_msg("%s: status %d: %s", writer->upload.key, (int)holder.code, holder.message);
    uint8_t *bytes = malloc(version->size);
    assert_non_null(bytes);
    seeded_fill(version->content, 0, bytes, version->size);
    stock_etag(bytes, version->size, etag);
    free(bytes);
    assert_string_equal(holder.etag, etag);
    acknowledge(writer, object);
    writer->uploading = false;
    return true;
}

void killed_writer_finish(struct killed_writer *writer, struct raw_client *raw) {
    if (!writer->uploading)
        return;
    /* What the object had been found to have says nothing of what the upload is to make of it. */
    writer->objects[writer->object].undecided = true;
    if (!upload(writer, raw))
        fail_msg("the server is gone");
}

void *killed_writer_run(void *argument) {
    struct killed_writer *writer = argument;
    if (writer->kind != KILLED_RESUMABLE) {
        write_by_library(writer);
        return NULL;
    }
    do {
        if (!writer->uploading)
            draw_upload(writer);
    } while (upload(writer, &writer->raw));
    return NULL;
}
