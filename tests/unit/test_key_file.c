/* test_key_file.c - keys as text and in files: what is taken, what is refused, and that nothing is replaced or left open. */
#include "key_file.h"
#include "noise.h"
#include "secret.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" /* 0 to 31 */

static char folder[64];

static const char *path_of(const char *name) {
    static char paths[2][128]; /* taking turns: two of them may be used in one expression */
    static unsigned turn;
    char *path = paths[turn++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put_file(const char *name, const char *text, mode_t mode) {
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void public_keys_as_text(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool taken;
    } rows[] = {
        {TEXT, true},
        {"", false},
        {" " TEXT, false},
        {TEXT " ", false},
        {TEXT "=", false},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", false},  /* without its padding */
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", false}, /* bits that count for nothing */
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-_", false}, /* another alphabet */
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", false}, /* 33 bytes */
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        uint8_t key[TV_NOISE_KEY_BYTES] = {0};
        char text[TV_KEY_TEXT_BYTES];
        trove_error error;
        trove_status status = tv_key_parse(rows[i].text, key, &error);
        assert_int_equal(status, rows[i].taken ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        tv_key_format(key, text);
        if (rows[i].taken)
            assert_string_equal(text, rows[i].text);
        else
            assert_true(sodium_is_zero(key, sizeof key));
    }
}

static void files_of_keys_as_text(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *said; /* NULL: it is taken */
    } rows[] = {
        {"private_key " TEXT "\n", NULL},
        {"private_key " TEXT, NULL},
        {"# a remark\n\n  \t private_key\t " TEXT " \r\n# another\n", NULL},
        {"", "has no line"},
        {"\n\n", "has no line"},
        {"# private_key " TEXT "\n", "has no line"},
        {TEXT "\n", "line 1: expected"},
        {"private_key" TEXT "\n", "line 1: expected"},
        {"private_key\n", "line 1: expected"},
        {"\nprivate_key AAAA\n", "line 2: the key isn't"},
        {"private_key " TEXT " x\n", "line 1: the key isn't"},
        {"private_key " TEXT "\nprivate_key " TEXT "\n", "line 2: a second key"},
        {"private_key " TEXT "\nx\n", "line 2: expected"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].text);
        struct tv_key *key = tv_secret_alloc(sizeof *key);
        char *text = unit_copy(rows[i].text, strlen(rows[i].text));
        trove_error error = {TROVE_OK, ""};
        trove_status status = tv_key_file_parse("FILE", text, strlen(rows[i].text), key, &error);
        assert_int_equal(status, rows[i].said == NULL ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        if (rows[i].said != NULL)
            assert_non_null(strstr(error.message, rows[i].said));
        assert_null(strstr(error.message, "AAEC")); /* no secrets in messages */
        for (uint8_t n = 0; status == TROVE_OK && n < TV_NOISE_KEY_BYTES; n++)
            assert_int_equal(key->private_key[n], n);
        free(text);
        tv_key_destroy(key);
    }
}

static void a_made_file_is_read_back(void **state) {
    (void)state;
    char text[TV_KEY_TEXT_BYTES], loaded[TV_KEY_TEXT_BYTES];
    struct tv_key *key = NULL;
    struct stat about;
    mode_t before = umask(0);
    assert_int_equal(tv_key_create(path_of("made"), text, NULL), TROVE_OK);
    umask(before);
    assert_int_equal(stat(path_of("made"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(tv_key_load(path_of("made"), &key, NULL), TROVE_OK);
    tv_key_format(key->public_key, loaded);
    assert_string_equal(text, loaded);
    tv_key_destroy(key);
    trove_error error;
    assert_int_equal(tv_key_create(path_of("made"), text, &error), TROVE_ALREADY_EXISTS);
    assert_non_null(strstr(error.message, "never replaced"));
    assert_string_equal(text, loaded); /* untouched */
    assert_int_equal(symlink(path_of("nowhere"), path_of("link")), 0);
    assert_int_equal(tv_key_create(path_of("link"), text, NULL), TROVE_ALREADY_EXISTS);
    unlink(path_of("link"));
}

static void files_that_others_can_use_are_refused(void **state) {
    (void)state;
    static const mode_t refused[] = {0640, 0604, 0660, 0620, 0610, 0644, 0666, 0777};
    static const mode_t taken[] = {0600, 0400};
    struct tv_key *key = NULL;
    trove_error error;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        put_file("open", "private_key " TEXT "\n", refused[i]);
        assert_int_equal(tv_key_load(path_of("open"), &key, &error), TROVE_FAILED_PRECONDITION);
        assert_non_null(strstr(error.message, "chmod 600"));
        assert_non_null(strstr(error.message, path_of("open")));
        assert_null(key);
        unlink(path_of("open"));
    }
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        put_file("closed", "private_key " TEXT "\n", taken[i]);
        assert_int_equal(tv_key_load(path_of("closed"), &key, NULL), TROVE_OK);
        tv_key_destroy(key);
        key = NULL;
        unlink(path_of("closed"));
    }
}

static void what_is_no_key_file_is_refused(void **state) {
    (void)state;
    struct tv_key *key = NULL;
    trove_error error;
    assert_int_equal(tv_key_load(path_of("missing"), &key, &error), TROVE_NOT_FOUND);
    assert_non_null(strstr(error.message, "missing"));
    assert_int_equal(tv_key_load(folder, &key, &error), TROVE_FAILED_PRECONDITION);
    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    assert_int_equal(tv_key_load(path_of("pipe"), &key, &error), TROVE_FAILED_PRECONDITION);
    unlink(path_of("pipe"));
    char *large = malloc(TV_KEY_FILE_BYTES_MAX + 2);
    memset(large, '#', TV_KEY_FILE_BYTES_MAX + 1);
    large[TV_KEY_FILE_BYTES_MAX + 1] = '\0';
    put_file("large", large, 0600);
    assert_int_equal(tv_key_load(path_of("large"), &key, &error), TROVE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "more than 4096 bytes"));
    free(large);
    assert_int_equal(tv_key_create(path_of("no/folder"), (char[TV_KEY_TEXT_BYTES]){0}, &error), TROVE_NOT_FOUND);
    assert_null(key);
}

/* ---- memory that can't be locked (-Wl,--wrap) ---- */

static bool lock_fails;

int __real_sodium_mlock(void *address, size_t bytes);
int __wrap_sodium_mlock(void *address, size_t bytes);

int __wrap_sodium_mlock(void *const address, const size_t bytes) {
    return lock_fails ? -1 : __real_sodium_mlock(address, bytes);
}

/* It is used all the same, and that is known, once. */
static void unlocked_memory_is_told_once(void **state) {
    (void)state;
    assert_false(tv_secret_unlocked_once());
    lock_fails = true;
    void *first = tv_secret_alloc(32);
    void *second = tv_secret_alloc(32);
    lock_fails = false;
    assert_true(first != NULL && second != NULL && sodium_is_zero(first, 32));
    assert_true(tv_secret_unlocked_once());
    assert_false(tv_secret_unlocked_once());
    tv_secret_free(first);
    tv_secret_free(second);
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/trove_keys_XXXXXX");
    return mkdtemp(folder) != NULL && tv_secret_ready() ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path_of("made"));
    unlink(path_of("large"));
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_keys_as_text),
        cmocka_unit_test(files_of_keys_as_text),
        cmocka_unit_test(a_made_file_is_read_back),
        cmocka_unit_test(files_that_others_can_use_are_refused),
        cmocka_unit_test(what_is_no_key_file_is_refused),
        cmocka_unit_test(unlocked_memory_is_told_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
