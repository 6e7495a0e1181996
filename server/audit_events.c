/* audit_events.c - see audit_events.h. */
#include "audit_events.h"

#include "stream.h"

#include <string.h>

static void begin(struct tvs_audit_line *line, const char *event, const struct tvs_session *session) {
    tvs_audit_begin(line, event);
    tvs_log_text(&line->line, "principal", session->principal.name[0] != '\0' ? session->principal.name : "-");
    tvs_log_text(&line->line, "peer", tv_conn_peer(session->conn));
}

static void end(struct tvs_audit_line *line, const struct tvs_session *session, const trove_error *result) {
    tvs_log_text(&line->line, "status", trove_status_name(result->status));
    if (result->status != TROVE_OK)
        tvs_log_text(&line->line, "error", result->message);
    tvs_audit_end(session->server->audit, line);
}

/* ---- connections ---- */

void tvs_audit_connect(struct tvs_session *session, const char *agent, const trove_error *result) {
    struct tvs_audit_line line;
    if (session->server->audit == NULL)
        return;
    begin(&line, "connect", session);
    if (agent != NULL)
        tvs_log_text(&line.line, "agent", agent);
    end(&line, session, result);
}

void tvs_audit_disconnect(struct tvs_session *session, const trove_error *why) {
    struct tvs_audit_line line;
    if (session->server->audit == NULL || !atomic_load_explicit(&session->welcomed, memory_order_relaxed))
        return;
    begin(&line, "disconnect", session);
    if (why->status == TROVE_OK)
        tvs_log_text(&line.line, "why", why->message);
    end(&line, session, why);
}

void tvs_audit_left_out(struct tvs_server *server) {
    struct tvs_audit_line line;
    struct tvs_log_line log;
    uint64_t count = tvs_refusals_left_out(&server->refusals);
    if (count == 0)
        return;
    tvs_log_begin(&log, TVS_LOG_WARN, "connections that weren't let in are more than are told");
    tvs_log_number(&log, "left_out", count);
    tvs_log_end(&log);
    if (server->audit == NULL)
        return;
    tvs_audit_begin(&line, "left_out");
    tvs_log_number(&line.line, "connections", count);
    tvs_audit_end(server->audit, &line);
}

/* ---- streams and small objects ---- */

static void object(struct tvs_audit_line *line, const char *bucket, const char *key) {
    tvs_log_text(&line->line, "bucket", bucket);
    tvs_log_text(&line->line, "key", key);
}

static const char *direction_name(trove_direction direction) {
    switch (direction) {
    case TROVE_DIRECTION_UPLOAD:
        return "upload";
    case TROVE_DIRECTION_DOWNLOAD:
        return "download";
    case TROVE_DIRECTION_BIDI:
        return "bidi";
    default:
        return "open";
    }
}

void tvs_audit_stream(const struct tvs_stream *stream) {
    static const trove_error fine = {TROVE_OK, ""};
    struct tvs_session *session = stream->session;
    struct tvs_audit_line line;
    if (session->server->audit == NULL)
        return;
    begin(&line, direction_name(stream->direction), session);
    tvs_log_number(&line.line, "stream", stream->id);
    object(&line, stream->bucket, stream->key);
    pthread_mutex_lock(&session->lock);
    uint64_t bytes = stream->metrics.bytes;
    pthread_mutex_unlock(&session->lock);
    tvs_log_number(&line.line, "bytes", bytes);
    end(&line, session, stream->state == TROVE_STREAM_COMPLETED ? &fine : &stream->failure);
}

void tvs_audit_refused(struct tvs_session *session, trove_direction direction, const char *bucket, const char *key,
                       const trove_error *result) {
    struct tvs_audit_line line;
    if (session->server->audit == NULL)
        return;
    begin(&line, direction_name(direction), session);
    object(&line, bucket, key);
    end(&line, session, result);
}

void tvs_audit_put(struct tvs_session *session, const char *bucket, const char *key, uint64_t bytes, const trove_error *result) {
    struct tvs_audit_line line;
    if (session->server->audit == NULL)
        return;
    begin(&line, "put", session);
    object(&line, bucket, key);
    tvs_log_number(&line.line, "bytes", bytes);
    end(&line, session, result);
}

/* ---- calls ---- */

/* What of a request is told: which object, upload or stream it is about. Never contents. */
static const char *const fields[] = {"bucket", "key",  "prefix",    "from_bucket", "from_key", "to_bucket",
                                     "to_key", "pool", "upload_id", "stream_id",   "type",     "offset"};

static void hex_field(struct tvs_audit_line *line, const char *name, const ProtobufCBinaryData *data) {
    char text[2 * TVS_UPLOAD_ID_BYTES + 1] = "";
    for (size_t i = 0; i < data->len && i < TVS_UPLOAD_ID_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", data->data[i]);
    tvs_log_text(&line->line, name, text);
}

static void enum_field(struct tvs_audit_line *line, const ProtobufCFieldDescriptor *field, int value) {
    const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(field->descriptor, value);
    tvs_log_text(&line->line, field->name, found != NULL ? found->name : "unknown");
}

static void add_field(struct tvs_audit_line *line, const ProtobufCMessage *request, const ProtobufCFieldDescriptor *field) {
    const char *at = (const char *)request + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return;
    if (field->type == PROTOBUF_C_TYPE_STRING)
        tvs_log_text(&line->line, field->name, tvs_access_field(request, field->name));
    else if (field->type == PROTOBUF_C_TYPE_BYTES)
        hex_field(line, field->name, (const ProtobufCBinaryData *)(const void *)at);
    else if (field->type == PROTOBUF_C_TYPE_UINT64)
        tvs_log_number(&line->line, field->name, *(const uint64_t *)(const void *)at);
    else if (field->type == PROTOBUF_C_TYPE_ENUM)
        enum_field(line, field, *(const int *)(const void *)at);
}

/* Of "trove.v1.Objects": "Objects/Delete". */
static void name_event(const struct tvs_method *method, char *text, size_t bytes) {
    const char *service = strrchr(method->service->descriptor->name, '.');
    snprintf(text, bytes, "%s/%s", service != NULL ? service + 1 : method->service->descriptor->name, method->descriptor->name);
}

void tvs_audit_call(struct tvs_session *session, const struct tvs_method *method, const void *request, size_t request_bytes,
                    const trove_error *result) {
    struct tvs_audit_line line;
    struct tv_arena arena;
    ProtobufCMessage *message = NULL;
    char event[64];
    bool dull = method->access != NULL && method->access->scope == TVS_SCOPE_ANYBODY;
    if (session->server->audit == NULL || (dull && result->status == TROVE_OK))
        return;
    name_event(method, event, sizeof event);
    begin(&line, event, session);
    tv_arena_init(&arena, TV_MESSAGE_BYTES_MAX);
    trove_status status = tv_message_unpack(method->descriptor->input, request, request_bytes, &arena, &message, NULL);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && status == TROVE_OK; i++) {
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, fields[i]);
        if (field != NULL)
            add_field(&line, message, field);
    }
    tv_arena_fini(&arena);
    end(&line, session, result);
}
