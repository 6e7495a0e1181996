/* limiter.c - see limiter.h. */
#include "limiter.h"

#include "bounds.h"
#include "status.h"

#include <stddef.h>

#define PIECES_PER_SECOND 16
#define PIECE_BYTES_MIN   (4 * TV_KIB)

/* Those who were let out may not have come to move when the next ones are. With a pause in between, and few at a time, the whole
 * queue isn't let out again and again; where pieces are small against the limit, more than one goes at a time. */
#define LET_OUT_NS UINT64_C(500000)
#define BATCH_MAX  8

uint64_t tvc_limiter_piece(uint64_t bytes_per_second) {
    uint64_t piece = bytes_per_second / PIECES_PER_SECOND;
    if (piece < PIECE_BYTES_MIN)
        return PIECE_BYTES_MIN;
    return piece < TV_PAYLOAD_BYTES_MAX ? piece : TV_PAYLOAD_BYTES_MAX;
}

void tvc_limiter_init(struct tvc_limiter *limiter, uint64_t bytes_per_second, uint64_t now_ns) {
    TV_ASSERT(bytes_per_second > 0);
    *limiter = (struct tvc_limiter){.piece_bytes = tvc_limiter_piece(bytes_per_second), .due_ns = UINT64_MAX};
    uint64_t pieces = bytes_per_second / PIECES_PER_SECOND / limiter->piece_bytes;
    limiter->batch = pieces < 1 ? 1 : pieces < BATCH_MAX ? (unsigned)pieces : BATCH_MAX;
    /* What a late timer has let pass can be made up for; what nobody wanted can't be saved up. */
    tv_token_bucket_init(&limiter->bucket, bytes_per_second, bytes_per_second / PIECES_PER_SECOND, now_ns);
}

/* In the order of the numbers; those with an old one are near the front. */
static void enqueue(struct tvc_limiter *limiter, struct tvc_turn *turn, uint64_t now_ns) {
    struct tvc_turn **at = &limiter->first;
    if (limiter->last != NULL && limiter->last->number < turn->number)
        at = &limiter->last->next;
    while (*at != NULL && (*at)->number < turn->number)
        at = &(*at)->next;
    turn->next = *at;
    turn->waiting = true;
    *at = turn;
    if (turn->next == NULL)
        limiter->last = turn;
    if (limiter->due_ns == UINT64_MAX)
        limiter->due_ns = now_ns + tv_token_bucket_wait_ns(&limiter->bucket, now_ns);
}

bool tvc_limiter_ask(struct tvc_limiter *limiter, struct tvc_turn *turn, uint64_t now_ns) {
    if (turn->waiting)
        return false;
    bool first = limiter->first == NULL || (turn->number != 0 && turn->number < limiter->first->number);
    if (first && tv_token_bucket_ready(&limiter->bucket, now_ns))
        return true;
    if (turn->number == 0)
        turn->number = ++limiter->last_number;
    enqueue(limiter, turn, now_ns);
    return false;
}

void tvc_limiter_moved(struct tvc_limiter *limiter, struct tvc_turn *turn, uint64_t bytes, uint64_t now_ns) {
    TV_ASSERT(!turn->waiting);
    turn->number = 0;
    tv_token_bucket_debit(&limiter->bucket, bytes, now_ns);
}

void tvc_limiter_leave(struct tvc_limiter *limiter, struct tvc_turn *turn) {
    turn->number = 0;
    if (!turn->waiting)
        return;
    struct tvc_turn *before = NULL;
    struct tvc_turn **at = &limiter->first;
    while (*at != turn) {
        before = *at;
        at = &before->next;
    }
    *at = turn->next;
    if (limiter->last == turn)
        limiter->last = before;
    turn->waiting = false;
    if (limiter->first == NULL)
        limiter->due_ns = UINT64_MAX;
}

struct tvc_turn *tvc_limiter_next(struct tvc_limiter *limiter, uint64_t now_ns) {
    struct tvc_turn *turn = limiter->first;
    if (turn == NULL || now_ns < limiter->due_ns)
        return NULL;
    uint64_t wait_ns = tv_token_bucket_wait_ns(&limiter->bucket, now_ns);
    if (wait_ns > 0) {
        limiter->due_ns = now_ns + wait_ns;
        return NULL;
    }
    limiter->first = turn->next;
    if (limiter->first == NULL)
        limiter->last = NULL;
    turn->waiting = false;
    if (++limiter->let_out >= limiter->batch) {
        limiter->let_out = 0;
        limiter->due_ns = now_ns + LET_OUT_NS;
    }
    if (limiter->first == NULL)
        limiter->due_ns = UINT64_MAX;
    return turn;
}
