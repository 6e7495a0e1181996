/* encryption.c - see encryption.h. */
#include "encryption.h"

#include "secret.h"

#define SCRATCH_PART 4

/* Somebody who says to have this key; that it is so, the rest of the handshake shows. What may be done with it is looked up once
 * more when the session begins. */
static trove_status authorize(void *context, const uint8_t public_key[TV_NOISE_KEY_BYTES], trove_error *error) {
    struct tvs_server *server = context;
    struct tvs_principal found;
    trove_status status = tvs_keyring_find(server->keyring, public_key, &found, error);
    if (status == TROVE_OK)
        tvs_principal_fini(&found);
    return status;
}

/* What is sealed and waits for its peer to read counts as what moves. */
static bool charge(void *context, size_t bytes) {
    struct tvs_server *server = context;
    return tvs_budget_try(server->budget, bytes);
}

static void uncharge(void *context, size_t bytes) {
    struct tvs_server *server = context;
    tvs_budget_give(server->budget, bytes);
}

/* Peers that don't read hold no more of the budget than leaves the others theirs. */
static size_t scratch_bytes_max(const struct tvs_server *server) {
    uint64_t share = tvs_budget_bytes(server->budget) / SCRATCH_PART;
    return share < TV_SCRATCH_BYTES_MAX ? share : TV_SCRATCH_BYTES_MAX;
}

trove_status tvs_encryption_begin(struct tvs_server *server, trove_error *error) {
    trove_status status = TROVE_OK;
    tv_secure_init(&server->secure);
    if (server->options.key_file != NULL)
        status = tv_key_load(server->options.key_file, &server->key, error);
    server->secure.key = server->key;
    server->secure.authorize = authorize;
    server->secure.context = server;
    server->secure.charge = charge;
    server->secure.uncharge = uncharge;
    server->secure.scratch_bytes_max = scratch_bytes_max(server);
    tvs_encryption_warn();
    return status;
}

void tvs_encryption_end(struct tvs_server *server) {
    if (server->secure.context == NULL) /* it never began */
        return;
    tv_secure_fini(&server->secure);
    tv_key_destroy(server->key);
}

struct tv_conn_options tvs_encryption_options(struct tvs_server *server, const struct tv_transport *transport) {
    /* Over a unix socket the system says who somebody is. */
    return (struct tv_conn_options){
        .secure = server->key != NULL ? &server->secure : NULL,
        .secure_required = !transport->type_octet && !server->options.insecure,
    };
}

void tvs_encryption_warn(void) {
    if (!tv_secret_unlocked_once())
        return;
    struct tvs_log_line line;
    tvs_log_begin(&line, TVS_LOG_WARN,
                  "keys lie in memory that may be swapped out, for no more may be locked; raise RLIMIT_MEMLOCK (LimitMEMLOCK=)");
    tvs_log_end(&line);
}
