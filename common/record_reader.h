/* record_reader.h - opens the records of a connection: sealed bytes come in, plain ones go to where the frames' reader wants
 * them.
 *
 * Where a payload is expected its records are received straight to its place and opened there. Everything else goes through a
 * small area of its own (TV_SEALED_AHEAD_BYTES), which is all that an idle connection holds; a record that has no place in either
 * gets a buffer until it has been handed on. Records are opened whole or not at all: nothing is handed out that wasn't
 * authenticated.
 * Pure: no input and output of its own. The receive loop's alone.
 *
 * Each round: `want` says what is to be received, `add` how much came, then `open` again and again until it has nothing more. The
 * caller's buffers are the same in all three, those it wants filled next: the last one may be moved by the caller in between (its
 * staging), the others may not.
 */
#ifndef TV_RECORD_READER_H
#define TV_RECORD_READER_H

#include "record.h"

#define TV_SEALED_PREFIX_BYTES_MAX 9 /* type octet (ipc), 64-bit length */

struct tv_record_reader {
    struct tv_noise_cipher *cipher; /* the owner's */
    size_t prefix_bytes;

    uint8_t ahead[TV_SEALED_AHEAD_BYTES]; /* as it came */
    size_t begin;
    size_t end;

    /* the message under way; `next` == `count`: none */
    uint8_t table[TV_RECORD_TABLE_BYTES];
    unsigned count;
    unsigned next; /* the record that comes */

    size_t landed; /* sealed bytes, from the next record on, that are in the caller's buffers */

    /* a record without a place: sealed until all of it is there, then plain */
    uint8_t *held;
    size_t held_bytes; /* that are there; plain: from `held_at` on they are to be handed out */
    size_t held_at;
    bool held_plain;

    /* what `want` has asked for */
    size_t asked_held;
    size_t asked_direct;
};

/* `type_octet`: each message is preceded by an octet 1 (SP over ipc). */
void tv_record_reader_init(struct tv_record_reader *self, struct tv_noise_cipher *cipher, bool type_octet);
void tv_record_reader_fini(struct tv_record_reader *self);

/* What to receive next, `iov` being the caller's buffers (1 to TV_IOV_MAX - 1): fills in `raw`, of TV_IOV_MAX, returns how
 * many. */
unsigned tv_record_reader_want(struct tv_record_reader *self, const struct iovec *iov, unsigned iov_count, struct iovec *raw);
/* Nothing of a message is there that isn't handed out: what comes next begins one. */
static inline bool tv_record_reader_idle(const struct tv_record_reader *self) {
    return self->begin == self->end && self->next == self->count && self->held_bytes == self->held_at;
}
/* So many bytes have come. */
void tv_record_reader_add(struct tv_record_reader *self, size_t bytes);
/* Opens what is there. *plain_bytes are at the beginning of the caller's buffers then; 0: more has to come first.
 * Errors end the connection: INVALID_ARGUMENT (what this isn't), DATA_LOSS (not what was sealed), RESOURCE_EXHAUSTED. */
TROVE_WARN_UNUSED trove_status tv_record_reader_open(struct tv_record_reader *self, const struct iovec *iov, unsigned iov_count,
                                                     size_t *plain_bytes, trove_error *error);

#endif
