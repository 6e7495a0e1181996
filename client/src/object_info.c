/* object_info.c - see object_info.h. Structures, arrays and strings of a description lie behind each other in one block. */
#include "object_info.h"

#include <sodium.h>
#include <string.h>

#define CURSOR_DIGITS_MAX ((size_t)2 * 2048)

/* A block that is being filled: structures first, then strings. */
struct block {
    char *at;
};

static const char *put_string(struct block *block, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = memcpy(block->at, text, bytes);
    block->at += bytes;
    return copy;
}

static void put_etag(char to[TROVE_ETAG_BYTES], const char *etag) {
    size_t bytes = strnlen(etag, TROVE_ETAG_BYTES - 1);
    memcpy(to, etag, bytes);
    memset(to + bytes, 0, TROVE_ETAG_BYTES - bytes);
}

/* What a description is made of, whether it comes from the wire or from another one. */
struct parts {
    const char *bucket;
    const char *key;
    const char *content_type;
    size_t metadata_count;
    const Trove__V1__Entry *const *entries; /* either these */
    const trove_metadata *metadata;         /* or these */
    size_t gaps_listed;
    Trove__V1__GapInfo *const *wire_gaps; /* either these */
    const trove_gap *gaps;                /* or these */
};

static trove_metadata metadata_at(const struct parts *parts, size_t index) {
    if (parts->entries == NULL)
        return parts->metadata[index];
    return (trove_metadata){.key = parts->entries[index]->key, .value = parts->entries[index]->value};
}

static trove_gap gap_at(const struct parts *parts, size_t index) {
    if (parts->wire_gaps == NULL)
        return parts->gaps[index];
    return (trove_gap){.offset = parts->wire_gaps[index]->offset, .length = parts->wire_gaps[index]->length};
}

static size_t parts_bytes(const struct parts *parts) {
    size_t bytes = sizeof(trove_object_info) + parts->metadata_count * sizeof(trove_metadata);
    bytes += parts->gaps_listed * sizeof(trove_gap);
    bytes += strlen(parts->bucket) + strlen(parts->key) + strlen(parts->content_type) + 3;
    for (size_t i = 0; i < parts->metadata_count; i++)
        bytes += strlen(metadata_at(parts, i).key) + strlen(metadata_at(parts, i).value) + 2;
    return bytes;
}

static trove_object_info *build(const struct parts *parts) {
    trove_object_info *info = calloc(1, parts_bytes(parts));
    if (info == NULL)
        return NULL;
    trove_metadata *metadata = (trove_metadata *)(info + 1);
    trove_gap *gaps = (trove_gap *)(metadata + parts->metadata_count);
    for (size_t i = 0; i < parts->gaps_listed; i++)
        gaps[i] = gap_at(parts, i);
    info->gaps = gaps;
    info->gaps_listed = parts->gaps_listed;
    struct block block = {(char *)(gaps + parts->gaps_listed)};
    info->bucket = put_string(&block, parts->bucket);
    info->key = put_string(&block, parts->key);
    info->content_type = put_string(&block, parts->content_type);
    for (size_t i = 0; i < parts->metadata_count; i++) {
        metadata[i].key = put_string(&block, metadata_at(parts, i).key);
        metadata[i].value = put_string(&block, metadata_at(parts, i).value);
    }
    info->metadata = metadata;
    info->metadata_count = parts->metadata_count;
    return info;
}

trove_status tvc_object_info_create(const Trove__V1__ObjectInfo *wire, const char *bucket, const char *key,
                                    trove_object_info **info, trove_error *error) {
    return tvc_object_info_create_with_gaps(wire, NULL, 0, bucket, key, info, error);
}

trove_status tvc_object_info_create_with_gaps(const Trove__V1__ObjectInfo *wire, Trove__V1__GapInfo *const *gaps,
                                              size_t gap_count, const char *bucket, const char *key, trove_object_info **info_out,
                                              trove_error *error) {
    if (wire == NULL)
        return TV_FAIL(error, INTERNAL, "the server answered without describing the object %s/%.200s", bucket, key);
    struct parts parts = {
        .bucket = wire->bucket[0] != '\0' ? wire->bucket : bucket,
        .key = wire->key[0] != '\0' ? wire->key : key,
        .content_type = wire->content_type,
        .metadata_count = wire->n_metadata,
        .entries = (const Trove__V1__Entry *const *)wire->metadata,
        .gaps_listed = gap_count < TROVE_GAPS_MAX ? gap_count : TROVE_GAPS_MAX,
        .wire_gaps = gaps,
    };
    trove_object_info *info = build(&parts);
    if (info == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for an object's description");
    info->size = wire->size;
    info->generation = wire->generation;
    info->modified_ns = wire->modified_ns;
    info->gap_count = wire->gap_count;
    info->gap_bytes = wire->gap_bytes;
    put_etag(info->etag, wire->etag);
    *info_out = info;
    return TROVE_OK;
}

trove_status tvc_object_info_copy(const trove_object_info *from, trove_object_info **info_out, trove_error *error) {
    struct parts parts = {
        .bucket = from->bucket,
        .key = from->key,
        .content_type = from->content_type,
        .metadata_count = from->metadata_count,
        .metadata = from->metadata,
        .gaps_listed = from->gaps_listed,
        .gaps = from->gaps,
    };
    trove_object_info *info = build(&parts);
    if (info == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for an object's description");
    info->size = from->size;
    info->generation = from->generation;
    info->modified_ns = from->modified_ns;
    info->gap_count = from->gap_count;
    info->gap_bytes = from->gap_bytes;
    put_etag(info->etag, from->etag);
    *info_out = info;
    return TROVE_OK;
}

void trove_object_info_free(trove_object_info *info) {
    free(info);
}

/* ---- pages ---- */

trove_status tvc_list_page_create(const Trove__V1__ObjectListResponse *wire, trove_list_page **page_out, trove_error *error) {
    size_t bytes = sizeof(trove_list_page) + wire->n_entries * sizeof(trove_list_entry) + 2 * wire->next_cursor.len + 1;
    for (size_t i = 0; i < wire->n_entries; i++)
        bytes += strlen(wire->entries[i]->key) + 1;
    trove_list_page *page = calloc(1, bytes);
    if (page == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a page of %zu entries", wire->n_entries);
    trove_list_entry *entries = (trove_list_entry *)(page + 1);
    struct block block = {(char *)(entries + wire->n_entries)};
    for (size_t i = 0; i < wire->n_entries; i++) {
        const Trove__V1__ObjectListEntry *from = wire->entries[i];
        entries[i].key = put_string(&block, from->key);
        entries[i].is_prefix = from->is_prefix;
        entries[i].size = from->size;
        entries[i].generation = from->generation;
        entries[i].modified_ns = from->modified_ns;
        entries[i].gap_bytes = from->gap_bytes;
        put_etag(entries[i].etag, from->etag);
    }
    page->entries = entries;
    page->count = wire->n_entries;
    if (wire->next_cursor.len > 0)
        page->next_cursor =
            sodium_bin2hex(block.at, 2 * wire->next_cursor.len + 1, wire->next_cursor.data, wire->next_cursor.len);
    *page_out = page;
    return TROVE_OK;
}

void trove_list_page_free(trove_list_page *page) {
    free(page);
}

trove_status tvc_cursor_decode(const char *cursor, uint8_t **bytes_out, size_t *count, trove_error *error) {
    size_t digits = strlen(cursor);
    if (digits == 0 || digits > CURSOR_DIGITS_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a cursor of %zu characters; use next_cursor of the page before", digits);
    uint8_t *bytes = malloc(digits / 2 + 1);
    if (bytes == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a cursor");
    const char *end = NULL;
    size_t decoded = 0;
    if (sodium_hex2bin(bytes, digits / 2 + 1, cursor, digits, NULL, &decoded, &end) != 0 || *end != '\0') {
        free(bytes);
        return TV_FAIL(error, INVALID_ARGUMENT, "\"%.40s\" is no cursor; use next_cursor of the page before", cursor);
    }
    *bytes_out = bytes;
    *count = decoded;
    return TROVE_OK;
}
