/* access.c - see access.h. */
#include "access.h"

#include "session.h"

#include <string.h>

#define BUCKETS (&trove__v1__buckets__descriptor)
#define OBJECTS (&trove__v1__objects__descriptor)
#define UPLOADS (&trove__v1__uploads__descriptor)
#define ADMIN   (&trove__v1__admin__descriptor)
#define POOLS   (&trove__v1__pools__descriptor)
#define STREAMS (&trove__v1__streams__descriptor)
#define SERVER  (&trove__v1__server__descriptor)

#define OBJECT(right)                                                                                                            \
    {                                                                                                                            \
        { TVS_RIGHT_##right, "bucket", "key" }                                                                                   \
    }
#define BUCKET(right)                                                                                                            \
    {                                                                                                                            \
        { TVS_RIGHT_##right, "bucket", NULL }                                                                                    \
    }

static const struct tvs_access rows[] = {
    {&trove__v1__transfer__descriptor, "Stream", TVS_SCOPE_STREAM, {{0}}},
    {BUCKETS, "Create", TVS_SCOPE_OBJECT, BUCKET(WRITE)},
    {BUCKETS, "Delete", TVS_SCOPE_OBJECT, BUCKET(DELETE)},
    {BUCKETS, "List", TVS_SCOPE_OWN, {{0}}}, /* those of which the caller may read or list something */
    {OBJECTS, "Head", TVS_SCOPE_OBJECT, OBJECT(READ)},
    {OBJECTS, "List", TVS_SCOPE_OBJECT, {{TVS_RIGHT_LIST, "bucket", "prefix"}}},
    {OBJECTS, "Delete", TVS_SCOPE_OBJECT, OBJECT(DELETE)},
    {OBJECTS, "Copy", TVS_SCOPE_OBJECT, {{TVS_RIGHT_READ, "from_bucket", "from_key"}, {TVS_RIGHT_WRITE, "to_bucket", "to_key"}}},
    {OBJECTS, "BlockSums", TVS_SCOPE_OBJECT, OBJECT(READ)},
    {UPLOADS, "List", TVS_SCOPE_OWN, {{0}}},
    {UPLOADS, "Attach", TVS_SCOPE_OWN, {{0}}},
    {UPLOADS, "Flush", TVS_SCOPE_OWN, {{0}}},
    {UPLOADS, "Abort", TVS_SCOPE_OWN, {{0}}},
    {ADMIN, "Scrub", TVS_SCOPE_OBJECT, {{TVS_RIGHT_ADMIN, "bucket", "prefix"}}},
    {POOLS, "List", TVS_SCOPE_SERVER, {{0}}},
    {STREAMS, "List", TVS_SCOPE_OWN, {{0}}},
    {STREAMS, "Control", TVS_SCOPE_OWN, {{0}}},
    {SERVER, "Health", TVS_SCOPE_ANYBODY, {{0}}},
    {SERVER, "Info", TVS_SCOPE_ANYBODY, {{0}}},
    {SERVER, "Echo", TVS_SCOPE_ANYBODY, {{0}}},
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

const struct tvs_access *tvs_access_find(const ProtobufCServiceDescriptor *service, const char *method) {
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].service == service && strcmp(rows[i].method, method) == 0)
            return &rows[i];
    return NULL;
}

const struct tvs_access *tvs_access_rows(size_t *count) {
    *count = ROW_COUNT;
    return rows;
}

const char *tvs_access_field(const ProtobufCMessage *request, const char *field) {
    if (field == NULL)
        return "";
    const ProtobufCFieldDescriptor *found = protobuf_c_message_descriptor_get_field_by_name(request->descriptor, field);
    TV_ASSERT(found != NULL && found->type == PROTOBUF_C_TYPE_STRING && found->label != PROTOBUF_C_LABEL_REPEATED);
    const char *text;
    memcpy(&text, (const char *)request + found->offset, sizeof text);
    return text;
}

trove_status tvs_access_check(const struct tvs_access *access, const ProtobufCMessage *request, struct tvs_session *session,
                              trove_error *error) {
    if (access == NULL)
        return TV_FAIL(error, PERMISSION_DENIED, "nobody may call this method: the server has no rule for it");
    if (!tvs_session_known(session)) /* its connection is about to end; a call that has waited until now isn't begun */
        return TV_FAIL(error, UNAUTHENTICATED, "who called this isn't let in any more");
    if (access->scope == TVS_SCOPE_SERVER)
        return tvs_session_may(session, TVS_RIGHT_ADMIN, NULL, "", error);
    trove_status status = TROVE_OK;
    for (size_t i = 0; i < sizeof access->needs / sizeof access->needs[0] && status == TROVE_OK; i++) {
        const struct tvs_need *need = &access->needs[i];
        if (need->right != 0)
            status = tvs_session_may(session, need->right, tvs_access_field(request, need->bucket),
                                     tvs_access_field(request, need->prefix), error);
    }
    return status;
}
