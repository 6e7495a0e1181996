/* bad_input.h - what the files of bad_input share: the server under test, rows of bad frames, and the check that nothing is
 * left. */
#ifndef TROVE_TESTS_BAD_INPUT_H
#define TROVE_TESTS_BAD_INPUT_H

#include "raw_client.h"
#include "stock_client.h"
#include "troved.h"

/* How a row's connection begins. */
enum bad_begin {
    BAD_WELCOMED,  /* hello and welcome are done */
    BAD_CHECKSUMS, /* the same, with header checksums agreed on */
    BAD_GREETED,   /* only the SP greetings */
    BAD_CONNECTED, /* nothing was sent */
};

/* One kind of bad input, and what the server must say about it. */
struct bad_case {
    const char *name;
    enum bad_begin begin;
    uint64_t (*send)(struct raw_client *client); /* returns the call that must fail; 0: the whole connection */
    Trove__V1__Code code;
    const char *word; /* that the message must contain */
};

/* Tables, each ended by a row without name. */
extern const struct bad_case bad_frame_cases[];  /* bad_frames.c: what ends the connection */
extern const struct bad_case bad_call_cases[];   /* bad_calls.c: unary calls and opens */
extern const struct bad_case bad_stream_cases[]; /* bad_streams.c: streams that were opened */

/* bad_peers.c, bad_readers.c, bad_controls.c: peers whose single frames are fine. */
extern const struct CMUnitTest bad_peer_tests[];
extern const size_t bad_peer_test_count;
extern const struct CMUnitTest bad_reader_tests[];
extern const size_t bad_reader_test_count;
extern const struct CMUnitTest bad_control_tests[];
extern const size_t bad_control_test_count;

/* ---- the server under test: bad_input.c ---- */

/* The bucket "bad" holds the object "kept" with these bytes, and nothing else may ever be in it. */
#define BAD_KEPT_BYTES 1000
extern uint8_t bad_bytes[1 << 20];

/* Of the group that runs. */
extern struct troved *bad_server;
extern const char *bad_url;
/* The client of the running test; closed after it, however it ends. */
extern struct raw_client bad_client;
/* Well-behaved, connected throughout. */
extern struct raw_client bad_bystander;

/* Connects bad_client. */
struct raw_client *bad_connect(enum bad_begin begin);
/* Nothing was stored beyond "kept" and `expected` further objects, nothing is under way, no buffer is out, the memory budget is
 * whole, and the bystander is served. */
void bad_check_server(size_t expected);
/* By the bystander, who has to take the answers: completed and status. */
uint64_t bad_send_inline(const char *bucket, const char *key, size_t count);
uint64_t bad_send_delete(const char *bucket, const char *key);
/* Removes an object that a test stored on purpose; all but "kept". */
void bad_remove(const char *key);
void bad_remove_all(void);

#endif
