/* services_uploads.c - the unary methods on resumable uploads. See rpc.h. On workers. */
#include "names.h"
#include "resume.h"
#include "stream.h"

#include <string.h>

/* What an upload takes on the wire besides its names: tags, lengths, numbers, id. */
#define ENTRY_BYTES 128

static bool read_id(const ProtobufCBinaryData *from, struct tvs_upload_id *id, trove_error *error) {
    if (from->len != TVS_UPLOAD_ID_BYTES) {
        TV_FAIL(error, INVALID_ARGUMENT, "an upload id of %zu bytes; they have %d", from->len, TVS_UPLOAD_ID_BYTES);
        return false;
    }
    memcpy(id->bytes, from->data, sizeof id->bytes);
    return true;
}

/* What the stream that holds it has received; what is durable where none does. */
static uint64_t received_offset(struct tvs_server *server, const struct tvs_upload_info *info) {
    uint64_t offset = info->durable_offset;
    struct tvs_stream *stream = tvs_holders_find(&server->holders, &info->id, UINT64_MAX);
    if (stream == NULL)
        return offset;
    pthread_mutex_lock(&stream->session->lock);
    if (stream->resume->holder.epoch == info->epoch && stream->receiver.taken_offset > offset &&
        !tv_stream_state_terminal(stream->state))
        offset = stream->receiver.taken_offset;
    pthread_mutex_unlock(&stream->session->lock);
    tvs_stream_release(stream);
    return offset;
}

/* Borrows the id, bucket and key. */
static void info_to_wire(struct tvs_server *server, const struct tvs_upload_info *info, Trove__V1__UploadInfo *wire) {
    trove__v1__upload_info__init(wire);
    wire->upload_id.data = (uint8_t *)(uintptr_t)info->id.bytes;
    wire->upload_id.len = sizeof info->id.bytes;
    wire->bucket = (char *)(uintptr_t)info->bucket;
    wire->key = (char *)(uintptr_t)info->key;
    wire->epoch = info->epoch;
    wire->received_offset = received_offset(server, info);
    wire->durable_offset = info->durable_offset;
    wire->created_ns = info->created_ns;
    wire->expires_ns = info->expires_ns;
}

/* The caller's own, or where it is an admin. */
static bool visible(struct tvs_rpc *rpc, const struct tvs_upload_info *info) {
    trove_error error;
    return strcmp(info->principal, rpc->session->principal.name) == 0 ||
           tvs_session_may(rpc->session, TVS_RIGHT_ADMIN, info->bucket, info->key, &error) == TROVE_OK;
}

struct look {
    struct tvs_rpc *rpc;
    bool visible;
};

static bool look_at(void *context, const struct tvs_upload_info *info) {
    struct look *look = context;
    look->visible = visible(look->rpc, info);
    return true;
}

/* Whose the store is to find it to be: the caller's own, anybody's (NULL) for an admin. */
static const char *expected_owner(struct tvs_rpc *rpc, const struct tvs_upload_id *id) {
    struct look look = {.rpc = rpc};
    trove_error error;
    trove_status status = rpc->server->ops->upload_stat(rpc->server->driver, id, NULL, look_at, &look, &error);
    return status == TROVE_OK && look.visible ? NULL : rpc->session->principal.name; /* then the store says what is wrong */
}

/* ---- list ---- */

struct page {
    struct tvs_rpc *rpc;
    struct tv_arena arena;
    Trove__V1__UploadInfo *infos;
    Trove__V1__UploadInfo **list;
    size_t count;
    size_t bytes;
    bool failed;
};

static void *keep(struct tv_arena *arena, const void *bytes, size_t count) {
    void *copy = tv_arena_alloc(arena, count);
    return copy != NULL ? memcpy(copy, bytes, count) : NULL;
}

static bool add_upload(void *context, const struct tvs_upload_info *info) {
    struct page *page = context;
    if (!visible(page->rpc, info))
        return true; /* not the caller's business */
    size_t bytes = ENTRY_BYTES + strlen(info->bucket) + strlen(info->key);
    if (page->bytes + bytes > TVS_PAGE_BYTES_MAX)
        return false;
    Trove__V1__UploadInfo *wire = &page->infos[page->count];
    info_to_wire(page->rpc->server, info, wire);
    wire->upload_id.data = keep(&page->arena, info->id.bytes, sizeof info->id.bytes);
    wire->bucket = keep(&page->arena, info->bucket, strlen(info->bucket) + 1);
    wire->key = keep(&page->arena, info->key, strlen(info->key) + 1);
    page->failed = wire->upload_id.data == NULL || wire->bucket == NULL || wire->key == NULL;
    if (page->failed)
        return false;
    page->list[page->count++] = wire;
    page->bytes += bytes;
    return true;
}

static void list_page(const Trove__V1__UploadListRequest *request, uint32_t limit, struct page *page,
                      Trove__V1__UploadListResponse_Closure respond) {
    struct tvs_rpc *rpc = page->rpc;
    struct tvs_upload_cursor cursor = {.count = request->cursor.len};
    bool more = false;
    if (request->cursor.len > 0)
        memcpy(cursor.bytes, request->cursor.data, request->cursor.len);
    if (rpc->server->ops->upload_list(rpc->server->driver, request->bucket, &cursor, limit, add_upload, page, &more,
                                      &rpc->error) != TROVE_OK)
        return;
    if (page->failed) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory for a page of uploads");
        return;
    }
    Trove__V1__UploadListResponse response = TROVE__V1__UPLOAD_LIST_RESPONSE__INIT;
    response.n_uploads = page->count;
    response.uploads = page->list;
    if (more) {
        response.next_cursor.data = cursor.bytes;
        response.next_cursor.len = cursor.count;
    }
    respond(&response, rpc);
}

static trove_status check_list(const struct tvs_rpc *rpc, const Trove__V1__UploadListRequest *request, trove_error *error) {
    if (!(rpc->server->ops->capabilities & TVS_CAP_RESUMABLE))
        return TV_FAIL(error, UNIMPLEMENTED, "the store %s:// has no resumable uploads", rpc->server->ops->scheme);
    if (request->limit > TV_LIST_LIMIT_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "limit %u; at most %d uploads fit a page", request->limit, TV_LIST_LIMIT_MAX);
    if (request->cursor.len > TVS_UPLOAD_CURSOR_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "the cursor isn't one that this server gave out");
    return request->bucket[0] != '\0' ? tv_bucket_check(request->bucket, error) : TROVE_OK;
}

static void uploads_list(Trove__V1__Uploads_Service *service, const Trove__V1__UploadListRequest *request,
                         Trove__V1__UploadListResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    (void)service;
    if (check_list(rpc, request, &rpc->error) != TROVE_OK)
        return;
    uint32_t limit = request->limit != 0 ? request->limit : TV_LIST_LIMIT_MAX;
    struct page page = {
        .rpc = rpc,
        .infos = calloc(limit, sizeof *page.infos),
        .list = calloc(limit, sizeof *page.list),
    };
    tv_arena_init(&page.arena, 2 * TV_MESSAGE_BYTES_MAX);
    if (page.infos == NULL || page.list == NULL)
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory for a page of uploads");
    else
        list_page(request, limit, &page, respond);
    tv_arena_fini(&page.arena);
    free(page.infos);
    free(page.list);
}

/* ---- status ---- */

struct told {
    struct tvs_rpc *rpc;
    Trove__V1__UploadAttachResponse_Closure respond;
};

static bool tell(void *context, const struct tvs_upload_info *info) {
    const struct told *told = context;
    Trove__V1__UploadInfo wire;
    struct tvs_wire_object object;
    Trove__V1__UploadAttachResponse response = TROVE__V1__UPLOAD_ATTACH_RESPONSE__INIT;
    info_to_wire(told->rpc->server, info, &wire);
    if (info->result != NULL) {
        tvs_wire_object(info->bucket, info->result, &object);
        wire.completed = &object.info;
    }
    response.upload = &wire;
    told->respond(&response, told->rpc);
    return true;
}

static void uploads_attach(Trove__V1__Uploads_Service *service, const Trove__V1__UploadAttachRequest *request,
                           Trove__V1__UploadAttachResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    struct tvs_upload_id id;
    struct told told = {rpc, respond};
    trove_error error;
    (void)service;
    if (!read_id(&request->upload_id, &id, &rpc->error))
        return;
    if (rpc->server->ops->upload_stat(rpc->server->driver, &id, expected_owner(rpc, &id), tell, &told, &error) != TROVE_OK)
        (void)tv_error_copy(&rpc->error, &error);
}

/* ---- flush ---- */

struct status {
    uint64_t epoch;
    uint64_t durable_offset;
};

static bool read_status(void *context, const struct tvs_upload_info *info) {
    *(struct status *)context = (struct status){info->epoch, info->durable_offset};
    return true;
}

static void uploads_flush(Trove__V1__Uploads_Service *service, const Trove__V1__UploadFlushRequest *request,
                          Trove__V1__UploadFlushResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    struct tvs_server *server = rpc->server;
    struct tvs_upload_id id;
    struct status status;
    (void)service;
    if (!read_id(&request->upload_id, &id, &rpc->error) ||
        server->ops->upload_stat(server->driver, &id, rpc->session->principal.name, read_status, &status, &rpc->error) !=
            TROVE_OK)
        return;
    struct tvs_stream *stream = tvs_holders_find(&server->holders, &id, UINT64_MAX);
    if (stream != NULL) {
        trove_error error;
        if (tvs_resume_flush_call(stream, request->epoch, rpc, &error) != TROVE_OK)
            (void)tv_error_copy(&rpc->error, &error);
        tvs_stream_release(stream);
        return;
    }
    if (request->epoch != status.epoch) {
        TV_FAIL(&rpc->error, ABORTED, "epoch %llu of this upload, where %llu is the present one",
                (unsigned long long)request->epoch, (unsigned long long)status.epoch);
        return;
    }
    Trove__V1__UploadFlushResponse response = TROVE__V1__UPLOAD_FLUSH_RESPONSE__INIT;
    response.durable_offset = status.durable_offset; /* nobody holds it: that is all that there is */
    respond(&response, rpc);
}

/* ---- abort ---- */

/* A call that waits for the store; malloc'd. */
struct abort {
    struct tvs_rpc rpc;
    struct tvs_upload_id id;
};

static void end_holder(struct tvs_server *server, const struct tvs_upload_id *id) {
    struct tvs_stream *stream = tvs_holders_find(&server->holders, id, UINT64_MAX);
    if (stream == NULL)
        return;
    trove_error why;
    TV_FAIL(&why, ABORTED, "the upload of %s/%.200s was aborted", stream->bucket, stream->key);
    tvs_stream_end(stream, TV_EVENT_FAIL, &why);
    tvs_stream_release(stream);
}

static void on_aborted(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    struct abort *abort = context;
    (void)info;
    if (status == TROVE_OK) {
        Trove__V1__UploadAbortResponse response = TROVE__V1__UPLOAD_ABORT_RESPONSE__INIT;
        end_holder(abort->rpc.server, &abort->id);
        tvs_rpc_respond(&response.base, &abort->rpc);
    } else {
        (void)tv_error_copy(&abort->rpc.error, error);
    }
    tvs_rpc_end(&abort->rpc);
    free(abort);
}

static void uploads_abort(Trove__V1__Uploads_Service *service, const Trove__V1__UploadAbortRequest *request,
                          Trove__V1__UploadAbortResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    struct tvs_upload_id id;
    (void)service;
    (void)respond;
    if (!read_id(&request->upload_id, &id, &rpc->error))
        return;
    struct abort *abort = calloc(1, sizeof *abort);
    if (abort == NULL) {
        TV_FAIL(&rpc->error, RESOURCE_EXHAUSTED, "no memory to abort an upload");
        return;
    }
    struct tvs_server *server = rpc->server;
    const char *principal = expected_owner(rpc, &id);
    abort->id = id;
    tvs_rpc_later(rpc, &abort->rpc);
    server->ops->upload_abort(server->driver, &id, principal, on_aborted, abort);
}

Trove__V1__Uploads_Service tvs_uploads_service = TROVE__V1__UPLOADS__INIT(uploads_);
