/* call.h - calls: a request with one answer. Unary calls, and small objects that go up in one flight.
 *
 * Each takes a slot. There are as many as calls may be unanswered; they are made once, with what they need to wait, so that a
 * call allocates nothing once its buffer has its size. A call that waits (tvc_call) belongs to its thread; an asynchronous one
 * hands its slot to the hook thread when it is answered, which takes many at a time.
 * The client's lock protects everything in here.
 */
#ifndef TVC_CALL_H
#define TVC_CALL_H

#include "arena.h"
#include "buffer.h"
#include "frame.h"
#include "id_table.h"
#include "job_thread.h"
#include "timer.h"

#include <pthread.h>

enum tvc_entry_kind {
    TVC_ENTRY_CALL,
    TVC_ENTRY_STREAM,
};

/* What has a call id begins with this. */
struct tvc_entry {
    struct tv_id_node node;
    enum tvc_entry_kind kind;
    bool listed; /* in the client's table */
};

/* Completions that the hook thread takes at a time. */
#define TVC_CALL_BATCH 64

enum tvc_call_kind {
    TVC_CALL_WAITED,
    TVC_CALL_ECHO, /* asynchronous */
    TVC_CALL_PUT,  /* asynchronous; `buffer` keeps bucket, key and bytes, to send them again as a stream */
};

struct tvc_call {
    struct tvc_entry entry; /* first */
    struct tvc_call *next;  /* free, or answered */
    enum tvc_call_kind kind;
    bool is_put; /* an inline object: answered by `completed` */
    bool answered;
    bool not_taken; /* put: a stream is to be opened for it instead */
    bool failed;
    bool reads; /* it changes nothing: sending it twice does no harm */
    bool again; /* the server hasn't done it, or it does no harm: it may be sent on the next connection */
    uint64_t deadline_ns;
    uint64_t early_bytes; /* of the connection's early data */
    trove_done_fn done;
    void *done_context;
    struct tvc_buffer buffer;  /* the answer's payload (unless kind is PUT) */
    trove_object_info *object; /* waited put: what was stored */
    trove_error error;
    pthread_cond_t changed;
};

/* An answer on its way to the program: what the hook thread takes out of a slot, which is free again then. */
struct tvc_done {
    enum tvc_call_kind kind;
    bool failed;
    trove_done_fn done;
    void *done_context;
    struct tvc_buffer buffer; /* exchanged for the slot's */
    trove_error error;
};

struct tvc_calls {
    /* the hook thread's alone */
    struct tvc_done *batch;
    struct tv_arena arena;
    bool telling; /* asynchronous calls that are begun now are only queued */
    bool unsent;  /* there are some */

    /* under the client's lock */
    struct tvc_call *slots; /* TV_CALLS_PER_CONN_MAX */
    uint32_t made;          /* slots that were ever used */
    struct tvc_call *free;
    uint32_t in_use;
    uint32_t waiting; /* threads that wait for a slot */
    bool hook_waits;  /* the hook thread is one of them */
    uint64_t early_used;
    struct tvc_call *done_first;
    struct tvc_call *done_last;
    struct tvc_job job;
    struct tvc_call *again_first; /* puts that the server didn't take in one flight */
    struct tvc_call *again_last;
    struct tvc_job again_job;
    struct tv_timer sweep; /* deadlines of asynchronous calls */
    uint64_t sweep_due_ns; /* 0: not armed */
};

/* Errors: RESOURCE_EXHAUSTED. */
trove_status tvc_calls_init(struct tvc_calls *calls, trove_error *error);
void tvc_calls_fini(struct tvc_calls *calls);

/* Waits for a slot and for `early_bytes` of early data, and takes them. From the hook thread it doesn't wait for slots, which
 * only that thread may give back: RESOURCE_EXHAUSTED. Other errors: DEADLINE_EXCEEDED, UNAVAILABLE. Without the lock. */
trove_status tvc_call_claim(trove_client *client, enum tvc_call_kind kind, uint64_t early_bytes, uint64_t deadline_ns,
                            struct tvc_call **call, trove_error *error);
/* Gives a slot back that isn't under way (any more). */
void tvc_call_free(trove_client *client, struct tvc_call *call);      /* under the lock */
void tvc_call_give_back(trove_client *client, struct tvc_call *call); /* without it */

/* Sends a claimed call's request. On failure the slot is still the caller's, to be given back. Without the lock. */
trove_status tvc_call_start(trove_client *client, struct tvc_call *call, const char *method, const ProtobufCMessage *request,
                            trove_error *error);
/* Waits for the answer; past the deadline the server is told that nobody waits. The slot stays the caller's. Without the lock. */
trove_status tvc_call_wait(trove_client *client, struct tvc_call *call, trove_error *error);

/* A whole unary call. On OK *answer is the unpacked message, to be freed with tvc_answer_free. `answer` may be NULL. Where the
 * connection is lost under it, it is sent again on the next one if that does no harm. */
trove_status tvc_call(trove_client *client, const char *method, const ProtobufCMessage *request,
                      const ProtobufCMessageDescriptor *answer_type, uint32_t timeout_ms, ProtobufCMessage **answer,
                      trove_error *error);
void tvc_answer_free(ProtobufCMessage *answer);

/* The frame that answers a call. `object` (owned, may be NULL) is what a put has stored. Under the lock. */
void tvc_call_answered(trove_client *client, struct tvc_call *call, const trove_error *error, bool not_taken, const void *payload,
                       size_t payload_bytes, trove_object_info *object);

/* Nobody waits for the answer any more. Without the lock; a connection that is gone needs no word. */
void tvc_call_send_cancel(trove_client *client, uint64_t id, bool is_put);

/* call_async.c */

/* Makes sure that the deadline of an asynchronous call is noticed. Under the lock. */
void tvc_call_watch(trove_client *client, const struct tvc_call *call);
/* Fails what is past its deadline. On the timer's thread. */
void tvc_calls_sweep(struct tv_timer *timer);

/* Hands an answered asynchronous call over to the hook thread. Under the lock. */
void tvc_call_hand_over(trove_client *client, struct tvc_call *call);
/* Sends what a `done` has begun. On the hook thread, without the lock. */
void tvc_calls_flush(trove_client *client);
/* Calls `done` for what is answered. On the hook thread. */
void tvc_calls_run_done(struct tvc_job *job);

/* call_again.c */

/* A put that was not taken is to be put once more; its slot stays in use until that is answered. Under the lock. */
void tvc_call_put_aside(trove_client *client, struct tvc_call *call);
/* Has those put aside put by the thread for it. On the hook thread, without the lock. */
void tvc_calls_begin_again(trove_client *client);
/* On that thread. */
void tvc_calls_run_again(struct tvc_job *job);

#endif
