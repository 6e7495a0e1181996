/* access.h - which right each method needs: one table of all methods of all services. Any thread.
 *
 * A method is invoked through this table alone (rpc.c), and one that isn't in it is refused: who adds a method to the contract
 * adds its row. Where the right concerns an object, the request's fields are named that say which.
 */
#ifndef TVS_ACCESS_H
#define TVS_ACCESS_H

#include "frame.h"
#include "rights.h"

struct tvs_session;

enum tvs_scope {
    TVS_SCOPE_ANYBODY, /* whoever was let in */
    TVS_SCOPE_OBJECT,  /* `needs` */
    TVS_SCOPE_OWN,     /* what is the caller's own; of others with the right `admin` there. The method looks at each */
    TVS_SCOPE_SERVER,  /* the right `admin` on the whole server */
    TVS_SCOPE_STREAM,  /* the stream's direction says it: tvs_stream_authorize */
};

/* A right, and the request's fields that say where; no prefix: the whole bucket. */
struct tvs_need {
    enum tvs_right right;
    const char *bucket;
    const char *prefix;
};

struct tvs_access {
    const ProtobufCServiceDescriptor *service;
    const char *method;
    enum tvs_scope scope;
    struct tvs_need needs[2]; /* the second is what is written to, where there are two; unused ones are zero */
};

/* NULL: it isn't there. */
const struct tvs_access *tvs_access_find(const ProtobufCServiceDescriptor *service, const char *method);
const struct tvs_access *tvs_access_rows(size_t *count);

/* `access` NULL: refused. Errors: PERMISSION_DENIED. */
TROVE_WARN_UNUSED trove_status tvs_access_check(const struct tvs_access *access, const ProtobufCMessage *request,
                                                struct tvs_session *session, trove_error *error);
/* What a string field of the request says; "" where `field` is NULL. */
const char *tvs_access_field(const ProtobufCMessage *request, const char *field);

#endif
