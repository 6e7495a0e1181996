/* fixture.c - see fixture.h. */
#include "fixture.h"

#include "elsewhere.h"
#include "local_waiter.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct tvs_driver_ops *fixture_ops;

/* What the index needs at least: the more it has, the longer it takes to be opened and closed. */
#define INDEX_BYTES (16 * TV_MIB)

static pthread_key_t area_key;
static pthread_once_t area_once = PTHREAD_ONCE_INIT;

static void make_area_key(void) {
    (void)pthread_key_create(&area_key, free);
}

/* A page more than a payload, the calling thread's, for all that it puts and reads: large blocks of the heap come from the kernel
 * each time, and a sanitizer makes that dear. */
static char *thread_area(void) {
    pthread_once(&area_once, make_area_key);
    char *area = pthread_getspecific(area_key);
    if (area == NULL) {
        area = aligned_alloc(4096, TV_PAYLOAD_BYTES_MAX + 4096);
        (void)pthread_setspecific(area_key, area);
    }
    return area;
}

void fixture_choose(int count, char **arguments) {
    char dsn[32];
    trove_error error = {0};
    const char *path;
    snprintf(dsn, sizeof dsn, "%.20s://", count > 1 ? arguments[1] : "");
    fixture_ops = tvs_driver_find(dsn, &path, &error);
    if (fixture_ops == NULL) {
        fprintf(stderr, "usage: %s null|mem|local (%s)\n", arguments[0], error.message);
        exit(2);
    }
}

static void print_log(void *context, const char *message) {
    (void)context;
    print_message("log: %s\n", message);
}

void store_open(struct store *store) {
    trove_error error = {0};
    must(store->ops->open(&store->config, &store->driver, &error), &error);
}

void store_close(struct store *store) {
    if (store->driver != NULL)
        store->ops->close(store->driver);
    store->driver = NULL;
}

static int setup(void **state, bool relaxed) {
    struct store *store = calloc(1, sizeof *store);
    if (!scratch_make(store->path))
        return -1;
    store->ops = fixture_ops;
    store->config = (struct tvs_driver_config){.path = store->path, .log = print_log, .relaxed = relaxed};
    if (store->ops == &tvs_local_driver)
        store->config.memory_bytes = INDEX_BYTES;
    store_open(store);
    (void)!store->ops->bucket_create(store->driver, "bucket", NULL);
    *state = store;
    return 0;
}

int store_setup(void **state) {
    return setup(state, false);
}

int relaxed_setup(void **state) {
    return setup(state, (fixture_ops->capabilities & TVS_CAP_DURABLE) != 0);
}

void store_renew(struct store *store) {
    store_close(store);
    (void)scratch_remove(store->path);
    store_open(store);
    trove_error error = {0};
    must(store->ops->bucket_create(store->driver, "bucket", &error), &error);
}

int store_teardown(void **state) {
    struct store *store = *state;
    store_close(store);
    (void)scratch_remove(store->path);
    free(store);
    return 0;
}

char *bytes_make(size_t size, uint64_t seed) {
    char *bytes = aligned_alloc(4096, (size + 8 + 4095) / 4096 * 4096);
    uint64_t x = seed * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i < size; i += sizeof x) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bytes + i, &x, sizeof x);
    }
    return bytes;
}

/* ---- putting --------------------------------------------------------------------------------------------------------- */

static size_t or_default(size_t value, size_t otherwise) {
    return value != 0 ? value : otherwise;
}

/* The gap that begins at `offset`, or else where the next one does: data may be written up to there. */
static const trove_gap *next_gap(const struct put_how *how, size_t offset, size_t *end) {
    for (size_t i = 0; i < how->gap_count; i++) {
        if (how->gaps[i].offset == offset)
            return &how->gaps[i];
        if (how->gaps[i].offset > offset && how->gaps[i].offset < *end)
            *end = (size_t)how->gaps[i].offset;
    }
    return NULL;
}

trove_status put_more(struct store *store, struct tvs_put *put, const char *bytes, size_t from, size_t to,
                      const struct put_how *how, trove_error *error) {
    char *area = thread_area();
    trove_status status = TROVE_OK;
    for (size_t offset = from; offset < to && status == TROVE_OK;) {
        size_t end = to;
        const trove_gap *gap = next_gap(how, offset, &end);
        if (gap != NULL) {
            status = store->ops->put_gap(put, offset, gap->length, error);
            offset += (size_t)gap->length;
            continue;
        }
        size_t here = or_default(how->write_bytes, TV_PAYLOAD_BYTES_MAX);
        if (here > end - offset)
            here = end - offset;
        memcpy(area + how->shift, bytes + offset, here);
        struct tv_data data = {.offset = offset, .bytes = here};
        for (size_t at = 0; at < here;) {
            size_t part = or_default(how->iov_bytes, TV_SEGMENT_BYTES);
            if (part > here - at || data.iov_count == TV_DATA_PIECES_MAX)
                part = here - at;
            data.iov[data.iov_count].iov_base = area + how->shift + at;
            data.iov[data.iov_count++].iov_len = part;
            at += part;
        }
        tv_data_hash(&data);
        status = store->ops->put_write(put, &data, error);
        /* The memory is the caller's again: nobody may look at it from now on. */
        memset(area + how->shift, 0xEE, here);
        offset += here;
    }
    return status;
}

static struct tvs_put_options options_of(const struct put_how *how, size_t size) {
    struct tvs_put_options options = how->options;
    if (options.content_type == NULL)
        options.content_type = "";
    if (options.size_hint == 0)
        options.size_hint = size;
    return options;
}

trove_status put_uncommitted(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size,
                             const struct put_how *how, struct tvs_put **put, trove_error *error) {
    static const struct put_how plain;
    how = how != NULL ? how : &plain;
    struct tvs_put_options options = options_of(how, size);
    struct tvs_put *made = NULL;
    trove_status status = store->ops->put_begin(store->driver, bucket, key, &options, &made, error);
    if (status != TROVE_OK)
        return status;
    status = put_more(store, made, bytes, 0, size, how, error);
    if (status != TROVE_OK) {
        store->ops->put_abort(made);
        return status;
    }
    *put = made;
    return TROVE_OK;
}

trove_status put_commit_as(struct store *store, struct tvs_put *put_move, const char *etag, struct tvs_object *object,
                           trove_error *error) {
    struct tvs_waiter waiter;
    tvs_waiter_init(&waiter, object, error);
    store->ops->put_commit(put_move, etag, tvs_waiter_done, &waiter);
    return tvs_waiter_wait(&waiter);
}

trove_status put_commit_wait(struct store *store, struct tvs_put *put_move, struct tvs_object *object, trove_error *error) {
    return put_commit_as(store, put_move, NULL, object, error);
}

static trove_status put_small(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size,
                              const struct put_how *how, trove_error *error) {
    struct tvs_put_options options = options_of(how, size);
    struct tv_data data = {.bytes = size, .iov_count = size > 0};
    char *copy = malloc(size + 1);
    memcpy(copy, bytes, size);
    data.iov[0] = (struct iovec){copy, size};
    tv_data_hash(&data);
    struct tvs_waiter waiter;
    tvs_waiter_init(&waiter, how->object, error);
    store->ops->put_small(store->driver, bucket, key, &options, &data, tvs_waiter_done, &waiter);
    memset(copy, 0xEE, size);
    free(copy);
    return tvs_waiter_wait(&waiter);
}

trove_status put_object(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size,
                        const struct put_how *how, trove_error *error) {
    static const struct put_how plain;
    how = how != NULL ? how : &plain;
    if (how->small)
        return put_small(store, bucket, key, bytes, size, how, error);
    struct tvs_put *put;
    trove_status status = put_uncommitted(store, bucket, key, bytes, size, how, &put, error);
    return status != TROVE_OK ? status : put_commit_as(store, put, how->etag, how->object, error);
}

trove_status copy_object(struct store *store, const char *from_bucket, const char *from_key, const char *to_bucket,
                         const char *to_key, const struct tvs_conditions *conditions, struct tvs_object *object,
                         trove_error *error) {
    struct tvs_copy *copy;
    trove_status status =
        store->ops->copy_begin(store->driver, from_bucket, from_key, to_bucket, to_key, conditions, &copy, error);
    if (status != TROVE_OK)
        return status;
    for (bool finished = false; status == TROVE_OK && !finished;)
        status = store->ops->copy_step(copy, &finished, error);
    if (status != TROVE_OK) {
        store->ops->copy_abort(copy);
        return status;
    }
    struct tvs_waiter waiter;
    tvs_waiter_init(&waiter, object, error);
    store->ops->copy_commit(copy, tvs_waiter_done, &waiter);
    return tvs_waiter_wait(&waiter);
}

/* ---- getting --------------------------------------------------------------------------------------------------------- */

trove_status get_rest(struct store *store, struct tvs_get *get, uint64_t offset, uint64_t end, char *to, trove_error *error) {
    while (offset < end) {
        struct tv_data data = {.offset = offset};
        while (offset < end && data.iov_count < TV_DATA_PIECES_MAX - 1) {
            size_t block = (size_t)(end - offset < TV_BLOCK_BYTES ? end - offset : TV_BLOCK_BYTES);
            data.iov[data.iov_count++] = (struct iovec){to, block};
            data.bytes += block;
            offset += block;
            to += block;
        }
        trove_status status = store->ops->get_read(get, &data, error);
        if (status != TROVE_OK)
            return status;
        struct tv_data again = data;
        tv_data_hash(&again);
        assert_int_equal(again.piece_count, data.piece_count);
        assert_memory_equal(again.piece_sums, data.piece_sums, again.piece_count * sizeof(uint64_t));
    }
    return TROVE_OK;
}

trove_status get_object(struct store *store, const char *bucket, const char *key, uint64_t offset, char **bytes, size_t *size,
                        trove_error *error) {
    struct tvs_get *get;
    struct tvs_object object;
    trove_status status = store->ops->get_begin(store->driver, bucket, key, NULL, &get, &object, error);
    if (status != TROVE_OK)
        return status;
    assert_true(offset <= object.size);
    *size = (size_t)(object.size - offset);
    *bytes = aligned_alloc(4096, (*size + 4096) / 4096 * 4096);
    status = get_rest(store, get, offset, object.size, *bytes, error);
    store->ops->get_end(get);
    tvs_object_fini(&object);
    if (status != TROVE_OK)
        free(*bytes);
    return status;
}

void put_read_hold(struct store *store, struct tvs_put *put, const char *bytes, uint64_t from, uint64_t to) {
    char *area = thread_area();
    while (from < to) {
        struct tv_data data = {.offset = from};
        for (char *at = area; from < to && data.bytes < TV_PAYLOAD_BYTES_MAX; at += TV_BLOCK_BYTES) {
            size_t block = (size_t)(to - from < TV_BLOCK_BYTES ? to - from : TV_BLOCK_BYTES);
            data.iov[data.iov_count++] = (struct iovec){at, block};
            data.bytes += block;
            from += block;
        }
        memset(area, 0xEE, data.bytes);
        trove_error error = {0};
        must(store->ops->put_read(put, &data, &error), &error);
        struct tv_data again = data;
        tv_data_hash(&again);
        MUST(memcmp(area, bytes + data.offset, data.bytes) == 0);
        MUST(again.piece_count == data.piece_count);
        MUST(memcmp(again.piece_sums, data.piece_sums, again.piece_count * sizeof(uint64_t)) == 0);
    }
}

/* ---- asserts --------------------------------------------------------------------------------------------------------- */

void must(trove_status status, const trove_error *error) {
    if (status == TROVE_OK)
        return;
    fprintf(stderr, "%s: %s\n", trove_status_name(status), error != NULL ? error->message : "");
    fail();
}

void must_fail(trove_status status, trove_status expected, const trove_error *error, const char *word) {
    if (status == expected && strstr(error->message, word) != NULL)
        return;
    fprintf(stderr, "%s \"%s\" instead of %s \"...%s...\"\n", trove_status_name(status), error->message,
            trove_status_name(expected), word);
    fail();
}

void must_hold(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size) {
    char *area = thread_area();
    trove_error error = {0};
    struct tvs_get *get;
    struct tvs_object object;
    must(store->ops->get_begin(store->driver, bucket, key, NULL, &get, &object, &error), &error);
    assert_int_equal(object.size, size);
    for (size_t offset = 0; offset < size;) {
        size_t here = size - offset < TV_PAYLOAD_BYTES_MAX ? size - offset : TV_PAYLOAD_BYTES_MAX;
        memset(area, 0xEE, here);
        must(get_rest(store, get, offset, offset + here, area, &error), &error);
        if (memcmp(area, bytes + offset, here) != 0)
            fail_msg("%s/%s holds something else from byte %zu to %zu", bucket, key, offset, offset + here);
        offset += here;
    }
    store->ops->get_end(get);
    tvs_object_fini(&object);
}

void must_put(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size) {
    trove_error error = {0};
    must(put_object(store, bucket, key, bytes, size, NULL, &error), &error);
}

void must_count(struct store *store, const char *bucket, uint64_t objects, uint64_t bytes) {
    trove_error error = {0};
    struct tvs_bucket *buckets;
    size_t count;
    must(store->ops->bucket_list(store->driver, &buckets, &count, &error), &error);
    size_t i = 0;
    while (i < count && strcmp(buckets[i].name, bucket) != 0)
        i++;
    assert_true(i < count);
    assert_int_equal(buckets[i].object_count, objects);
    assert_int_equal(buckets[i].object_bytes, bytes);
    free(buckets);
}

void must_have_sums(struct store *store, const char *bucket, const char *key, const char *bytes, size_t size) {
    trove_error error = {0};
    size_t blocks = (size_t)tv_block_count(size);
    uint64_t *sums = malloc((blocks + 1) * sizeof *sums);
    const struct {
        uint64_t first;
        size_t count_max;
    } ranges[] = {{0, blocks + 1}, {0, blocks}, {0, 1}, {1, blocks}, {blocks / 2, 2}, {blocks, 1}, {UINT64_MAX, 1}, {0, 0}};
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        struct tvs_object object;
        size_t behind = ranges[r].first < blocks ? blocks - (size_t)ranges[r].first : 0, count;
        must(store->ops->block_sums(store->driver, bucket, key, ranges[r].first, ranges[r].count_max, sums, &count, &object,
                                    &error),
             &error);
        assert_int_equal(count, behind < ranges[r].count_max ? behind : ranges[r].count_max);
        assert_int_equal(object.size, size);
        tvs_object_fini(&object);
        for (size_t i = 0; i < count; i++) {
            size_t at = ((size_t)ranges[r].first + i) * TV_BLOCK_BYTES;
            assert_true(sums[i] == tv_hash(bytes + at, size - at < TV_BLOCK_BYTES ? size - at : TV_BLOCK_BYTES));
        }
    }
    free(sums);
}

void must_tell(const struct tvs_object *object, const trove_gap *gaps, size_t count) {
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++)
        lost += gaps[i].length;
    assert_int_equal(object->gap_count, count);
    assert_int_equal(object->gap_bytes, lost);
    assert_int_equal(object->gaps_listed, count);
    if (count > 0)
        assert_memory_equal(object->gaps, gaps, count * sizeof *gaps);
}

/* ---- listing --------------------------------------------------------------------------------------------------------- */

static bool append_entry(void *context, const struct tvs_list_entry *entry) {
    FILE *text = context;
    assert_true(entry->is_prefix == (entry->object == NULL));
    if (!entry->is_prefix) {
        assert_string_equal(entry->key, entry->object->key);
        assert_true(entry->object->generation > 0);
        assert_int_equal(strlen(entry->object->etag), 32);
    }
    fprintf(text, "%s%s ", entry->is_prefix ? "*" : "", entry->key);
    return true;
}

char *list_text(struct store *store, const char *prefix, const char *delimiter, const char *after, uint32_t limit) {
    trove_error error = {0};
    char *memory = NULL;
    size_t bytes = 0;
    FILE *text = open_memstream(&memory, &bytes);
    struct tvs_list_query query = {.prefix = prefix, .delimiter = delimiter, .after = after, .limit = limit};
    bool more = false;
    must(store->ops->list(store->driver, "bucket", &query, append_entry, text, &more, &error), &error);
    fprintf(text, "%s", more ? "| more" : "|");
    fclose(text);
    return memory;
}
