/* test_killed_server.c - troved is killed (kill -9) at a random moment under eight writers, and started again in the same folder,
 * again and again: what was acknowledged is there and right, what wasn't is old or new and whole, every upload goes on at what
 * was durable and completes, and no file is left that no object and no upload owns.
 */
#include "killed.h"

#include "stock_client.h"
#include "troved.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WRITERS     8
#define FILES_MAX   4096
#define PATIENCE_MS 60000
#define SMALL_MAX   65536
#define BLOCK_BYTES 262144

static const struct troved_options options = {.listen = {"ipc://%s/socket"}, .store = "local://%s/store"};
static struct troved *server;
static struct killed_writer writers[WRITERS];

/* ---- the files of the store ---- */

struct sizes {
    uint64_t all[FILES_MAX];
    unsigned count;
};

static void add_size(struct sizes *sizes, uint64_t size) {
    assert_true(sizes->count < FILES_MAX);
    sizes->all[sizes->count++] = size;
}

static void add_folder(struct sizes *sizes, const char *path) {
    DIR *entries = opendir(path);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char file[900];
        struct stat info;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && stat(file, &info) == 0) /* else it has just been removed */
            add_size(sizes, (uint64_t)info.st_size);
    }
    closedir(entries);
}

static void files_of_store(struct sizes *sizes) {
    char objects[300], shard[600];
    snprintf(objects, sizeof objects, "%s/store/objects", troved_folder(server));
    DIR *entries = opendir(objects);
    assert_non_null(entries);
    sizes->count = 0;
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        snprintf(shard, sizeof shard, "%s/%s", objects, entry->d_name);
        if (entry->d_name[0] != '.')
            add_folder(sizes, shard);
    }
    closedir(entries);
}

static int by_size(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

static bool same_sizes(struct sizes *one, struct sizes *other) {
    qsort(one->all, one->count, sizeof one->all[0], by_size);
    qsort(other->all, other->count, sizeof other->all[0], by_size);
    return one->count == other->count && memcmp(one->all, other->all, one->count * sizeof one->all[0]) == 0;
}

/* The bytes, and 8 of a checksum for each of their blocks. */
static uint64_t file_bytes(uint64_t size) {
    return size + 8 * ((size + BLOCK_BYTES - 1) / BLOCK_BYTES);
}

/* A large object is a file. What was replaced, deleted and left is removed behind everybody's back. */
static void check_no_orphans(void) {
    static struct sizes wanted, found;
    wanted.count = 0;
    for (unsigned i = 0; i < WRITERS; i++)
        for (unsigned j = 0; j < KILLED_OBJECTS_MAX; j++) {
            const struct killed_version *version = &writers[i].objects[j].acknowledged;
            if (version->exists && version->size > SMALL_MAX)
                add_size(&wanted, file_bytes(version->size));
        }
    uint64_t until_ms = seeded_now_ms() + PATIENCE_MS;
    for (files_of_store(&found); !same_sizes(&wanted, &found); files_of_store(&found)) {
        if (seeded_now_ms() > until_ms)
            fail_msg("there are %u files of %u large objects; the first ones have %llu and %llu bytes", found.count, wanted.count,
                     (unsigned long long)found.all[0], (unsigned long long)wanted.all[0]);
        usleep(1000);
    }
}

/* ---- the objects ---- */

static void check_object(trove_client *client, struct killed_object *object) {
    static uint8_t bytes[KILLED_SIZE_MAX + 1];
    struct killed_version found = {0};
    trove_object_info *info = NULL;
    trove_error error = {0};
    char etag[33];
    trove_status status =
        trove_get_memory(client, HOLDER_BUCKET, object->key, bytes, sizeof bytes, NULL, &found.size, &info, &error);
    if (status != TROVE_OK && status != TROVE_NOT_FOUND)
        fail_msg("%s: %s: %s", object->key, trove_status_name(status), error.message);
    found.exists = status == TROVE_OK;
    if (found.exists) {
        const struct killed_version *new = &object->attempted, *old = &object->acknowledged;
        bool is_new = object->undecided && found.size == new->size &&seeded_is(new->content, 0, bytes, found.size);
        found.content = is_new ? new->content : old->content;
        if (!seeded_is(found.content, 0, bytes, found.size))
            fail_msg("%s: its %zu bytes were never written so", object->key, found.size);
        stock_etag(bytes, found.size, etag);
        assert_string_equal(info->etag, etag);
    }
    trove_object_info_free(info);
    killed_object_found(object, &found);
}

static void check_objects(trove_client *client) {
    for (unsigned i = 0; i < WRITERS; i++)
        for (unsigned j = 0; j < KILLED_OBJECTS_MAX; j++)
            check_object(client, &writers[i].objects[j]);
}

/* ---- a cycle ---- */

static trove_client *connect_library(void) {
    trove_client *client;
    trove_client_options client_options;
    trove_error error = {0};
    trove_client_options_init(&client_options);
    client_options.retry_for_ms = TROVE_NO_RETRY;
    if (trove_connect(troved_url(server, "ipc"), &client_options, &client, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    return client;
}

static void connect_raw(struct raw_client *raw) {
    raw_open(raw, troved_url(server, "ipc"));
    raw_greet(raw, false);
}

static void write_kill_and_restart(uint64_t after_us) {
    char folder[256];
    snprintf(folder, sizeof folder, "%s", troved_folder(server));
    pthread_t threads[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        if (writers[i].kind == KILLED_RESUMABLE)
            connect_raw(&writers[i].raw);
        else
            writers[i].client = connect_library();
    }
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, killed_writer_run, &writers[i]), 0);
    usleep((useconds_t)after_us); /* any moment will do */
    troved_kill(server);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        if (writers[i].kind == KILLED_RESUMABLE)
            raw_close(&writers[i].raw);
        else
            trove_close(writers[i].client);
    }
    server = troved_start(&options, folder);
}

/* Sometimes uploads are gone on with only after the next kill. */
static void check_all(bool finish_uploads) {
    struct raw_client raw;
    trove_client *client = connect_library();
    check_objects(client);
    if (finish_uploads) {
        connect_raw(&raw);
        for (unsigned i = 0; i < WRITERS; i++)
            killed_writer_finish(&writers[i], &raw);
        raw_close(&raw);
        check_no_orphans();
        check_objects(client);
    } else {
        for (unsigned i = 0; i < WRITERS; i++)
            writers[i].objects[writers[i].object].undecided |= writers[i].uploading;
    }
    trove_close(client);
}

int main(int argc, char **argv) {
    struct seeded_run run;
    struct seeded random;
    uint64_t operations = 0, resumed = 0;
    seeded_begin(&run, argc, argv, 20, 1000);
    seeded_init(&random, run.seed);
    for (unsigned i = 0; i < WRITERS; i++)
        killed_writer_init(&writers[i], i, run.seed);
    server = troved_start(&options, NULL);
    trove_client *client = connect_library();
    trove_error error = {0};
    if (trove_bucket_create(client, HOLDER_BUCKET, 0, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    trove_close(client);
    for (uint64_t round = 0; round < run.rounds; round++) {
        seeded_round(run.seed, round + 1);
        write_kill_and_restart(seeded_once_in(&random, 2) ? seeded_size(&random, 100000) : seeded_below(&random, 500000));
        check_all(round + 1 == run.rounds || seeded_once_in(&random, 2));
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        operations += writers[i].operations;
        resumed += writers[i].resumed;
    }
    printf("    %llu operations were acknowledged, %llu uploads went on\n", (unsigned long long)operations,
           (unsigned long long)resumed);
    assert_int_equal(troved_stop(server, false), 0);
    return EXIT_SUCCESS;
}
