/* sim_uploads.c - the disk's resumable uploads: slow and failing like the rest of it; what is durable of each and who may write
 * it, as the disk knows that and nobody may claim otherwise. See sim.h.
 *
 * "mem" goes back to the durable offset whenever an upload is opened: so what a server that has died hadn't flushed is lost.
 */
#include "sim.h"
#include "sim_checks.h"

#include "client/src/stream.h"
#include "server/drivers/mem_put.h"
#include "server/resume.h"
#include "server/stream.h"

#include <string.h>

#define UPLOADS_MAX 256

struct upload {
    struct tvs_upload_id id;
    char text[TVS_UPLOAD_ID_TEXT_BYTES];
    uint64_t epoch;          /* that its newest holder was told of */
    uint64_t written;        /* by its newest holder */
    uint64_t durable_offset; /* whatever happens */
};

static struct {
    struct upload all[UPLOADS_MAX];
    unsigned count;
    const struct tvs_driver_ops *mem;
} uploads;

void sim_uploads_start(void) {
    uploads.count = 0;
}

static struct upload *find(const struct tvs_upload_id *id) {
    for (unsigned i = 0; i < uploads.count; i++)
        if (memcmp(&uploads.all[i].id, id, sizeof *id) == 0)
            return &uploads.all[i];
    return NULL;
}

static struct upload *find_text(const char *text) {
    for (unsigned i = 0; i < uploads.count; i++)
        if (strcmp(uploads.all[i].text, text) == 0)
            return &uploads.all[i];
    return NULL;
}

/* ---- what the disk says ---- */

static struct upload *learn(const struct tvs_upload_info *info) {
    struct upload *upload = find(&info->id);
    if (upload == NULL) {
        TV_ASSERT(uploads.count < UPLOADS_MAX);
        upload = &uploads.all[uploads.count++];
        *upload = (struct upload){.id = info->id};
        tvs_upload_id_text(&info->id, upload->text);
    }
    if (info->durable_offset < upload->durable_offset)
        sim_fail("upload %s of %s: %llu bytes were durable, and now %llu", upload->text, info->key,
                 (unsigned long long)upload->durable_offset, (unsigned long long)info->durable_offset);
    upload->durable_offset = info->durable_offset;
    return upload;
}

static void learn_holder(const struct tvs_upload_info *info) {
    struct upload *upload = learn(info);
    sim_trace("disk: upload %s of %s: epoch %llu, durable %llu of %llu%s", upload->text, info->key,
              (unsigned long long)info->epoch, (unsigned long long)info->durable_offset, (unsigned long long)upload->written,
              info->result != NULL ? ", complete" : "");
    sim_met.fenced += upload->epoch > 0 && info->epoch > upload->epoch;
    sim_met.found_complete += info->result != NULL;
    sim_met.not_durable += info->result == NULL && upload->written > info->durable_offset;
    if (info->result == NULL && info->epoch <= upload->epoch)
        sim_fail("upload %s of %s: epoch %llu was given twice", upload->text, info->key, (unsigned long long)info->epoch);
    upload->epoch = info->epoch;
    upload->written = info->durable_offset;
}

uint64_t sim_uploads_epoch(const struct tvs_put *put) {
    const struct upload *upload = put->upload != NULL ? find(&put->upload->gate.id) : NULL;
    return upload != NULL ? upload->epoch : 0;
}

void sim_uploads_judge(const struct tvs_put *put, uint64_t epoch) {
    if (put->upload == NULL)
        return;
    struct upload *upload = find(&put->upload->gate.id);
    if (put->epoch < epoch)
        sim_fail("upload %s was written by its holder of epoch %llu, when the one of %llu had been told", upload->text,
                 (unsigned long long)put->epoch, (unsigned long long)epoch);
    if (put->epoch == upload->epoch)
        upload->written = put->upload->content->sums.bytes;
}

/* ---- begin, attach ---- */

/* All but the options belongs to whoever waits for the answer. */
struct question {
    struct sim_disk_job job; /* first */
    struct tvs_driver *driver;
    const char *bucket; /* NULL: an attach */
    const char *key;
    struct tvs_upload_options options;
    struct tvs_upload_id id;
    const char *principal;
    tvs_upload_done done;
    void *context;
};

static void on_holder(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    const struct question *question = context;
    if (status == TROVE_OK)
        learn_holder(info);
    question->done(question->context, status, info, error);
}

static void answer(struct sim_disk_job *job) {
    struct question *question = (struct question *)job;
    trove_error error;
    if (sim_disk_fails())
        question->done(question->context, sim_disk_failure(&error), NULL, &error);
    else if (question->bucket != NULL)
        uploads.mem->upload_begin(question->driver, question->bucket, question->key, &question->options, on_holder, question);
    else
        uploads.mem->upload_attach(question->driver, &question->id, question->principal, on_holder, question);
    free(question);
}

static void ask(const struct question *asked) {
    struct question *question = malloc(sizeof *question);
    TV_ASSERT(question != NULL);
    *question = *asked;
    question->job.run = answer;
    sim_disk_take_time(0);
    sim_disk_later(&question->job);
}

static void upload_begin(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_upload_options *options,
                         tvs_upload_done done, void *context) {
    ask(&(struct question){
        .driver = driver, .bucket = bucket, .key = key, .options = *options, .done = done, .context = context});
}

static void upload_attach(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal, tvs_upload_done done,
                          void *context) {
    ask(&(struct question){.driver = driver, .id = *id, .principal = principal, .done = done, .context = context});
}

static trove_status upload_open(struct tvs_driver *driver, const struct tvs_upload_id *id, uint64_t epoch, struct tvs_put **put,
                                trove_error *error) {
    sim_disk_take_time(0);
    return sim_disk_fails() ? sim_disk_failure(error) : uploads.mem->upload_open(driver, id, epoch, put, error);
}

static void upload_abort(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal, tvs_upload_done done,
                         void *context) {
    trove_error error;
    sim_disk_take_time(0);
    if (sim_disk_fails())
        done(context, sim_disk_failure(&error), NULL, &error);
    else
        uploads.mem->upload_abort(driver, id, principal, done, context);
}

static trove_status upload_stat(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                                tvs_upload_visit visit, void *context, trove_error *error) {
    sim_disk_take_time(0);
    return sim_disk_fails() ? sim_disk_failure(error) : uploads.mem->upload_stat(driver, id, principal, visit, context, error);
}

/* ---- flush ---- */

/* What was written by then is durable at once, and that is told later; the put may be over by then. */
struct flush {
    struct sim_disk_job job; /* first */
    struct tvs_put *put;
    uint64_t epoch; /* of the newest holder when it began */
    trove_status status;
    struct tvs_upload_info info;
    trove_error error;
    tvs_upload_done done;
    void *context;
};

static void on_flushed(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    struct flush *flush = context;
    flush->status = status;
    flush->error = *error;
    if (status != TROVE_OK)
        return;
    flush->info = *info;
    (void)learn(info);
    sim_uploads_judge(flush->put, flush->epoch);
}

static void tell_flushed(struct sim_disk_job *job) {
    struct flush *flush = (struct flush *)job;
    flush->info.bucket = flush->info.key = flush->info.principal = ""; /* they are the upload's, which may be gone */
    flush->info.result = NULL;
    flush->done(flush->context, flush->status, flush->status == TROVE_OK ? &flush->info : NULL, &flush->error);
    free(flush);
}

static void put_flush(struct tvs_put *put, tvs_upload_done done, void *context) {
    struct flush *flush = calloc(1, sizeof *flush);
    TV_ASSERT(flush != NULL);
    flush->job.run = tell_flushed;
    flush->put = put;
    flush->epoch = sim_uploads_epoch(put);
    flush->done = done;
    flush->context = context;
    sim_disk_take_time(0);
    if (sim_disk_fails())
        flush->status = sim_disk_failure(&flush->error);
    else
        uploads.mem->put_flush(put, on_flushed, flush);
    sim_disk_later(&flush->job);
}

void sim_uploads_wrap(struct tvs_driver_ops *slow, const struct tvs_driver_ops *mem) {
    uploads.mem = mem;
    slow->upload_begin = upload_begin;
    slow->upload_attach = upload_attach;
    slow->upload_open = upload_open;
    slow->upload_abort = upload_abort;
    slow->upload_stat = upload_stat;
    slow->put_flush = put_flush;
}

/* ---- what both ends say ---- */

void sim_uploads_check_theirs(const struct tvs_stream *stream) {
    const struct tvs_resume *resume = stream->resume;
    if (resume == NULL || resume->phase != TVS_RESUME_HELD || tv_stream_state_terminal(stream->state))
        return;
    const struct upload *upload = find(&resume->holder.id);
    if (upload == NULL || resume->durable_offset > upload->durable_offset)
        sim_fail("stream %llu: the server says that %llu bytes of %s are durable; there are %llu", (unsigned long long)stream->id,
                 (unsigned long long)resume->durable_offset, stream->key,
                 (unsigned long long)(upload != NULL ? upload->durable_offset : 0));
}

void sim_uploads_check_ours(const trove_stream *stream) {
    const struct tvc_upload *up = &stream->upload;
    const char *id = stream->resume.ids[stream->resume.id];
    bool lasting = stream->resume.open != NULL && tvc_stream_sends(stream) && id[0] != '\0';
    if (!lasting || tvc_stream_detached(stream) || tv_stream_state_terminal(stream->state) || stream->resume.complete)
        return;
    const struct upload *upload = find_text(id);
    uint64_t durable_offset = upload != NULL ? upload->durable_offset : 0;
    uint64_t held_bytes = up->keep.kept.sum.bytes + up->keep.again.sum.bytes + up->sender.queued_bytes;
    uint64_t most_bytes =
        (tvc_resume_keep_chunks(up->keep_bytes, stream->chunk_bytes) + stream->channel_chunks + 2) * stream->chunk_bytes;
    if (up->durable_offset > durable_offset)
        sim_fail("%s: a client has been told that %llu bytes are durable; there are %llu", stream->key,
                 (unsigned long long)up->durable_offset, (unsigned long long)durable_offset);
    if (up->next_offset - up->durable_offset > held_bytes)
        sim_fail("%s: a client has written %llu bytes, of which %llu are durable, and has only %llu of the rest", stream->key,
                 (unsigned long long)up->next_offset, (unsigned long long)up->durable_offset, (unsigned long long)held_bytes);
    if (held_bytes > most_bytes)
        sim_fail("%s: a client keeps %llu bytes; %llu are to be the most", stream->key, (unsigned long long)held_bytes,
                 (unsigned long long)most_bytes);
}

/* ---- the end ---- */

static void on_aborted(void *context, trove_status status, const struct tvs_upload_info *info, const trove_error *error) {
    (void)context, (void)info;
    if (status != TROVE_OK)
        sim_fail("an upload that is left can't be thrown away: %s", error->message);
}

static bool throw_away(void *driver, const struct tvs_upload_info *info) {
    const struct tvs_upload_id id = info->id;
    uploads.mem->upload_abort(driver, &id, NULL, on_aborted, NULL);
    return true;
}

void sim_uploads_end(struct tvs_driver *driver) {
    struct tvs_upload_cursor cursor = {0};
    trove_error error;
    for (bool more = true; more;)
        if (uploads.mem->upload_list(driver, SIM_BUCKET, &cursor, 100, throw_away, driver, &more, &error) != TROVE_OK) {
            sim_fail("the uploads that are left can't be listed: %s", error.message);
            return;
        }
}
