/* sim.h - the shipped server and the shipped client library, whole, in a world of their own: threads and clock (sim_threads.h),
 * network (sim_network.c), disk (sim_disk.c) and programs (sim_client.c, sim_programs.h) are virtual and drawn from one seed.
 *
 * Links delay, stall, break and fall silent; the disk is slow, stalls and fails; the server ends, or dies, and another one
 * comes; clients dial again, or don't; programs write and read one way and both, follow others, take uploads over from others, in
 * bursts, hold on to what they have read, pause, seek, cancel, fail, close their client in the middle of it; an operator does the
 * same to them from outside. Each program knows which bytes it must find, and what may go wrong for it.
 * The server may be refused memory once (sim_memory.c): one call or stream of one client suffers, or its connection.
 * Besides, sim_check.c looks inside after every step, and more closely whenever the world is at rest. After SIM_CALM_NS nothing
 * bad begins any more, and all has to come to an end.
 *
 * sim_plants.c puts bugs into the shipped code, each of which has to be found: the test of this test.
 *
 * One thread of the kernel's. The same seed gives the same run.
 */
#ifndef TROVE_TESTS_SIM_H
#define TROVE_TESTS_SIM_H

#include "sim_threads.h"

#include "bounds.h"
#include "status.h"

#define SIM_MS            UINT64_C(1000000)
#define SIM_SECOND        (1000 * SIM_MS)
#define SIM_CALM_NS       (20 * SIM_SECOND)
#define SIM_END_NS        (1200 * SIM_SECOND)
#define SIM_TIMEOUT_MS    400000u /* of everything that a program waits for: nothing may take so long */
#define SIM_STEPS_MAX     UINT64_C(4000000)
#define SIM_LINKS_MAX     4
#define SIM_PROGRAMS_MAX  6 /* of a client */
#define SIM_OBJECTS       6
#define SIM_REPLACED      8 /* by two-way streams, of which each uses one */
#define SIM_FOLLOWED      2
#define SIM_UPLOADS_MAX   64
#define SIM_POOLS         3
#define SIM_BUCKET        "sim"
#define SIM_REQUESTS_MAX  65536      /* for memory, of which a run keeps where they stand */
#define SIM_NO_REQUEST    UINT32_MAX /* to be refused, in a run like those in which one is */
#define SIM_PATTERN_BYTES (UINT64_C(1) << 20)

/* Bugs put into the shipped code, which have to be found. See sim_plants.c. */
#define SIM_PLANTS(X)                                                                                                            \
    X(NONE, "none")                                                                                                              \
    X(LOST_SIGNAL, "lost-signal")                   /* a condition that nobody is woken by */                                    \
    X(LEAKED_CREDIT, "leaked-credit")               /* a grant of the server's that isn't told */                                \
    X(LEAKED_CREDIT_SEEK, "leaked-credit-seek")     /* a seek forgets the credit of what was in flight */                        \
    X(LEAKED_CREDIT_RESEND, "leaked-credit-resend") /* so does a chunk that comes back */                                        \
    X(LEAKED_MEMORY, "leaked-memory")               /* what is given back to the budget, and isn't */                            \
    X(LEAKED_RUN, "leaked-run")                     /* what was read ahead is kept */                                            \
    X(LEAKED_PLACE, "leaked-place")                 /* a stream that ends keeps its place in the pool */                         \
    X(LOST_CONTROL_WAKE, "lost-control-wake")       /* the server has something to tell, and nobody is woken */                  \
    X(LOST_DOWNLOAD_WAKE, "lost-download-wake")     /* the server has data to send, and nobody is woken */                       \
    X(LOST_CLIENT_WAKE, "lost-client-wake")         /* the same at the client */                                                 \
    X(DROPPED_ACK, "dropped-ack")                   /* an acknowledgement that isn't sent, in either direction */                \
    X(OLD_ACK, "old-ack")                           /* after a seek what came before it is acknowledged */                       \
    X(OLD_READ, "old-read")                         /* so is what was read for it */                                             \
    X(OLD_CREDIT, "old-credit")                     /* credit that was taken back may still be used */                           \
    X(WRONG_GAP, "wrong-gap")                       /* a loss is told one chunk too late */                                      \
    X(UNTOLD_GAP, "untold-gap")                     /* or not at all */                                                          \
    X(UNCOUNTED_DROP, "uncounted-drop")             /* or not counted */                                                         \
    X(OVERCOMMIT, "overcommit")                     /* memory that isn't there */                                                \
    X(OVERDRAW, "overdraw")                         /* bytes beyond the bandwidth */                                             \
    X(LOST_TURN, "lost-turn")                       /* a turn of the bandwidth that nobody learns of */                          \
    X(FORGOTTEN_WAITER, "forgotten-waiter")         /* a stream that waits for its pool is lost from the queue */                \
    X(QUEUE_JUMPER, "queue-jumper")                 /* the last one in the queue gets the place */                               \
    X(FORGOTTEN_DEADLINE, "forgotten-deadline")     /* and nobody looks at how long it waits */                                  \
    X(FORGOTTEN_TICKET, "forgotten-ticket")         /* the same in the client's pool */                                          \
    X(LOST_NEWS, "lost-news")                       /* a follower doesn't learn that there is more */                            \
    X(NO_EXPIRY, "no-expiry")                       /* unused credit is never taken back */                                      \
    X(IGNORED_RESUME, "ignored-resume")             /* a stream that is said to go on doesn't */                                 \
    X(SECOND_END, "second-end")                     /* the last hook is called twice */                                          \
    X(WRONG_BYTES, "wrong-bytes")                   /* a download is sent others */                                              \
    X(UNFINISHED_SPILL, "unfinished-spill")         /* the overflow forgets a chunk */                                           \
    X(RECEIVED_AS_DURABLE, "received-as-durable")   /* what is only received is said to be durable */                            \
    X(EARLY_LET_GO, "early-let-go")                 /* a client keeps only what isn't received */                                \
    X(UNCHECKED_EPOCH, "unchecked-epoch")           /* the store takes what an older holder writes */                            \
    X(ATTACHED_TWICE, "attached-twice")             /* the answer to an attach is followed twice */                              \
    X(LOST_DIAL, "lost-dial")                       /* a connection isn't made again */                                          \
    X(UNPINNED_DOWNLOAD, "unpinned-download")       /* a download goes on with another object */

enum sim_plant {
#define SIM_PLANT(name, text) SIM_PLANT_##name,
    SIM_PLANTS(SIM_PLANT)
#undef SIM_PLANT
    SIM_PLANT_COUNT
};

/* What runs have met, over all of them: a world that is too tame shows nothing. X(name, text) */
#define SIM_MET(X)                                                                                                               \
    X(uploads, "uploads completed")                                                                                              \
    X(downloads, "downloads completed")                                                                                          \
    X(two_way, "two-way streams completed")                                                                                      \
    X(led, "objects written for others to follow")                                                                               \
    X(followed, "objects followed to their end")                                                                                 \
    X(whole_objects, "whole objects moved")                                                                                      \
    X(failures, "streams failed as they may")                                                                                    \
    X(upload_seeks, "seeks of uploads")                                                                                          \
    X(download_seeks, "seeks of downloads")                                                                                      \
    X(pauses, "pauses")                                                                                                          \
    X(outside_controls, "controls from outside")                                                                                 \
    X(breaks, "broken links")                                                                                                    \
    X(closes, "clients closed early")                                                                                            \
    X(upload_drops, "chunks dropped going up")                                                                                   \
    X(download_drops, "chunks dropped coming down")                                                                              \
    X(resent, "chunks sent again")                                                                                               \
    X(spilled, "chunks spilled")                                                                                                 \
    X(memory_waits, "waits for memory")                                                                                          \
    X(turn_waits, "waits for bandwidth")                                                                                         \
    X(place_waits, "waits for a place")                                                                                          \
    X(late_places, "places that came too late")                                                                                  \
    X(expired, "grants that expired")                                                                                            \
    X(disk_failures, "failures of the disk")                                                                                     \
    X(quiet_checks, "accounts of credit compared")                                                                               \
    X(resumed_uploads, "uploads that went on after a loss")                                                                      \
    X(resumed_downloads, "downloads that did")                                                                                   \
    X(refused, "dials refused")                                                                                                  \
    X(lost_answers, "attaches whose answer was lost")                                                                            \
    X(taken_over, "uploads taken over by others")                                                                                \
    X(fenced, "holders fenced off")                                                                                              \
    X(not_durable, "attaches that had to go back")                                                                               \
    X(looks, "looks at uploads from outside")                                                                                    \
    X(found_complete, "attaches that found the upload complete")                                                                 \
    X(replaced, "downloads refused, for their object was replaced")                                                              \
    X(ends, "servers ended under their clients")                                                                                 \
    X(crashes, "servers that died")

struct sim_met {
#define SIM_MET_FIELD(name, text) uint64_t name;
    SIM_MET(SIM_MET_FIELD)
#undef SIM_MET_FIELD
};

/* What is drawn for a link before anybody dials it. */
struct sim_link_plan {
    uint64_t bytes_per_ms;
    uint64_t delay_ns;
    uint64_t jitter_ns;
    uint64_t buffer_bytes; /* what the kernels hold of each direction */
    uint64_t stalled_until_ns;
};

/* An object that downloads read. */
struct sim_object {
    char key[24];
    bool exists;
    uint32_t version;
    uint64_t size;
    uint64_t gap_offset; /* one gap; a length of 0: none */
    uint64_t gap_length;
    uint32_t later_version; /* by which it is replaced some time, with the same size; 0: it isn't */
};

/* What an upload must have stored, or not. */
struct sim_stored {
    char key[24];
    enum {
        SIM_UNKNOWN, /* it may be there; if it is, it is this one */
        SIM_PRESENT,
        SIM_ABSENT,
        SIM_ANY, /* or the one before */
    } wanted;
    uint64_t size;
    struct {
        uint64_t from;
        uint32_t version;
    } parts[16]; /* by offset; the last one to the end */
    unsigned part_count;
    trove_gap *gaps; /* in order; neighbours are one */
    size_t gap_count;
    char upload_id[TROVE_UPLOAD_ID_BYTES]; /* by which others may take it over; "": they may not */
    unsigned holders;                      /* programs that write it */
    unsigned takers;                       /* that have taken it over, ever */
    bool published;                        /* one has been told so */
    bool perhaps;                          /* one has asked for it, and wasn't told what came of it */
};

struct tvs_server;
struct tvs_server_options;
struct sim_link;

/* All that a run has; zeroed at its begin. */
struct sim {
    uint64_t seed;
    uint64_t random;
    enum sim_plant plant;
    bool trace;
    uint64_t now_ns;
    uint64_t steps;
    uint64_t notes; /* a hash of all that has happened */
    char failure[640];

    /* drawn at the begin */
    unsigned interrupt_percent; /* before a lock */
    unsigned sleepy_percent;    /* a thread that could run doesn't, for a while */
    bool nonblocking_disk;
    uint64_t disk_bytes_per_ms;
    uint64_t disk_stalled_until_ns;
    unsigned disk_failure_permille;
    unsigned link_count;
    struct sim_link_plan links[SIM_LINKS_MAX];
    struct sim_object objects[SIM_OBJECTS];
    struct sim_object replaced[SIM_REPLACED];
    unsigned replaced_count;
    struct sim_object followed[SIM_FOLLOWED];
    uint64_t chunk_bytes_max[SIM_POOLS]; /* that the pools' memory carries */
    uint64_t bandwidth[SIM_POOLS];
    bool timeouts;            /* the last pool has short ones */
    bool tight;               /* little memory, many programs at once, large chunks, long pauses */
    unsigned refused_percent; /* of dials, where clients dial again */
    bool restarts;
    uint64_t allowed_bytes[SIM_POOLS]; /* by its bandwidth, since this server began */
    uint64_t server_begun_ns;

    struct tvs_server *server; /* NULL: there is none */
    bool server_ends;          /* it takes no connections any more */
    bool server_dead;          /* what it does reaches nobody */
    unsigned accepting;
    bool clients_gone;
    struct sim_link *first_link;
    bool lost[SIM_LINKS_MAX]; /* a connection, or a try to make one, since this client was made */
    struct sim_stored uploads[SIM_UPLOADS_MAX];
    unsigned upload_count;
    unsigned disk_failures;
    bool operator_cancels;

    struct {
        bool counts;
        unsigned refuse;   /* which of the server's requests is refused; 0: none */
        unsigned requests; /* so far */
        bool refused;
        unsigned link_number;           /* of the client that suffered, + 1; 0: none has */
        char told[sizeof(trove_error)]; /* what failed, in its words */
    } memory;
};

extern struct sim sim;
extern struct sim_met sim_met;
extern uint64_t sim_end_ns; /* SIM_END_NS, or earlier to look at how things stand then */
extern unsigned char sim_pattern_bytes[2 * SIM_PATTERN_BYTES];

/* ---- sim.c: chance, telling, a run ---- */
uint64_t sim_random(void);
uint64_t sim_between(uint64_t low, uint64_t high); /* both included */
bool sim_chance(unsigned percent);
/* A size up to `most`, which may be of any order. */
uint64_t sim_size(uint64_t most);
/* Something has happened: two runs of a seed must agree on all of it. */
void sim_note(uint64_t what);
/* The first one is kept, and ends the run. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t sim_clock_ns(void); /* as the shipped code sees the time */
/* The server's `refuse`th request for memory is refused; 0: none, and nobody expects it. False: sim.failure says why. */
bool sim_run(uint64_t seed, enum sim_plant plant, unsigned refuse, bool trace);

/* The bytes of version `version` of anything, from `offset` on. */
void sim_pattern(uint32_t version, uint64_t offset, void *to, size_t bytes);
bool sim_pattern_is(uint32_t version, uint64_t offset, const void *bytes, size_t count);

/* ---- sim_network.c ---- */
struct sim_link *sim_link_of(unsigned number); /* the newest one; NULL: there was none */
struct sim_link *sim_link_next(const struct sim_link *link);
/* NULL: it isn't there yet, or any more. */
struct trove_client *sim_link_client(const struct sim_link *link);
/* Both ends lose each other; each learns of it some time later. */
void sim_link_break(struct sim_link *link);
/* All links break, and the server's ends know it. */
void sim_links_cut(void);
/* Nothing is on the way, and no end is about to be told of anything. */
bool sim_link_quiet(const struct sim_link *link);
void sim_network_start(void);
void sim_network_end(void);

/* ---- sim_disk.c ---- */
void sim_disk_start(void);
void sim_disk_end(void);
/* The objects that downloads read, and what uploads must have left. The disk is quick and sound then. */
void sim_disk_fill(void);
void sim_disk_verify(void);
/* One object is replaced while others read it. */
void sim_disk_replace(void *unused);
/* No call of the server's is in it. */
bool sim_disk_still(void);

/* ---- sim_memory.c ---- */
/* Of the `requests` for memory of the last run in which none was refused, the next one from the `from`th on that stands where
 * fewer than `times` were refused, in all runs; 0: none. */
unsigned sim_memory_next(unsigned from, unsigned times, unsigned requests);
/* How many places in the code asked, and of how many of them one was refused. */
size_t sim_memory_places(size_t *refused);

/* ---- sim_server.c ---- */
void sim_server_start(const struct tvs_server_options *options);
/* All clients have gone. */
void sim_server_end(void);
/* Ends it, or has it die, and starts the next one; a thread. */
void sim_server_restart_run(void *options);

/* ---- sim_client.c ---- */
/* Whether this client's dial is refused; one wasn't. */
bool sim_client_refused(unsigned number);
void sim_client_dialled(unsigned number);
struct sim_client {
    unsigned number;
    trove_client *client;
    trove_pool *pool; /* NULL: none */
    bool closing;
    bool retries;      /* it dials again when its connection is lost */
    unsigned entering; /* programs that are opening something */
};
const char *sim_pool_name(unsigned number);
/* Programs; the argument is the client's number. */
void sim_client_run(void *argument);
void sim_operator_run(void *argument);
/* Whether what this client was publishing when it failed may be there all the same: its connection was lost, or the server had no
 * memory to tell of it. */
bool sim_unsure(const struct sim_client *client);
/* Whether `error` is what may happen to this client's streams; `cancels`: to one that was cancelled, or failed, by its own
 * program. */
bool sim_excused(const struct sim_client *client, const trove_error *error, bool cancels);
/* Fails the run unless it is excused. */
void sim_judge(const struct sim_client *client, const char *what, const trove_error *error, bool cancels);
/* Of something that outlives its connection, where `lasting`: a loss is no excuse. */
void sim_judge_lasting(const struct sim_client *client, bool lasting, const char *what, const trove_error *error, bool cancels);

/* ---- sim_upload.c ---- */
/* One that others may take over, or look at; `held`: that somebody is writing. NULL: there is none. */
struct sim_stored *sim_begun_upload(bool held);

/* ---- sim_check.c ---- */
void sim_check_start(void);
void sim_check_step(void);
void sim_check_idle(void);
/* All clients have gone. */
void sim_check_end(void);
/* Prints every stream as both ends have it. */
void sim_check_dump(void);
/* How far an upload of the server's has got; false: it isn't there any more. */
bool sim_check_taken(uint64_t stream_id, uint64_t *offset);
/* Whether the server's stream of that id, if there is one, is that of the key. */
bool sim_check_key(uint64_t stream_id, const char *key);
/* Chunks of a stream's window. */
unsigned sim_check_window(const trove_stream *stream);

/* ---- sim_plants.c ---- */
/* Whether this is the planted bug's moment. */
bool sim_plant_strikes(enum sim_plant plant, unsigned percent);

#endif
