/* resumable.h - what the tests of resumable uploads share: a server whose store is kept, and an upload frame by frame. */
#ifndef TROVE_TESTS_RESUMABLE_H
#define TROVE_TESTS_RESUMABLE_H

#include "raw_client.h"
#include "stock_client.h"
#include "troved.h"

#define CODE(name)      TROVE__V1__CODE__##name
#define PIECE           100000 /* bytes of a chunk */
#define PIECES_MAX      8
#define UPLOAD_ID_BYTES 16

/* The object's bytes are the same in all tests. */
extern uint8_t resumable_bytes[PIECES_MAX * PIECE];

struct resumable_server {
    struct troved *troved;
    struct troved_options options;
};

/* An upload as its client sees it. */
struct resumable {
    struct raw_client *client;
    uint64_t call_id;
    uint8_t upload_id[UPLOAD_ID_BYTES];
    uint64_t epoch;
    uint64_t durable_offset; /* as the opened, then each acknowledgement told */
    uint64_t received_offset;
    uint64_t chunks; /* sent on this stream */
    uint64_t offset; /* next byte to be sent */
};

void resumable_start(struct resumable_server *server, const char *store, const char *config);
/* kill -9, and again in the same folder. */
void resumable_kill_and_restart(struct resumable_server *server);
void resumable_connect(struct raw_client *client, const struct resumable_server *server);
/* Makes the bucket "media". */
void resumable_make_bucket(struct raw_client *client);

/* Fills in an open of media/KEY; `request` repeated is the request id. */
void resumable_init_open(Trove__V1__Open *open, const char *key, uint8_t request);
/* The same for attaching. */
void resumable_init_attach(Trove__V1__Open *open, const char *key, const struct resumable *to);
/* Opens it and takes the opened, which must not tell a result. */
void resumable_open(struct resumable *upload, struct raw_client *client, Trove__V1__Open *open);
void resumable_begin(struct resumable *upload, struct raw_client *client, const char *key, uint8_t request);
void resumable_attach(struct resumable *upload, struct raw_client *client, const char *key, const struct resumable *to);

/* Sends the next piece, with this epoch. */
void resumable_send(struct resumable *upload, bool final, uint64_t epoch);
/* Takes acknowledgements until so much was received, or is durable. */
void resumable_await_received(struct resumable *upload, uint64_t offset);
void resumable_await_durable(struct resumable *upload, uint64_t offset);
/* Pieces up to `count`, acknowledged one by one; the last of them is final where it is said. */
void resumable_send_until(struct resumable *upload, uint64_t count, bool final);
void resumable_send_complete(struct resumable *upload, Trove__V1__Digest *digest);
/* Takes the completed. */
void resumable_expect_completed(struct resumable *upload, uint64_t size);
void resumable_send_control(struct resumable *upload, Trove__V1__ControlType type, uint64_t offset, uint64_t epoch);

/* Unary calls. The status is for free_unpacked, NULL where the upload isn't found. */
Trove__V1__UploadAttachResponse *resumable_status(struct raw_client *client, const struct resumable *upload);
uint64_t resumable_call_flush(struct raw_client *client, const struct resumable *upload, uint64_t epoch);
/* Asks for the status until the upload is gone, or has so much durable; for 20 s. */
void resumable_await_gone(struct raw_client *client, const struct resumable *upload);
void resumable_await_parked(struct raw_client *client, const struct resumable *upload, uint64_t durable_offset);
/* Reads media/KEY and compares. */
void resumable_check_object(struct raw_client *client, const char *key, uint64_t size);

#endif
