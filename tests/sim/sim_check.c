/* sim_check.c - what must be true inside, whatever happens: after every step of what nobody has locked at that moment, and more
 * of it whenever the world is at rest, when every thread waits for time or for bytes. See sim.h.
 */
#include "sim.h"
#include "sim_checks.h"

#include "client/src/stream.h"
#include "server/stream.h"

#include <string.h>

/* ---- after every step ---- */

static void check_upload(const struct tvs_stream *stream) {
    uint64_t charged = tvs_grant_charged(&stream->receiver);
    uint64_t covered = tvs_grant_covered(&stream->grant);
    if (charged > covered || charged > stream->grant.window_bytes)
        sim_fail("stream %llu: %llu bytes may come or wait; there is memory for %llu, and a window of %llu",
                 (unsigned long long)stream->id, (unsigned long long)charged, (unsigned long long)covered,
                 (unsigned long long)stream->grant.window_bytes);
}

static void check_session(struct tvs_session *session) {
    for (struct tv_id_node *node = NULL; (node = tv_id_table_next(&session->streams, node)) != NULL;) {
        const struct tvs_stream *stream = tvs_stream_of_node(node);
        if (stream->up.open && stream->up.begun && !tv_stream_state_terminal(stream->state))
            check_upload(stream);
        sim_uploads_check_theirs(stream);
    }
}

static void check_account(const trove_stream *stream) {
    struct tvc_account account;
    tvc_stream_account(stream, &account);
    uint64_t bytes = account.acknowledged.bytes + account.dropped.bytes + account.queued.bytes + account.in_flight.bytes +
                     account.abandoned.bytes;
    uint64_t chunks = account.acknowledged.chunks + account.dropped.chunks + account.queued.chunks + account.in_flight.chunks +
                      account.abandoned.chunks;
    if (bytes != account.accepted.bytes || chunks != account.accepted.chunks)
        sim_fail("stream %llu of a client: %llu bytes in %llu chunks were accepted, %llu in %llu are accounted for",
                 (unsigned long long)stream->stream_id, (unsigned long long)account.accepted.bytes,
                 (unsigned long long)account.accepted.chunks, (unsigned long long)bytes, (unsigned long long)chunks);
}

static void check_client(struct trove_client *client) {
    for (const trove_stream *stream = client->streams; stream != NULL; stream = stream->next) {
        check_account(stream);
        sim_uploads_check_ours(stream);
    }
    if (client->memory_used > client->memory_bytes)
        sim_fail("a client has claimed %llu bytes of memory, of %llu", (unsigned long long)client->memory_used,
                 (unsigned long long)client->memory_bytes);
}

void sim_check_step(void) {
    struct tvs_server *server = sim.server;
    if (server != NULL && pthread_mutex_trylock(&server->lock) == 0) {
        for (struct tvs_session *session = server->sessions; session != NULL; session = session->next)
            if (pthread_mutex_trylock(&session->lock) == 0) {
                check_session(session);
                pthread_mutex_unlock(&session->lock);
            }
        pthread_mutex_unlock(&server->lock);
    }
    for (struct sim_link *link = sim.first_link; link != NULL; link = sim_link_next(link)) {
        struct trove_client *client = sim_link_client(link);
        if (client != NULL && pthread_mutex_trylock(&client->lock) == 0) {
            check_client(client);
            pthread_mutex_unlock(&client->lock);
        }
    }
    if (sim.steps > SIM_STEPS_MAX || sim.now_ns > sim_end_ns)
        sim_fail("the run doesn't end");
}

/* ---- at rest: the server ---- */

struct held {
    const struct tvs_pool *pool;
    uint32_t held;
    uint32_t waiting;
};

static void check_way(const struct tvs_stream *stream, const struct tvs_way *way) {
    unsigned long long id = stream->id;
    if (way->claiming != way->claim.queued)
        sim_fail("stream %llu %s for memory, and %s in the queue", id, way->claiming ? "waits" : "doesn't wait",
                 way->claim.queued ? "is" : "isn't");
    if (way->awaiting_turn != way->bandwidth.queued)
        sim_fail("stream %llu %s for bandwidth, and %s in the queue", id, way->awaiting_turn ? "waits" : "doesn't wait",
                 way->bandwidth.queued ? "is" : "isn't");
}

static void check_waits(const struct tvs_stream *stream) {
    unsigned long long id = stream->id;
    check_way(stream, &stream->up);
    check_way(stream, &stream->down);
    if (stream->awaits_news && !stream->following.waiting)
        sim_fail("stream %llu waits for the one that it follows, which doesn't know of it", id);
    if ((stream->place == TVS_PLACE_AWAITED) != stream->acquire.waiter.queued)
        sim_fail("stream %llu %s for a place, and %s in the queue", id,
                 stream->place == TVS_PLACE_AWAITED ? "waits" : "doesn't wait", stream->acquire.waiter.queued ? "is" : "isn't");
}

static void count_places(const struct tvs_session *session, struct held *held) {
    for (struct tv_id_node *node = NULL; (node = tv_id_table_next(&session->streams, node)) != NULL;) {
        const struct tvs_stream *stream = tvs_stream_of_node(node);
        check_waits(stream);
        if (stream->pool != held->pool)
            continue;
        held->held += stream->place == TVS_PLACE_HELD;
        held->waiting += stream->place == TVS_PLACE_AWAITED;
    }
}

static void check_queue(const struct tvs_pool *pool) {
    const struct tvs_acquire_queue *queue = &pool->acquires;
    struct held held = {.pool = pool};
    for (const struct tvs_session *session = sim.server->sessions; session != NULL; session = session->next)
        count_places(session, &held);
    /* One that is being published keeps its place when its connection has ended, and it isn't listed any more. */
    if (held.held > queue->held || held.waiting != queue->waiting)
        sim_fail("pool %s has %u places taken and %u streams waiting; of its streams %u have one, and %u wait", pool->name,
                 queue->held, queue->waiting, held.held, held.waiting);
    bool forgotten = queue->first != NULL && queue->held < pool->limits.streams_max && !pool->serving;
    if (queue->held > pool->limits.streams_max || forgotten)
        sim_fail("pool %s has %u places taken of %u, and %u streams waiting", pool->name, queue->held, pool->limits.streams_max,
                 queue->waiting);
    uint64_t deadline_ns = tvs_acquire_queue_deadline(queue);
    if (deadline_ns != UINT64_MAX && sim_clock_ns() > deadline_ns + 2 * SIM_SECOND)
        sim_fail("pool %s: a stream waits for a place long after its deadline", pool->name);
}

static void check_budget(struct tvs_budget *budget) {
    struct tv_block_stats stats;
    uint64_t reserved_bytes = tvs_budget_read_ahead_bytes(budget);
    tv_block_pool_stats(tvs_budget_pool(budget), &stats);
    for (const struct tvs_session *session = sim.server->sessions; session != NULL; session = session->next)
        for (struct tv_id_node *node = NULL; (node = tv_id_table_next(&session->streams, node)) != NULL;) {
            const struct tvs_stream *stream = tvs_stream_of_node(node);
            if (stream->budget == budget)
                reserved_bytes += stream->grant.reserved_bytes + stream->reserved_bytes;
        }
    /* What has ended, and isn't listed any more, may have some until a transport is done with it. */
    if (reserved_bytes > stats.reserved_bytes || stats.reserved_bytes > tvs_budget_bytes(budget) ||
        stats.in_use * stats.block_bytes > stats.reserved_bytes)
        sim_fail("streams have reserved %llu bytes, the budget knows of %llu and has %llu, of which %llu are in use",
                 (unsigned long long)reserved_bytes, (unsigned long long)stats.reserved_bytes,
                 (unsigned long long)tvs_budget_bytes(budget), (unsigned long long)stats.in_use * stats.block_bytes);
}

static void check_pools(void) {
    struct tvs_pool *pools[SIM_POOLS];
    size_t count = tvs_pools_list(sim.server->pools, pools, SIM_POOLS);
    for (size_t i = 0; i < count; i++) {
        check_queue(pools[i]);
        check_budget(pools[i]->budget);
        tvs_pool_release_reference(pools[i]);
    }
}

/* ---- at rest: both ends together ---- */

/* What the receiver that there is hasn't acknowledged: senders that were attached again, or have been elsewhere. */
static struct {
    const struct tv_sender *sender;
    uint64_t acknowledged_bytes;
} before[256];
static size_t before_count;

void sim_check_start(void) {
    before_count = 0;
}

static size_t find_before(const struct tv_sender *sender) {
    size_t at = 0;
    while (at < before_count && before[at].sender != sender)
        at++;
    return at;
}

void sim_check_begun(const struct tv_sender *sender) {
    size_t at = find_before(sender);
    if (at < before_count) /* somebody else had its memory */
        before[at] = before[--before_count];
}

static void note_before(const struct tv_sender *sender, uint64_t acknowledged_bytes) {
    size_t at = find_before(sender);
    TV_ASSERT(at < sizeof before / sizeof before[0]);
    before_count += at == before_count;
    before[at].sender = sender;
    before[at].acknowledged_bytes = acknowledged_bytes;
}

void sim_check_restarted(const struct tv_sender *sender) {
    note_before(sender, sender->acknowledged_bytes);
}

void sim_check_presumed(const struct tv_sender *sender, uint64_t bytes) {
    size_t at = find_before(sender);
    note_before(sender, bytes + (at < before_count ? before[at].acknowledged_bytes : 0));
}

/* Credit that the sender has, has used and was acknowledged is what the receiver has given: none leaks, none is made. Where
 * nothing is on the way it is the same sum at both ends. */
static int64_t sent_sum(const struct tv_sender *sender) {
    uint64_t in_flight = sender->queued_bytes - sender->unsent_bytes;
    size_t at = find_before(sender);
    uint64_t acknowledged_bytes = sender->acknowledged_bytes - (at < before_count ? before[at].acknowledged_bytes : 0);
    return (int64_t)(sender->credit_bytes + in_flight + acknowledged_bytes) - (int64_t)sender->owed_bytes;
}

static int64_t received_sum(const struct tv_receiver *receiver) {
    return (int64_t)(receiver->outstanding_bytes + receiver->begun_bytes);
}

static void compare(const struct tvs_stream *stream, const char *way, const struct tv_sender *sender,
                    const struct tv_receiver *receiver, int64_t untold) {
    int64_t sent = sent_sum(sender);
    int64_t received = received_sum(receiver);
    sim_met.quiet_checks++;
    if (sent + untold != received)
        sim_fail(
            "stream %llu, way %s: credit doesn't add up: %lld at the sender, %lld at the receiver, who has yet to tell of %lld",
            (unsigned long long)stream->id, way, (long long)sent, (long long)received, (long long)untold);
}

static void compare_credit(const trove_stream *ours, const struct tvs_stream *theirs) {
    const struct tvs_grant *grant = &theirs->grant;
    if (theirs->up.open && !tvc_stream_follows(ours))
        compare(theirs, "up", &ours->upload.sender, &theirs->receiver, (int64_t)grant->credit_due - (int64_t)grant->expired_due);
    if (theirs->down.open && theirs->sender_ready && ours->download.half.chunks != NULL)
        compare(theirs, "down", &theirs->sender, &ours->download.receiver, -(int64_t)ours->download.expired_due);
}

static void compare_streams(struct trove_client *client) {
    for (const trove_stream *ours = client->streams; ours != NULL; ours = ours->next) {
        bool here = ours->entry.listed && !tvc_stream_detached(ours); /* else it is on no connection, or on one that was lost */
        if (!ours->opened || tv_stream_state_terminal(ours->state) || !here)
            continue;
        struct tvs_stream *theirs = tvs_stream_list_find(&sim.server->streams, ours->stream_id);
        if (theirs == NULL)
            continue;
        if (theirs->opened_sent && !tv_stream_state_terminal(theirs->state))
            compare_credit(ours, theirs);
        tvs_stream_release(theirs);
    }
}

void sim_check_idle(void) {
    if (sim.server == NULL)
        return;
    check_pools();
    for (struct sim_link *link = sim.first_link; link != NULL; link = sim_link_next(link)) {
        struct trove_client *client = sim_link_client(link);
        if (client != NULL && sim_link_quiet(link))
            compare_streams(client);
    }
}

void sim_check_end(void) {
    struct tvs_pool *pools[SIM_POOLS];
    size_t count = tvs_pools_list(sim.server->pools, pools, SIM_POOLS);
    if (tvs_holders_count(&sim.server->holders) > 0)
        sim_fail("all streams have ended, and %zu hold an upload", tvs_holders_count(&sim.server->holders));
    for (size_t i = 0; i < count; i++) {
        struct tv_block_stats stats;
        tv_block_pool_stats(tvs_budget_pool(pools[i]->budget), &stats);
        if (pools[i]->acquires.held != 0 || pools[i]->acquires.waiting != 0)
            sim_fail("pool %s: all streams have ended, and %u places are taken, %u streams waiting", pools[i]->name,
                     pools[i]->acquires.held, pools[i]->acquires.waiting);
        if (stats.reserved_bytes != 0 || stats.in_use != 0)
            sim_fail("pool %s: all streams have ended, and %llu bytes are still reserved, %llu blocks in use", pools[i]->name,
                     (unsigned long long)stats.reserved_bytes, (unsigned long long)stats.in_use);
        tvs_pool_release_reference(pools[i]);
    }
}

/* ---- for people ---- */

static void dump_sender(const struct tv_sender *sender) {
    printf("    sender: base %llu, sent %llu, next %llu; %u in flight, %u queued; credit %llu, owed %llu, generation %llu\n",
           (unsigned long long)sender->base, (unsigned long long)sender->sent_index, (unsigned long long)sender->next,
           sender->flight.count, sender->queue.count, (unsigned long long)sender->credit_bytes,
           (unsigned long long)sender->owed_bytes, (unsigned long long)sender->generation);
}

static void dump_receiver(const struct tv_receiver *receiver) {
    printf("    receiver: expected %llu, taken %llu, acked %llu, resend below %llu; outstanding %llu, expired %llu, held %llu, "
           "generation %llu\n",
           (unsigned long long)receiver->expected_index, (unsigned long long)receiver->taken_index,
           (unsigned long long)receiver->acked_index, (unsigned long long)receiver->resend_end,
           (unsigned long long)receiver->outstanding_bytes, (unsigned long long)receiver->expired_bytes,
           (unsigned long long)receiver->held_bytes, (unsigned long long)receiver->generation);
}

static void dump_way(const struct tvs_way *way) {
    printf("%s%s%s\n", way->claiming ? ", waits for memory" : "", way->awaiting_turn ? ", waits for bandwidth" : "",
           way->scheduled ? ", scheduled" : "");
}

static void dump_theirs(const struct tvs_stream *stream) {
    printf("server: stream %llu, %s, place %d, %u answers\n", (unsigned long long)stream->id,
           trove_stream_state_name(stream->state), (int)stream->place, stream->answer_count);
    if (stream->up.open) {
        dump_receiver(&stream->receiver);
        printf("    demand %llu, reserved %llu, to be told %llu given, %llu expired; %u fragments",
               (unsigned long long)stream->grant.demand_bytes, (unsigned long long)stream->grant.reserved_bytes,
               (unsigned long long)stream->grant.credit_due, (unsigned long long)stream->grant.expired_due,
               stream->fragment_count);
        dump_way(&stream->up);
    }
    if (stream->down.open && stream->sender_ready) {
        dump_sender(&stream->sender);
        printf("    read up to %llu of %llu, reserved %llu%s%s", (unsigned long long)stream->ahead.end,
               (unsigned long long)stream->read_end, (unsigned long long)stream->reserved_bytes, stream->parked ? ", parked" : "",
               stream->complete_sent ? ", complete" : "");
        dump_way(&stream->down);
    }
}

static void dump_ours(const trove_stream *stream) {
    printf("client: stream %llu, %s%s%s\n", (unsigned long long)stream->stream_id, trove_stream_state_name(stream->state),
           stream->opened ? "" : ", not opened", stream->seek.serial != 0 ? ", seeking" : "");
    if (tvc_stream_sends(stream)) {
        dump_sender(&stream->upload.sender);
        printf("    %llu chunks in the overflow%s\n", (unsigned long long)stream->upload.spill.waiting.chunks,
               stream->upload.finishing ? ", finishing" : "");
    }
    if (tvc_stream_receives(stream)) {
        const struct tvc_download *download = &stream->download;
        dump_receiver(&download->receiver);
        printf("    ready %s, %llu out; credit due %llu, expired %llu%s%s\n", download->ready_first != NULL ? "some" : "none",
               (unsigned long long)download->out.chunks, (unsigned long long)download->credit_due,
               (unsigned long long)download->expired_due, download->starved ? ", starved" : "",
               download->complete_seen ? ", complete" : "");
    }
}

/* Of nobody's lock: the run is over. */
void sim_check_dump(void) {
    if (sim.server != NULL)
        for (struct tvs_session *session = sim.server->sessions; session != NULL; session = session->next)
            for (struct tv_id_node *node = NULL; (node = tv_id_table_next(&session->streams, node)) != NULL;)
                dump_theirs(tvs_stream_of_node(node));
    for (struct sim_link *link = sim.first_link; link != NULL; link = sim_link_next(link)) {
        const struct trove_client *client = sim_link_client(link);
        for (const trove_stream *stream = client != NULL ? client->streams : NULL; stream != NULL; stream = stream->next)
            dump_ours(stream);
    }
}

/* ---- for programs ---- */

bool sim_check_taken(uint64_t stream_id, uint64_t *offset) {
    struct tvs_stream *stream = sim.server != NULL ? tvs_stream_list_find(&sim.server->streams, stream_id) : NULL;
    if (stream == NULL)
        return false;
    *offset = stream->receiver.taken_offset;
    tvs_stream_release(stream);
    return true;
}

bool sim_check_key(uint64_t stream_id, const char *key) {
    struct tvs_stream *stream = sim.server != NULL ? tvs_stream_list_find(&sim.server->streams, stream_id) : NULL;
    bool is = stream == NULL || strcmp(stream->key, key) == 0;
    if (stream != NULL)
        tvs_stream_release(stream);
    return is;
}

unsigned sim_check_window(const trove_stream *stream) {
    return stream->channel_chunks;
}

/* ---- who comes first: what goes into a pool's queue, and what comes out ---- */

static struct {
    const struct tvs_waiter *waiter;
    uint64_t ticket;
} tickets[64];
static uint64_t last_ticket;

static uint64_t ticket_of(const struct tvs_waiter *waiter) {
    for (size_t i = 0; i < sizeof tickets / sizeof tickets[0]; i++)
        if (tickets[i].waiter == waiter)
            return tickets[i].ticket;
    return 0;
}

void sim_check_queued(const struct tvs_waiter *waiter) {
    size_t at = 0;
    for (size_t i = 0; i < sizeof tickets / sizeof tickets[0]; i++) {
        if (tickets[i].waiter == waiter) {
            at = i;
            break;
        }
        if (tickets[i].ticket < tickets[at].ticket) /* the oldest is over by now */
            at = i;
    }
    tickets[at].waiter = waiter;
    tickets[at].ticket = ++last_ticket;
    sim_met.place_waits++;
}

void sim_check_served(const struct tvs_acquire_queue *queue, const struct tvs_waiter *waiter) {
    for (const struct tvs_waiter *other = queue->first; other != NULL; other = other->next)
        if (ticket_of(other) < ticket_of(waiter))
            sim_fail("a stream got a place before one that had waited longer");
}

/* ---- bandwidth: what a pool allows, all told ---- */

void sim_check_allowed(const struct tvs_pool *pool, uint64_t bytes) {
    for (unsigned i = 0; i < SIM_POOLS; i++) {
        uint64_t rate = sim.bandwidth[i];
        if (rate == 0 || strcmp(pool->name, sim_pool_name(i)) != 0)
            continue;
        /* The burst, what time is worth, and one more, which is taken while the bucket isn't below zero: small objects aren't
         * cut. */
        uint64_t slice_bytes = tvs_bandwidth_slice(rate);
        uint64_t last_bytes = slice_bytes > TV_INLINE_BYTES_MAX ? slice_bytes : TV_INLINE_BYTES_MAX;
        sim.allowed_bytes[i] += bytes;
        double most = (double)rate * (double)(sim.now_ns - sim.server_begun_ns) / 1e9 + (double)(slice_bytes + last_bytes);
        if ((double)sim.allowed_bytes[i] > most)
            sim_fail("pool %s has allowed %llu bytes by now; %.0f are its bandwidth", pool->name,
                     (unsigned long long)sim.allowed_bytes[i], most);
    }
}
