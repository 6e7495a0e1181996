/* sim_programs.h - programs that move an object through a stream, one way or both: what writing and reading need. See sim.h. */
#ifndef TROVE_TESTS_SIM_PROGRAMS_H
#define TROVE_TESTS_SIM_PROGRAMS_H

#include "sim.h"

#define SIM_HELD_MAX 4

/* Somebody who pauses, resumes and ends a stream of a program's, in a thread of its own. */
struct sim_meddler {
    struct sim_client *client;
    trove_stream *stream;
    struct sim_thread *thread; /* NULL: nobody */
    bool cancels;
};
void sim_meddle(struct sim_meddler *meddler, struct sim_client *client, trove_stream *stream);
void sim_meddler_end(struct sim_meddler *meddler);

/* What hooks have been told of. */
struct sim_hooked {
    unsigned completed;
    unsigned failed;
    uint64_t acked_bytes;
    uint64_t dropped_chunks;
    uint64_t dropped_bytes;
    uint64_t dropped_below; /* bytes that were dropped on the way down */
    uint64_t next_up;       /* index of the next chunk that is acknowledged on each way */
    uint64_t next_down;
    bool went_back; /* an index came that wasn't the next: only after a seek */
    bool resumable; /* what was acknowledged may have had to be sent again */
};
void sim_hooks(struct sim_hooked *hooked, trove_stream_hooks *hooks);
/* After the stream was released: it has ended once, and hooks and metrics say the same. */
void sim_hooks_judge(const struct sim_hooked *hooked, const trove_stream_metrics *metrics, bool sought);

/* Options that every stream may have. */
void sim_draw_options(const struct sim_client *client, trove_stream_options *options);
void sim_draw_backpressure(trove_stream_options *options);
/* Opens a stream, in the client's pool if the options say so; judges what goes wrong, unless it is what it may be. */
trove_status sim_open(struct sim_client *client, const char *key, trove_direction direction, const trove_stream_options *options,
                      trove_status may_be, trove_stream **stream);
/* Starts it, and whoever meddles with it. */
void sim_begin(struct sim_client *client, trove_stream *stream, struct sim_meddler *meddler);
/* Ends it if it hasn't, and gives it back; *metrics as they are at its end. */
void sim_finish(trove_stream *stream, struct sim_meddler *meddler, trove_stream_metrics *metrics);

/* A program that writes. */
struct sim_writer {
    struct sim_client *client;
    struct sim_stored *stored;
    const struct sim_meddler *meddler;
    trove_stream *stream;
    bool lossy;
    bool buffers;
    bool resumable;
    bool lasting;   /* so that a loss of its connection is no reason to fail */
    uint64_t total; /* bytes that it will write */
    uint64_t offset;
    unsigned seeks_left;
    bool sought;
    bool flags_last; /* its last chunk says that it is */
    bool ended;      /* it was written */
};
/* A new object's name; NULL: there are enough of them. */
struct sim_stored *sim_new_stored(void);
uint64_t sim_total(const trove_stream_options *options);
/* False: the stream has ended, or the program has lost interest. */
bool sim_write_all(struct sim_writer *writer);

/* A program that reads. */
struct sim_reader {
    struct sim_client *client;
    const struct sim_object *object;
    const struct sim_meddler *meddler;
    trove_stream *stream;
    bool lossy;
    bool lasting;
    unsigned may_be; /* bits: the object's first version, its later one */
    bool follows;    /* another stream writes it */
    uint64_t begin;
    uint64_t end;  /* SIM_NEVER: not known */
    uint64_t next; /* offset of the next byte */
    uint64_t next_index;
    uint64_t lost_bytes; /* jumped over */
    unsigned seeks_left;
    bool sought;
    trove_chunk *held[SIM_HELD_MAX]; /* read, and not given back yet */
    unsigned held_count;
    unsigned held_most;
};
/* False: the stream has ended badly, or the program has lost interest. */
bool sim_read_all(struct sim_reader *reader);
void sim_give_back(struct sim_reader *reader);
/* After the release, when hooks have been told of everything: what was read, and what was lost, is all of it. */
void sim_judge_read(const struct sim_reader *reader, const struct sim_hooked *hooked);

/* Each opens a stream, or moves a whole object. */
void sim_upload_run(struct sim_client *client);
void sim_take_over_run(struct sim_client *client);
void sim_download_run(struct sim_client *client);
void sim_two_way_run(struct sim_client *client);
void sim_follow_run(struct sim_client *client);
void sim_whole_run(struct sim_client *client);

#endif
