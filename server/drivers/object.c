/* object.c - see object.h. Pure but for the clock; any thread. */
#include "object.h"

#include <string.h>
#include <time.h>

size_t tvs_strings_bytes(const struct tvs_put_options *options) {
    size_t bytes = strlen(options->content_type) + 1;
    for (size_t i = 0; i < options->metadata_count; i++)
        bytes += strlen(options->metadata[i].key) + strlen(options->metadata[i].value) + 2;
    return bytes;
}

void tvs_strings_write(const struct tvs_put_options *options, char *to) {
    to = stpcpy(to, options->content_type) + 1;
    for (size_t i = 0; i < options->metadata_count; i++) {
        to = stpcpy(to, options->metadata[i].key) + 1;
        to = stpcpy(to, options->metadata[i].value) + 1;
    }
}

bool tvs_strings_valid(const char *strings, size_t bytes, size_t metadata_count) {
    size_t texts = 0;
    for (size_t i = 0; i < bytes; i++)
        texts += strings[i] == '\0';
    return texts == 1 + 2 * metadata_count && bytes > 0 && strings[bytes - 1] == '\0';
}

/* As local needs it, which copies the texts twice: into the object's description and into its row. */
uint64_t tvs_small_put_bytes(const char *key, const struct tvs_put_options *options, uint64_t data_bytes) {
    return TVS_SMALL_PUT_FIXED_BYTES + 2 * (strlen(key) + tvs_strings_bytes(options)) +
           options->metadata_count * sizeof(trove_metadata) + data_bytes;
}

size_t tvs_object_block_bytes(const struct tvs_object_facts *facts) {
    return facts->metadata_count * sizeof(trove_metadata) + facts->gaps.listed * sizeof(trove_gap) + facts->key_bytes + 1 +
           facts->strings_bytes;
}

void tvs_object_place(const struct tvs_object_facts *facts, void *memory, struct tvs_object *object) {
    trove_metadata *metadata = memory;
    trove_gap *gaps = (trove_gap *)(metadata + facts->metadata_count);
    char *key = (char *)(gaps + facts->gaps.listed);
    tv_gaps_unpack(&facts->gaps, gaps);
    memcpy(key, facts->key, facts->key_bytes);
    key[facts->key_bytes] = '\0';
    char *text = key + facts->key_bytes + 1;
    memcpy(text, facts->strings, facts->strings_bytes);
    *object = (struct tvs_object){
        .key = key,
        .size = facts->size,
        .generation = facts->generation,
        .modified_ns = facts->modified_ns,
        .content_type = text,
        .metadata = metadata,
        .metadata_count = facts->metadata_count,
        .gap_count = facts->gaps.count,
        .gap_bytes = facts->gaps.bytes,
        .gaps = gaps,
        .gaps_listed = facts->gaps.listed,
    };
    memcpy(object->etag, facts->etag, sizeof object->etag);
    for (size_t i = 0; i < facts->metadata_count; i++) {
        metadata[i].key = text += strlen(text) + 1;
        metadata[i].value = text += strlen(text) + 1;
    }
}

trove_status tvs_object_build(const struct tvs_object_facts *facts, struct tvs_object *object, trove_error *error) {
    void *memory = malloc(tvs_object_block_bytes(facts));
    if (memory == NULL)
        return tvs_fail_no_memory("an object's description", error);
    tvs_object_place(facts, memory, object);
    object->memory = memory;
    return TROVE_OK;
}

void tvs_object_fini(struct tvs_object *object) {
    free(object->memory);
    *object = (struct tvs_object){0};
}

static char *take_text(char **at, const char *text) {
    char *copy = *at;
    *at = stpcpy(copy, text) + 1;
    return copy;
}

trove_status tvs_object_copy(struct tvs_object *to, const struct tvs_object *from, trove_error *error) {
    size_t bytes = from->metadata_count * sizeof(trove_metadata) + from->gaps_listed * sizeof(trove_gap);
    bytes += strlen(from->key) + strlen(from->content_type) + 2;
    for (size_t i = 0; i < from->metadata_count; i++)
        bytes += strlen(from->metadata[i].key) + strlen(from->metadata[i].value) + 2;
    trove_metadata *metadata = malloc(bytes);
    if (metadata == NULL)
        return tvs_fail_no_memory("an object's description", error);
    trove_gap *gaps = (trove_gap *)(metadata + from->metadata_count);
    char *at = (char *)(gaps + from->gaps_listed);
    *to = *from;
    to->memory = metadata;
    to->metadata = metadata;
    to->gaps = gaps;
    if (from->gaps_listed > 0)
        memcpy(gaps, from->gaps, from->gaps_listed * sizeof *gaps);
    to->key = take_text(&at, from->key);
    to->content_type = take_text(&at, from->content_type);
    for (size_t i = 0; i < from->metadata_count; i++) {
        metadata[i].key = take_text(&at, from->metadata[i].key);
        metadata[i].value = take_text(&at, from->metadata[i].value);
    }
    return TROVE_OK;
}

trove_status tvs_gaps_keep(const struct tv_gaps *gaps, uint8_t **memory, struct tv_packed_gaps *packed, trove_error *error) {
    size_t bytes = tv_gaps_packed_bytes(gaps);
    uint8_t *made = bytes > 0 ? malloc(bytes) : NULL;
    if (bytes > 0 && made == NULL)
        return tvs_fail_no_memory("a list of gaps", error);
    *packed = tv_gaps_pack(gaps, made);
    *memory = made;
    return TROVE_OK;
}

void tvs_conditions_keep(const struct tvs_conditions *conditions, struct tvs_conditions_copy *copy) {
    *copy = (struct tvs_conditions_copy){0};
    if (conditions == NULL)
        return;
    copy->if_none = conditions->if_none;
    copy->if_generation = conditions->if_generation;
    if (conditions->if_match != NULL) {
        copy->has_etag = true;
        /* One that is too long can't match any; cut, it must not begin to. */
        if (strlen(conditions->if_match) == TROVE_ETAG_BYTES - 1)
            memcpy(copy->etag, conditions->if_match, TROVE_ETAG_BYTES);
    }
    copy->any = copy->if_none || copy->has_etag || copy->if_generation != 0;
}

trove_status tvs_conditions_check(const struct tvs_conditions_copy *conditions, const char *etag, uint64_t generation,
                                  const char *bucket, const char *key, trove_error *error) {
    if (!conditions->any)
        return TROVE_OK;
    char name[TVS_NAME_BYTES];
    if (conditions->if_none && etag != NULL)
        return TV_FAIL(error, FAILED_PRECONDITION, "object %s exists already (etag %s, generation %llu), and it must not",
                       tvs_object_name(bucket, key, name), etag, (unsigned long long)generation);
    if (etag == NULL && !conditions->has_etag && conditions->if_generation == 0)
        return TROVE_OK;
    if (etag == NULL)
        return TV_FAIL(error, FAILED_PRECONDITION, "object %s doesn't exist, and the condition asks for one",
                       tvs_object_name(bucket, key, name));
    if (conditions->has_etag && strcmp(conditions->etag, etag) != 0)
        return TV_FAIL(error, FAILED_PRECONDITION, "object %s has the etag %s now, not the one asked for (%s)",
                       tvs_object_name(bucket, key, name), etag, conditions->etag);
    if (conditions->if_generation != 0 && conditions->if_generation != generation)
        return TV_FAIL(error, FAILED_PRECONDITION, "object %s has generation %llu now, not %llu",
                       tvs_object_name(bucket, key, name), (unsigned long long)generation,
                       (unsigned long long)conditions->if_generation);
    return TROVE_OK;
}

const char *tvs_object_name(const char *bucket, const char *key, char name[TVS_NAME_BYTES]) {
    int length = snprintf(name, TVS_NAME_BYTES, "%s/%s", bucket, key);
    if (length < TVS_NAME_BYTES)
        return name;
    size_t end = TVS_NAME_BYTES - 4;
    while (end > 0 && ((unsigned char)name[end] & 0xC0) == 0x80)
        end--;
    memcpy(name + end, "...", 4);
    return name;
}

trove_status tvs_range_check(const struct tv_data *data, uint64_t size, const char *bucket, const char *key, trove_error *error) {
    if (data->offset <= size && data->bytes <= size - data->offset)
        return TROVE_OK;
    char name[TVS_NAME_BYTES];
    return TV_FAIL(error, OUT_OF_RANGE, "bytes from %llu to %llu of %s, which has %llu", (unsigned long long)data->offset,
                   (unsigned long long)(data->offset + data->bytes), tvs_object_name(bucket, key, name),
                   (unsigned long long)size);
}

trove_status tvs_fail_too_many_buckets(trove_error *error) {
    return TV_FAIL(error, RESOURCE_EXHAUSTED, "there are %d buckets, and no store has more; use prefixes of keys instead",
                   TV_BUCKETS_MAX);
}

uint64_t tvs_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
