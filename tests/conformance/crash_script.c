/* crash_script.c - see crash_script.h. */
#include "crash_script.h"

#include "local.h"
#include "local_disk.h"

#include <pthread.h>
#include <stdlib.h>

struct version {
    bool exists;
    uint64_t seed, size;
};

enum upload_state {
    UPLOAD_NONE,
    UPLOAD_OPEN,
    UPLOAD_COMPLETE,
    UPLOAD_GONE,
};

struct upload {
    enum upload_state state;
    unsigned request, key;
    uint64_t seed, size, flushed, written, epoch;
};

/* What a thread's part of the store is after some steps. */
struct model {
    struct version keys[CRASH_KEYS];
    struct upload slots[CRASH_SLOTS];
};

static uint64_t draw(uint64_t *random, uint64_t below) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (*random >> 33) % below;
}

static void apply(struct model *model, const struct crash_step *step, unsigned request) {
    struct version *key = &model->keys[step->key];
    struct upload *upload = &model->slots[step->slot];
    switch (step->kind) {
    case CRASH_PUT:
        *key = (struct version){true, step->seed, step->size};
        break;
    case CRASH_DELETE:
        key->exists = false;
        break;
    case CRASH_COPY:
        model->keys[step->to_key] = *key;
        break;
    case CRASH_BEGIN:
        *upload = (struct upload){
            .state = UPLOAD_OPEN, .request = request, .key = step->key, .seed = step->seed, .size = step->size, .epoch = 1};
        break;
    case CRASH_WRITE:
    case CRASH_REWIND:
        upload->written = step->size;
        break;
    case CRASH_FLUSH:
        upload->written = upload->flushed = step->size;
        break;
    case CRASH_TAKEOVER:
        upload->written = upload->flushed;
        upload->epoch++;
        break;
    case CRASH_COMMIT:
        upload->state = UPLOAD_COMPLETE;
        model->keys[upload->key] = (struct version){true, upload->seed, upload->size};
        break;
    case CRASH_ABORT:
        upload->state = UPLOAD_GONE;
        break;
    }
}

static unsigned request_of(unsigned thread, unsigned index) {
    return thread * 1000 + index + 1;
}

/* ---- making one ------------------------------------------------------------------------------------------------------ */

static bool can_be(const struct model *model, const struct crash_step *step) {
    const struct upload *upload = &model->slots[step->slot];
    switch (step->kind) {
    case CRASH_PUT:
        return true;
    case CRASH_DELETE:
    case CRASH_COPY:
        return model->keys[step->key].exists;
    case CRASH_BEGIN:
        return upload->state != UPLOAD_OPEN;
    case CRASH_WRITE:
    case CRASH_FLUSH:
        return upload->state == UPLOAD_OPEN && upload->written < upload->size;
    case CRASH_REWIND:
        return upload->state == UPLOAD_OPEN && upload->written > upload->flushed;
    case CRASH_TAKEOVER:
    case CRASH_COMMIT:
    case CRASH_ABORT:
        return upload->state == UPLOAD_OPEN;
    }
    return false;
}

static void draw_step(uint64_t *random, const struct model *model, struct crash_step *step) {
    static const enum crash_kind kinds[] = {CRASH_PUT,    CRASH_PUT,    CRASH_DELETE, CRASH_COPY,   CRASH_BEGIN,
                                            CRASH_BEGIN,  CRASH_WRITE,  CRASH_FLUSH,  CRASH_FLUSH,  CRASH_FLUSH,
                                            CRASH_FLUSH,  CRASH_FLUSH,  CRASH_WRITE,  CRASH_FLUSH,  CRASH_TAKEOVER,
                                            CRASH_COMMIT, CRASH_COMMIT, CRASH_ABORT,  CRASH_REWIND, CRASH_REWIND};
    static const uint64_t sizes[] = {0, 10, 5000, 65536, 65537, 300000, 600001};
    do {
        step->kind = kinds[draw(random, sizeof kinds / sizeof *kinds)];
        step->key = (unsigned)draw(random, CRASH_KEYS);
        step->to_key = (unsigned)draw(random, CRASH_KEYS);
        step->slot = (unsigned)draw(random, CRASH_SLOTS);
    } while (!can_be(model, step));
    const struct upload *upload = &model->slots[step->slot];
    step->seed = *random | 1;
    step->size = sizes[draw(random, sizeof sizes / sizeof *sizes)];
    if (step->kind == CRASH_WRITE || step->kind == CRASH_FLUSH)
        step->size = upload->written + 1 + draw(random, upload->size - upload->written);
    else if (step->kind == CRASH_REWIND)
        step->size = upload->flushed + draw(random, upload->written - upload->flushed + 1);
}

void crash_script_make(uint64_t seed, struct crash_script *script) {
    uint64_t random = seed;
    *script = (struct crash_script){.seed = seed};
    for (unsigned thread = 0; thread < CRASH_THREADS; thread++) {
        struct model model = {0};
        for (unsigned i = 0; i < CRASH_STEPS; i++) {
            draw_step(&random, &model, &script->steps[thread][i]);
            apply(&model, &script->steps[thread][i], request_of(thread, i));
        }
    }
}

/* ---- running it ------------------------------------------------------------------------------------------------------ */

struct runner {
    pthread_t thread;
    unsigned number;
    const struct crash_script *script;
    struct store *store;
    void (*ack)(unsigned thread);
    struct model model;
    struct tvs_put *puts[CRASH_SLOTS];
    struct tvs_upload_id ids[CRASH_SLOTS];
};

static const char *key_name(unsigned thread, unsigned key, char name[32]) {
    snprintf(name, 32, "thread-%u-key-%u", thread, key);
    return name;
}

static void begin(struct runner *runner, const struct crash_step *step, unsigned request) {
    struct told told;
    char name[32];
    struct begin_how how = {.request = request, .put.size_hint = step->size + 1};
    runner->puts[step->slot] = must_begin(runner->store, key_name(runner->number, step->key, name), &how, &told);
    runner->ids[step->slot] = told.id;
}

/* Up to where the step says, or to the end for a commit. */
static void write_to(struct runner *runner, unsigned slot, uint64_t to) {
    const struct upload *upload = &runner->model.slots[slot];
    static const struct put_how how = {.write_bytes = 200001};
    trove_error error = {0};
    char *bytes = bytes_make((size_t)upload->size, upload->seed);
    must(put_more(runner->store, runner->puts[slot], bytes, (size_t)upload->written, (size_t)to, &how, &error), &error);
    free(bytes);
}

static void run_step(struct runner *runner, const struct crash_step *step, unsigned request) {
    const struct tvs_driver_ops *ops = runner->store->ops;
    const struct upload *upload = &runner->model.slots[step->slot];
    char name[32], to_name[32];
    struct tvs_object object = {0};
    struct told told;
    trove_error error = {0};
    key_name(runner->number, step->key, name);
    switch (step->kind) {
    case CRASH_PUT: {
        char *bytes = bytes_make((size_t)step->size, step->seed);
        must_put(runner->store, "bucket", name, bytes, (size_t)step->size);
        free(bytes);
        break;
    }
    case CRASH_DELETE:
        must(ops->delete (runner->store->driver, "bucket", name, NULL, &error), &error);
        break;
    case CRASH_COPY:
        key_name(runner->number, step->to_key, to_name);
        must(copy_object(runner->store, "bucket", name, "bucket", to_name, NULL, &object, &error), &error);
        tvs_object_fini(&object);
        break;
    case CRASH_BEGIN:
        begin(runner, step, request);
        break;
    case CRASH_WRITE:
        write_to(runner, step->slot, step->size);
        break;
    case CRASH_FLUSH:
        write_to(runner, step->slot, step->size);
        must_flush(runner->store, runner->puts[step->slot], step->size);
        break;
    case CRASH_REWIND:
        must(ops->put_rewind(runner->puts[step->slot], step->size, &error), &error);
        break;
    case CRASH_TAKEOVER:
        ops->put_abort(runner->puts[step->slot]);
        runner->puts[step->slot] = must_attach(runner->store, &runner->ids[step->slot], upload->flushed, &told);
        break;
    case CRASH_COMMIT:
        write_to(runner, step->slot, upload->size);
        must_commit(runner->store, runner->puts[step->slot]);
        runner->puts[step->slot] = NULL;
        break;
    case CRASH_ABORT:
        must_abort(runner->store, &runner->ids[step->slot]);
        ops->put_abort(runner->puts[step->slot]);
        runner->puts[step->slot] = NULL;
        break;
    }
}

static void *run_thread(void *argument) {
    struct runner *runner = argument;
    for (unsigned i = 0; i < CRASH_STEPS; i++) {
        const struct crash_step *step = &runner->script->steps[runner->number][i];
        run_step(runner, step, request_of(runner->number, i));
        apply(&runner->model, step, request_of(runner->number, i));
        runner->ack(runner->number);
    }
    for (unsigned slot = 0; slot < CRASH_SLOTS; slot++)
        runner->store->ops->put_abort(runner->puts[slot]);
    return NULL;
}

void crash_script_run(const struct crash_script *script, struct store *store, void (*ack)(unsigned thread)) {
    struct runner runners[CRASH_THREADS];
    for (unsigned i = 0; i < CRASH_THREADS; i++) {
        runners[i] = (struct runner){.number = i, .script = script, .store = store, .ack = ack};
        assert_int_equal(pthread_create(&runners[i].thread, NULL, run_thread, &runners[i]), 0);
    }
    for (unsigned i = 0; i < CRASH_THREADS; i++)
        pthread_join(runners[i].thread, NULL);
}

/* ---- what is left ---------------------------------------------------------------------------------------------------- */

static bool is_version(struct store *store, const char *name, const struct version *version) {
    trove_error error = {0};
    char *got;
    size_t size;
    trove_status status = get_object(store, "bucket", name, 0, &got, &size, &error);
    if (status == TROVE_NOT_FOUND)
        return !version->exists;
    must(status, &error);
    char *bytes = bytes_make((size_t)version->size, version->seed);
    bool same = version->exists && size == version->size && memcmp(got, bytes, size) == 0;
    free(bytes);
    free(got);
    return same;
}

/* Whether the key is as after the step that was under way, or as before it; one of them it is. */
static bool check_key(struct store *store, const char *name, const struct version *before, const struct version *after) {
    if (is_version(store, name, after))
        return true;
    if (!is_version(store, name, before))
        fail_msg("%s is neither what it was nor what it was to become", name);
    return false;
}

static bool may_be(const struct upload *upload, const struct told *told) {
    switch (upload->state) {
    case UPLOAD_NONE:
    case UPLOAD_GONE:
        return !told->complete && told->durable_offset == 0 && told->epoch == 1;
    case UPLOAD_OPEN:
        return !told->complete && told->durable_offset == upload->flushed && told->epoch > upload->epoch;
    case UPLOAD_COMPLETE:
        return told->complete && told->size == upload->size;
    }
    return false;
}

static void finish_upload(struct store *store, const struct upload *upload, const char *name, struct told *told) {
    trove_error error = {0};
    struct tvs_put *put;
    char *bytes = bytes_make((size_t)upload->size, upload->seed);
    must(store->ops->upload_open(store->driver, &told->id, told->epoch, &put, &error), &error);
    put_read_hold(store, put, bytes, 0, told->durable_offset);
    must_write(store, put, bytes, told->durable_offset, upload->size);
    must_commit(store, put);
    must_hold(store, "bucket", name, bytes, (size_t)upload->size);
    free(bytes);
}

/* Asks for it by the request that began it, as a client would that lost every answer. `published`: its object is there. */
static void check_upload(struct store *store, unsigned thread, const struct upload *before, const struct upload *after,
                         bool published) {
    const struct upload *upload = after->state != UPLOAD_NONE ? after : before;
    char name[32];
    struct told told;
    if (upload->state == UPLOAD_NONE)
        return;
    key_name(thread, upload->key, name);
    struct begin_how how = {.request = upload->request, .put.size_hint = upload->size + 1};
    upload_begin(store, "bucket", name, &how, &told);
    must(told.status, &told.error);
    /* Where another one was in its place before, this one didn't exist. */
    const struct upload none = {.state = UPLOAD_NONE};
    before = before->request == upload->request ? before : &none;
    if (!may_be(before, &told) && !may_be(after, &told))
        fail_msg("the upload of %s is %s at byte %llu, epoch %llu; flushed was %llu or %llu", name,
                 told.complete ? "complete" : "open", (unsigned long long)told.durable_offset, (unsigned long long)told.epoch,
                 (unsigned long long)before->flushed, (unsigned long long)after->flushed);
    if (before->state == UPLOAD_OPEN && after->state == UPLOAD_COMPLETE)
        assert_true(told.complete == published); /* in one step */
    if (!told.complete)
        finish_upload(store, upload, name, &told);
}

static void check_thread(struct store *store, unsigned thread, const struct crash_script *script, unsigned acked) {
    struct model before = {0};
    bool published = false;
    char name[32];
    for (unsigned i = 0; i < acked; i++)
        apply(&before, &script->steps[thread][i], request_of(thread, i));
    struct model after = before;
    const struct crash_step *next = acked < CRASH_STEPS ? &script->steps[thread][acked] : NULL;
    if (next != NULL)
        apply(&after, next, request_of(thread, acked));
    for (unsigned key = 0; key < CRASH_KEYS; key++) {
        bool is_after = check_key(store, key_name(thread, key, name), &before.keys[key], &after.keys[key]);
        if (next != NULL && next->kind == CRASH_COMMIT && before.slots[next->slot].key == key)
            published = is_after;
    }
    for (unsigned slot = 0; slot < CRASH_SLOTS; slot++)
        check_upload(store, thread, &before.slots[slot], &after.slots[slot], published);
}

/* Which files have an owner, for who wants to know what one too many is. */
static void print_owners(struct store *store) {
    const struct tvs_index *index = &tvs_local_of(store->driver)->index;
    rocksdb_iterator_t *rows = rocksdb_create_iterator_cf(index->db, index->read_options, index->rows);
    for (rocksdb_iter_seek(rows, "f", 1); rocksdb_iter_valid(rows); rocksdb_iter_next(rows)) {
        size_t key_bytes, bytes;
        struct tvs_owner_record owner;
        struct tvs_object object = {0};
        const uint8_t *key = (const uint8_t *)rocksdb_iter_key(rows, &key_bytes);
        const char *value = rocksdb_iter_value(rows, &bytes);
        if (key[0] != 'f' || tvs_owner_record_decode(value, bytes, &owner, NULL) != TROVE_OK)
            break;
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)owner.key_bytes, owner.key);
        (void)store->ops->head(store->driver, "bucket", name, &object, NULL);
        print_message("    file ..%02x%02x%02x of %s, which has %llu bytes\n", key[14], key[15], key[16], name,
                      (unsigned long long)object.size);
        tvs_object_fini(&object);
    }
    rocksdb_iter_destroy(rows);
}

/* Whether an object is there that has a file. One that fits the index may have one as well: it was put by a resumable upload that
 * had written all of it there. */
static bool has_file(struct store *store, const char *name) {
    struct tvs_object object = {0};
    struct tvs_get *get;
    if (store->ops->get_begin(store->driver, "bucket", name, NULL, &get, &object, NULL) != TROVE_OK)
        return false;
    bool in_file = get->record.place == TVS_PLACE_FILE;
    assert_true(in_file || object.size <= TV_INLINE_BYTES_MAX);
    store->ops->get_end(get);
    tvs_object_fini(&object);
    return in_file;
}

/* Of what is finished by now only objects are left that have files. */
static void check_files(struct store *store) {
    unsigned files = 0;
    char name[32];
    for (unsigned thread = 0; thread < CRASH_THREADS; thread++)
        for (unsigned key = 0; key < CRASH_KEYS; key++)
            files += has_file(store, key_name(thread, key, name));
    store_close(store); /* waits for the janitor */
    store_open(store);
    if (count_files(store, NULL) != files)
        print_owners(store);
    assert_int_equal(count_files(store, NULL), files);
    char *text = uploads_text(store, "", NULL, 10);
    assert_string_equal(text, "|");
    free(text);
}

void crash_script_check(const struct crash_script *script, struct store *store, const unsigned acked[CRASH_THREADS]) {
    store_open(store);
    for (unsigned thread = 0; thread < CRASH_THREADS; thread++)
        check_thread(store, thread, script, acked[thread]);
    check_files(store);
}
