/* keyring.c - see keyring.h. What is known lies in one table, which a reload replaces as a whole under the lock. */
#include "keyring.h"

#include "authorized_keys.h"
#include "pools.h"
#include "timer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OVERFLOW_UID_FILE    "/proc/sys/kernel/overflowuid"
#define OVERFLOW_UID_DEFAULT 65534

struct table {
    struct tvs_authorized_keys keys;
    struct tvs_principal users[TVS_USERS_MAX + 2]; /* root and the server's own as well */
    size_t user_count;
};

struct tvs_keyring {
    /* constant */
    uint64_t overflow_uid;
    struct tvs_rights *all;

    pthread_mutex_t lock;
    /* under the lock */
    struct table *table;
};

/* ---- reading the file ---- */

static trove_status check_owner(int fd, const char *path, mode_t *mode, trove_error *error) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return tv_error_errno(error, errno, "looking at %s", path);
    if (!S_ISREG(info.st_mode))
        return TV_FAIL(error, FAILED_PRECONDITION, "%s is no regular file", path);
    if (info.st_uid != 0 && info.st_uid != geteuid())
        return TV_FAIL(error, FAILED_PRECONDITION, "%s belongs to user %u; it must belong to root or to user %u, who reads it",
                       path, info.st_uid, geteuid());
    *mode = info.st_mode & 07777;
    return TROVE_OK;
}

/* Whoever may write to it may let themselves in. */
static trove_status check_file(int fd, const char *path, trove_error *error) {
    mode_t mode = 0;
    trove_status status = check_owner(fd, path, &mode, error);
    if (status == TROVE_OK && (mode & (S_IWGRP | S_IWOTH)) != 0)
        return TV_FAIL(error, FAILED_PRECONDITION,
                       "others than its owner may write to %s (mode %04o), and let themselves in; say: chmod go-w %s", path, mode,
                       path);
    return status;
}

static trove_status read_all(int fd, const char *path, char *text, size_t *bytes, trove_error *error) {
    size_t used = 0;
    ssize_t got;
    while (used <= TVS_AUTHORIZED_KEYS_BYTES_MAX &&
           (got = read(fd, text + used, TVS_AUTHORIZED_KEYS_BYTES_MAX + 1 - used)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tv_error_errno(error, errno, "reading %s", path);
        used += (size_t)got;
    }
    *bytes = used; /* the parser says that it is too much */
    return TROVE_OK;
}

static trove_status load_keys(const char *path, struct tvs_authorized_keys *keys, trove_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe isn't waited for */
    if (fd < 0)
        return tv_error_errno(error, errno, "opening %s", path);
    size_t bytes = 0;
    char *text = NULL;
    trove_status status = check_file(fd, path, error);
    if (status == TROVE_OK && (text = malloc(TVS_AUTHORIZED_KEYS_BYTES_MAX + 1)) == NULL)
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read %s", path);
    if (status == TROVE_OK)
        status = read_all(fd, path, text, &bytes, error);
    close(fd);
    if (status == TROVE_OK)
        status = tvs_authorized_keys_parse(path, text, bytes, keys, error);
    free(text);
    return status;
}

static trove_status check_pools(const struct tvs_authorized_keys *keys, const struct tvs_pool_set *pools, const char *path,
                                trove_error *error) {
    for (size_t i = 0; i < keys->count && pools != NULL; i++) {
        const struct tvs_principal *key = &keys->list[i];
        bool known = key->pool[0] == '\0';
        for (uint32_t j = 0; j < pools->count && !known; j++)
            known = strcmp(pools->pools[j].name, key->pool) == 0;
        if (!known)
            return TV_FAIL(error, INVALID_ARGUMENT, "%s: %s is bound to pool \"%s\", and there is none of this name", path,
                           key->name, key->pool);
    }
    return TROVE_OK;
}

/* ---- the table ---- */

static void destroy_table(struct table *table) {
    if (table == NULL)
        return;
    tvs_authorized_keys_fini(&table->keys);
    for (size_t i = 0; i < table->user_count; i++)
        tvs_principal_fini(&table->users[i]);
    free(table);
}

static const struct tvs_principal *find_user(const struct table *table, uint64_t uid) {
    for (size_t i = 0; i < table->user_count; i++)
        if (table->users[i].uid == uid)
            return &table->users[i];
    return NULL;
}

/* The first one that is added for a uid counts. Takes the rights over. */
static void add_user(struct table *table, uint64_t uid, struct tvs_rights *rights_move, const struct tvs_user *terms) {
    if (find_user(table, uid) != NULL) {
        tvs_rights_release(rights_move);
        return;
    }
    struct tvs_principal *user = &table->users[table->user_count++];
    *user = (struct tvs_principal){.kind = TVS_PRINCIPAL_UID, .rights = rights_move, .uid = uid};
    user->quota_bytes = terms != NULL ? terms->quota_bytes : 0;
    user->bandwidth = terms != NULL ? terms->bandwidth : 0;
    snprintf(user->pool, sizeof user->pool, "%s", terms != NULL ? terms->pool : "");
    snprintf(user->name, sizeof user->name, "uid:%" PRIu64, uid);
}

static trove_status add_users(struct table *table, const struct tvs_keyring_options *options, trove_error *error) {
    for (size_t i = 0; i < options->user_count; i++) {
        const struct tvs_user *user = &options->users[i];
        struct tvs_rights *rights = NULL;
        trove_error why;
        if (find_user(table, user->uid) != NULL)
            return TV_FAIL(error, INVALID_ARGUMENT, "`users`: uid %u is there twice", user->uid);
        trove_status status = tvs_rights_parse(user->rights, &rights, &why);
        if (status != TROVE_OK)
            return tv_error_set(error, status, "`users`: uid %u: %s", user->uid, why.message);
        add_user(table, user->uid, rights, user);
    }
    return TROVE_OK;
}

static trove_status create_table(const struct tvs_keyring *keyring, const struct tvs_keyring_options *options,
                                 struct table **table_out, trove_error *error) {
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for those who are let in");
    trove_status status = add_users(table, options, error);
    if (status == TROVE_OK && options->authorized_keys != NULL)
        status = load_keys(options->authorized_keys, &table->keys, error);
    if (status == TROVE_OK)
        status = check_pools(&table->keys, options->pools, options->authorized_keys, error);
    if (status != TROVE_OK) {
        destroy_table(table);
        return status;
    }
    add_user(table, 0, tvs_rights_acquire(keyring->all), NULL);
    add_user(table, geteuid(), tvs_rights_acquire(keyring->all), NULL);
    *table_out = table;
    return TROVE_OK;
}

/* ---- life ---- */

static uint64_t read_overflow_uid(void) {
    FILE *file = fopen(OVERFLOW_UID_FILE, "re");
    uint64_t uid;
    bool known = file != NULL && fscanf(file, "%" SCNu64, &uid) == 1;
    if (file != NULL)
        fclose(file);
    return known ? uid : OVERFLOW_UID_DEFAULT;
}

trove_status tvs_keyring_create(const struct tvs_keyring_options *options, struct tvs_keyring **keyring_out, trove_error *error) {
    struct tvs_keyring *keyring = calloc(1, sizeof *keyring);
    if (keyring == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for those who are let in");
    pthread_mutex_init(&keyring->lock, NULL);
    keyring->overflow_uid = read_overflow_uid();
    trove_status status = tvs_rights_parse("all", &keyring->all, error);
    if (status == TROVE_OK)
        status = create_table(keyring, options, &keyring->table, error);
    if (status != TROVE_OK) {
        tvs_keyring_destroy(keyring);
        return status;
    }
    *keyring_out = keyring;
    return TROVE_OK;
}

trove_status tvs_keyring_reload(struct tvs_keyring *keyring, const struct tvs_keyring_options *options, trove_error *error) {
    struct table *table = NULL;
    trove_status status = create_table(keyring, options, &table, error);
    if (status != TROVE_OK)
        return status;
    pthread_mutex_lock(&keyring->lock);
    struct table *before = keyring->table;
    keyring->table = table;
    pthread_mutex_unlock(&keyring->lock);
    destroy_table(before);
    return TROVE_OK;
}

void tvs_keyring_destroy(struct tvs_keyring *keyring) {
    if (keyring == NULL)
        return;
    destroy_table(keyring->table);
    tvs_rights_release(keyring->all);
    pthread_mutex_destroy(&keyring->lock);
    free(keyring);
}

/* ---- asking ---- */

/* A copy with a reference of its own. */
static bool give(const struct tvs_principal *found, struct tvs_principal *out) {
    if (found == NULL)
        return false;
    *out = *found;
    tvs_rights_acquire(out->rights);
    return true;
}

trove_status tvs_keyring_find(struct tvs_keyring *keyring, const uint8_t public_key[TVS_PUBLIC_KEY_BYTES],
                              struct tvs_principal *out, trove_error *error) {
    pthread_mutex_lock(&keyring->lock);
    const struct tvs_principal *found = tvs_authorized_keys_find(&keyring->table->keys, public_key);
    bool expired = found != NULL && tvs_principal_expired(found, tv_wall_ns());
    bool known = !expired && give(found, out);
    pthread_mutex_unlock(&keyring->lock);
    if (known)
        return TROVE_OK;
    return expired ? TV_FAIL(error, UNAUTHENTICATED, "this key has expired; its line in the server's authorized_keys says when")
                   : TV_FAIL(error, UNAUTHENTICATED, "the server doesn't know this key");
}

trove_status tvs_keyring_find_user(struct tvs_keyring *keyring, uint64_t uid, struct tvs_principal *out, trove_error *error) {
    if (uid == keyring->overflow_uid)
        return TV_FAIL(error, UNAUTHENTICATED,
                       "uid %" PRIu64 " stands for everybody who has none in the server's user namespace; it can't be let in",
                       uid);
    pthread_mutex_lock(&keyring->lock);
    bool known = give(find_user(keyring->table, uid), out);
    pthread_mutex_unlock(&keyring->lock);
    if (known)
        return TROVE_OK;
    return TV_FAIL(error, PERMISSION_DENIED,
                   "uid:%" PRIu64 " has no rights here; they are given by `users` in the server's config", uid);
}

void tvs_keyring_anonymous(struct tvs_keyring *keyring, struct tvs_principal *out) {
    *out = (struct tvs_principal){.kind = TVS_PRINCIPAL_ANONYMOUS, .rights = tvs_rights_acquire(keyring->all)};
    snprintf(out->name, sizeof out->name, "%s", TVS_PRINCIPAL_NAME_ANONYMOUS);
}

size_t tvs_keyring_count(struct tvs_keyring *keyring) {
    pthread_mutex_lock(&keyring->lock);
    size_t count = keyring->table->keys.count;
    pthread_mutex_unlock(&keyring->lock);
    return count;
}
