/* test_client_overflow.c - the file of backpressure "buffer": a disk that takes its time, a folder that isn't there, bytes that
 * change. (More of "buffer": test_client_buffer.c.)
 */
#include "client_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHUNK  (64 * KIB)
#define WINDOW 4

/* The library's pread is the one in here: it waits while the gate is shut. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut;
    unsigned waiting;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

ssize_t pread(int fd, void *buf, size_t bytes, off_t offset) {
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    while (gate.shut)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    pthread_mutex_unlock(&gate.lock);
    return syscall(SYS_pread64, fd, buf, bytes, offset);
}

static void shut_gate(bool shut) {
    pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static bool is_at_gate(void) {
    pthread_mutex_lock(&gate.lock);
    bool waits = gate.waiting > 0;
    pthread_mutex_unlock(&gate.lock);
    return waits;
}

/* A stream that is paused, with `spilled` chunks beyond its window in the file. */
static trove_stream *open_spilled(const struct client_test *test, const char *key, const char *folder, unsigned spilled) {
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = WINDOW;
    options.backpressure = TROVE_BACKPRESSURE_BUFFER;
    options.overflow_memory_bytes = 0;
    options.overflow_folder = folder;
    trove_stream *stream = open_stream(test, key, TROVE_DIRECTION_UPLOAD, &options);
    control_stream(stream, TROVE_CONTROL_PAUSE, 0, TROVE_STREAM_PAUSED);
    CHECK_OK(write_bytes(stream, test->bytes, (WINDOW + spilled) * CHUNK, PATIENCE_MS, &error), &error);
    return stream;
}

/* ---- a slow disk ---- */

/* The oldest chunk is being read from the file. */
static trove_stream *open_at_gate(const struct client_test *test, const char *key, unsigned spilled) {
    trove_stream *stream = open_spilled(test, key, NULL, spilled);
    shut_gate(true);
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    WAIT_FOR(is_at_gate());
    return stream;
}

static void seek_back(trove_stream *stream) {
    control_stream(stream, TROVE_CONTROL_SEEK, 0, TROVE_STREAM_ACTIVE);
}

/* What a seek has given up isn't given up once more when the stream ends. */
static void test_sought_and_released(void **state) {
    const struct client_test *test = *state;
    trove_stream *stream = open_at_gate(test, "released", 1);
    seek_back(stream);
    trove_stream_release(stream);
    shut_gate(false);
}

/* Nor by a second seek: all of it is forgotten, and nothing of it comes up later. */
static void test_sought_twice(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_stream *stream = open_at_gate(test, "twice", 3);
    seek_back(stream);
    seek_back(stream);
    shut_gate(false);
    const uint8_t *other = test->bytes + 100 * CHUNK;
    const size_t size = 12 * CHUNK;
    CHECK_OK(write_bytes(stream, other, size, PATIENCE_MS, &error), &error);
    CHECK_OK(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "twice", other, size);
}

/* ---- the file ---- */

static void test_no_folder_fails_the_stream(void **state) {
    const struct client_test *test = *state;
    trove_error error;
    trove_stream *stream = open_spilled(test, "no-folder", "/nowhere/at/all", 0);
    CHECK_FAILS(write_bytes(stream, test->bytes, CHUNK, PATIENCE_MS, &error), FAILED_PRECONDITION, "/nowhere/at/all", &error);
    assert_int_equal(trove_stream_state_get(stream), TROVE_STREAM_FAILED);
    assert_int_equal(check_account(stream).chunks_abandoned, WINDOW);
    CHECK_FAILS(trove_stream_complete(stream, 0, NULL, &error), FAILED_PRECONDITION, "no-folder", &error);
    trove_stream_release(stream);
}

/* The overflow's file has no name; among the descriptors of this process it has. */
static int open_overflow(const char *folder) {
    DIR *descriptors = opendir("/proc/self/fd");
    assert_non_null(descriptors);
    int found = -1;
    for (struct dirent *entry = readdir(descriptors); entry != NULL; entry = readdir(descriptors)) {
        char path[300];
        char target[600] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        if (readlink(path, target, sizeof target - 1) > 0 && strncmp(target, folder, strlen(folder)) == 0)
            found = open(path, O_RDWR | O_CLOEXEC);
    }
    closedir(descriptors);
    return found;
}

static void test_damage_fails_the_stream(void **state) {
    const struct client_test *test = *state;
    char folder[512];
    trove_error error;
    snprintf(folder, sizeof folder, "%s/overflow", troved_folder(test->server));
    assert_int_equal(mkdir(folder, 0700), 0);
    trove_stream *stream = open_spilled(test, "damaged", folder, 6);
    int fd = open_overflow(folder);
    assert_true(fd >= 0);
    assert_int_equal(rmdir(folder), 0); /* which shows that nothing was in it */
    assert_int_equal(pwrite(fd, "x", 1, 3 * CHUNK + 77), 1);
    close(fd);
    control_stream(stream, TROVE_CONTROL_RESUME, 0, TROVE_STREAM_ACTIVE);
    CHECK_FAILS(trove_stream_complete(stream, PATIENCE_MS, NULL, &error), DATA_LOSS, "damaged", &error);
    trove_stream_metrics metrics = check_account(stream);
    assert_int_equal(metrics.bytes_waiting, 0);
    assert_true(metrics.chunks_abandoned >= 1);
    trove_stream_release(stream);
    trove_object_info *info = NULL;
    CHECK_FAILS(trove_object_head(test->client, BUCKET, "damaged", 0, &info, &error), NOT_FOUND, "damaged", &error);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sought_and_released),
        cmocka_unit_test(test_sought_twice),
        cmocka_unit_test(test_no_folder_fails_the_stream),
        cmocka_unit_test(test_damage_fails_the_stream),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
