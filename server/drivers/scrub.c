/* scrub.c - see scrub.h. */
#include "scrub.h"

#include "object.h"

#include <endian.h>
#include <string.h>

struct step {
    struct tvs_driver *driver;
    const char *bucket;
    const struct tvs_scrub_source *source;
    struct tvs_scrub *scrub;
    uint8_t *buffer;     /* TV_PAYLOAD_BYTES_MAX */
    uint64_t bytes_left; /* that this step may read */
    unsigned damages;    /* that it has told */
    /* neighbouring blocks that are damaged, to be told as one */
    uint64_t bad_from, bad_to;
    trove_error bad;
};

static void tell(struct step *step, uint64_t generation, uint64_t offset, uint64_t length, const char *message) {
    struct tvs_scrub *scrub = step->scrub;
    const struct tvs_scrub_damage damage = {scrub->place.key, generation, offset, length, message};
    step->damages++;
    scrub->visit(scrub->context, &damage);
}

static void tell_bad(struct step *step, uint64_t generation) {
    if (step->bad_to > step->bad_from)
        tell(step, generation, step->bad_from, step->bad_to - step->bad_from, step->bad.message);
    step->bad_from = step->bad_to = 0;
}

/* ---- bytes ----------------------------------------------------------------------------------------------------------- */

static trove_status read_run(struct step *step, struct tvs_get *get, uint64_t from, uint64_t to, trove_error *error) {
    struct tv_data data = {.offset = from, .bytes = to - from};
    for (uint64_t at = from; at < to; at += TV_BLOCK_BYTES) {
        uint64_t block = to - at < TV_BLOCK_BYTES ? to - at : TV_BLOCK_BYTES;
        data.iov[data.iov_count++] = (struct iovec){step->buffer + (at - from), (size_t)block};
    }
    return step->driver->ops->get_read(get, &data, error);
}

/* A run that has damage, block by block. */
static trove_status find_bad(struct step *step, struct tvs_get *get, uint64_t generation, uint64_t from, uint64_t to,
                             trove_error *error) {
    for (uint64_t at = from, end; at < to; at = end) {
        end = to - at < TV_BLOCK_BYTES ? to : at + TV_BLOCK_BYTES;
        trove_error found;
        trove_status status = read_run(step, get, at, end, &found);
        if (status != TROVE_OK && status != TROVE_DATA_LOSS)
            return tv_error_copy(error, &found);
        if (status == TROVE_OK || step->bad_to != at)
            tell_bad(step, generation);
        if (status == TROVE_OK)
            continue;
        if (step->bad_to == 0) {
            step->bad_from = at;
            step->bad = found;
        }
        step->bad_to = end;
    }
    return TROVE_OK;
}

/* From the place on, as far as the step goes. */
static trove_status scrub_bytes(struct step *step, struct tvs_get *get, const struct tvs_object *object, trove_error *error) {
    struct tvs_scrub_place *place = &step->scrub->place;
    trove_status status = TROVE_OK;
    while (status == TROVE_OK && place->offset < object->size && step->bytes_left > 0 &&
           step->damages + TV_DATA_PIECES_MAX < TVS_SCRUB_STEP_DAMAGES) {
        uint64_t run = tv_block_count(step->bytes_left) * TV_BLOCK_BYTES; /* each begins with a block */
        if (run > TV_PAYLOAD_BYTES_MAX)
            run = TV_PAYLOAD_BYTES_MAX;
        uint64_t to = object->size - place->offset < run ? object->size : place->offset + run;
        status = read_run(step, get, place->offset, to, error);
        if (status == TROVE_DATA_LOSS)
            status = find_bad(step, get, object->generation, place->offset, to, error);
        else if (status == TROVE_OK)
            tell_bad(step, object->generation);
        if (status != TROVE_OK)
            break;
        step->scrub->bytes += to - place->offset;
        step->bytes_left -= step->bytes_left < to - place->offset ? step->bytes_left : to - place->offset;
        place->offset = to;
    }
    tell_bad(step, object->generation);
    return status;
}

/* ---- objects --------------------------------------------------------------------------------------------------------- */

static void leave_key(struct step *step) {
    struct tvs_scrub_place *place = &step->scrub->place;
    place->inside = false;
    place->generation = place->offset = 0;
}

static void leave_object(struct step *step) {
    leave_key(step);
    step->scrub->objects++;
}

/* Its bytes can't be got hold of: all of them are lost, or what would say how many there are. */
static void tell_lost(struct step *step, const char *message) {
    struct tvs_object object = {0};
    if (step->driver->ops->head(step->driver, step->bucket, step->scrub->place.key, &object, NULL) == TROVE_OK)
        tell(step, object.generation, 0, object.size, message);
    else
        tell(step, 0, 0, 0, message);
    tvs_object_fini(&object);
    leave_object(step);
}

static trove_status begin_object(struct step *step, struct tvs_get *get, const struct tvs_object *object, trove_error *error) {
    struct tvs_scrub_place *place = &step->scrub->place;
    trove_error found;
    trove_status status = step->source->check(step->source->context, place->key, get, object, &found);
    if (status != TROVE_OK && status != TROVE_DATA_LOSS)
        return tv_error_copy(error, &found);
    if (status == TROVE_DATA_LOSS)
        tell(step, object->generation, 0, 0, found.message);
    place->generation = object->generation;
    place->offset = 0;
    return TROVE_OK;
}

/* The place's object, from its beginning or from where the last step left it. */
static trove_status scrub_object(struct step *step, trove_error *error) {
    const struct tvs_driver_ops *ops = step->driver->ops;
    struct tvs_scrub_place *place = &step->scrub->place;
    struct tvs_get *get = NULL;
    struct tvs_object object = {0};
    trove_error found;
    trove_status status = ops->get_begin(step->driver, step->bucket, place->key, NULL, &get, &object, &found);
    if (status == TROVE_DATA_LOSS) {
        tell_lost(step, found.message);
        return TROVE_OK;
    }
    if (status == TROVE_NOT_FOUND) { /* deleted meanwhile */
        leave_key(step);
        return TROVE_OK;
    }
    if (status != TROVE_OK)
        return tv_error_copy(error, &found);
    if (place->generation != object.generation)
        status = begin_object(step, get, &object, error);
    if (status == TROVE_OK)
        status = scrub_bytes(step, get, &object, error);
    if (status == TROVE_OK && place->offset >= object.size)
        leave_object(step);
    ops->get_end(get);
    tvs_object_fini(&object);
    return status;
}

/* Moves the place to the next key. */
static trove_status next_key(struct step *step, bool *found, trove_error *error) {
    struct tvs_scrub *scrub = step->scrub;
    char key[TV_KEY_BYTES_MAX + 1];
    bool beyond = strcmp(scrub->place.key, scrub->prefix) >= 0 && scrub->place.key[0] != '\0';
    trove_status status =
        step->source->seek(step->source->context, beyond ? scrub->place.key : scrub->prefix, beyond, key, found, error);
    if (status != TROVE_OK)
        return status;
    *found = *found && strncmp(key, scrub->prefix, strlen(scrub->prefix)) == 0;
    if (!*found)
        return TROVE_OK;
    scrub->place = (struct tvs_scrub_place){.inside = true};
    memcpy(scrub->place.key, key, strlen(key));
    return TROVE_OK;
}

static trove_status run(struct step *step, bool *finished, trove_error *error) {
    trove_status status = TROVE_OK;
    for (unsigned i = 0; status == TROVE_OK && i < TVS_SCRUB_STEP_OBJECTS && step->bytes_left > 0 &&
                         step->damages + TV_DATA_PIECES_MAX < TVS_SCRUB_STEP_DAMAGES;
         i++) {
        bool found = true;
        if (!step->scrub->place.inside)
            status = next_key(step, &found, error);
        if (status == TROVE_OK && !found) {
            *finished = true;
            break;
        }
        if (status == TROVE_OK)
            status = scrub_object(step, error);
    }
    return status;
}

trove_status tvs_scrub_step(struct tvs_driver *driver, const char *bucket, const struct tvs_scrub_source *source,
                            struct tvs_scrub *scrub, bool *finished, trove_error *error) {
    struct step step = {.driver = driver,
                        .bucket = bucket,
                        .source = source,
                        .scrub = scrub,
                        .buffer = aligned_alloc(4096, TV_PAYLOAD_BYTES_MAX),
                        .bytes_left = TVS_SCRUB_STEP_BYTES};
    if (step.buffer == NULL)
        return tvs_fail_no_memory("a scrub's buffer", error);
    trove_status status = run(&step, finished, error);
    free(step.buffer);
    return status;
}

/* ---- the place as bytes: inside 1, generation 8, offset 8, key -------------------------------------------------------- */

size_t tvs_scrub_cursor_write(const struct tvs_scrub_place *place, uint8_t to[TVS_SCRUB_CURSOR_BYTES_MAX]) {
    size_t key_bytes = strlen(place->key);
    to[0] = place->inside;
    const uint64_t numbers[2] = {htole64(place->generation), htole64(place->offset)};
    memcpy(to + 1, numbers, sizeof numbers);
    memcpy(to + 17, place->key, key_bytes);
    return 17 + key_bytes;
}

bool tvs_scrub_cursor_read(const uint8_t *from, size_t count, struct tvs_scrub_place *place) {
    struct tvs_scrub_place found = {.inside = false};
    if (count <= 17 || count > TVS_SCRUB_CURSOR_BYTES_MAX || from[0] > 1)
        return false;
    found.inside = from[0] == 1;
    uint64_t numbers[2];
    memcpy(numbers, from + 1, sizeof numbers);
    found.generation = le64toh(numbers[0]);
    found.offset = le64toh(numbers[1]);
    memcpy(found.key, from + 17, count - 17);
    if (strlen(found.key) != count - 17 || found.offset % TV_BLOCK_BYTES != 0)
        return false;
    *place = found;
    return true;
}
