/* two_way_group.c - see two_way.h. */
#include "two_way.h"

static const char config[] = "memory: 16MiB\n"
                             "workers: 2\n"
                             "pools:\n"
                             "  - {name: one, streams: 1}\n"
                             "  - {name: idle, idle_timeout: 1s}\n"
                             "  - {name: brief, stream_timeout: 1s}\n"
                             "  - {name: slow, bandwidth: 2MiB}\n";

static const char *group_store;
static struct troved *server;
uint8_t both_old_bytes[(size_t)2 << 20];
uint8_t both_new_bytes[(size_t)2 << 20];

struct raw_client both_client;
struct raw_client both_other;

void both_connect(struct raw_client *to) {
    raw_open(to, troved_url(server, "ipc"));
    raw_greet(to, true);
}

static int begin_group(void **state) {
    const struct troved_options options = {.listen = {"ipc://%s/socket"}, .store = group_store, .config = config};
    (void)state;
    server = troved_start(&options, NULL);
    both_connect(&both_other);
    both_make_bucket(&both_other, "media");
    return 0;
}

static int end_group(void **state) {
    (void)state;
    raw_close(&both_other);
    return troved_stop(server, false);
}

int both_begin_test(void **state) {
    (void)state;
    both_connect(&both_client);
    both_put(&both_other, "media", "kept", both_old_bytes, OLD_BYTES);
    return 0;
}

/* Whatever a test did: nothing is left under way. */
int both_end_test(void **state) {
    (void)state;
    raw_close(&both_client);
    both_wait_until_quiet(&both_other);
    return 0;
}

void both_open_kept(struct both_ways *peer) {
    Trove__V1__Open open;
    both_init_open(&open, "media", "kept");
    both_open(peer, &both_client, &open);
    BOTH_UNTIL(peer, peer->opened);
}

void both_check_old(void) {
    both_check(&both_other, "media", "kept", both_old_bytes, OLD_BYTES);
}

void both_check_came(const struct both_ways *peer) {
    assert_int_equal(peer->came_bytes, OLD_BYTES);
    assert_memory_equal(peer->bytes, both_old_bytes, OLD_BYTES);
}

Trove__V1__StreamState both_listed_state(const struct both_ways *peer) {
    Trove__V1__StreamListResponse *list = both_streams(&both_other);
    assert_int_equal(list->n_streams, 1);
    assert_int_equal(list->streams[0]->stream_id, peer->stream_id);
    assert_int_equal(list->streams[0]->direction, TROVE__V1__DIRECTION__BIDI);
    Trove__V1__StreamState state = list->streams[0]->state;
    protobuf_c_message_free_unpacked(&list->base, NULL);
    return state;
}

void both_wait_for_state(const struct both_ways *peer, Trove__V1__StreamState state) {
    for (size_t looks = 0; both_listed_state(peer) != state; looks++)
        assert_true(looks < 1000000);
}

/* ---- groups ---- */

static int run_group(const char *store, const struct CMUnitTest *tests, size_t count) {
    group_store = store;
    print_message("---- %s ----\n", store);
    return _cmocka_run_group_tests(store, tests, count, begin_group, end_group);
}

int both_run(const struct CMUnitTest *tests, size_t count) {
    for (size_t i = 0; i < sizeof both_old_bytes; i++) {
        both_old_bytes[i] = (uint8_t)((i * 2654435761u >> 13) | 1); /* never zero */
        both_new_bytes[i] = (uint8_t)((i * 2246822519u >> 11) | 1);
    }
    int failed = run_group("mem://", tests, count);
    failed += run_group("local://%s/store", tests, count);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
