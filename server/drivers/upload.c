/* upload.c - see upload.h. Any thread. */
#include "upload.h"

#include "object.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

const char *tvs_upload_id_text(const struct tvs_upload_id *id, char text[TVS_UPLOAD_ID_TEXT_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < TVS_UPLOAD_ID_BYTES; i++) {
        text[2 * i] = digits[id->bytes[i] >> 4];
        text[2 * i + 1] = digits[id->bytes[i] & 15];
    }
    text[2 * TVS_UPLOAD_ID_BYTES] = '\0';
    return text;
}

trove_status tvs_upload_id_draw(struct tvs_upload_id *id, trove_error *error) {
    if (getrandom(id->bytes, sizeof id->bytes, 0) != (ssize_t)sizeof id->bytes)
        return TV_FAIL(error, INTERNAL, "can't get random bytes for an upload's id: %s", strerror(errno));
    return TROVE_OK;
}

/* ---- messages -------------------------------------------------------------------------------------------------------- */

trove_status tvs_upload_check_principal(const struct tvs_upload_id *id, const char *owner, const char *asking,
                                        trove_error *error) {
    if (asking == NULL || strcmp(owner, asking) == 0)
        return TROVE_OK;
    char text[TVS_UPLOAD_ID_TEXT_BYTES];
    return TV_FAIL(error, PERMISSION_DENIED, "upload %s isn't %s's: only who began it may go on with it",
                   tvs_upload_id_text(id, text), asking);
}

trove_status tvs_fail_request_reused(const char *bucket, const char *key, trove_error *error) {
    char name[TVS_NAME_BYTES];
    return TV_FAIL(error, INVALID_ARGUMENT,
                   "this request id began an upload of %s, with a size and digest of its own; take a new one for anything else",
                   tvs_object_name(bucket, key, name));
}

trove_status tvs_fail_fenced(const struct tvs_upload_id *id, uint64_t epoch, uint64_t newest, trove_error *error) {
    char text[TVS_UPLOAD_ID_TEXT_BYTES];
    return TV_FAIL(error, ABORTED, "upload %s was taken over (epoch %llu, now %llu); attach to it to go on",
                   tvs_upload_id_text(id, text), (unsigned long long)epoch, (unsigned long long)newest);
}

trove_status tvs_fail_upload_lost(const struct tvs_upload_id *id, trove_error *error) {
    char text[TVS_UPLOAD_ID_TEXT_BYTES];
    return TV_FAIL(error, DATA_LOSS, "upload %s has lost bytes that were durable; abort it and begin again",
                   tvs_upload_id_text(id, text));
}

trove_status tvs_fail_upload_complete(const struct tvs_upload_id *id, trove_error *error) {
    char text[TVS_UPLOAD_ID_TEXT_BYTES];
    return TV_FAIL(error, FAILED_PRECONDITION, "upload %s is complete: its object is published", tvs_upload_id_text(id, text));
}

trove_status tvs_fail_rewind(uint64_t offset, uint64_t flushed, trove_error *error) {
    return TV_FAIL(error, FAILED_PRECONDITION, "can't go back to byte %llu: all below byte %llu was made durable",
                   (unsigned long long)offset, (unsigned long long)flushed);
}

/* ---- cursors --------------------------------------------------------------------------------------------------------- */

void tvs_upload_cursor_write(uint64_t bucket_id, const char *key, const struct tvs_upload_id *id,
                             struct tvs_upload_cursor *cursor) {
    size_t key_bytes = strlen(key);
    uint64_t big = htobe64(bucket_id);
    TV_ASSERT(key_bytes <= TV_KEY_BYTES_MAX);
    memcpy(cursor->bytes, &big, sizeof big);
    memcpy(cursor->bytes + sizeof big, key, key_bytes + 1);
    memcpy(cursor->bytes + sizeof big + key_bytes + 1, id->bytes, sizeof id->bytes);
    cursor->count = sizeof big + key_bytes + 1 + sizeof id->bytes;
}

trove_status tvs_upload_cursor_read(const struct tvs_upload_cursor *cursor, uint64_t *bucket_id, const char **key,
                                    struct tvs_upload_id *id, trove_error *error) {
    const size_t fixed = sizeof *bucket_id + 1 + sizeof id->bytes;
    const char *text = (const char *)cursor->bytes + sizeof *bucket_id;
    if (cursor->count < fixed || cursor->count > sizeof cursor->bytes ||
        strnlen(text, cursor->count - sizeof *bucket_id) != cursor->count - fixed)
        return TV_FAIL(error, INVALID_ARGUMENT, "a cursor of %zu bytes that no listing of uploads gave; begin without one",
                       cursor->count);
    uint64_t big;
    memcpy(&big, cursor->bytes, sizeof big);
    *bucket_id = be64toh(big);
    *key = text;
    memcpy(id->bytes, cursor->bytes + cursor->count - sizeof id->bytes, sizeof id->bytes);
    return TROVE_OK;
}

/* ---- deadlines ------------------------------------------------------------------------------------------------------- */

static uint64_t add_saturated(uint64_t a, uint64_t b) {
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

uint64_t tvs_upload_expiry(uint64_t now_ns, uint64_t idle_ns, uint64_t created_ns, uint64_t keep_ns, uint64_t before_ns) {
    uint64_t idle = add_saturated(now_ns, idle_ns), cap = add_saturated(created_ns, keep_ns);
    uint64_t expires = idle < cap ? idle : cap;
    return expires > before_ns ? expires : before_ns;
}

/* ---- the gate -------------------------------------------------------------------------------------------------------- */

void tvs_upload_gate_init(struct tvs_upload_gate *gate, const struct tvs_upload_id *id) {
    *gate = (struct tvs_upload_gate){.id = *id};
    pthread_mutex_init(&gate->lock, NULL);
}

void tvs_upload_gate_fini(struct tvs_upload_gate *gate) {
    pthread_mutex_destroy(&gate->lock);
}

void tvs_upload_gate_fence(struct tvs_upload_gate *gate, uint64_t epoch) {
    pthread_mutex_lock(&gate->lock);
    if (epoch > gate->epoch)
        gate->epoch = epoch;
    pthread_mutex_unlock(&gate->lock);
}

void tvs_upload_gate_close(struct tvs_upload_gate *gate, trove_status why) {
    pthread_mutex_lock(&gate->lock);
    gate->closed = why;
    pthread_mutex_unlock(&gate->lock);
}

/* Under the lock. */
static trove_status check(const struct tvs_upload_gate *gate, uint64_t epoch, trove_error *error) {
    if (gate->closed == TROVE_DATA_LOSS)
        return tvs_fail_upload_lost(&gate->id, error);
    if (gate->closed != TROVE_OK)
        return tvs_fail_no_upload(&gate->id, error);
    return epoch != gate->epoch ? tvs_fail_fenced(&gate->id, epoch, gate->epoch, error) : TROVE_OK;
}

trove_status tvs_upload_gate_enter(struct tvs_upload_gate *gate, uint64_t epoch, trove_error *error) {
    pthread_mutex_lock(&gate->lock);
    trove_status status = check(gate, epoch, error);
    gate->inside += status == TROVE_OK;
    pthread_mutex_unlock(&gate->lock);
    return status;
}

trove_status tvs_upload_gate_open(struct tvs_upload_gate *gate, uint64_t epoch, trove_error *error) {
    char text[TVS_UPLOAD_ID_TEXT_BYTES];
    pthread_mutex_lock(&gate->lock);
    trove_status status = check(gate, epoch, error);
    if (status == TROVE_OK && gate->opened_epoch == epoch)
        status = TV_FAIL(error, ABORTED, "upload %s has been opened with epoch %llu already; attach to it to go on",
                         tvs_upload_id_text(&gate->id, text), (unsigned long long)epoch);
    else if (status == TROVE_OK && gate->inside > 0)
        status = TV_FAIL(error, UNAVAILABLE, "upload %s is still being written by its holder before; try again",
                         tvs_upload_id_text(&gate->id, text));
    if (status == TROVE_OK) {
        gate->opened_epoch = epoch;
        gate->inside++;
    }
    pthread_mutex_unlock(&gate->lock);
    return status;
}

void tvs_upload_gate_leave(struct tvs_upload_gate *gate) {
    pthread_mutex_lock(&gate->lock);
    gate->inside--;
    pthread_mutex_unlock(&gate->lock);
}
