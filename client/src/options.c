/* options.c - see options.h. */
#include "options.h"

#include "conditions.h"
#include "digest.h"
#include "names.h"
#include "pool.h"
#include "stream_resume.h"
#include "upload_id.h"
#include "utf8.h"

#include <string.h>

#define CONNECT_TIMEOUT_MS 5000
#define CALL_TIMEOUT_MS    30000
#define KEEPALIVE_MS       15000
#define KEEPALIVE_MS_MIN   1000 /* the client looks once a second */
#define MEMORY_BYTES       (256 * TV_MIB)
#define RETRY_FOR_MS       60000
#define POOL_STREAMS       8
#define OVERFLOW_MEMORY    (8 * TV_MIB)
#define OVERFLOW_BYTES     (1 * TV_GIB)
#define OVERFLOW_BYTES_MAX ((uint64_t)1 << 62)

void trove_client_options_init(trove_client_options *options) {
    *options = (trove_client_options){
        .struct_bytes = sizeof *options,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .call_timeout_ms = CALL_TIMEOUT_MS,
        .keepalive_ms = KEEPALIVE_MS,
        .memory_bytes = MEMORY_BYTES,
        .name = "libtrove",
        .retry_for_ms = RETRY_FOR_MS,
    };
}

void trove_stream_options_init(trove_stream_options *options) {
    *options = (trove_stream_options){
        .struct_bytes = sizeof *options,
        .size = TROVE_SIZE_UNKNOWN,
        .range_length = TROVE_SIZE_UNKNOWN,
        .backpressure = TROVE_BACKPRESSURE_DEFAULT,
        .overflow_memory_bytes = OVERFLOW_MEMORY,
        .overflow_bytes = OVERFLOW_BYTES,
    };
}

void trove_pool_options_init(trove_pool_options *options) {
    *options = (trove_pool_options){
        .struct_bytes = sizeof *options, .max_streams = POOL_STREAMS, .backpressure = TROVE_BACKPRESSURE_DEFAULT};
}

void trove_list_options_init(trove_list_options *options) {
    *options = (trove_list_options){.struct_bytes = sizeof *options};
}

void trove_scrub_options_init(trove_scrub_options *options) {
    *options = (trove_scrub_options){.struct_bytes = sizeof *options};
}

void trove_upload_list_options_init(trove_upload_list_options *options) {
    *options = (trove_upload_list_options){.struct_bytes = sizeof *options};
}

void trove_server_stream_options_init(trove_server_stream_options *options) {
    *options = (trove_server_stream_options){.struct_bytes = sizeof *options};
}

/* Copies what the program's version of a structure has over the defaults. The copy is of this version, whole: struct_bytes, which
 * is the first in each structure, says so. */
static trove_status take(const void *from, size_t from_bytes, void *to, size_t to_bytes, const char *what, trove_error *error) {
    if (from == NULL)
        return TROVE_OK;
    if (from_bytes < sizeof(size_t))
        return TV_FAIL(error, INVALID_ARGUMENT, "set %s up with %s_init first", what, what);
    memcpy(to, from, from_bytes < to_bytes ? from_bytes : to_bytes);
    memcpy(to, &to_bytes, sizeof to_bytes);
    return TROVE_OK;
}

static uint32_t or_default(uint32_t given, uint32_t otherwise) {
    return given != 0 ? given : otherwise;
}

trove_status tvc_client_options_take(const trove_client_options *from, trove_client_options *to, trove_error *error) {
    trove_client_options_init(to);
    trove_status status = take(from, from != NULL ? from->struct_bytes : 0, to, sizeof *to, "trove_client_options", error);
    if (status != TROVE_OK)
        return status;
    to->connect_timeout_ms = or_default(to->connect_timeout_ms, CONNECT_TIMEOUT_MS);
    to->call_timeout_ms = or_default(to->call_timeout_ms, CALL_TIMEOUT_MS);
    to->keepalive_ms = or_default(to->keepalive_ms, KEEPALIVE_MS);
    to->retry_for_ms = or_default(to->retry_for_ms, RETRY_FOR_MS);
    if (to->keepalive_ms < KEEPALIVE_MS_MIN)
        return TV_FAIL(error, INVALID_ARGUMENT, "keepalive_ms is %u; at least %d are needed", to->keepalive_ms, KEEPALIVE_MS_MIN);
    if (to->memory_bytes < TV_MIB)
        return TV_FAIL(error, INVALID_ARGUMENT, "memory_bytes is %llu; at least %llu are needed",
                       (unsigned long long)to->memory_bytes, (unsigned long long)TV_MIB);
    if (to->name == NULL || !tv_utf8_valid(to->name, strlen(to->name)))
        return TV_FAIL(error, INVALID_ARGUMENT, "the client's name is not valid UTF-8");
    return TROVE_OK;
}

trove_status tvc_stream_options_copy(const trove_stream_options *from, trove_stream_options *to, trove_error *error) {
    trove_stream_options_init(to);
    return take(from, from != NULL ? from->struct_bytes : 0, to, sizeof *to, "trove_stream_options", error);
}

trove_status tvc_stream_options_take(const trove_stream_options *from, trove_stream_options *to, trove_error *error) {
    trove_status status = tvc_stream_options_copy(from, to, error);
    if (status == TROVE_OK && to->client_pool != NULL)
        tvc_pool_fill(to->client_pool, to);
    to->resumable |= to->upload_id != NULL;
    return status;
}

trove_status tvc_pool_options_take(const trove_pool_options *from, trove_pool_options *to, trove_error *error) {
    trove_pool_options_init(to);
    return take(from, from != NULL ? from->struct_bytes : 0, to, sizeof *to, "trove_pool_options", error);
}

trove_status tvc_list_options_take(const trove_list_options *from, trove_list_options *to, trove_error *error) {
    trove_list_options_init(to);
    trove_status status = take(from, from != NULL ? from->struct_bytes : 0, to, sizeof *to, "trove_list_options", error);
    if (status != TROVE_OK)
        return status;
    if (to->limit > TV_LIST_LIMIT_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a page of %u entries; at most %d are allowed", to->limit, TV_LIST_LIMIT_MAX);
    if (to->delimiter != NULL && strlen(to->delimiter) > TV_DELIMITER_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a delimiter of %zu bytes; at most %d are allowed", strlen(to->delimiter),
                       TV_DELIMITER_BYTES_MAX);
    if (to->prefix != NULL && strlen(to->prefix) > TV_KEY_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a prefix of %zu bytes; keys have at most %d", strlen(to->prefix),
                       TV_KEY_BYTES_MAX);
    if ((to->prefix != NULL && !tv_utf8_valid(to->prefix, strlen(to->prefix))) ||
        (to->delimiter != NULL && !tv_utf8_valid(to->delimiter, strlen(to->delimiter))))
        return TV_FAIL(error, INVALID_ARGUMENT, "prefix or delimiter is not valid UTF-8");
    return TROVE_OK;
}

trove_status tvc_scrub_options_take(const trove_scrub_options *from, trove_scrub_options *to, trove_error *error) {
    trove_scrub_options_init(to);
    trove_status status = take(from, from != NULL ? from->struct_bytes : 0, to, sizeof *to, "trove_scrub_options", error);
    if (status == TROVE_OK && to->prefix != NULL && strlen(to->prefix) > TV_KEY_BYTES_MAX)
        status = TV_FAIL(error, INVALID_ARGUMENT, "the prefix has %zu bytes; a key has at most %d", strlen(to->prefix),
                         TV_KEY_BYTES_MAX);
    return status;
}

trove_status tvc_upload_list_options_take(const trove_upload_list_options *from, trove_upload_list_options *to,
                                          trove_error *error) {
    trove_upload_list_options_init(to);
    trove_status status = take(from, from != NULL ? from->struct_bytes : 0, to, sizeof *to, "trove_upload_list_options", error);
    if (status != TROVE_OK)
        return status;
    if (to->limit > TV_LIST_LIMIT_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a page of %u uploads; at most %d are allowed", to->limit, TV_LIST_LIMIT_MAX);
    return to->bucket != NULL && *to->bucket != '\0' ? tv_bucket_check(to->bucket, error) : TROVE_OK;
}

trove_status tvc_server_stream_options_take(const trove_server_stream_options *from, trove_server_stream_options *to,
                                            trove_error *error) {
    trove_server_stream_options_init(to);
    trove_status status = take(from, from != NULL ? from->struct_bytes : 0, to, sizeof *to, "trove_server_stream_options", error);
    if (status != TROVE_OK)
        return status;
    if (to->limit > TV_LIST_LIMIT_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a page of %u streams; at most %d are allowed", to->limit, TV_LIST_LIMIT_MAX);
    if (to->pool != NULL && (strlen(to->pool) > TV_BUCKET_BYTES_MAX || !tv_utf8_valid(to->pool, strlen(to->pool))))
        return TV_FAIL(error, INVALID_ARGUMENT, "the pool's name is not valid");
    return TROVE_OK;
}

trove_status tvc_names_check(const char *bucket, const char *key, trove_error *error) {
    if (bucket == NULL || key == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "the %s is NULL", bucket == NULL ? "bucket" : "key");
    trove_status status = tv_bucket_check(bucket, error);
    return status != TROVE_OK ? status : tv_key_check(key, error);
}

static trove_status check_one_way(const trove_stream_options *options, trove_direction direction, trove_error *error) {
    bool upload = direction == TROVE_DIRECTION_UPLOAD;
    if (upload && (options->range_offset != 0 || options->range_length != TROVE_SIZE_UNKNOWN))
        return TV_FAIL(error, INVALID_ARGUMENT, "a range is for downloads; an upload writes the whole object");
    if (upload && options->allow_gaps)
        return TV_FAIL(error, INVALID_ARGUMENT, "allow_gaps is for downloads; an upload that may lose bytes is lossy");
    if (!upload && (options->size != TROVE_SIZE_UNKNOWN || options->content_type != NULL || options->metadata_count > 0))
        return TV_FAIL(error, INVALID_ARGUMENT, "size, content type and metadata are for uploads");
    return TROVE_OK;
}

/* Who follows reads what isn't published yet, all of it. */
static trove_status check_follow(const trove_stream_options *options, trove_direction direction, trove_error *error) {
    const trove_conditions *conditions = &options->conditions;
    if (direction != TROVE_DIRECTION_BIDI)
        return TV_FAIL(error, INVALID_ARGUMENT, "follow is for two-way streams");
    if (options->lossy)
        return TV_FAIL(error, INVALID_ARGUMENT, "a stream that follows can't be lossy");
    if (options->range_offset != 0 || options->range_length != TROVE_SIZE_UNKNOWN)
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "a stream that follows can't have a range: it begins at 0, and its end isn't known");
    if (conditions->if_match != NULL || conditions->if_none_match || conditions->if_generation != 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "a stream that follows can't have conditions");
    return TROVE_OK;
}

/* What the way up takes. */
static trove_status check_sent(const trove_stream_options *options, trove_error *error) {
    if (options->content_type != NULL) {
        trove_status status = tv_content_type_check(options->content_type, error);
        if (status != TROVE_OK)
            return status;
    }
    if (options->overflow_bytes > OVERFLOW_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "an overflow of %llu bytes; at most 2^62 are allowed",
                       (unsigned long long)options->overflow_bytes);
    if (options->metadata_count > 0 && options->metadata == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "metadata_count is %zu and metadata is NULL", options->metadata_count);
    for (size_t i = 0; i < options->metadata_count && i < TV_METADATA_COUNT_MAX; i++)
        if (options->metadata[i].key == NULL || options->metadata[i].value == NULL)
            return TV_FAIL(error, INVALID_ARGUMENT, "metadata entry %zu has a NULL", i + 1);
    return tv_metadata_check(options->metadata, options->metadata_count, error);
}

/* What the way down takes. */
static trove_status check_received(const trove_stream_options *options, trove_error *error) {
    if (options->range_length != TROVE_SIZE_UNKNOWN && options->range_offset > UINT64_MAX - 1 - options->range_length)
        return TV_FAIL(error, INVALID_ARGUMENT, "the range ends above 2^64");
    return TROVE_OK;
}

static trove_status check_resumable(const trove_stream_options *options, trove_direction direction, trove_error *error) {
    uint8_t id[TVC_UPLOAD_ID_RAW_BYTES];
    bool upload = options->resumable && direction == TROVE_DIRECTION_UPLOAD;
    if (!upload && (options->upload_id != NULL || options->request_id != NULL || options->keep_bytes != 0))
        return TV_FAIL(error, INVALID_ARGUMENT, "upload_id, request_id and keep_bytes are for resumable uploads");
    if (!upload)
        return TROVE_OK;
    if (options->upload_id != NULL && options->request_id != NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "an upload is begun by a request_id or gone on with by its upload_id, not both");
    if (options->upload_id != NULL && !tvc_upload_id_parse(options->upload_id, id))
        return TV_FAIL(error, INVALID_ARGUMENT, "\"%.64s\" is no upload's id: they have 32 hexadecimal digits",
                       options->upload_id);
    if (options->keep_bytes != 0 && options->keep_bytes < TVC_KEEP_BYTES_MIN)
        return TV_FAIL(error, INVALID_ARGUMENT, "keep_bytes is %llu; at least %llu are needed",
                       (unsigned long long)options->keep_bytes, (unsigned long long)TVC_KEEP_BYTES_MIN);
    if (options->backpressure == TROVE_BACKPRESSURE_BUFFER)
        return TV_FAIL(error, INVALID_ARGUMENT, "a resumable upload can't have TROVE_BACKPRESSURE_BUFFER");
    return TROVE_OK;
}

static trove_status check_digest(const trove_stream_options *options, trove_direction direction, trove_error *error) {
    if (options->digest.kind == TROVE_DIGEST_NONE)
        return TROVE_OK;
    if (direction == TROVE_DIRECTION_DOWNLOAD)
        return TV_FAIL(error, INVALID_ARGUMENT, "a digest is for uploads");
    if (options->lossy)
        return TV_FAIL(error, INVALID_ARGUMENT, "a lossy stream can't have a digest: it may lose some of the bytes");
    return tvc_digest_check(&options->digest, error);
}

trove_status tvc_stream_options_check(const trove_stream_options *options, trove_direction direction, trove_error *error) {
    if (direction < TROVE_DIRECTION_UPLOAD || direction > TROVE_DIRECTION_BIDI)
        return TV_FAIL(error, INVALID_ARGUMENT, "%d is no direction", (int)direction);
    if (options->backpressure > TROVE_BACKPRESSURE_DEFAULT)
        return TV_FAIL(error, INVALID_ARGUMENT, "%d is no backpressure", (int)options->backpressure);
    if (options->backpressure == TROVE_BACKPRESSURE_DROP && !options->lossy)
        return TV_FAIL(error, INVALID_ARGUMENT, "TROVE_BACKPRESSURE_DROP loses chunks: set lossy as well");
    if (options->lossy && options->resumable)
        return TV_FAIL(error, INVALID_ARGUMENT, "a stream can't be both lossy and resumable");
    if (options->resumable && direction == TROVE_DIRECTION_BIDI)
        return TV_FAIL(error, INVALID_ARGUMENT, "a two-way stream can't be resumable");
    if (options->chunk_bytes > TV_CHUNK_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "chunks of %llu bytes; at most %llu are allowed",
                       (unsigned long long)options->chunk_bytes, (unsigned long long)TV_CHUNK_BYTES_MAX);
    if (options->channel_chunks > TV_CHANNEL_CHUNKS_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "a channel of %u chunks; at most %d are allowed", options->channel_chunks,
                       TV_CHANNEL_CHUNKS_MAX);
    if (options->pool != NULL &&
        (strlen(options->pool) > TV_BUCKET_BYTES_MAX || !tv_utf8_valid(options->pool, strlen(options->pool))))
        return TV_FAIL(error, INVALID_ARGUMENT, "the pool's name is not valid");
    trove_status status = tvc_conditions_check(&options->conditions, direction != TROVE_DIRECTION_DOWNLOAD, error);
    if (status == TROVE_OK && options->follow)
        status = check_follow(options, direction, error);
    if (status == TROVE_OK && direction != TROVE_DIRECTION_BIDI)
        status = check_one_way(options, direction, error);
    if (status == TROVE_OK && direction != TROVE_DIRECTION_DOWNLOAD)
        status = check_sent(options, error);
    if (status == TROVE_OK)
        status = check_resumable(options, direction, error);
    if (status == TROVE_OK)
        status = check_digest(options, direction, error);
    if (status == TROVE_OK && direction != TROVE_DIRECTION_UPLOAD)
        status = check_received(options, error);
    return status;
}
