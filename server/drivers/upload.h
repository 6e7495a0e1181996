/* upload.h - what drivers share of resumable uploads: the gate that keeps older holders out, deadlines, names and messages.
 *
 * The gate is in memory and there is one for each upload that anybody uses. Every call on a put of the upload goes in and out of
 * it, so that one that begins after a newer holder was told of its epoch fails, and the newer one isn't let at the bytes before
 * all older calls have ended. What takes effect later (a journal's entry, a publication) is checked once more by whoever orders
 * these. (Rejected: a lock held over each call. Attaching would wait for a disk that hangs; now it is told so.)
 */
#ifndef TVS_UPLOAD_H
#define TVS_UPLOAD_H

#include "driver.h"

#include <pthread.h>

#define TVS_UPLOAD_ID_TEXT_BYTES (2 * TVS_UPLOAD_ID_BYTES + 1)

/* In hexadecimal digits. */
const char *tvs_upload_id_text(const struct tvs_upload_id *id, char text[TVS_UPLOAD_ID_TEXT_BYTES]);
/* A new one. Errors: INTERNAL (no random bytes). */
trove_status tvs_upload_id_draw(struct tvs_upload_id *id, trove_error *error);

static inline trove_status tvs_fail_no_upload(const struct tvs_upload_id *id, trove_error *error) {
    char text[TVS_UPLOAD_ID_TEXT_BYTES];
    return TV_FAIL(error, NOT_FOUND,
                   "upload %s doesn't exist: it was aborted, or has expired, or its bucket was deleted; begin again",
                   tvs_upload_id_text(id, text));
}

/* Errors: PERMISSION_DENIED. `asking` NULL: anybody may. */
trove_status tvs_upload_check_principal(const struct tvs_upload_id *id, const char *owner, const char *asking,
                                        trove_error *error);
trove_status tvs_fail_request_reused(const char *bucket, const char *key, trove_error *error);

/* The deadline of an upload that is touched at `now_ns` and had the deadline `before_ns`. */
uint64_t tvs_upload_expiry(uint64_t now_ns, uint64_t idle_ns, uint64_t created_ns, uint64_t keep_ns, uint64_t before_ns);

/* A cursor is where an upload stands in a listing: bucket id (8, big-endian), key, NUL, id; in byte order. */
void tvs_upload_cursor_write(uint64_t bucket_id, const char *key, const struct tvs_upload_id *id,
                             struct tvs_upload_cursor *cursor);
/* One of foreign origin; *key points into it. Errors: INVALID_ARGUMENT. */
trove_status tvs_upload_cursor_read(const struct tvs_upload_cursor *cursor, uint64_t *bucket_id, const char **key,
                                    struct tvs_upload_id *id, trove_error *error);

struct tvs_upload_gate {
    struct tvs_upload_id id; /* constant */
    pthread_mutex_t lock;
    /* under `lock` */
    uint64_t epoch;        /* of the newest holder that is known here; 0: none yet */
    uint64_t opened_epoch; /* the last that has, or had, a put */
    unsigned inside;       /* calls under way */
    trove_status closed;   /* not OK: for everybody, with this: NOT_FOUND (aborted, expired), DATA_LOSS */
};

void tvs_upload_gate_init(struct tvs_upload_gate *gate, const struct tvs_upload_id *id);
void tvs_upload_gate_fini(struct tvs_upload_gate *gate);
/* From now on only this epoch may, or a newer one. */
void tvs_upload_gate_fence(struct tvs_upload_gate *gate, uint64_t epoch);
/* From now on nobody may. */
void tvs_upload_gate_close(struct tvs_upload_gate *gate, trove_status why);
/* A call on a put of this epoch begins; on success it ends with `leave`. Errors: ABORTED, or as it was closed with. */
trove_status tvs_upload_gate_enter(struct tvs_upload_gate *gate, uint64_t epoch, trove_error *error);
/* The same for the call that makes the put. Errors: also ABORTED (there was one already), UNAVAILABLE (others are inside). */
trove_status tvs_upload_gate_open(struct tvs_upload_gate *gate, uint64_t epoch, trove_error *error);
void tvs_upload_gate_leave(struct tvs_upload_gate *gate);

trove_status tvs_fail_fenced(const struct tvs_upload_id *id, uint64_t epoch, uint64_t newest, trove_error *error);
trove_status tvs_fail_upload_lost(const struct tvs_upload_id *id, trove_error *error);
trove_status tvs_fail_upload_complete(const struct tvs_upload_id *id, trove_error *error);
trove_status tvs_fail_rewind(uint64_t offset, uint64_t flushed, trove_error *error);

#endif
