/* test_part.c - which unfinished downloads stay for the next call. */
#include "part.h"
#include "scratch.h"
#include "unit.h"

#include <unistd.h>

#define WORTH_BYTES (1 << 20)

static void what_stays(void **state) {
    (void)state;
    static const struct {
        const char *name;
        trove_status status;
        off_t bytes;
        bool resumable;
        bool stays;
    } rows[] = {
        {"lost connection", TROVE_UNAVAILABLE, WORTH_BYTES, true, true},
        {"little of it", TROVE_UNAVAILABLE, WORTH_BYTES - 1, true, false},
        {"not to be gone on with", TROVE_UNAVAILABLE, WORTH_BYTES, false, false},
        {"too late", TROVE_DEADLINE_EXCEEDED, WORTH_BYTES, true, true},
        {"cancelled", TROVE_CANCELLED, WORTH_BYTES, true, true},
        {"aborted", TROVE_ABORTED, WORTH_BYTES, true, true},
        {"no room at the server", TROVE_RESOURCE_EXHAUSTED, WORTH_BYTES, true, true},
        {"revoked key", TROVE_UNAUTHENTICATED, WORTH_BYTES, true, true},
        {"right that was taken", TROVE_PERMISSION_DENIED, WORTH_BYTES, true, true},
        {"no object", TROVE_NOT_FOUND, WORTH_BYTES, true, false},
        {"condition that isn't met", TROVE_FAILED_PRECONDITION, WORTH_BYTES, true, false},
        {"lost bytes", TROVE_DATA_LOSS, WORTH_BYTES, true, false},
    };
    char folder[SCRATCH_BYTES];
    char target[SCRATCH_BYTES + 8];
    assert_true(scratch_make(folder));
    snprintf(target, sizeof target, "%s/target", folder);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvc_part part;
        unit_row(rows[i].name);
        assert_int_equal(tvc_part_open(&part, target, "bucket", "key", rows[i].resumable, NULL), TROVE_OK);
        char *path = strdup(part.path);
        assert_non_null(path);
        assert_int_equal(ftruncate(part.fd, rows[i].bytes), 0);
        tvc_part_close(&part, rows[i].status);
        assert_int_equal(access(path, F_OK) == 0, rows[i].stays);
        unlink(path);
        free(path);
    }
    assert_true(scratch_remove(folder));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
