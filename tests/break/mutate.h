/* mutate.h - conversations that a client could have, frame by frame, and what becomes of one when something in it is changed:
 * bits, bytes, lengths, numbers that grow, frames that are missing, doubled or in another order. By a seed.
 */
#ifndef TROVE_TESTS_MUTATE_H
#define TROVE_TESTS_MUTATE_H

#include "raw_client.h"
#include "seeded.h"

#define MUTATE_BUCKET     "bad"
#define MUTATE_FRAMES_MAX 256

/* Bytes with marks where frames begin; the first piece is the SP greeting. */
struct conversation {
    uint8_t *bytes;
    size_t count;
    size_t begins[MUTATE_FRAMES_MAX + 1]; /* that of the last frame is followed by the end */
    unsigned frames;
    bool type_octet;
};

/* Draws one; for conversation_fini. */
void conversation_draw(struct conversation *conversation, struct seeded *random, bool type_octet);
void conversation_fini(struct conversation *conversation);

/* Changes a little of it. */
void mutate(struct conversation *conversation, struct seeded *random);
/* Appends a call that is as it should be. Returns whether a reader of lengths gets to it: otherwise part of it may be taken for
 * another frame's bytes. */
bool conversation_close(struct conversation *conversation, uint64_t call_id);

#endif
