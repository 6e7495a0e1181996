/* wire.c - see wire.h. */
#include "wire.h"

#include "names.h"

#include <string.h>

void tvs_wire_object(const char *bucket, const struct tvs_object *object, struct tvs_wire_object *wire) {
    trove__v1__object_info__init(&wire->info);
    wire->info.bucket = (char *)bucket;
    wire->info.key = object->key;
    wire->info.size = object->size;
    wire->info.etag = (char *)object->etag;
    wire->info.content_type = object->content_type;
    wire->info.modified_ns = object->modified_ns;
    wire->info.generation = object->generation;
    wire->info.has_gaps = object->gap_count > 0;
    wire->info.gap_count = object->gap_count;
    wire->info.gap_bytes = object->gap_bytes;
    wire->info.n_metadata = object->metadata_count;
    wire->info.metadata = wire->entry_list;
    for (size_t i = 0; i < object->metadata_count; i++) {
        trove__v1__entry__init(&wire->entries[i]);
        wire->entries[i].key = (char *)object->metadata[i].key;
        wire->entries[i].value = (char *)object->metadata[i].value;
        wire->entry_list[i] = &wire->entries[i];
    }
}

trove_status tvs_wire_gaps_init(struct tvs_wire_gaps *gaps, const struct tvs_object *object, trove_error *error) {
    *gaps = (struct tvs_wire_gaps){0};
    size_t count = object->gaps_listed;
    if (count == 0)
        return TROVE_OK;
    Trove__V1__GapInfo *infos = malloc(count * (sizeof *infos + sizeof *gaps->list));
    if (infos == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to tell %zu gaps of %.200s", count, object->key);
    gaps->memory = infos;
    gaps->list = (Trove__V1__GapInfo **)(infos + count);
    gaps->count = count;
    for (size_t i = 0; i < count; i++) {
        trove__v1__gap_info__init(&infos[i]);
        infos[i].offset = object->gaps[i].offset;
        infos[i].length = object->gaps[i].length;
        gaps->list[i] = &infos[i];
    }
    return TROVE_OK;
}

void tvs_wire_gaps_fini(struct tvs_wire_gaps *gaps) {
    free(gaps->memory);
    *gaps = (struct tvs_wire_gaps){0};
}

void tvs_wire_completed(struct tvs_wire_object *wire, const struct tvs_wire_gaps *gaps, Trove__V1__Completed *completed) {
    trove__v1__completed__init(completed);
    completed->object = &wire->info;
    completed->gap_count = wire->info.gap_count;
    if (gaps == NULL)
        return;
    completed->gaps = gaps->list;
    completed->n_gaps = gaps->count;
}

trove_status tvs_metadata_from_wire(Trove__V1__Entry *const *entries, size_t count, trove_metadata *list, trove_error *error) {
    if (count > TV_METADATA_COUNT_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "%zu metadata entries; at most %d are allowed", count, TV_METADATA_COUNT_MAX);
    for (size_t i = 0; i < count; i++)
        list[i] = (trove_metadata){entries[i]->key, entries[i]->value};
    return tv_metadata_check(list, count, error);
}

trove_status tvs_digest_from_wire(const Trove__V1__Digest *wire, struct tvs_declared_digest *digest, trove_error *error) {
    *digest = (struct tvs_declared_digest){0};
    if (wire == NULL || wire->kind == TROVE__V1__DIGEST_KIND__DIGEST_NONE)
        return TROVE_OK;
    if (wire->kind != TROVE__V1__DIGEST_KIND__SHA256 && wire->kind != TROVE__V1__DIGEST_KIND__BLAKE2B)
        return TV_FAIL(error, INVALID_ARGUMENT, "digest kind %d is none", (int)wire->kind);
    digest->kind = (enum tvs_digest_kind)wire->kind;
    size_t bytes = digest->kind == TVS_DIGEST_SHA256 ? TVS_SHA256_BYTES : TVS_BLAKE2B_BYTES;
    if (wire->value.len != 0 && wire->value.len != bytes)
        return TV_FAIL(error, INVALID_ARGUMENT, "a digest of %zu bytes; this kind has %zu", wire->value.len, bytes);
    digest->has_value = wire->value.len > 0;
    if (digest->has_value)
        memcpy(digest->value, wire->value.data, bytes);
    return TROVE_OK;
}

void tvs_conditions_from_wire(const Trove__V1__Conditions *wire, struct tvs_conditions *conditions) {
    *conditions = (struct tvs_conditions){0};
    if (wire == NULL)
        return;
    conditions->if_match = wire->if_match[0] != '\0' ? wire->if_match : NULL;
    conditions->if_none = wire->if_none_match;
    conditions->if_generation = wire->if_generation;
}
