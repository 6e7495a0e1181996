/* fuzz_sealed.c - encrypted messages: any bytes as such, and any bytes sealed, cut and opened again. libFuzzer; see
 * CMakeLists.txt.
 *
 * The first octets say how the bytes are cut: into buffers, into what comes at once, into what the reader is offered.
 */
#include "iov.h"
#include "record_reader.h"
#include "secret.h"

#include <endian.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

#define CUTS       4
#define PLAIN_MAX  ((size_t)200000)
#define SEALED_MAX (2 * PLAIN_MAX + TV_SEALED_BYTES_MAX)

static uint8_t sealed[SEALED_MAX];
static uint8_t target[PLAIN_MAX + 65536];

static size_t cut(const uint8_t *cuts, unsigned which) {
    return (size_t)cuts[which] * cuts[which] + 1;
}

/* Gives `count` bytes to a reader; returns how many plain ones came out. */
static size_t read_all(struct tv_record_reader *reader, const uint8_t *from, size_t count, const uint8_t *cuts) {
    size_t have = 0;
    size_t promised = 0; /* the end of the place that stays */
    while (count > 0) {
        struct iovec raw[TV_IOV_MAX];
        struct iovec mine[2];
        unsigned mine_count = 0;
        for (size_t plain = 1, first = 1; first || plain > 0; first = 0) {
            if (!first && tv_record_reader_open(reader, mine, mine_count, &plain, NULL) != TROVE_OK)
                return have;
            have += first ? 0 : plain;
            if (have > PLAIN_MAX)
                return have;
            if (have >= promised)
                promised = have + cut(cuts, 2) < PLAIN_MAX ? have + cut(cuts, 2) : have;
            mine_count = 0;
            if (promised > have)
                mine[mine_count++] = (struct iovec){target + have, promised - have};
            mine[mine_count++] = (struct iovec){target + (promised > have ? promised : have), 4096};
            if (first) {
                unsigned raw_count = tv_record_reader_want(reader, mine, mine_count, raw);
                unsigned at = 0;
                size_t step = count < cut(cuts, 1) ? count : cut(cuts, 1);
                step = tv_iov_put(raw, raw_count, &at, from, step);
                from += step;
                count -= step;
                tv_record_reader_add(reader, step);
            }
        }
    }
    return have;
}

static size_t seal_all(struct tv_noise_cipher *cipher, const uint8_t *plain, size_t count, const uint8_t *cuts) {
    size_t at = 0;
    size_t out = 0;
    while (at < count && out < SEALED_MAX - TV_SEALED_BYTES_MAX - 8) {
        struct iovec iov[TV_IOV_MAX];
        unsigned pieces = 0;
        for (size_t end = at; pieces < TV_IOV_MAX && end < count; pieces++) {
            size_t step = count - end < cut(cuts, pieces % 2 == 0 ? 0 : 3) ? count - end : cut(cuts, pieces % 2 == 0 ? 0 : 3);
            iov[pieces] = (struct iovec){(uint8_t *)(uintptr_t)plain + end, step};
            end += step;
        }
        size_t taken, bytes;
        if (tv_records_seal(cipher, iov, pieces, sealed + out + 8, TV_SEALED_BYTES_MAX, &taken, &bytes, NULL) != TROVE_OK)
            abort();
        uint64_t length = htobe64(bytes);
        memcpy(sealed + out, &length, sizeof length);
        out += 8 + bytes;
        at += taken;
    }
    return at == count ? out : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    static const uint8_t key[TV_NOISE_KEY_BYTES] = {1};
    struct tv_noise_cipher send, receive;
    struct tv_record_reader reader;
    if (count <= CUTS || count - CUTS > PLAIN_MAX || !tv_secret_ready())
        return 0;
    const uint8_t *data = bytes + CUTS;
    count -= CUTS;
    tv_noise_cipher_set(&receive, TV_CIPHER_CHACHAPOLY, key);
    tv_record_reader_init(&reader, &receive, (bytes[0] & 1) != 0);
    (void)read_all(&reader, data, count, bytes);
    tv_record_reader_fini(&reader);

    tv_noise_cipher_set(&send, TV_CIPHER_CHACHAPOLY, key);
    tv_noise_cipher_set(&receive, TV_CIPHER_CHACHAPOLY, key);
    tv_record_reader_init(&reader, &receive, false);
    size_t sealed_bytes = seal_all(&send, data, count, bytes);
    if (sealed_bytes > 0 && (read_all(&reader, sealed, sealed_bytes, bytes) != count || memcmp(target, data, count) != 0))
        abort();
    tv_record_reader_fini(&reader);
    return 0;
}
