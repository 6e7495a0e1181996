/* What one address may have: connections at once, handshakes a minute; and that others have theirs meanwhile. */
#include "address_limits.h"
#include "unit.h"

#define SECOND_NS UINT64_C(1000000000)

static struct tvs_address_limits *create(uint32_t connections_max, uint32_t handshakes_max) {
    struct tvs_address_limits *limits = NULL;
    trove_error error;
    const struct tvs_address_limits_options options = {connections_max, handshakes_max, 100};
    assert_int_equal(tvs_address_limits_create(&options, &limits, &error), TROVE_OK);
    return limits;
}

static bool enter(struct tvs_address_limits *limits, const char *peer, bool handshake, uint64_t now_ns, struct tvs_entry *entry) {
    trove_error error;
    trove_status status = tvs_address_limits_enter(limits, peer, handshake, now_ns, entry, &error);
    assert_true(status == TROVE_OK || status == TROVE_RESOURCE_EXHAUSTED);
    assert_int_equal(entry->refused, status != TROVE_OK);
    return status == TROVE_OK;
}

static void which_peers_are_one_address(void **state) {
    (void)state;
    static const struct {
        const char *left;
        const char *right;
        bool same;
    } rows[] = {
        {"10.0.0.1:1", "10.0.0.1:2", true},
        {"10.0.0.1:1", "10.0.0.2:1", false},
        {"[2001:db8::1]:1", "[2001:db8::ffff:1]:2", true},
        {"[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false},
        {"[::ffff:10.0.0.1]:1", "10.0.0.1:9", true},
        {"[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:1", false},
        {"[::1]:1", "10.0.0.1:1", false},
        {"pid 1 uid 1000", "pid 2 uid 1000", true},
        {"pid 1 uid 1000", "pid 1 uid 100", false},
        {"unknown", "unknown", true},
        {"unknown", "10.0.0.1:1", false},
        {"[:", "unknown", true},
        {"", "unknown", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_address_limits *limits = create(10, 10);
        struct tvs_entry left;
        struct tvs_entry right;
        unit_row(rows[i].left);
        assert_true(enter(limits, rows[i].left, false, 0, &left));
        assert_true(enter(limits, rows[i].right, false, 0, &right));
        assert_int_equal(left.address == right.address, rows[i].same);
        assert_int_equal(tvs_address_limits_count(limits), rows[i].same ? 1 : 2);
        tvs_address_limits_leave(limits, &left);
        tvs_address_limits_leave(limits, &right);
        tvs_address_limits_destroy(limits);
    }
}

static void connections_at_once(void **state) {
    (void)state;
    struct tvs_address_limits *limits = create(3, 10);
    struct tvs_entry entries[3];
    struct tvs_entry more;
    struct tvs_entry other;
    trove_error error;
    for (size_t i = 0; i < 3; i++)
        assert_true(enter(limits, "10.0.0.1:1", false, 0, &entries[i]));
    assert_int_equal(tvs_address_limits_enter(limits, "10.0.0.1:1", false, 0, &more, &error), TROVE_RESOURCE_EXHAUSTED);
    assert_string_equal(error.message, "there are 3 connections from this address, which is the limit (connections.per_address)");
    assert_true(more.politely);
    assert_true(enter(limits, "10.0.0.2:1", false, 0, &other));
    tvs_address_limits_leave(limits, &entries[1]);
    tvs_address_limits_leave(limits, &entries[1]); /* has left already */
    /* Whoever is being refused takes nobody's place. */
    assert_true(enter(limits, "10.0.0.1:1", false, 0, &entries[1]));
    tvs_address_limits_leave(limits, &more);
    assert_false(enter(limits, "10.0.0.1:1", false, 0, &more));
    tvs_address_limits_leave(limits, &more);
    for (size_t i = 0; i < 3; i++)
        tvs_address_limits_leave(limits, &entries[i]);
    tvs_address_limits_leave(limits, &other);
    tvs_address_limits_destroy(limits);
}

static void few_are_refused_politely(void **state) {
    (void)state;
    struct tvs_address_limits *limits = create(1, 10);
    struct tvs_entry first;
    struct tvs_entry more[TVS_REFUSED_POLITELY_MAX + 1];
    assert_true(enter(limits, "10.0.0.1:1", false, 0, &first));
    for (size_t i = 0; i <= TVS_REFUSED_POLITELY_MAX; i++) {
        assert_false(enter(limits, "10.0.0.1:1", false, 0, &more[i]));
        assert_int_equal(more[i].politely, i < TVS_REFUSED_POLITELY_MAX);
    }
    for (size_t i = 0; i <= TVS_REFUSED_POLITELY_MAX; i++)
        tvs_address_limits_leave(limits, &more[i]);
    tvs_address_limits_leave(limits, &first);
    tvs_address_limits_destroy(limits);
}

/* `count` connections, one after the other; returns how many were let in. */
static unsigned come(struct tvs_address_limits *limits, const char *peer, unsigned count, uint64_t now_ns) {
    unsigned let_in = 0;
    for (unsigned i = 0; i < count; i++) {
        struct tvs_entry entry;
        let_in += enter(limits, peer, true, now_ns, &entry);
        tvs_address_limits_leave(limits, &entry);
    }
    return let_in;
}

static void handshakes_a_minute(void **state) {
    (void)state;
    struct tvs_address_limits *limits = create(10, 60);
    assert_int_equal(come(limits, "10.0.0.1:1", 100, SECOND_NS), 60);
    assert_int_equal(come(limits, "10.0.0.2:1", 59, SECOND_NS), 59);
    assert_int_equal(come(limits, "10.0.0.1:1", 100, 2 * SECOND_NS), 1);
    assert_int_equal(come(limits, "10.0.0.1:1", 100, 12 * SECOND_NS), 10);
    assert_int_equal(come(limits, "10.0.0.1:1", 100, 1000 * SECOND_NS), 60);
    assert_int_equal(come(limits, "10.0.0.1:1", 100, 990 * SECOND_NS), 0); /* a clock that another thread read earlier */
    struct tvs_entry entry;
    trove_error error;
    assert_int_equal(tvs_address_limits_enter(limits, "10.0.0.1:1", true, 1000 * SECOND_NS, &entry, &error),
                     TROVE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "more than 60 handshakes a minute"));
    tvs_address_limits_leave(limits, &entry);
    assert_true(enter(limits, "10.0.0.1:1", false, 1000 * SECOND_NS, &entry)); /* without one */
    tvs_address_limits_leave(limits, &entry);
    tvs_address_limits_destroy(limits);
}

static void addresses_are_forgotten(void **state) {
    (void)state;
    struct tvs_address_limits *limits = create(10, 60);
    struct tvs_entry kept;
    char peer[32];
    assert_true(enter(limits, "10.9.9.9:1", false, 0, &kept));
    for (unsigned i = 0; i < 5000; i++) { /* more than are remembered */
        snprintf(peer, sizeof peer, "10.1.%u.%u:1", i >> 8, i & 255);
        assert_int_equal(come(limits, peer, 1, SECOND_NS), 1);
    }
    assert_in_range(tvs_address_limits_count(limits), 2, 100 + 1024);
    assert_int_equal(come(limits, "10.2.0.1:1", 1, 100 * SECOND_NS), 1);
    assert_int_equal(tvs_address_limits_count(limits), 2);
    tvs_address_limits_leave(limits, &kept);
    tvs_address_limits_destroy(limits);
    tvs_address_limits_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_peers_are_one_address), cmocka_unit_test(connections_at_once),
        cmocka_unit_test(few_are_refused_politely),    cmocka_unit_test(handshakes_a_minute),
        cmocka_unit_test(addresses_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
