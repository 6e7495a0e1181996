/* sim.h - uploads from clients to a server on a virtual network, disk and clock, all drawn from one seed.
 *
 * What decides is the shipped code: sender, receiver, stream_state, grant, budget, bandwidth. What surrounds it here are the shells of both ends,
 * as thin as can be, each function after its model: server/upload.c, stream_in.c, stream_out.c; client/src/stream_upload.c. The network
 * keeps order, delays, stalls and breaks; the disk is slow, and stalls; programs write in bursts, pause, cancel, and lose chunks
 * if they are lossy. Frames and wake-ups go as in conn.c: a flow is asked for frames only after somebody has woken it.
 * After every step sim_check.c looks at everything. After CALM_NS nothing bad happens any more, and all has to come to an end.
 *
 * One thread. The same seed gives the same run.
 */
#ifndef TROVE_TESTS_SIM_H
#define TROVE_TESTS_SIM_H

#include "bandwidth.h"
#include "budget.h"
#include "grant.h"
#include "receiver.h"
#include "sender.h"
#include "stream_state.h"

#include <stdarg.h>

#define SIM_MS          UINT64_C(1000000)
#define SIM_SECOND      (1000 * SIM_MS)
#define SIM_CALM_NS     (20 * SIM_SECOND)
#define SIM_END_NS      (600 * SIM_SECOND)
#define SIM_STREAMS_MAX 12
#define SIM_LINKS_MAX   3
#define SIM_EVENTS_MAX  65536
#define SIM_HELD_MAX    4096

/* Bugs put into the shells, which the checks must find. */
#define SIM_PLANTS(X)                                                                                                            \
    X(NONE, "none")                                                                                                              \
    X(LEAKED_CREDIT, "leaked-credit")     /* a grant that isn't told */                                                          \
    X(LEAKED_MEMORY, "leaked-memory")     /* a stream that ends keeps its reservation */                                         \
    X(LOST_GRANT_WAKE, "lost-grant-wake") /* memory came, and nobody is told */                                                  \
    X(LOST_ACK_WAKE, "lost-ack-wake")     /* an acknowledgement came, and the sender isn't woken */                              \
    X(DROPPED_ACK, "dropped-ack")         /* an acknowledgement that isn't sent */                                               \
    X(OVERCOMMIT, "overcommit")           /* credit without memory */                                                            \
    X(OVERDRAW, "overdraw")               /* credit beyond the bandwidth */                                                      \
    X(LOST_TURN, "lost-turn")             /* a turn came, and nothing is done with it */                                         \
    X(SWAPPED_FRAMES, "swapped-frames")   /* the network doesn't keep order */                                                   \
    X(SECOND_END, "second-end")           /* an ended stream is ended again */                                                   \
    X(NO_EXPIRY, "no-expiry")             /* unused credit is never taken back */

enum sim_plant {
#define SIM_PLANT(name, text) SIM_PLANT_##name,
    SIM_PLANTS(SIM_PLANT)
#undef SIM_PLANT
    SIM_PLANT_COUNT
};

enum sim_frame_kind {
    SIM_OPEN,
    SIM_OPENED,
    SIM_DEMAND,
    SIM_CHUNK,
    SIM_GAP,
    SIM_COMPLETE,
    SIM_CONTROL,
    SIM_STATE,
    SIM_ACK,
    SIM_CREDIT,
    SIM_COMPLETED,
    SIM_STATUS,
};

struct sim_stream;

struct sim_frame {
    enum sim_frame_kind kind;
    struct sim_stream *stream;
    unsigned epoch; /* of the link */
    uint64_t granted, expired;
    union {
        struct tv_fragment_in chunk;
        struct tv_gap_in gap;
        struct {
            uint64_t first, count; /* 0: none */
            bool not_taken;
        } ack;
        struct {
            uint64_t serial;
            enum tv_stream_event event;
            trove_stream_state state;
            trove_status status;
        } control;
        uint64_t demand;
        struct {
            uint64_t bytes, chunks;
        } complete;
        trove_error why;
    };
};

/* One direction of a connection. */
struct sim_way {
    uint64_t busy_until_ns;
    uint64_t arrives_ns; /* of the last frame: order is kept */
    bool pumping;        /* an event for it is under way */
    unsigned turn;       /* of the streams */
};

struct sim_link {
    struct sim *sim;
    uint64_t bytes_per_ms;
    uint64_t delay_ns;
    uint64_t jitter_ns;
    uint64_t stalled_until_ns;
    unsigned epoch; /* counts what breaks it */
    bool dead;
    struct sim_way up, down;
};

struct sim_held { /* a fragment or a gap that waits for the store */
    uint64_t offset;
    uint64_t bytes;
    uint64_t lost_chunks;
    bool ends_chunk;
};

/* As struct tvs_stream has it. */
struct sim_server {
    trove_stream_state state;
    bool begun, opened_sent, scheduled, status_due, completed_due, complete_received, commit_running, cleaned, listed;
    bool wants_control;
    bool claiming;
    struct tvs_claim claim;
    bool awaiting_turn;
    struct tvs_bandwidth_waiter bandwidth;
    struct tvs_grant grant;
    uint64_t admitted_bytes, granted_bytes; /* ever */
    struct tv_receiver receiver;
    struct sim_held held[SIM_HELD_MAX];
    unsigned held_first, held_count;
    struct {
        uint64_t serial;
        trove_status status;
    } answers[16];
    unsigned answer_count;
    uint64_t progress_ns, granted_ns;
    uint64_t untold_bytes, told_ns;
    uint64_t complete_bytes, complete_chunks;
    trove_error failure;
    uint64_t stored_offset; /* what the store has: bytes in order */
    unsigned ends;
};

/* As struct trove_stream has it, and the program that uses it. */
struct sim_client {
    trove_stream_state state;
    struct tv_sender sender;
    bool sender_gone;
    bool opened, finishing, wants_data, lossy, writer_waits;
    uint64_t demand_bytes, busy_ns;
    uint64_t last_serial, answered_serial, pause_serial;
    uint64_t deadline_ns;
    unsigned chunks_to_write;
    uint64_t chunk_bytes, gap_ns; /* at most, of the program's writes */
    unsigned ends;
};

struct sim_stream {
    struct sim *sim;
    struct sim_link *link;
    unsigned number;
    uint64_t payload_bytes_max;
    struct sim_server server;
    struct sim_client client;
    uint64_t granted_on_the_way, expired_on_the_way;
};

typedef void (*sim_function)(struct sim *sim, void *object);

struct sim_event {
    uint64_t at_ns;
    uint64_t order;
    sim_function function;
    void *object;
};

struct tvs_workers { /* the budget's */
    struct sim *sim;
};

struct sim {
    uint64_t seed, random;
    uint64_t now_ns;
    enum sim_plant plant;
    bool trace;
    struct sim_event events[SIM_EVENTS_MAX];
    size_t event_count;
    uint64_t event_order;
    uint64_t steps;
    struct tvs_workers workers;
    struct tvs_budget *budget;
    uint64_t disk_bytes_per_ms, disk_stalled_until_ns;
    uint64_t expiry_ns;
    bool relieving;
    struct tvs_bandwidth bandwidth; /* of all streams together */
    bool limited;
    bool turns_armed;
    bool tight; /* little memory, large chunks, many pauses */
    unsigned link_count, stream_count;
    struct sim_link links[SIM_LINKS_MAX];
    struct sim_stream streams[SIM_STREAMS_MAX];
    uint64_t expired_grants, resent_chunks, dropped_chunks, waited_claims, waited_turns,
        completed_streams; /* what runs have met */
    char failure[480];
};

/* ---- sim.c: clock, chance, events, network ---- */
uint64_t sim_random(struct sim *sim);
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high); /* both included */
bool sim_chance(struct sim *sim, unsigned percent);
void sim_after(struct sim *sim, uint64_t delay_ns, sim_function function, void *object);
/* The first is kept, and ends the run. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *sim, const struct sim_stream *stream, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Copies the frame and sends it right away. */
void sim_send(struct sim_stream *stream, bool up, const struct sim_frame *frame, uint64_t bytes);
/* The connection asks its flows for frames when it can. */
void sim_pump(struct sim_link *link, bool up);
/* A whole run; false: sim->failure says why. */
bool sim_run(struct sim *sim, uint64_t seed, enum sim_plant plant, bool trace);

/* ---- sim_client.c ---- */
void sim_client_begin(struct sim_stream *stream);
void sim_client_frame(struct sim_stream *stream, const struct sim_frame *frame);
bool sim_client_pull(struct sim_stream *stream, struct sim_frame *frame, uint64_t *bytes);
void sim_client_end(struct sim_stream *stream, enum tv_stream_event event);
void sim_client_tick(struct sim_stream *stream);

/* ---- sim_server.c ---- */
void sim_server_frame(struct sim_stream *stream, const struct sim_frame *frame);
bool sim_server_pull(struct sim_stream *stream, struct sim_frame *frame);
void sim_server_end(struct sim_stream *stream, enum tv_stream_event event, const trove_error *why);
void sim_server_abandon(struct sim_stream *stream);
void sim_server_tick(struct sim_stream *stream);
void sim_server_relieve(struct sim_stream *stream);

/* ---- sim_check.c ---- */
void sim_check(struct sim *sim);
void sim_check_end(struct sim *sim);

#endif
