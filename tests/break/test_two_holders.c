/* test_two_holders.c - several clients want one resumable upload at once, each with bytes of its own: whoever attaches last has
 * it, the others are fenced (ABORTED), and not one byte that a fenced one has sent gets behind what was durable when it was
 * fenced. So the object is made of stretches: of each epoch's bytes from where it began to where the next one did.
 */
#include "holder.h"

#include "seeded.h"
#include "troved.h"

#include <poll.h>
#include <pthread.h>
#include <trove.h>

#define HOLDERS_MAX    4
#define STRETCHES_MAX  1000
#define ATTEMPTS_MAX   20
#define SIZE_MAX_BYTES ((uint64_t)2 << 20)
#define STORES         2

struct stretch {
    uint64_t epoch;
    uint64_t base;
};

/* One upload and what became of it. */
struct contest {
    uint64_t seed;
    struct holder_upload upload; /* nobody has begun it */
    pthread_mutex_t lock;
    /* under the lock */
    struct stretch stretches[STRETCHES_MAX];
    unsigned count;
    uint64_t completed_epoch; /* 0: nobody has been told by an epoch of its own */
};

struct contestant {
    struct contest *contest;
    struct raw_client raw;
    struct holder_upload upload;
    struct holder holder;
    struct seeded random;
    bool holds;   /* or did: `holder` is filled in */
    bool is_last; /* goes on until it is complete */
};

static const struct troved_options options[STORES] = {
    {.listen = {"ipc://%s/socket"}, .store = "mem://"},
    {.listen = {"ipc://%s/socket"}, .store = "local://%s/store"},
};
static struct troved *servers[STORES];
static trove_client *clients[STORES];
static uint64_t fenced_count, contested_count;

/* ---- an upload ---- */

static uint64_t content_of(const struct contest *contest, uint64_t epoch) {
    return contest->seed * 100000 + epoch;
}

static void draw_contest(struct contest *contest, uint64_t seed, struct seeded *random) {
    *contest = (struct contest){.seed = seed};
    pthread_mutex_init(&contest->lock, NULL);
    contest->upload.size = 1 + seeded_size(random, SIZE_MAX_BYTES);
    contest->upload.piece = 1 + contest->upload.size / 50 + seeded_size(random, 100000);
    contest->upload.keep = 65536 + 2 * contest->upload.piece + seeded_size(random, SIZE_MAX_BYTES);
    snprintf(contest->upload.key, sizeof contest->upload.key, "%llx", (unsigned long long)seed);
    for (unsigned i = 0; i < HOLDER_ID_BYTES; i++)
        contest->upload.request_id[i] = (uint8_t)seeded_next(random);
}

static void begin_contestant(struct contestant *contestant, struct contest *contest, unsigned store, struct seeded *random) {
    *contestant = (struct contestant){.contest = contest, .upload = contest->upload};
    seeded_init(&contestant->random, seeded_next(random));
    raw_open(&contestant->raw, troved_url(servers[store], "ipc"));
    raw_greet(&contestant->raw, seeded_once_in(random, 2));
}

static void note_stretch(struct contest *contest, const struct holder *holder) {
    if (holder->epoch == 0)
        return; /* complete already, or refused */
    pthread_mutex_lock(&contest->lock);
    assert_true(contest->count < STRETCHES_MAX);
    contest->stretches[contest->count++] = (struct stretch){holder->epoch, holder->base};
    pthread_mutex_unlock(&contest->lock);
}

/* Being fenced is the one way to end but to complete. */
static void note_end(struct contestant *contestant) {
    struct contest *contest = contestant->contest;
    const struct holder *holder = &contestant->holder;
    if (holder->state == HOLDER_ENDED && holder->code != TROVE__V1__CODE__ABORTED)
        fail_msg("epoch %llu: status %d: %s", (unsigned long long)holder->epoch, (int)holder->code, holder->message);
    assert_int_not_equal(holder->state, HOLDER_LOST);
    pthread_mutex_lock(&contest->lock);
    fenced_count += holder->state == HOLDER_ENDED;
    if (holder->state == HOLDER_COMPLETED && holder->epoch > contest->completed_epoch)
        contest->completed_epoch = holder->epoch;
    pthread_mutex_unlock(&contest->lock);
}

static void attach(struct contestant *contestant) {
    holder_open(&contestant->holder, &contestant->raw, &contestant->upload);
    note_stretch(contestant->contest, &contestant->holder);
    contestant->holds = true;
}

/* ---- the object ---- */

static int by_epoch(const void *one, const void *other) {
    const struct stretch *a = one, *b = other;
    return a->epoch < b->epoch ? -1 : a->epoch > b->epoch;
}

static void check_stretch(const struct contest *contest, unsigned i, const uint8_t *bytes, uint64_t from, uint64_t to) {
    const struct stretch *stretch = &contest->stretches[i];
    if (from < to && !seeded_is(content_of(contest, stretch->epoch), from, bytes + from, to - from))
        fail_msg("bytes %llu to %llu aren't those of epoch %llu", (unsigned long long)from, (unsigned long long)to,
                 (unsigned long long)stretch->epoch);
}

static void check_object(struct contest *contest, unsigned store) {
    static uint8_t bytes[SIZE_MAX_BYTES + 1];
    size_t size = 0;
    trove_error error = {0};
    if (trove_get_memory(clients[store], HOLDER_BUCKET, contest->upload.key, bytes, sizeof bytes, NULL, &size, NULL, &error) !=
        TROVE_OK)
        fail_msg("%s: %s", contest->upload.key, error.message);
    assert_int_equal(size, contest->upload.size);
    qsort(contest->stretches, contest->count, sizeof contest->stretches[0], by_epoch);
    uint64_t to = size;
    for (unsigned i = contest->count; i-- > 0;) { /* what a later epoch began at is the end of all before it */
        assert_true(i == 0 || contest->stretches[i].epoch > contest->stretches[i - 1].epoch);
        check_stretch(contest, i, bytes, contest->stretches[i].base, to);
        if (contest->stretches[i].base < to)
            to = contest->stretches[i].base;
    }
    assert_int_equal(to, 0);
    contested_count += contest->count > 1;
    /* A result is that of the last epoch: who came later was told it, and had none. */
    if (contest->completed_epoch != 0)
        assert_int_equal(contest->completed_epoch, contest->stretches[contest->count - 1].epoch);
}

/* ---- one after the other, in an order by the seed ---- */

static bool has_come(const struct contestant *contestant) {
    struct pollfd wait = {.fd = contestant->raw.fd, .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

/* What a fenced one goes on with: it doesn't know yet, or doesn't care. */
static void send_something(struct contestant *contestant) {
    struct holder *holder = &contestant->holder;
    if (holder->state == HOLDER_ENDED && holder->epoch != 0 && holder->offset < holder->upload->size)
        holder_send(holder, content_of(contestant->contest, holder->epoch));
    else if (holder_may_send(holder))
        holder_send(holder, content_of(contestant->contest, holder->epoch));
    else if (holder_may_complete(holder))
        holder_send_complete(holder);
}

/* Whether that was the last one: somebody was told that the upload is complete. */
static bool turn(struct contestant *contestant) {
    struct holder *holder = &contestant->holder;
    if (!contestant->holds || seeded_once_in(&contestant->random, 12)) {
        attach(contestant);
    } else if (holder->state == HOLDER_OPEN && has_come(contestant)) {
        holder_take(holder);
    } else {
        send_something(contestant);
        return false;
    }
    if (holder->state != HOLDER_OPEN)
        note_end(contestant);
    return holder->state == HOLDER_COMPLETED;
}

static void take_turns(struct contest *contest, unsigned store, struct seeded *random) {
    struct contestant contestants[HOLDERS_MAX];
    unsigned count = 2 + (unsigned)seeded_below(random, HOLDERS_MAX - 1);
    for (unsigned i = 0; i < count; i++)
        begin_contestant(&contestants[i], contest, store, random);
    unsigned turns = 0;
    while (turns < 500 && !turn(&contestants[seeded_below(random, count)]))
        turns++;
    if (turns == 500) { /* nobody had the time: the last one may */
        attach(&contestants[0]);
        holder_finish(&contestants[0].holder, content_of(contest, contestants[0].holder.epoch));
        note_end(&contestants[0]);
    }
    for (unsigned i = 0; i < count; i++)
        raw_close(&contestants[i].raw);
}

/* ---- at the same time ---- */

/* Holds it for a while, unless somebody else takes it away. */
static void hold(struct contestant *contestant, uint64_t frames) {
    struct holder *holder = &contestant->holder;
    attach(contestant);
    for (; holder->state == HOLDER_OPEN && frames > 0; frames--) {
        if (holder_may_send(holder))
            holder_send(holder, content_of(contestant->contest, holder->epoch));
        else if (holder_may_complete(holder))
            holder_send_complete(holder);
        else
            holder_take(holder);
    }
    if (holder->state != HOLDER_OPEN)
        note_end(contestant);
}

/* Gives up at some time, but for one. */
static void *compete(void *argument) {
    struct contestant *contestant = argument;
    seeded_round(contestant->contest->seed, 1);
    for (uint64_t attempts = 1 + seeded_below(&contestant->random, ATTEMPTS_MAX); attempts > 0; attempts--) {
        hold(contestant, 1 + seeded_below(&contestant->random, 100));
        if (contestant->holder.state == HOLDER_COMPLETED)
            return NULL;
    }
    while (contestant->is_last && contestant->holder.state != HOLDER_COMPLETED)
        hold(contestant, UINT64_MAX);
    return NULL;
}

static void race(struct contest *contest, unsigned store, struct seeded *random) {
    struct contestant contestants[HOLDERS_MAX];
    pthread_t threads[HOLDERS_MAX];
    unsigned count = 2 + (unsigned)seeded_below(random, HOLDERS_MAX - 1);
    for (unsigned i = 0; i < count; i++)
        begin_contestant(&contestants[i], contest, store, random);
    contestants[0].is_last = true;
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, compete, &contestants[i]), 0);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        raw_close(&contestants[i].raw);
    }
}

/* ---- all rounds ---- */

static void run_round(uint64_t seed) {
    struct contest contest;
    struct seeded random;
    seeded_round(seed, 1);
    seeded_watchdog(120);
    seeded_init(&random, seed);
    unsigned store = (unsigned)seeded_below(&random, STORES);
    draw_contest(&contest, seed, &random);
    if (seeded_once_in(&random, 2))
        take_turns(&contest, store, &random);
    else
        race(&contest, store, &random);
    check_object(&contest, store);
    trove_error error = {0};
    if (trove_object_delete(clients[store], HOLDER_BUCKET, contest.upload.key, NULL, 0, &error) != TROVE_OK)
        fail_msg("%s", error.message);
    pthread_mutex_destroy(&contest.lock);
    seeded_watchdog(0);
}

int main(int argc, char **argv) {
    struct seeded_run run;
    seeded_begin(&run, argc, argv, 300, 10000);
    for (unsigned i = 0; i < STORES; i++)
        servers[i] = troved_start(&options[i], NULL);
    for (unsigned i = 0; i < STORES; i++) {
        trove_error error = {0};
        if (trove_connect(troved_url(servers[i], "ipc"), NULL, &clients[i], &error) != TROVE_OK ||
            trove_bucket_create(clients[i], HOLDER_BUCKET, 0, &error) != TROVE_OK)
            fail_msg("%s", error.message);
    }
    for (uint64_t round = 0; round < run.rounds; round++)
        run_round(run.seed + round);
    printf("    %llu of %llu uploads had several holders, %llu of which were fenced\n", (unsigned long long)contested_count,
           (unsigned long long)run.rounds, (unsigned long long)fenced_count);
    for (unsigned i = 0; i < STORES; i++) {
        trove_close(clients[i]);
        assert_int_equal(troved_stop(servers[i], false), 0);
    }
    return EXIT_SUCCESS;
}
