/* digest.c - see digest.h. */
#include "digest.h"

#include "failure.h"
#include "text.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STEP_BYTES = 1 << 20,
};

static const struct {
    const char *name;
    trove_digest_kind kind;
    size_t bytes;
} kinds[] = {
    {"sha256", TROVE_DIGEST_SHA256, crypto_hash_sha256_BYTES},
    {"blake2b", TROVE_DIGEST_BLAKE2B, crypto_generichash_BYTES_MAX},
};

bool cli_digest_parse(const char *text, trove_digest *digest) {
    size_t name_bytes = strcspn(text, ":");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].name) != name_bytes || strncmp(text, kinds[i].name, name_bytes) != 0)
            continue;
        trove_digest read = {.kind = kinds[i].kind};
        const char *digits = text + name_bytes + 1;
        if (text[name_bytes] == 0) {
            *digest = read;
            return true;
        }
        if (strlen(digits) != 2 * kinds[i].bytes ||
            sodium_hex2bin(read.value, sizeof read.value, digits, strlen(digits), NULL, &read.size, NULL) != 0)
            return false;
        *digest = read;
        return true;
    }
    return false;
}

char *cli_digest_mistake(const char *text) {
    size_t name_bytes = strcspn(text, ":");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].name) != name_bytes || strncmp(text, kinds[i].name, name_bytes) != 0)
            continue;
        const char *digits = text + name_bytes + 1;
        size_t hex = strspn(digits, "0123456789abcdefABCDEF");
        if (digits[hex] != 0)
            return cli_format("character %zu of its value is no hexadecimal digit", hex + 1);
        return cli_format("%s has %zu hexadecimal digits, and these are %zu", kinds[i].name, 2 * kinds[i].bytes, hex);
    }
    return cli_copy("its kind is neither sha256 nor blake2b");
}

struct hash {
    trove_digest_kind kind;
    crypto_hash_sha256_state sha256;
    crypto_generichash_state blake2b;
};

static void begin(struct hash *hash, trove_digest_kind kind) {
    hash->kind = kind;
    if (kind == TROVE_DIGEST_SHA256)
        crypto_hash_sha256_init(&hash->sha256);
    else
        crypto_generichash_init(&hash->blake2b, NULL, 0, crypto_generichash_BYTES_MAX);
}

static void add(struct hash *hash, const unsigned char *bytes, size_t count) {
    if (hash->kind == TROVE_DIGEST_SHA256)
        crypto_hash_sha256_update(&hash->sha256, bytes, count);
    else
        crypto_generichash_update(&hash->blake2b, bytes, count);
}

static void finish(struct hash *hash, trove_digest *digest) {
    if (hash->kind == TROVE_DIGEST_SHA256) {
        digest->size = crypto_hash_sha256_BYTES;
        crypto_hash_sha256_final(&hash->sha256, digest->value);
    } else {
        digest->size = crypto_generichash_BYTES_MAX;
        crypto_generichash_final(&hash->blake2b, digest->value, digest->size);
    }
}

trove_status cli_digest_compute(int fd, uint64_t size, trove_digest *digest, trove_error *error) {
    unsigned char *bytes = cli_alloc(STEP_BYTES);
    trove_status status = TROVE_OK;
    struct hash *hash = aligned_alloc(64, (sizeof *hash + 63) / 64 * 64);
    if (hash == NULL)
        cli_out_of_memory();
    begin(hash, digest->kind);
    for (uint64_t at = 0; at < size && status == TROVE_OK;) {
        size_t wanted = size - at < STEP_BYTES ? (size_t)(size - at) : STEP_BYTES;
        ssize_t step = pread(fd, bytes, wanted, (off_t)at);
        if (step > 0) {
            add(hash, bytes, (size_t)step);
            at += (uint64_t)step;
        } else if (step == 0) {
            status =
                cli_error_set(error, TROVE_ABORTED, "the file shrank while it was read; put it again when nothing changes it");
        } else if (errno != EINTR) {
            status = cli_error_errno(error, errno, "the file can't be read");
        }
    }
    if (status == TROVE_OK)
        finish(hash, digest);
    free(hash);
    free(bytes);
    return status;
}

char *cli_digest_text(const trove_digest *digest) {
    char digits[2 * TROVE_DIGEST_BYTES_MAX + 1];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (digest->size > 0 && kinds[i].kind == digest->kind)
            return cli_format("%s:%s", kinds[i].name, sodium_bin2hex(digits, sizeof digits, digest->value, digest->size));
    return NULL;
}
