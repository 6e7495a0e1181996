/* services.c - the unary methods. Each checks its names, asks the driver, answers. See rpc.h.
 *
 * A page of a listing ends early when the answer would grow past what a message may have; the cursor is the last entry's key.
 */
#include "names.h"
#include "rpc.h"
#include "stream.h"
#include "utf8.h"

#include <string.h>

/* What an entry takes on the wire besides its key: tags, lengths, numbers, etag. */
#define ENTRY_BYTES 96

/* ---- buckets ---- */

static void buckets_create(Trove__V1__Buckets_Service *service, const Trove__V1__BucketCreateRequest *request,
                           Trove__V1__BucketCreateResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    if (tv_bucket_check(request->bucket, &rpc->error) != TROVE_OK ||
        rpc->server->ops->bucket_create(rpc->server->driver, request->bucket, &rpc->error) != TROVE_OK)
        return;
    Trove__V1__BucketCreateResponse response = TROVE__V1__BUCKET_CREATE_RESPONSE__INIT;
    respond(&response, closure_data);
}

static void buckets_delete(Trove__V1__Buckets_Service *service, const Trove__V1__BucketDeleteRequest *request,
                           Trove__V1__BucketDeleteResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    if (tv_bucket_check(request->bucket, &rpc->error) != TROVE_OK ||
        rpc->server->ops->bucket_delete(rpc->server->driver, request->bucket, &rpc->error) != TROVE_OK)
        return;
    Trove__V1__BucketDeleteResponse response = TROVE__V1__BUCKET_DELETE_RESPONSE__INIT;
    respond(&response, closure_data);
}

/* Leaves those of which the caller may know; returns how many. What is in one is for those to know who may list all of it. */
static size_t keep_visible(struct tvs_session *session, struct tvs_bucket *buckets, size_t count) {
    size_t kept = 0;
    pthread_mutex_lock(&session->lock);
    for (size_t i = 0; i < count; i++) {
        if (!tvs_rights_touch(session->principal.rights, TVS_RIGHT_READ | TVS_RIGHT_LIST, buckets[i].name))
            continue;
        buckets[kept] = buckets[i];
        if (!tvs_rights_allow(session->principal.rights, TVS_RIGHT_LIST, buckets[i].name, ""))
            buckets[kept].object_count = buckets[kept].object_bytes = 0;
        kept++;
    }
    pthread_mutex_unlock(&session->lock);
    return kept;
}

static void respond_buckets(const struct tvs_bucket *buckets, size_t count, Trove__V1__BucketListResponse_Closure respond,
                            struct tvs_rpc *rpc) {
    Trove__V1__BucketInfo *infos = calloc(count + 1, sizeof *infos);
    Trove__V1__BucketInfo **list = calloc(count + 1, sizeof *list);
    if (infos == NULL || list == NULL) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory to list %zu buckets", count);
    } else {
        for (size_t i = 0; i < count; i++) {
            trove__v1__bucket_info__init(&infos[i]);
            infos[i].name = (char *)buckets[i].name;
            infos[i].created_ns = buckets[i].created_ns;
            infos[i].object_count = buckets[i].object_count;
            infos[i].object_bytes = buckets[i].object_bytes;
            list[i] = &infos[i];
        }
        Trove__V1__BucketListResponse response = TROVE__V1__BUCKET_LIST_RESPONSE__INIT;
        response.n_buckets = count;
        response.buckets = list;
        respond(&response, rpc);
    }
    free(infos);
    free(list);
}

static void buckets_list(Trove__V1__Buckets_Service *service, const Trove__V1__BucketListRequest *request,
                         Trove__V1__BucketListResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    (void)request;
    struct tvs_bucket *buckets = NULL;
    size_t count = 0;
    if (rpc->server->ops->bucket_list(rpc->server->driver, &buckets, &count, &rpc->error) != TROVE_OK)
        return;
    respond_buckets(buckets, keep_visible(rpc->session, buckets, count), respond, rpc);
    free(buckets);
}

Trove__V1__Buckets_Service tvs_buckets_service = TROVE__V1__BUCKETS__INIT(buckets_);

/* ---- objects ---- */

static trove_status check_names(const char *bucket, const char *key, trove_error *error) {
    trove_status status = tv_bucket_check(bucket, error);
    return status == TROVE_OK ? tv_key_check(key, error) : status;
}

static void objects_head(Trove__V1__Objects_Service *service, const Trove__V1__ObjectHeadRequest *request,
                         Trove__V1__ObjectHeadResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    struct tvs_object object = {0};
    if (check_names(request->bucket, request->key, &rpc->error) != TROVE_OK ||
        rpc->server->ops->head(rpc->server->driver, request->bucket, request->key, &object, &rpc->error) != TROVE_OK)
        return;
    struct tvs_wire_gaps gaps;
    if (tvs_wire_gaps_init(&gaps, &object, &rpc->error) == TROVE_OK) {
        struct tvs_wire_object wire;
        tvs_wire_object(request->bucket, &object, &wire);
        Trove__V1__ObjectHeadResponse response = TROVE__V1__OBJECT_HEAD_RESPONSE__INIT;
        response.object = &wire.info;
        response.gaps = gaps.list;
        response.n_gaps = gaps.count;
        respond(&response, closure_data);
        tvs_wire_gaps_fini(&gaps);
    }
    tvs_object_fini(&object);
}

/* A page that is being filled: entries, and their strings in an arena. */
struct page {
    struct tv_arena arena;
    Trove__V1__ObjectListEntry *entries;
    Trove__V1__ObjectListEntry **list;
    size_t count;
    size_t bytes;
    bool failed;
};

static char *keep(struct tv_arena *arena, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = tv_arena_alloc(arena, bytes);
    return copy != NULL ? memcpy(copy, text, bytes) : NULL;
}

static bool add_entry(void *context, const struct tvs_list_entry *entry) {
    struct page *page = context;
    size_t bytes = strlen(entry->key) + ENTRY_BYTES;
    if (page->bytes + bytes > TVS_PAGE_BYTES_MAX)
        return false;
    Trove__V1__ObjectListEntry *wire = &page->entries[page->count];
    trove__v1__object_list_entry__init(wire);
    wire->key = keep(&page->arena, entry->key);
    wire->is_prefix = entry->is_prefix;
    if (entry->object != NULL) {
        wire->size = entry->object->size;
        wire->etag = keep(&page->arena, entry->object->etag);
        wire->modified_ns = entry->object->modified_ns;
        wire->generation = entry->object->generation;
        wire->gap_bytes = entry->object->gap_bytes;
    }
    page->failed = wire->key == NULL || wire->etag == NULL;
    if (page->failed)
        return false;
    page->list[page->count++] = wire;
    page->bytes += bytes;
    return true;
}

static trove_status check_list(const Trove__V1__ObjectListRequest *request, struct tvs_list_query *query, char *after,
                               trove_error *error) {
    trove_status status = tv_bucket_check(request->bucket, error);
    if (status != TROVE_OK)
        return status;
    if (strlen(request->prefix) > TV_KEY_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "the prefix has %zu bytes; a key has at most %d", strlen(request->prefix),
                       TV_KEY_BYTES_MAX);
    if (strlen(request->delimiter) > TV_DELIMITER_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "the delimiter has %zu bytes; at most %d are allowed", strlen(request->delimiter),
                       TV_DELIMITER_BYTES_MAX);
    if (request->limit > TV_LIST_LIMIT_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "limit %u; at most %d entries fit a page", request->limit, TV_LIST_LIMIT_MAX);
    if (request->cursor.len > TV_KEY_BYTES_MAX ||
        (request->cursor.len > 0 && !tv_utf8_valid((const char *)request->cursor.data, request->cursor.len)))
        return TV_FAIL(error, INVALID_ARGUMENT, "the cursor isn't one that this server gave out");
    if (request->cursor.len > 0)
        memcpy(after, request->cursor.data, request->cursor.len);
    after[request->cursor.len] = '\0';
    *query = (struct tvs_list_query){
        .prefix = request->prefix,
        .delimiter = request->delimiter,
        .after = after,
        .limit = request->limit != 0 ? request->limit : TV_LIST_LIMIT_MAX,
    };
    return TROVE_OK;
}

static void list_page(const char *bucket, const struct tvs_list_query *query, struct page *page,
                      Trove__V1__ObjectListResponse_Closure respond, struct tvs_rpc *rpc) {
    bool more = false;
    if (rpc->server->ops->list(rpc->server->driver, bucket, query, add_entry, page, &more, &rpc->error) != TROVE_OK)
        return;
    if (page->failed) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory for a page of %s", bucket);
        return;
    }
    Trove__V1__ObjectListResponse response = TROVE__V1__OBJECT_LIST_RESPONSE__INIT;
    response.n_entries = page->count;
    response.entries = page->list;
    if (more && page->count > 0) {
        response.next_cursor.data = (uint8_t *)page->list[page->count - 1]->key;
        response.next_cursor.len = strlen(page->list[page->count - 1]->key);
    }
    respond(&response, rpc);
}

static void objects_list(Trove__V1__Objects_Service *service, const Trove__V1__ObjectListRequest *request,
                         Trove__V1__ObjectListResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    struct tvs_list_query query;
    char after[TV_KEY_BYTES_MAX + 1];
    if (check_list(request, &query, after, &rpc->error) != TROVE_OK)
        return;
    struct page page = {
        .entries = calloc(query.limit, sizeof *page.entries),
        .list = calloc(query.limit, sizeof *page.list),
    };
    tv_arena_init(&page.arena, 2 * TV_MESSAGE_BYTES_MAX);
    if (page.entries == NULL || page.list == NULL)
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory for a page of %s", request->bucket);
    else
        list_page(request->bucket, &query, &page, respond, rpc);
    tv_arena_fini(&page.arena);
    free(page.entries);
    free(page.list);
}

static void objects_delete(Trove__V1__Objects_Service *service, const Trove__V1__ObjectDeleteRequest *request,
                           Trove__V1__ObjectDeleteResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    struct tvs_conditions conditions;
    tvs_conditions_from_wire(request->conditions, &conditions);
    if (check_names(request->bucket, request->key, &rpc->error) != TROVE_OK ||
        rpc->server->ops->delete (rpc->server->driver, request->bucket, request->key, &conditions, &rpc->error) != TROVE_OK)
        return;
    Trove__V1__ObjectDeleteResponse response = TROVE__V1__OBJECT_DELETE_RESPONSE__INIT;
    respond(&response, closure_data);
}

static void objects_copy(Trove__V1__Objects_Service *service, const Trove__V1__ObjectCopyRequest *request,
                         Trove__V1__ObjectCopyResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    (void)respond;
    if (check_names(request->from_bucket, request->from_key, &rpc->error) != TROVE_OK ||
        check_names(request->to_bucket, request->to_key, &rpc->error) != TROVE_OK)
        return;
    if (!(rpc->server->ops->capabilities & TVS_CAP_SERVER_COPY)) {
        TV_FAIL(&rpc->error, UNIMPLEMENTED, "the store %s:// doesn't copy; get the object and put it", rpc->server->ops->scheme);
        return;
    }
    tvs_copy_begin(request, rpc);
}

static void objects_block_sums(Trove__V1__Objects_Service *service, const Trove__V1__BlockSumsRequest *request,
                               Trove__V1__BlockSumsResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    struct tvs_object object = {0};
    if (check_names(request->bucket, request->key, &rpc->error) != TROVE_OK)
        return;
    bool less = request->limit != 0 && request->limit < TV_BLOCK_SUMS_LIMIT_MAX;
    size_t limit = less ? request->limit : TV_BLOCK_SUMS_LIMIT_MAX;
    uint64_t *sums = malloc(limit * sizeof *sums);
    size_t count = 0;
    if (sums == NULL) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory for %zu checksums", limit);
    } else if (rpc->server->ops->block_sums(rpc->server->driver, request->bucket, request->key, request->first_block, limit, sums,
                                            &count, &object, &rpc->error) == TROVE_OK) {
        Trove__V1__BlockSumsResponse response = TROVE__V1__BLOCK_SUMS_RESPONSE__INIT;
        response.block_bytes = TV_BLOCK_BYTES;
        response.block_count = tv_block_count(object.size);
        response.n_sums = count;
        response.sums = sums;
        response.etag = object.etag;
        respond(&response, closure_data);
        tvs_object_fini(&object);
    }
    free(sums);
}

Trove__V1__Objects_Service tvs_objects_service = TROVE__V1__OBJECTS__INIT(objects_);

/* ---- server ---- */

static void server_health(Trove__V1__Server_Service *service, const Trove__V1__HealthRequest *request,
                          Trove__V1__HealthResponse_Closure respond, void *closure_data) {
    (void)service;
    (void)request;
    Trove__V1__HealthResponse response = TROVE__V1__HEALTH_RESPONSE__INIT;
    response.serving = true; /* while it drains, calls are refused with UNAVAILABLE */
    respond(&response, closure_data);
}

static void server_info(Trove__V1__Server_Service *service, const Trove__V1__ServerInfoRequest *request,
                        Trove__V1__ServerInfoResponse_Closure respond, void *closure_data) {
    struct tvs_server *server = ((struct tvs_rpc *)closure_data)->server;
    (void)service;
    (void)request;
    Trove__V1__ServerInfoResponse response = TROVE__V1__SERVER_INFO_RESPONSE__INIT;
    response.name = "troved";
    response.version = TVS_VERSION;
    response.driver = (char *)server->ops->scheme;
    response.uptime_ms = (tv_now_ns() - server->started_ns) / 1000000;
    response.streams_active = tvs_pools_streams(server->pools);
    response.frames_received = atomic_load_explicit(&server->frames_in, memory_order_relaxed);
    response.frames_sent = atomic_load_explicit(&server->frames_out, memory_order_relaxed);
    response.payload_copied_bytes = atomic_load_explicit(&server->payload_copied, memory_order_relaxed);
    pthread_mutex_lock(&server->lock);
    response.connections = server->session_count;
    for (const struct tvs_session *session = server->sessions; session != NULL; session = session->next) {
        struct tv_conn_metrics metrics;
        tv_conn_metrics(session->conn, &metrics);
        response.frames_received += metrics.frames_received;
        response.frames_sent += metrics.frames_sent;
        response.payload_copied_bytes += metrics.payload_copied_bytes;
    }
    pthread_mutex_unlock(&server->lock);
    struct tv_block_stats stats;
    tv_block_pool_stats(tvs_budget_pool(server->budget), &stats);
    response.memory_budget_bytes = tvs_budget_bytes(server->budget);
    response.memory_in_use_bytes = stats.in_use * stats.block_bytes;
    respond(&response, closure_data);
}

static void server_echo(Trove__V1__Server_Service *service, const Trove__V1__EchoRequest *request,
                        Trove__V1__EchoResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    if (request->data.len > TV_INLINE_BYTES_MAX) {
        TV_FAIL(&rpc->error, INVALID_ARGUMENT, "%zu bytes to echo; at most %llu are taken", request->data.len,
                (unsigned long long)TV_INLINE_BYTES_MAX);
        return;
    }
    Trove__V1__EchoResponse response = TROVE__V1__ECHO_RESPONSE__INIT;
    response.data = request->data;
    respond(&response, closure_data);
}

Trove__V1__Server_Service tvs_server_service = TROVE__V1__SERVER__INIT(server_);
