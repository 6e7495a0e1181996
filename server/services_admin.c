/* services_admin.c - the unary methods for whoever looks after the store. See rpc.h. */
#include "names.h"
#include "rpc.h"

#include <string.h>

#define BUDGET_MS_MAX 10000

static trove_status check_scrub(const struct tvs_rpc *rpc, const Trove__V1__ScrubRequest *request, struct tvs_scrub_place *from,
                                trove_error *error) {
    if (rpc->server->ops->scrub == NULL)
        return TV_FAIL(error, UNIMPLEMENTED, "the store %s:// keeps no bytes that could be verified", rpc->server->ops->scheme);
    trove_status status = tv_bucket_check(request->bucket, error);
    if (status != TROVE_OK)
        return status;
    if (strlen(request->prefix) > TV_KEY_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "the prefix has %zu bytes; a key has at most %d", strlen(request->prefix),
                       TV_KEY_BYTES_MAX);
    if (request->budget_ms > BUDGET_MS_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "budget_ms %u; at most %d are given to one call", request->budget_ms,
                       BUDGET_MS_MAX);
    *from = (struct tvs_scrub_place){.inside = false};
    if (request->cursor.len > 0 && !tvs_scrub_cursor_read(request->cursor.data, request->cursor.len, from))
        return TV_FAIL(error, INVALID_ARGUMENT, "the cursor isn't one that this server gave out");
    return TROVE_OK;
}

static void admin_scrub(Trove__V1__Admin_Service *service, const Trove__V1__ScrubRequest *request,
                        Trove__V1__ScrubResponse_Closure respond, void *closure_data) {
    struct tvs_rpc *rpc = closure_data;
    struct tvs_scrub_place from;
    (void)service;
    (void)respond;
    if (check_scrub(rpc, request, &from, &rpc->error) == TROVE_OK)
        tvs_scrub_begin(request, &from, rpc);
}

Trove__V1__Admin_Service tvs_admin_service = TROVE__V1__ADMIN__INIT(admin_);
