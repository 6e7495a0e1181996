/* rpc.h - unary methods: the table of services, and what a method gets and gives.
 *
 * Services are protobuf-c's generated structs; a method is found by its name in their descriptors, its request unpacked as the
 * descriptor says, and it is invoked through the descriptor. A method answers by calling its closure once, or fails by filling in
 * rpc->error. On a worker it may also leave that for later: what takes long must not hold the worker (tvs_rpc_later).
 * Where: methods that never block run on the receiving thread, the others on workers.
 */
#ifndef TVS_RPC_H
#define TVS_RPC_H

#include "access.h"
#include "session.h"

struct tvs_call;

struct tvs_rpc {
    struct tvs_server *server;
    struct tvs_session *session; /* that called */
    struct tvs_call *call;       /* NULL: on the receiving thread */
    bool is_moved;               /* by tvs_rpc_later */
    trove_error error;
    void *response; /* packed; malloc'd */
    size_t response_bytes;
};

/* A page of a listing ends when its entries take so much: the rest of the answer still fits a message. */
#define TVS_PAGE_BYTES_MAX (TV_MESSAGE_BYTES_MAX - 32 * TV_KIB)

struct tvs_method {
    ProtobufCService *service;
    unsigned index;
    const ProtobufCMethodDescriptor *descriptor;
    const struct tvs_access *access;
    bool blocks;
};

/* Finds "trove.v1.Objects/Head". Errors: UNIMPLEMENTED, naming the method. */
trove_status tvs_rpc_find(const char *name, struct tvs_method *method, trove_error *error);

/* Unpacks the request, sees whether its caller may, calls the method. Fills in response or error; returns the error's status. */
trove_status tvs_rpc_invoke(const struct tvs_method *method, const void *request, size_t request_bytes, struct tv_arena *arena,
                            struct tvs_rpc *rpc);

/* For methods: the closure to answer with. */
void tvs_rpc_respond(const ProtobufCMessage *response, struct tvs_rpc *rpc);

/* For methods on workers: the call isn't over when the method returns, but by tvs_rpc_end(later), from any thread. `later` is the
 * method's memory until then; the request is gone, and so is `rpc`. To be said before anything is begun that might end it. */
void tvs_rpc_later(struct tvs_rpc *rpc, struct tvs_rpc *later);
/* False: it was cancelled, its deadline is over or its connection lost: nobody wants the answer any more. */
bool tvs_rpc_wanted(const struct tvs_rpc *rpc);
/* Sends the answer or the error, and ends the call. */
void tvs_rpc_end(struct tvs_rpc *rpc);

/* copies.c */
/* Answers, later, for Objects/Copy; the names have been checked. */
void tvs_copy_begin(const Trove__V1__ObjectCopyRequest *request, struct tvs_rpc *rpc);

/* scrubs.c */
/* Answers, later, for Admin/Scrub; names and cursor have been checked. */
void tvs_scrub_begin(const Trove__V1__ScrubRequest *request, const struct tvs_scrub_place *from, struct tvs_rpc *rpc);

/* services.c */
extern Trove__V1__Buckets_Service tvs_buckets_service;
extern Trove__V1__Objects_Service tvs_objects_service;
extern Trove__V1__Server_Service tvs_server_service;
/* services_admin.c */
extern Trove__V1__Admin_Service tvs_admin_service;
/* services_streams.c */
extern Trove__V1__Pools_Service tvs_pools_service;
extern Trove__V1__Streams_Service tvs_streams_service;

/* services_uploads.c */
extern Trove__V1__Uploads_Service tvs_uploads_service;

#endif
