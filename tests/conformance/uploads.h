/* uploads.h - resumable uploads in few words, for the tests of any driver: each call waits until it is told. */
#ifndef CONFORMANCE_UPLOADS_H
#define CONFORMANCE_UPLOADS_H

#include "fixture.h"

/* What was told. */
struct told {
    trove_status status;
    trove_error error;
    struct tvs_upload_id id;
    uint64_t epoch, durable_offset, size_hint, created_ns, expires_ns;
    char bucket[TV_BUCKET_BYTES_MAX + 1];
    char key[TV_KEY_BYTES_MAX + 1];
    char principal[TV_PRINCIPAL_BYTES_MAX + 1];
    bool complete;
    uint64_t size, generation; /* of the result */
    char etag[TROVE_ETAG_BYTES];
    char content_type[100];
    size_t metadata_count;
};

/* How one is begun. Zeroed: by "alice", a request of its own each time, kept for a day, ten at most. */
struct begin_how {
    const char *principal;
    unsigned request; /* 0: another one each time */
    uint64_t idle_ns, keep_ns;
    struct tvs_put_options put;
};

#define DAY_NS ((uint64_t)24 * 3600 * 1000000000u)

/* What the driver can't do isn't tested. */
bool can_resume(void);
bool survives_restart(void);

void upload_begin(struct store *store, const char *bucket, const char *key, const struct begin_how *how, struct told *told);
void upload_attach(struct store *store, const struct tvs_upload_id *id, const char *principal, struct told *told);
void upload_flush(struct store *store, struct tvs_put *put, struct told *told);
void upload_abort(struct store *store, const struct tvs_upload_id *id, const char *principal, struct told *told);
trove_status upload_stat(struct store *store, const struct tvs_upload_id *id, const char *principal, struct told *told);

/* These assert. */
struct tvs_put *must_begin(struct store *store, const char *key, const struct begin_how *how, struct told *told);
/* Attaches, is told this durable offset, and opens. */
struct tvs_put *must_attach(struct store *store, const struct tvs_upload_id *id, uint64_t durable_offset, struct told *told);
void must_flush(struct store *store, struct tvs_put *put, uint64_t offset);
void must_write(struct store *store, struct tvs_put *put, const char *bytes, uint64_t from, uint64_t to);
void must_commit(struct store *store, struct tvs_put *put_move);
void must_abort(struct store *store, const struct tvs_upload_id *id);
void must_be_gone(struct store *store, const struct tvs_upload_id *id);
/* Collects until nothing follows; how many went. */
unsigned must_collect(struct store *store, uint64_t now_ns, uint32_t limit);
void must_tell_result(const struct told *told, const struct tvs_object *object);

/* The object is as a plain put of the same bytes is. */
void must_be_plain(struct store *store, const char *key, const char *bytes, uint64_t size);
/* An upload's holder is gone; where the driver can, all of the process. */
void lose_holder(struct store *store, struct tvs_put *put_move, bool restart);

/* A listing as text: "bucket/key bucket/key | more". */
char *uploads_text(struct store *store, const char *bucket, struct tvs_upload_cursor *cursor, uint32_t limit);

#endif
