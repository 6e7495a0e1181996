/* mutate.c - see mutate.h. */
#include "mutate.h"

#include <endian.h>

#define GREETING_BYTES 8

static size_t prefix_bytes(const struct conversation *conversation) {
    return conversation->type_octet ? 9 : 8;
}

/* ---- bytes ---- */

/* Puts `with` bytes in the place of `bytes` at an offset; what stands behind moves, and its marks with it. */
static void replace(struct conversation *conversation, size_t at, size_t bytes, const void *with, size_t with_bytes) {
    size_t tail = conversation->count - at - bytes;
    uint8_t *changed = malloc(conversation->count - bytes + with_bytes + 1);
    assert_non_null(changed);
    memcpy(changed, conversation->bytes, at);
    memcpy(changed + at, with, with_bytes);
    memcpy(changed + at + with_bytes, conversation->bytes + at + bytes, tail);
    free(conversation->bytes);
    conversation->bytes = changed;
    conversation->count += with_bytes - bytes;
    for (unsigned i = 0; i <= conversation->frames; i++)
        if (conversation->begins[i] >= at + bytes && conversation->begins[i] > at)
            conversation->begins[i] += with_bytes - bytes;
}

/* Early in a frame: there is its header. */
static size_t draw_place(const struct conversation *conversation, struct seeded *random) {
    unsigned frame = (unsigned)seeded_below(random, conversation->frames);
    size_t bytes = conversation->begins[frame + 1] - conversation->begins[frame];
    size_t at = seeded_once_in(random, 4) ? seeded_below(random, bytes) : seeded_below(random, bytes < 80 ? bytes : 80);
    return conversation->begins[frame] + at;
}

static void change_byte(struct conversation *conversation, struct seeded *random) {
    static const uint8_t edges[] = {0, 1, 0x7F, 0x80, 0xFF};
    size_t place = draw_place(conversation, random);
    if (place == conversation->count)
        return;
    uint8_t *at = &conversation->bytes[place];
    if (seeded_once_in(random, 2))
        *at ^= (uint8_t)(1u << seeded_below(random, 8));
    else
        *at = seeded_once_in(random, 2) ? edges[seeded_below(random, sizeof edges)] : (uint8_t)seeded_next(random);
}

/* ---- frames ---- */

/* Any but the greeting, which is none. */
static unsigned draw_frame(const struct conversation *conversation, struct seeded *random) {
    return 1 + (unsigned)seeded_below(random, conversation->frames - 1);
}

/* One that was taken out has nothing. */
static bool has_content(const struct conversation *conversation, unsigned frame) {
    return conversation->begins[frame + 1] - conversation->begins[frame] > prefix_bytes(conversation);
}

/* Says the length that a frame has. */
static void mend_length(struct conversation *conversation, unsigned frame) {
    size_t begin = conversation->begins[frame], prefix = prefix_bytes(conversation);
    uint64_t length = htobe64(conversation->begins[frame + 1] - begin - prefix);
    memcpy(conversation->bytes + begin + prefix - sizeof length, &length, sizeof length);
}

/* Changes how much a frame has, and says so: some of it goes, or comes from elsewhere, or a number in it becomes huge. */
static void change_content(struct conversation *conversation, struct seeded *random) {
    static const uint8_t huge[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01};
    uint8_t piece[64];
    unsigned frame = draw_frame(conversation, random);
    if (!has_content(conversation, frame))
        return;
    size_t begin = conversation->begins[frame] + prefix_bytes(conversation);
    size_t bytes = conversation->begins[frame + 1] - begin;
    size_t at = seeded_size(random, bytes - 1), gone = 0, comes = 0;
    switch (seeded_below(random, 3)) {
    case 0:
        gone = 1 + seeded_size(random, bytes - at - 1);
        break;
    case 1:
        comes = 1 + seeded_below(random, sizeof piece);
        for (size_t i = 0; i < comes; i++)
            piece[i] = conversation->bytes[seeded_below(random, conversation->count)];
        break;
    default:
        comes = sizeof huge;
        memcpy(piece, huge, sizeof huge);
        gone = 1;
        break;
    }
    replace(conversation, begin + at, gone, piece, comes);
    mend_length(conversation, frame);
}

static void change_length(struct conversation *conversation, struct seeded *random) {
    unsigned frame = draw_frame(conversation, random);
    uint64_t length = htobe64(seeded_size(random, UINT64_MAX >> 1));
    if (!has_content(conversation, frame))
        return;
    memcpy(conversation->bytes + conversation->begins[frame] + prefix_bytes(conversation) - sizeof length, &length,
           sizeof length);
}

/* A frame is missing, comes several times, or once more somewhere else. */
static void change_order(struct conversation *conversation, struct seeded *random) {
    unsigned frame = draw_frame(conversation, random), before = draw_frame(conversation, random);
    size_t begin = conversation->begins[frame], bytes = conversation->begins[frame + 1] - begin;
    if (conversation->frames > 2 && seeded_once_in(random, 3)) {
        replace(conversation, begin, bytes, "", 0);
        return;
    }
    uint8_t *copy = malloc(bytes + 1);
    assert_non_null(copy);
    memcpy(copy, conversation->bytes + begin, bytes);
    for (uint64_t times = seeded_once_in(random, 4) ? 100 : 1; times > 0; times--)
        replace(conversation, conversation->begins[before], 0, copy, bytes);
    free(copy);
}

void mutate(struct conversation *conversation, struct seeded *random) {
    for (uint64_t changes = 1 + seeded_size(random, 3); changes > 0; changes--) {
        switch (seeded_below(random, 8)) {
        case 0:
            change_length(conversation, random);
            break;
        case 1:
        case 2:
            change_content(conversation, random);
            break;
        case 3:
        case 4:
            change_order(conversation, random);
            break;
        default:
            change_byte(conversation, random);
            break;
        }
    }
}

/* ---- the end ---- */

static bool lengths_fit(const struct conversation *conversation) {
    size_t at = GREETING_BYTES, prefix = prefix_bytes(conversation);
    while (conversation->count - at >= prefix) {
        uint64_t length;
        memcpy(&length, conversation->bytes + at + prefix - sizeof length, sizeof length);
        length = be64toh(length);
        if (length > conversation->count - at - prefix)
            return false;
        at += prefix + length;
    }
    return at == conversation->count;
}

bool conversation_close(struct conversation *conversation, uint64_t call_id) {
    struct raw_client client;
    bool fit = conversation->count >= GREETING_BYTES && lengths_fit(conversation);
    raw_collect(&client, conversation->type_octet);
    client.last_id = call_id - 1;
    (void)raw_call(&client, "trove.v1.Server/Health", NULL);
    replace(conversation, conversation->count, 0, client.sent, client.sent_bytes);
    raw_close(&client);
    return fit;
}
