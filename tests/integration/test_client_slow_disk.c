/* test_client_slow_disk.c - backpressure "buffer" when the disk of the overflow takes its time: what happens to a stream while its oldest
 * chunk is being read back.
 *
 * The library's pread is the one in here: it waits while the gate is shut.
 */
#include "client_test.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHUNK       (64 * KIB)
#define WINDOW      4
#define LONG_ENOUGH 20000

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut;
    unsigned waiting;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

ssize_t pread(int fd, void *memory, size_t bytes, off_t offset) {
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.shut)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    pthread_mutex_unlock(&gate.lock);
    return syscall(SYS_pread64, fd, memory, bytes, offset);
}

static void shut_gate(bool shut) {
    pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void wait_at_gate(void) {
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting == 0)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

/* A stream with `spilled` chunks beyond its window, the oldest of which is being read from the file. */
static trove_stream *open_at_gate(const struct client_test *test, const char *key, unsigned spilled) {
    trove_stream_options options;
    trove_error error;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = WINDOW;
    options.backpressure = TROVE_BACKPRESSURE_BUFFER;
    options.overflow_memory_bytes = 0;
    trove_stream *stream = open_stream(test, key, TROVE_DIRECTION_UPLOAD, &options);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_PAUSE, 0, 0, NULL, &error), &error);
    CHECK_OK(write_bytes(stream, test->bytes, (WINDOW + spilled) * CHUNK, LONG_ENOUGH, &error), &error);
    shut_gate(true);
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_RESUME, 0, 0, NULL, &error), &error);
    wait_at_gate();
    return stream;
}

static void seek_back(trove_stream *stream) {
    trove_error error;
    CHECK_OK(trove_stream_control(stream, TROVE_CONTROL_SEEK, 0, 0, NULL, &error), &error);
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
    CHECK_OK(write_bytes(stream, other, size, LONG_ENOUGH, &error), &error);
    CHECK_OK(trove_stream_complete(stream, LONG_ENOUGH, NULL, &error), &error);
    trove_stream_release(stream);
    check_object(test, "twice", other, size);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sought_and_released),
        cmocka_unit_test(test_sought_twice),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
