/* The file of keys: what is taken, and what is refused with which line and words. */
#include "authorized_keys.h"
#include "unit.h"

/* Base64 of 32 zeros but for the last byte, 0 to 15 times 4. */
#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="
#define KEY_C "//////////////////////////////////////////8="

static trove_status parse_bytes(const char *text, size_t bytes, struct tvs_authorized_keys *keys, trove_error *error) {
    char *copy = unit_copy(text, bytes);
    error->message[0] = '\0';
    trove_status status = tvs_authorized_keys_parse("keys", copy, bytes, keys, error);
    free(copy);
    return status;
}

static trove_status parse(const char *text, struct tvs_authorized_keys *keys, trove_error *error) {
    return parse_bytes(text, strlen(text), keys, error);
}

static void every_word_reaches_its_place(void **state) {
    (void)state;
    struct tvs_authorized_keys keys;
    trove_error error;
    trove_status status = parse("# who may come in\n"
                                "\n"
                                "  ops " KEY_C " all # does everything\n"
                                "backup.1@host_x-y\t" KEY_A " quota=10GiB read,write:media/b/ expires=2027-01-31 list:media/b/ "
                                "pool=slow_1 bandwidth=20MiB\n"
                                "web " KEY_B " read expires=2027-01-31T12:34:56Z", /* no newline at the end */
                                &keys, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, TROVE_OK);
    assert_int_equal(keys.count, 3);
    static const uint8_t a[TVS_PUBLIC_KEY_BYTES];
    uint8_t b[TVS_PUBLIC_KEY_BYTES] = {[TVS_PUBLIC_KEY_BYTES - 1] = 1};
    uint8_t c[TVS_PUBLIC_KEY_BYTES];
    memset(c, 0xFF, sizeof c);
    const struct tvs_principal *backup = tvs_authorized_keys_find(&keys, a);
    assert_non_null(backup);
    assert_int_equal(backup->kind, TVS_PRINCIPAL_KEY);
    assert_string_equal(backup->name, "key:backup.1@host_x-y");
    assert_int_equal(backup->quota_bytes, (uint64_t)10 << 30);
    assert_string_equal(backup->pool, "slow_1");
    assert_int_equal(backup->bandwidth, (uint64_t)20 << 20);
    assert_true(backup->expires_ns == 1801353600ull * 1000000000);
    assert_true(tvs_rights_allow(backup->rights, TVS_RIGHT_WRITE | TVS_RIGHT_LIST, "media", "b/x"));
    assert_false(tvs_rights_allow(backup->rights, TVS_RIGHT_DELETE, "media", "b/x"));
    const struct tvs_principal *web = tvs_authorized_keys_find(&keys, b);
    assert_non_null(web);
    assert_true(web->expires_ns == (1801353600ull + 45296) * 1000000000);
    const struct tvs_principal *ops = tvs_authorized_keys_find(&keys, c);
    assert_non_null(ops);
    assert_string_equal(ops->name, "key:ops");
    assert_true(ops->expires_ns == 0 && ops->quota_bytes == 0 && ops->bandwidth == 0 && ops->pool[0] == '\0');
    assert_true(tvs_rights_allow(ops->rights, TVS_RIGHTS_ALL, NULL, ""));
    c[0] = 0;
    assert_null(tvs_authorized_keys_find(&keys, c));
    tvs_authorized_keys_fini(&keys);
}

static void nobody(void **state) {
    (void)state;
    static const char *const texts[] = {"", "\n", "\n\n# none\n", "   \t  ", "#"};
    static const uint8_t key[TVS_PUBLIC_KEY_BYTES];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tvs_authorized_keys keys;
        trove_error error;
        assert_int_equal(parse(texts[i], &keys, &error), TROVE_OK);
        assert_int_equal(keys.count, 0);
        assert_null(tvs_authorized_keys_find(&keys, key));
        tvs_authorized_keys_fini(&keys);
    }
}

static void expiry_is_a_moment(void **state) {
    (void)state;
    struct tvs_principal principal = {.expires_ns = 1000};
    assert_false(tvs_principal_expired(&principal, 999));
    assert_true(tvs_principal_expired(&principal, 1000));
    principal.expires_ns = 0;
    assert_false(tvs_principal_expired(&principal, UINT64_MAX));
}

static void mistakes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        const char *message;
    } rows[] = {
        {"a name alone", "ops", "keys line 1: there is no public key behind the name \"ops\""},
        {"no rights", "ops " KEY_A, "line 1: no rights are named"},
        {"no rights but options", "ops " KEY_A " quota=1MiB", "line 1: no rights are named"},
        {"a comment in the key's place", "ops # " KEY_A " all", "there is no public key"},
        {"a comment in the rights' place", "ops " KEY_A " # all", "no rights are named"},
        {"a name with a slash", "a/b " KEY_A " all", "is no name"},
        {"a name that isn't ASCII", "\xC3\xA4 " KEY_A " all", "is no name"},
        {"the second line", "ops " KEY_A " all\nweb " KEY_B " reed", "keys line 2: grant \"reed\""},
        {"a line behind empty ones", "\n\n# x\nops x all", "line 4: the second word is no public key"},
        {"a key that is too short", "ops AAAA all", "no public key"},
        {"a key that is too long", "ops A" KEY_A " all", "no public key"},
        {"a key with other characters", "ops ____AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= all", "no public key"},
        {"a key that is written otherwise", "ops AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB= all", "no public key"},
        {"a key without its end", "ops AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA all", "no public key"},
        {"a name twice", "ops " KEY_A " all\n\nops " KEY_B " all", "line 3: the name \"ops\" is there already, in line 1"},
        {"a key twice", "ops " KEY_A " all\nweb " KEY_A " all", "line 2: this public key is there already, in line 1"},
        {"an unknown option", "ops " KEY_A " all from=10.0.0.1", "\"from=10.0.0.1\" is no right"},
        {"an option twice", "ops " KEY_A " all quota=1MiB quota=2MiB", "\"quota=2MiB\": this option is there already"},
        {"no day", "ops " KEY_A " all expires=soon", "expires=soon is no time"},
        {"an empty day", "ops " KEY_A " all expires=", "is no time"},
        {"no such day", "ops " KEY_A " all expires=2027-02-30", "is no time"},
        {"a short day", "ops " KEY_A " all expires=2027-1-31", "is no time"},
        {"another zone", "ops " KEY_A " all expires=2027-01-31T12:00:00+01:00", "is no time"},
        {"an hour too many", "ops " KEY_A " all expires=2027-01-31T24:00:00Z", "is no time"},
        {"a leap second", "ops " KEY_A " all expires=2027-01-31T12:00:60Z", "is no time"},
        {"before the epoch", "ops " KEY_A " all expires=1969-12-31", "is no time"},
        {"a quota without a unit", "ops " KEY_A " all quota=10", "quota: "},
        {"a quota of nothing", "ops " KEY_A " all quota=0B", "leave it out"},
        {"a bandwidth without a unit", "ops " KEY_A " all bandwidth=1000", "bandwidth: "},
        {"a bandwidth of nothing", "ops " KEY_A " all bandwidth=0B", "bandwidth: 0B; 1KiB to 1024GiB a second are allowed"},
        {"next to no bandwidth", "ops " KEY_A " all bandwidth=1023B", "bandwidth: 1023B; 1KiB to"},
        {"two bandwidths", "ops " KEY_A " all bandwidth=1KiB bandwidth=1KiB", "this option is there already"},
        {"no pool's name", "ops " KEY_A " all pool=A", "pool=A: a pool's name has"},
        {"an empty pool", "ops " KEY_A " all pool=", "pool=: a pool's name has"},
        {"two pools", "ops " KEY_A " all pool=a pool=a", "this option is there already"},
        {"a carriage return", "ops " KEY_A " all\r\n", "line 1: a control character (0D) in column 53"},
        {"a control character in a comment", "# \x1B[2J\n", "a control character (1B) in column 3"},
        {"DEL", "\x7F", "a control character (7F) in column 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_authorized_keys keys;
        trove_error error;
        unit_row(rows[i].name);
        assert_int_equal(parse(rows[i].text, &keys, &error), TROVE_INVALID_ARGUMENT);
        if (strstr(error.message, rows[i].message) == NULL)
            fail_msg("%s", error.message);
        assert_int_equal(keys.count, 0);
        assert_null(keys.list);
    }
}

static void bounds(void **state) {
    (void)state;
    struct tvs_authorized_keys keys;
    trove_error error;
    char line[256];
    for (int more = -1; more <= 1; more++) {
        snprintf(line, sizeof line, "%.*s " KEY_A " all", TVS_KEY_NAME_BYTES_MAX + more,
                 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
        assert_int_equal(parse(line, &keys, &error), more <= 0 ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        tvs_authorized_keys_fini(&keys);
    }
    assert_int_equal(parse_bytes("a\0b", 3, &keys, &error), TROVE_INVALID_ARGUMENT);
    char *text = malloc(TVS_AUTHORIZED_KEYS_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, '\n', TVS_AUTHORIZED_KEYS_BYTES_MAX + 1);
    assert_int_equal(parse_bytes(text, TVS_AUTHORIZED_KEYS_BYTES_MAX, &keys, &error), TROVE_OK);
    assert_int_equal(parse_bytes(text, TVS_AUTHORIZED_KEYS_BYTES_MAX + 1, &keys, &error), TROVE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "larger than"));
    free(text);
}

/* A number in the first four characters of base64, so that it stands in the first three bytes. */
static void number_key(char *key, unsigned number) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 4; i++)
        key[i] = digits[number >> (18 - 6 * i) & 63];
}

static void as_many_as_fit(void **state) {
    (void)state;
    size_t capacity = (TVS_AUTHORIZED_KEYS_MAX + 1) * 80;
    char *text = malloc(capacity);
    assert_non_null(text);
    for (unsigned count = TVS_AUTHORIZED_KEYS_MAX - 1; count <= TVS_AUTHORIZED_KEYS_MAX + 1; count++) {
        struct tvs_authorized_keys keys;
        trove_error error;
        size_t used = 0;
        for (unsigned i = 0; i < count; i++) {
            char key[] = KEY_A;
            number_key(key, i * 2654435761u >> 8);
            used += (size_t)snprintf(text + used, capacity - used, "n%u %s read\n", i, key);
        }
        bool fits = count <= TVS_AUTHORIZED_KEYS_MAX;
        assert_int_equal(parse_bytes(text, used, &keys, &error), fits ? TROVE_OK : TROVE_INVALID_ARGUMENT);
        if (!fits)
            assert_non_null(strstr(error.message, "more than 4096 keys"));
        uint8_t wanted[TVS_PUBLIC_KEY_BYTES] = {0};
        unsigned last = (count - 1) * 2654435761u >> 8;
        wanted[0] = (uint8_t)(last >> 16);
        wanted[1] = (uint8_t)(last >> 8);
        wanted[2] = (uint8_t)last;
        assert_int_equal(tvs_authorized_keys_find(&keys, wanted) != NULL, fits);
        tvs_authorized_keys_fini(&keys);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_reaches_its_place),
        cmocka_unit_test(nobody),
        cmocka_unit_test(expiry_is_a_moment),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(bounds),
        cmocka_unit_test(as_many_as_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
