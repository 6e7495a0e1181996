/* test_client_no_memory.c - libtrove without memory: the first, second, ... allocation fails until a run meets no fault.
 *
 * It fails in whichever thread it is made, the library's own ones too. What is asked for either succeeds all the same or fails
 * with RESOURCE_EXHAUSTED; an object is then the one before or the new one, whole; the client does what it is asked for next; a
 * sanitizer's build sees that nothing is left behind.
 *
 * Meant are allocations from our code: malloc and the like, pages, what protobuf-c takes for an answer, aios and dialers of nng.
 * Those that nng and libsodium make inside are not: nng ends the process when it can't have a thread or a task's memory.
 */
#include "client_test.h"
#include "cut_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE      (700 * KIB + 123)
#define ENOUGH     (300 * KIB) /* has gone over the connection when it is cut */
#define KEPT       (256 * KIB)
#define FAULTS_MAX 1000
#define SITES_MAX  512

/* ---- allocations ---- */

static atomic_int until_fault; /* 0: none */
static atomic_bool failed;
static _Atomic(void *) site; /* who met it */

static bool fails(void *caller) {
    if (atomic_load(&until_fault) <= 0 || atomic_fetch_sub(&until_fault, 1) != 1)
        return false;
    atomic_store(&site, caller);
    atomic_store(&failed, true);
    return true;
}
#define FAILS fails(__builtin_return_address(0))

static void arm(int n) {
    atomic_store(&failed, false);
    atomic_store(&until_fault, n);
}

static void disarm(void) {
    atomic_store(&until_fault, 0);
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
    return FAILS ? NULL : __real_malloc(bytes);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes) {
    return FAILS ? NULL : __real_calloc(count, bytes);
}

void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes) {
    return FAILS ? NULL : __real_realloc(memory, bytes);
}

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return FAILS ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text) {
    return FAILS ? NULL : __real_strdup(text);
}

char *__real_strndup(const char *text, size_t bytes);
char *__wrap_strndup(const char *text, size_t bytes);
char *__wrap_strndup(const char *text, size_t bytes) {
    return FAILS ? NULL : __real_strndup(text, bytes);
}

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if (!FAILS)
        return __real_mmap(at, bytes, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

#define NNG_ENOMEM 2

int __real_nng_aio_alloc(void **aio, void (*function)(void *), void *argument);
int __wrap_nng_aio_alloc(void **aio, void (*function)(void *), void *argument);
int __wrap_nng_aio_alloc(void **aio, void (*function)(void *), void *argument) {
    return FAILS ? NNG_ENOMEM : __real_nng_aio_alloc(aio, function, argument);
}

int __real_nng_stream_dialer_alloc(void **dialer, const char *url);
int __wrap_nng_stream_dialer_alloc(void **dialer, const char *url);
int __wrap_nng_stream_dialer_alloc(void **dialer, const char *url) {
    return FAILS ? NNG_ENOMEM : __real_nng_stream_dialer_alloc(dialer, url);
}

/* Of a stream's kept Open. */
void *__real_trove__v1__open__unpack(void *allocator, size_t bytes, const uint8_t *packed);
void *__wrap_trove__v1__open__unpack(void *allocator, size_t bytes, const uint8_t *packed);
void *__wrap_trove__v1__open__unpack(void *allocator, size_t bytes, const uint8_t *packed) {
    return FAILS ? NULL : __real_trove__v1__open__unpack(allocator, bytes, packed);
}

/* ---- one thing after the other ---- */

struct run {
    const struct client_test *test;
    struct cut_proxy *proxy;
    trove_client *client;
    trove_stream_options options;
    uint8_t *target;
    char path[160];
    atomic_int done;
    trove_status done_status;
};

typedef trove_status (*operation)(struct run *run, trove_error *error);

/* Its own connection is the operation. */
static trove_status connect_and_close(struct run *run, trove_error *error) {
    trove_client *client = NULL;
    trove_status status = trove_connect(run->test->url, NULL, &client, error);
    if (status != TROVE_OK)
        return status;
    status = trove_ping(client, 0, NULL, error);
    trove_close(client);
    return status;
}

static trove_status put_small(struct run *run, trove_error *error) {
    trove_object_info *info = NULL;
    trove_status status = trove_put_memory(run->client, BUCKET, "small", "abc", 3, &run->options, &info, error);
    trove_object_info_free(info);
    return status;
}

static trove_status put_large(struct run *run, trove_error *error) {
    trove_object_info *info = NULL;
    trove_status status = trove_put_memory(run->client, BUCKET, "large", run->test->bytes, LARGE, &run->options, &info, error);
    trove_object_info_free(info);
    return status;
}

static trove_status put_digested(struct run *run, trove_error *error) {
    run->options.digest.kind = TROVE_DIGEST_SHA256;
    run->options.bytes_per_second = 1024 * MIB;
    return put_large(run, error);
}

static trove_status put_resumable(struct run *run, trove_error *error) {
    run->options.resumable = true;
    return put_large(run, error);
}

static trove_status put_file(struct run *run, trove_error *error) {
    run->options.backpressure = TROVE_BACKPRESSURE_ADAPTIVE;
    return trove_put_file(run->client, BUCKET, "large", run->path, &run->options, NULL, error);
}

static trove_status put_buffered(struct run *run, trove_error *error) {
    run->options.backpressure = TROVE_BACKPRESSURE_BUFFER;
    run->options.chunk_bytes = 64 * KIB;
    run->options.channel_chunks = 1;
    return trove_put_file(run->client, BUCKET, "large", run->path, &run->options, NULL, error);
}

static trove_status get_memory(struct run *run, trove_error *error) {
    trove_object_info *info = NULL;
    size_t bytes = 0;
    trove_status status = trove_get_memory(run->client, BUCKET, "large", run->target, LARGE, &run->options, &bytes, &info, error);
    if (status == TROVE_OK)
        assert_true(bytes == LARGE && memcmp(run->target, run->test->bytes, LARGE) == 0);
    trove_object_info_free(info);
    return status;
}

static trove_status get_file(struct run *run, trove_error *error) {
    char path[192];
    snprintf(path, sizeof path, "%s.got", run->path);
    run->options.resumable = true;
    trove_status status = trove_get_file(run->client, BUCKET, "large", path, &run->options, NULL, error);
    if (status == TROVE_OK)
        assert_int_equal(unlink(path), 0);
    else
        assert_int_equal(access(path, F_OK), -1);
    return status;
}

static trove_status look(struct run *run, trove_error *error) {
    trove_object_info *info = NULL;
    trove_list_page *page = NULL;
    trove_bucket_info *buckets = NULL;
    size_t count = 0;
    trove_upload_page *uploads = NULL;
    trove_list_options options;
    trove_list_options_init(&options);
    trove_status status = trove_object_head(run->client, BUCKET, "large", 0, &info, error);
    if (status == TROVE_OK)
        status = trove_list(run->client, BUCKET, &options, &page, error);
    if (status == TROVE_OK)
        status = trove_bucket_list(run->client, 0, &buckets, &count, error);
    if (status == TROVE_OK)
        status = trove_upload_list(run->client, NULL, &uploads, error);
    trove_object_info_free(info);
    trove_list_page_free(page);
    trove_bucket_list_free(buckets);
    trove_upload_page_free(uploads);
    return status;
}

static trove_status look_at_server(struct run *run, trove_error *error) {
    trove_server_pool *pools = NULL;
    trove_server_stream_page *streams = NULL;
    trove_object_info *info = NULL;
    size_t count = 0;
    trove_status status = trove_server_pool_list(run->client, 0, &pools, &count, error);
    if (status == TROVE_OK)
        status = trove_server_stream_list(run->client, NULL, &streams, error);
    if (status == TROVE_OK)
        status = trove_object_copy(run->client, BUCKET, "large", BUCKET, "copy", NULL, 0, &info, error);
    trove_server_pool_list_free(pools);
    trove_server_stream_page_free(streams);
    trove_object_info_free(info);
    return status;
}

static trove_status get_rest(struct run *run, trove_error *error) {
    uint64_t kept = 0;
    int fd = open(run->path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && ftruncate(fd, KEPT) == 0);
    trove_status status = trove_get_rest(run->client, BUCKET, "large", fd, &run->options, &kept, NULL, error);
    if (status == TROVE_OK)
        assert_int_equal(kept, KEPT);
    assert_int_equal(pwrite(fd, run->test->bytes, LARGE, 0), LARGE);
    close(fd);
    return status;
}

/* There is no such object yet: nothing comes down. */
static trove_status two_ways(struct run *run, trove_error *error) {
    trove_stream *stream = NULL;
    (void)!trove_object_delete(run->client, BUCKET, "both", NULL, 0, NULL);
    trove_status status = trove_stream_open(run->client, BUCKET, "both", TROVE_DIRECTION_BIDI, NULL, &stream, error);
    if (status == TROVE_OK)
        status = trove_stream_start(stream, error);
    if (status == TROVE_OK)
        status = write_bytes(stream, run->test->bytes, 300 * KIB, 5000, error);
    if (status == TROVE_OK)
        status = trove_stream_complete(stream, 5000, NULL, error);
    trove_stream_release(stream);
    return status;
}

static trove_status in_a_pool(struct run *run, trove_error *error) {
    trove_pool_options options;
    trove_pool *pool = NULL;
    trove_stream *stream = NULL;
    trove_pool_options_init(&options);
    options.bytes_per_second = 1024 * MIB;
    trove_status status = trove_pool_create(run->client, "pool", &options, &pool, error);
    if (status != TROVE_OK)
        return status;
    status = trove_pool_acquire(pool, BUCKET, "pooled", TROVE_DIRECTION_UPLOAD, NULL, 5000, &stream, error);
    if (status == TROVE_OK)
        status = trove_stream_start(stream, error);
    if (status == TROVE_OK)
        status = write_bytes(stream, run->test->bytes, 300 * KIB, 5000, error);
    if (status == TROVE_OK)
        status = trove_stream_complete(stream, 5000, NULL, error);
    trove_pool_release(pool, stream);
    (void)trove_pool_close(pool, 5000);
    return status;
}

static void note_done(void *context, const trove_error *error, const void *data, size_t size) {
    struct run *run = context;
    (void)data, (void)size;
    run->done_status = error != NULL ? error->status : TROVE_OK;
    atomic_store(&run->done, 1);
}

static trove_status put_async(struct run *run, trove_error *error) {
    atomic_store(&run->done, 0);
    trove_status status = trove_put_async(run->client, BUCKET, "small", "abc", 3, 5000, note_done, run, error);
    if (status == TROVE_OK)
        WAIT_FOR(atomic_load(&run->done) == 1);
    return status == TROVE_OK ? run->done_status : status;
}

static trove_status echo_async(struct run *run, trove_error *error) {
    atomic_store(&run->done, 0);
    trove_status status = trove_echo_async(run->client, run->test->bytes, 5000, 5000, note_done, run, error);
    if (status == TROVE_OK)
        WAIT_FOR(atomic_load(&run->done) == 1);
    return status == TROVE_OK ? run->done_status : status;
}

/* The connection is lost under both, and comes back. */
static trove_status put_cut(struct run *run, trove_error *error) {
    cut_proxy_after_up(run->proxy, ENOUGH, 1);
    return put_resumable(run, error);
}

static trove_status get_cut(struct run *run, trove_error *error) {
    cut_proxy_after_down(run->proxy, ENOUGH, 1);
    run->options.resumable = true;
    return get_memory(run, error);
}

static const struct {
    const char *name;
    operation run;
    bool connects; /* by itself */
    bool reconnects;
} operations[] = {
    {"connect and close", connect_and_close, true, false},
    {"put a small object", put_small, false, false},
    {"put", put_large, false, false},
    {"put with a digest and a limit", put_digested, false, false},
    {"put, resumable", put_resumable, false, false},
    {"put a file, adaptive", put_file, false, false},
    {"put a file, buffered", put_buffered, false, false},
    {"get", get_memory, false, false},
    {"get a file", get_file, false, false},
    {"list and look", look, false, false},
    {"look at the server, copy", look_at_server, false, false},
    {"get the rest", get_rest, false, false},
    {"both ways", two_ways, false, false},
    {"a stream of a pool", in_a_pool, false, false},
    {"put, asynchronous", put_async, false, false},
    {"echo, asynchronous", echo_async, false, false},
    {"put over a lost connection", put_cut, false, true},
    {"get over a lost connection", get_cut, false, true},
};

/* ---- the faults ---- */

static void *sites[SITES_MAX];
static unsigned site_count;

static void note_site(void) {
    for (unsigned i = 0; i < site_count; i++)
        if (sites[i] == atomic_load(&site))
            return;
    if (site_count < SITES_MAX)
        sites[site_count++] = atomic_load(&site);
}

/* Returns whether a fault was met. */
static bool run_once(struct run *run, size_t which, int n) {
    trove_client_options options;
    trove_error error = {TROVE_OK, ""};
    trove_client_options_init(&options);
    options.call_timeout_ms = 20000;
    trove_stream_options_init(&run->options);
    run->options.chunk_bytes = 128 * KIB;
    run->client = NULL;
    run->proxy = operations[which].reconnects ? cut_proxy_start(run->test->url) : NULL;
    const char *url = run->proxy != NULL ? cut_proxy_url(run->proxy) : run->test->url;
    if (!operations[which].connects)
        CHECK_OK(trove_connect(url, &options, &run->client, &error), &error);
    arm(n);
    trove_status status = operations[which].run(run, &error);
    disarm();
    bool met = atomic_load(&failed);
    if (met)
        note_site();
    if (status != TROVE_OK && status != TROVE_RESOURCE_EXHAUSTED)
        fail_msg("%s, fault %d at %p: %s: %s", operations[which].name, n, atomic_load(&site), trove_status_name(status),
                 error.message);
    if (status != TROVE_OK && !met)
        fail_msg("%s: %s", operations[which].name, error.message);
    if (run->client != NULL) { /* it does what it is asked for next */
        CHECK_OK(trove_ping(run->client, 20000, NULL, &error), &error);
        CHECK_OK(trove_put_memory(run->client, BUCKET, "next", run->test->bytes, 100 * KIB, NULL, NULL, &error), &error);
        trove_close(run->client);
    }
    if (run->proxy != NULL)
        cut_proxy_stop(run->proxy);
    return met;
}

static void test_no_memory(void **state) {
    const struct client_test *test = *state;
    static struct run run;
    run.test = test;
    run.target = malloc(LARGE);
    assert_non_null(run.target);
    snprintf(run.path, sizeof run.path, "%s/source", troved_folder(test->server));
    int fd = open(run.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, test->bytes, LARGE), LARGE);
    close(fd);
    put_object(test, "large", LARGE);
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        int n = 1;
        while (run_once(&run, i, n) && n < FAULTS_MAX)
            n++;
        assert_true(n > 1 && n < FAULTS_MAX);
        print_message("    %s: %d allocations\n", operations[i].name, n - 1);
        check_object(test, "large", test->bytes, LARGE);
    }
    print_message("    %u places in the code\n", site_count);
    WAIT_FOR(server_is_idle(test));
    unlink(run.path);
    free(run.target);
}

int main(int argc, char **argv) {
    client_test_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name(client_test_store(), tests, client_test_begin, client_test_end);
}
