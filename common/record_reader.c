/* record_reader.c - see record_reader.h. */
#include "record_reader.h"

#include "iov.h"

#include <endian.h>
#include <inttypes.h>

_Static_assert(TV_SEALED_PREFIX_BYTES_MAX + TV_RECORD_TABLE_BYTES <= TV_SEALED_AHEAD_BYTES, "a table is read whole");

void tv_record_reader_init(struct tv_record_reader *self, struct tv_noise_cipher *cipher, bool type_octet) {
    memset(self, 0, sizeof *self);
    self->cipher = cipher;
    self->prefix_bytes = type_octet ? TV_SEALED_PREFIX_BYTES_MAX : TV_SEALED_PREFIX_BYTES_MAX - 1;
}

void tv_record_reader_fini(struct tv_record_reader *self) {
    free(self->held);
    self->held = NULL;
}

static size_t ahead(const struct tv_record_reader *self) {
    return self->end - self->begin;
}

static const uint8_t *entry_of(const struct tv_record_reader *self, unsigned index) {
    return self->table + index * TV_RECORD_ENTRY_BYTES;
}

/* Of an entry that has been checked. */
static size_t bytes_of(const struct tv_record_reader *self, unsigned index) {
    size_t bytes = 0;
    bool final;
    trove_status status = tv_record_entry(entry_of(self, index), &bytes, &final, NULL);
    TV_ASSERT(status == TROVE_OK);
    return bytes;
}

/* ---- what comes ---- */

/* All but the last of the caller's buffers stay where they are until they are full. */
static size_t lasting_bytes(const struct iovec *iov, unsigned iov_count) {
    return tv_iov_bytes(iov, iov_count - 1);
}

/* How many sealed bytes may be received straight to the caller's lasting buffers: those of the records that fit them whole. */
static size_t direct_bytes(const struct tv_record_reader *self, size_t room) {
    size_t sum = 0;
    for (unsigned i = self->next; i < self->count; i++) {
        size_t bytes = bytes_of(self, i);
        if (bytes > room - sum)
            break;
        sum += bytes;
    }
    return sum;
}

unsigned tv_record_reader_want(struct tv_record_reader *self, const struct iovec *iov, unsigned iov_count, struct iovec *raw) {
    unsigned count = 0;
    self->asked_held = self->asked_direct = 0;
    TV_ASSERT(!self->held_plain);
    if (self->held != NULL) {
        self->asked_held = bytes_of(self, self->next) - self->held_bytes;
        raw[count++] = (struct iovec){self->held + self->held_bytes, self->asked_held};
    } else {
        size_t skip = self->landed;
        size_t left = direct_bytes(self, lasting_bytes(iov, iov_count)) - self->landed;
        self->asked_direct = left;
        for (unsigned i = 0; left > 0; i++) {
            size_t at = skip < iov[i].iov_len ? skip : iov[i].iov_len;
            size_t bytes = iov[i].iov_len - at < left ? iov[i].iov_len - at : left;
            skip -= at;
            left -= bytes;
            if (bytes > 0)
                raw[count++] = (struct iovec){(char *)iov[i].iov_base + at, bytes};
        }
    }
    memmove(self->ahead, self->ahead + self->begin, ahead(self));
    self->end -= self->begin;
    self->begin = 0;
    raw[count++] = (struct iovec){self->ahead + self->end, sizeof self->ahead - self->end};
    return count;
}

void tv_record_reader_add(struct tv_record_reader *self, size_t bytes) {
    size_t held = bytes < self->asked_held ? bytes : self->asked_held;
    size_t direct = bytes - held < self->asked_direct ? bytes - held : self->asked_direct;
    self->held_bytes += held;
    self->landed += direct;
    self->end += bytes - held - direct;
    self->asked_held = self->asked_direct = 0;
}

/* ---- the table ---- */

/* The message's length must be what its table says. */
static trove_status check_sum(const struct tv_record_reader *self, uint64_t message_bytes, trove_error *error) {
    uint64_t sum = self->count * TV_RECORD_ENTRY_BYTES;
    for (unsigned i = 0; i < self->count; i++)
        sum += bytes_of(self, i);
    if (sum != message_bytes)
        return TV_FAIL(error, INVALID_ARGUMENT, "an encrypted message of %" PRIu64 " bytes whose records have %" PRIu64,
                       message_bytes, sum);
    return TROVE_OK;
}

/* Takes a message's prefix and table, once both are there whole. */
static trove_status read_table(struct tv_record_reader *self, trove_error *error) {
    const uint8_t *at = self->ahead + self->begin;
    size_t have = ahead(self);
    if (have < self->prefix_bytes + TV_RECORD_ENTRY_BYTES)
        return TROVE_OK;
    if (self->prefix_bytes == TV_SEALED_PREFIX_BYTES_MAX && *at != 1)
        return TV_FAIL(error, INVALID_ARGUMENT, "wrong message type octet %u; SP over ipc uses 1", *at);
    uint64_t message_bytes;
    memcpy(&message_bytes, at + self->prefix_bytes - sizeof message_bytes, sizeof message_bytes);
    message_bytes = be64toh(message_bytes);
    at += self->prefix_bytes;
    have -= self->prefix_bytes;
    unsigned count = 0;
    for (bool final = false; !final; count++) {
        size_t bytes;
        if (count == TV_RECORDS_MAX)
            return TV_FAIL(error, INVALID_ARGUMENT, "an encrypted message of more than %d records", TV_RECORDS_MAX);
        if (have < (count + 1) * TV_RECORD_ENTRY_BYTES)
            return TROVE_OK;
        trove_status status = tv_record_entry(at + count * TV_RECORD_ENTRY_BYTES, &bytes, &final, error);
        if (status != TROVE_OK)
            return status;
    }
    memcpy(self->table, at, count * TV_RECORD_ENTRY_BYTES);
    self->begin += self->prefix_bytes + count * TV_RECORD_ENTRY_BYTES;
    self->count = count;
    self->next = 0;
    return check_sum(self, message_bytes, error);
}

/* ---- opening ---- */

static trove_status open_next(struct tv_record_reader *self, const void *sealed, void *plain, trove_error *error) {
    trove_status status = tv_record_open(self->cipher, entry_of(self, self->next), sealed, plain, error);
    if (status == TROVE_OK)
        self->next++;
    return status;
}

/* The place of `bytes` in one piece, `at` behind the buffers' beginning; NULL if they lie in two or more. */
static void *piece_at(const struct iovec *iov, unsigned iov_count, size_t at, size_t bytes) {
    unsigned i = 0;
    while (i < iov_count && at >= iov[i].iov_len)
        at -= iov[i++].iov_len;
    return i < iov_count && iov[i].iov_len - at >= bytes ? (char *)iov[i].iov_base + at : NULL;
}

/* Puts `bytes` `at` behind the buffers' beginning. Returns how many had room. */
static size_t put_at(const struct iovec *iov, unsigned iov_count, size_t at, const void *from, size_t bytes) {
    struct iovec copy[TV_IOV_MAX];
    unsigned first = 0;
    memcpy(copy, iov, iov_count * sizeof *iov);
    tv_iov_advance(copy, iov_count, &first, at);
    return tv_iov_put(copy, iov_count, &first, from, bytes);
}

/* A record that lies in the caller's buffers. In two of them: where segments of memory meet inside of it, which is rare. */
static trove_status open_landed(struct tv_record_reader *self, const struct iovec *iov, unsigned iov_count, size_t at,
                                size_t bytes, trove_error *error) {
    void *place = piece_at(iov, iov_count, at, bytes);
    if (place != NULL)
        return open_next(self, place, place, error);
    uint8_t scattered[TV_RECORD_BYTES_MAX];
    (void)tv_iov_get(iov, iov_count, at, scattered, bytes);
    trove_status status = open_next(self, scattered, scattered, error);
    if (status == TROVE_OK)
        (void)put_at(iov, iov_count, at, scattered, bytes);
    return status;
}

/* What is left of a plain held record goes out; whether all of it had room. */
static bool hand_out_held(struct tv_record_reader *self, const struct iovec *iov, unsigned iov_count, size_t *at) {
    size_t step = put_at(iov, iov_count, *at, self->held + self->held_at, self->held_bytes - self->held_at);
    *at += step;
    self->held_at += step;
    if (self->held_at < self->held_bytes)
        return false;
    free(self->held);
    self->held = NULL;
    self->held_bytes = self->held_at = 0;
    self->held_plain = false;
    return true;
}

static trove_status hold(struct tv_record_reader *self, trove_error *error) {
    if (self->held == NULL)
        self->held = malloc(TV_RECORD_BYTES_MAX);
    return self->held != NULL ? TROVE_OK : TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for an encrypted record");
}

/* A record that isn't received to its place. *more: it isn't there whole. */
static trove_status open_elsewhere(struct tv_record_reader *self, const struct iovec *iov, unsigned iov_count, size_t *at,
                                   size_t bytes, bool *more, trove_error *error) {
    const uint8_t *sealed = self->ahead + self->begin;
    bool whole_ahead = self->held == NULL && ahead(self) >= bytes;
    void *place = piece_at(iov, iov_count, *at, bytes);
    trove_status status = whole_ahead && place != NULL ? TROVE_OK : hold(self, error);
    if (status != TROVE_OK)
        return status;
    if (!whole_ahead) {
        size_t step = ahead(self) < bytes - self->held_bytes ? ahead(self) : bytes - self->held_bytes;
        memcpy(self->held + self->held_bytes, sealed, step);
        self->held_bytes += step;
        self->begin += step;
        if (self->held_bytes < bytes) {
            *more = true;
            return TROVE_OK;
        }
        sealed = self->held;
    } else {
        self->begin += bytes;
    }
    if (place == NULL)
        place = self->held;
    status = open_next(self, sealed, place, error);
    if (status != TROVE_OK)
        return status;
    if (place == self->held) {
        self->held_plain = true;
        self->held_bytes = bytes;
        *more = !hand_out_held(self, iov, iov_count, at);
        return TROVE_OK;
    }
    free(self->held);
    self->held = NULL;
    self->held_bytes = 0;
    *at += bytes;
    return TROVE_OK;
}

/* The next record, which has a place: what came of it ahead goes there. *more: it isn't there whole. */
static trove_status open_in_place(struct tv_record_reader *self, const struct iovec *iov, unsigned iov_count, size_t *at,
                                  size_t bytes, bool *more, trove_error *error) {
    if (self->landed < bytes) {
        size_t step = ahead(self) < bytes - self->landed ? ahead(self) : bytes - self->landed;
        (void)put_at(iov, iov_count, *at + self->landed, self->ahead + self->begin, step);
        self->begin += step;
        self->landed += step;
    }
    *more = self->landed < bytes;
    if (*more)
        return TROVE_OK;
    trove_status status = open_landed(self, iov, iov_count, *at, bytes, error);
    self->landed -= bytes;
    *at += bytes;
    return status;
}

trove_status tv_record_reader_open(struct tv_record_reader *self, const struct iovec *iov, unsigned iov_count,
                                   size_t *plain_bytes, trove_error *error) {
    size_t lasting = lasting_bytes(iov, iov_count);
    size_t room = tv_iov_bytes(iov, iov_count);
    size_t at = 0;
    bool more = self->held_plain && !hand_out_held(self, iov, iov_count, &at);
    trove_status status = TROVE_OK;
    while (status == TROVE_OK && !more && at < room) {
        if (self->next == self->count)
            status = read_table(self, error);
        if (status != TROVE_OK || self->next == self->count)
            break;
        size_t bytes = bytes_of(self, self->next);
        if (self->held == NULL && at + bytes <= lasting)
            status = open_in_place(self, iov, iov_count, &at, bytes, &more, error);
        else
            status = open_elsewhere(self, iov, iov_count, &at, bytes, &more, error);
    }
    *plain_bytes = at;
    return status;
}
