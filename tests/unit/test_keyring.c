/* Who is known: keys of a file that may be read anew, users of the machine, and nobody else. */
#include "keyring.h"
#include "pools.h"
#include "timer.h"
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="

static const uint8_t a[TVS_PUBLIC_KEY_BYTES];
static const uint8_t b[TVS_PUBLIC_KEY_BYTES] = {[TVS_PUBLIC_KEY_BYTES - 1] = 1};

struct folder {
    char path[64];
    char file[96];
};

static void make_folder(struct folder *folder) {
    snprintf(folder->path, sizeof folder->path, "/tmp/trove-keyring-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    snprintf(folder->file, sizeof folder->file, "%s/authorized_keys", folder->path);
}

static void remove_folder(const struct folder *folder) {
    assert_int_equal(unlink(folder->file), 0);
    assert_int_equal(rmdir(folder->path), 0);
}

static void write_file(const struct folder *folder, const char *text) {
    FILE *file = fopen(folder->file, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(folder->file, 0644), 0);
}

static struct tvs_keyring *create(const struct tvs_keyring_options *options) {
    struct tvs_keyring *keyring = NULL;
    trove_error error = {.message = ""};
    trove_status status = tvs_keyring_create(options, &keyring, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, TROVE_OK);
    return keyring;
}

static void keys_come_and_go(void **state) {
    (void)state;
    struct folder folder;
    struct tvs_principal found;
    trove_error error;
    make_folder(&folder);
    write_file(&folder, "ops " KEY_A " all\n");
    const struct tvs_keyring_options options = {.authorized_keys = folder.file};
    struct tvs_keyring *keyring = create(&options);
    assert_int_equal(tvs_keyring_count(keyring), 1);
    assert_int_equal(tvs_keyring_find(keyring, b, &found, NULL), TROVE_UNAUTHENTICATED);
    assert_int_equal(tvs_keyring_find(keyring, a, &found, NULL), TROVE_OK);
    assert_string_equal(found.name, "key:ops");
    assert_memory_equal(found.public_key, a, sizeof a);

    write_file(&folder, "ops " KEY_B " read\nmistake\n");
    assert_int_equal(tvs_keyring_reload(keyring, &options, &error), TROVE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "authorized_keys line 2: "));
    assert_int_equal(tvs_keyring_find(keyring, b, &found, NULL), TROVE_UNAUTHENTICATED);

    write_file(&folder, "ops " KEY_B " read\n");
    assert_int_equal(tvs_keyring_reload(keyring, &options, &error), TROVE_OK);
    assert_true(tvs_rights_allow(found.rights, TVS_RIGHTS_ALL, NULL, "")); /* who has it keeps it, until they ask again */
    tvs_principal_fini(&found);
    assert_int_equal(tvs_keyring_find(keyring, a, &found, NULL), TROVE_UNAUTHENTICATED);
    assert_int_equal(tvs_keyring_find(keyring, b, &found, NULL), TROVE_OK);
    assert_false(tvs_rights_allow(found.rights, TVS_RIGHT_WRITE, "media", "x"));
    tvs_principal_fini(&found);
    tvs_keyring_destroy(keyring);
    remove_folder(&folder);
}

static void expired_keys_are_unknown(void **state) {
    (void)state;
    struct folder folder;
    struct tvs_principal found;
    make_folder(&folder);
    write_file(&folder, "old " KEY_A " all expires=2020-01-01\nnew " KEY_B " all expires=2999-01-01\n");
    const struct tvs_keyring_options options = {.authorized_keys = folder.file};
    struct tvs_keyring *keyring = create(&options);
    assert_int_equal(tvs_keyring_find(keyring, a, &found, NULL), TROVE_UNAUTHENTICATED);
    assert_int_equal(tvs_keyring_find(keyring, b, &found, NULL), TROVE_OK);
    tvs_principal_fini(&found);
    tvs_keyring_destroy(keyring);
    remove_folder(&folder);
}

static void pools_of_keys_exist(void **state) {
    (void)state;
    struct folder folder;
    struct tvs_keyring *keyring = NULL;
    trove_error error;
    const struct tvs_pool_set pools = {.count = 2, .pools = {{.name = "default"}, {.name = "slow"}}};
    make_folder(&folder);
    const struct tvs_keyring_options options = {.authorized_keys = folder.file, .pools = &pools};
    write_file(&folder, "ops " KEY_A " all pool=slow\n");
    tvs_keyring_destroy(create(&options));
    write_file(&folder, "ops " KEY_A " all pool=slow\nweb " KEY_B " all pool=slower\n");
    assert_int_equal(tvs_keyring_create(&options, &keyring, &error), TROVE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "key:web is bound to pool \"slower\", and there is none of this name"));
    remove_folder(&folder);
}

static void files_that_are_refused(void **state) {
    (void)state;
    struct folder folder;
    struct tvs_keyring *keyring = NULL;
    trove_error error;
    make_folder(&folder);
    const struct tvs_keyring_options options = {.authorized_keys = folder.file};
    assert_int_equal(tvs_keyring_create(&options, &keyring, &error), TROVE_NOT_FOUND);
    assert_non_null(strstr(error.message, folder.file));
    write_file(&folder, "ops " KEY_A " all\n");
    static const mode_t open_modes[] = {0664, 0646, 0622};
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        assert_int_equal(chmod(folder.file, open_modes[i]), 0);
        assert_int_equal(tvs_keyring_create(&options, &keyring, &error), TROVE_FAILED_PRECONDITION);
        assert_non_null(strstr(error.message, "chmod go-w"));
    }
    assert_int_equal(unlink(folder.file), 0);
    assert_int_equal(mkfifo(folder.file, 0600), 0); /* nobody writes to it */
    assert_int_equal(tvs_keyring_create(&options, &keyring, &error), TROVE_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "no regular file"));
    assert_null(keyring);
    remove_folder(&folder);
}

static void somebody_elses_file_is_refused(void **state) {
    (void)state;
    if (geteuid() != 0) {
        print_message("    skipped: only root can give files away\n");
        return;
    }
    struct folder folder;
    struct tvs_keyring *keyring = NULL;
    trove_error error;
    make_folder(&folder);
    write_file(&folder, "ops " KEY_A " all\n");
    assert_int_equal(chown(folder.file, 4711, 0), 0);
    const struct tvs_keyring_options options = {.authorized_keys = folder.file};
    assert_int_equal(tvs_keyring_create(&options, &keyring, &error), TROVE_FAILED_PRECONDITION);
    assert_non_null(strstr(error.message, "belongs to user 4711"));
    remove_folder(&folder);
}

static void users(void **state) {
    (void)state;
    char some[] = "read:media";
    const struct tvs_user listed[] = {{.uid = 4711, .rights = some, .quota_bytes = 5, .bandwidth = 7, .pool = "slow"}};
    const struct tvs_keyring_options options = {.users = listed, .user_count = 1};
    struct tvs_keyring *keyring = create(&options);
    struct tvs_principal found;
    trove_error error;
    assert_int_equal(tvs_keyring_find_user(keyring, geteuid(), &found, &error), TROVE_OK);
    assert_true(tvs_rights_allow(found.rights, TVS_RIGHTS_ALL, NULL, ""));
    tvs_principal_fini(&found);
    assert_int_equal(tvs_keyring_find_user(keyring, 0, &found, &error), TROVE_OK);
    assert_string_equal(found.name, "uid:0");
    assert_true(tvs_rights_allow(found.rights, TVS_RIGHTS_ALL, NULL, ""));
    tvs_principal_fini(&found);
    assert_int_equal(tvs_keyring_find_user(keyring, 4711, &found, &error), TROVE_OK);
    assert_string_equal(found.name, "uid:4711");
    assert_int_equal(found.kind, TVS_PRINCIPAL_UID);
    assert_true(found.uid == 4711 && found.quota_bytes == 5 && found.bandwidth == 7);
    assert_string_equal(found.pool, "slow");
    assert_true(tvs_rights_allow(found.rights, TVS_RIGHT_READ, "media", "x"));
    assert_false(tvs_rights_allow(found.rights, TVS_RIGHT_WRITE, "media", "x"));
    tvs_principal_fini(&found);
    assert_int_equal(tvs_keyring_find_user(keyring, 4712, &found, &error), TROVE_PERMISSION_DENIED);
    assert_non_null(strstr(error.message, "uid:4712 has no rights here"));
    /* As which the kernel shows who has no name here, whatever the config says of it. */
    assert_int_equal(tvs_keyring_find_user(keyring, 65534, &found, &error), TROVE_UNAUTHENTICATED);
    assert_int_equal(tvs_keyring_find_user(keyring, (uint64_t)1 << 40, &found, &error), TROVE_PERMISSION_DENIED);
    tvs_keyring_destroy(keyring);
}

/* Also root has what the config says of it, where it says something. */
static void the_config_beats_the_default(void **state) {
    (void)state;
    char less[] = "list";
    const struct tvs_user listed[] = {{.uid = 0, .rights = less}};
    const struct tvs_keyring_options options = {.users = listed, .user_count = 1};
    struct tvs_keyring *keyring = create(&options);
    struct tvs_principal found;
    trove_error error;
    assert_int_equal(tvs_keyring_find_user(keyring, 0, &found, &error), TROVE_OK);
    assert_false(tvs_rights_allow(found.rights, TVS_RIGHT_READ, "media", "x"));
    tvs_principal_fini(&found);
    tvs_keyring_destroy(keyring);
}

static void users_that_are_refused(void **state) {
    (void)state;
    char good[] = "read";
    char bad[] = "reed";
    struct tvs_keyring *keyring = NULL;
    trove_error error;
    const struct tvs_user twice[] = {{.uid = 5, .rights = good}, {.uid = 5, .rights = good}};
    struct tvs_keyring_options options = {.users = twice, .user_count = 2};
    assert_int_equal(tvs_keyring_create(&options, &keyring, &error), TROVE_INVALID_ARGUMENT);
    assert_string_equal(error.message, "`users`: uid 5 is there twice");
    const struct tvs_user wrong[] = {{.uid = 5, .rights = bad}};
    options = (struct tvs_keyring_options){.users = wrong, .user_count = 1};
    assert_int_equal(tvs_keyring_create(&options, &keyring, &error), TROVE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "`users`: uid 5: grant \"reed\""));
}

static void anonymous_may_everything(void **state) {
    (void)state;
    const struct tvs_keyring_options options = {.user_count = 0};
    struct tvs_keyring *keyring = create(&options);
    struct tvs_principal found;
    tvs_keyring_anonymous(keyring, &found);
    tvs_keyring_destroy(keyring); /* what was found outlives it */
    assert_string_equal(found.name, "anonymous");
    assert_int_equal(found.kind, TVS_PRINCIPAL_ANONYMOUS);
    assert_true(tvs_rights_allow(found.rights, TVS_RIGHTS_ALL, NULL, ""));
    tvs_principal_fini(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_and_go),
        cmocka_unit_test(expired_keys_are_unknown),
        cmocka_unit_test(pools_of_keys_exist),
        cmocka_unit_test(files_that_are_refused),
        cmocka_unit_test(somebody_elses_file_is_refused),
        cmocka_unit_test(users),
        cmocka_unit_test(the_config_beats_the_default),
        cmocka_unit_test(users_that_are_refused),
        cmocka_unit_test(anonymous_may_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
