/* key_file.c - see key_file.h. */
#include "key_file.h"

#include "noise.h"
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORD    "private_key"
#define VARIANT sodium_base64_VARIANT_ORIGINAL

_Static_assert(TV_KEY_TEXT_BYTES == sodium_base64_ENCODED_LEN(TV_NOISE_KEY_BYTES, VARIANT), "base64 of 32 bytes");

/* ---- text ---- */

void tv_key_format(const uint8_t key[static TV_NOISE_KEY_BYTES], char text[static TV_KEY_TEXT_BYTES]) {
    sodium_bin2base64(text, TV_KEY_TEXT_BYTES, key, TV_NOISE_KEY_BYTES, VARIANT);
}

static bool decode(const char *text, size_t bytes, uint8_t key[static TV_NOISE_KEY_BYTES]) {
    size_t count = 0;
    return bytes == TV_KEY_TEXT_BYTES - 1 &&
           sodium_base642bin(key, TV_NOISE_KEY_BYTES, text, bytes, NULL, &count, NULL, VARIANT) == 0 &&
           count == TV_NOISE_KEY_BYTES;
}

trove_status tv_key_parse(const char *text, uint8_t key[static TV_NOISE_KEY_BYTES], trove_error *error) {
    uint8_t decoded[TV_NOISE_KEY_BYTES];
    if (!decode(text, strlen(text), decoded))
        return TV_FAIL(error, INVALID_ARGUMENT,
                       "this is no public key: one has %d characters, base64 of %d bytes, as `trove keygen` prints it",
                       TV_KEY_TEXT_BYTES - 1, TV_NOISE_KEY_BYTES);
    memcpy(key, decoded, sizeof decoded);
    return TROVE_OK;
}

static bool blank(char character) {
    return character == ' ' || character == '\t' || character == '\r';
}

/* One line without its blanks at both ends. *found counts keys. */
static trove_status parse_line(const char *name, unsigned number, const char *line, size_t bytes, struct tv_key *key,
                               unsigned *found, trove_error *error) {
    const size_t word_bytes = strlen(WORD);
    if (bytes == 0 || *line == '#')
        return TROVE_OK;
    if (bytes <= word_bytes || memcmp(line, WORD, word_bytes) != 0 || !blank(line[word_bytes]))
        return TV_FAIL(error, INVALID_ARGUMENT, "%s line %u: expected `" WORD " BASE64`, as `trove keygen` writes it", name,
                       number);
    line += word_bytes;
    bytes -= word_bytes;
    while (bytes > 0 && blank(*line)) {
        line++;
        bytes--;
    }
    if (++*found > 1)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s line %u: a second key; a key file has one", name, number);
    if (!decode(line, bytes, key->private_key))
        return TV_FAIL(error, INVALID_ARGUMENT, "%s line %u: the key isn't %d characters, base64 of %d bytes", name, number,
                       TV_KEY_TEXT_BYTES - 1, TV_NOISE_KEY_BYTES);
    return TROVE_OK;
}

trove_status tv_key_file_parse(const char *name, const char *text, size_t bytes, struct tv_key *key, trove_error *error) {
    trove_status status = TROVE_OK;
    unsigned found = 0;
    unsigned number = 0;
    for (size_t at = 0; at < bytes && status == TROVE_OK;) {
        const char *line = text + at;
        const char *newline = memchr(line, '\n', bytes - at);
        size_t length = newline != NULL ? (size_t)(newline - line) : bytes - at;
        at += length + 1;
        while (length > 0 && blank(line[length - 1]))
            length--;
        for (; length > 0 && blank(*line); length--)
            line++;
        status = parse_line(name, ++number, line, length, key, &found, error);
    }
    if (status == TROVE_OK && found == 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "%s has no line `" WORD " BASE64`; `trove keygen` makes a key file", name);
    if (status == TROVE_OK)
        tv_noise_public_key(key->private_key, key->public_key);
    return status;
}

/* ---- reading ---- */

static trove_status check_file(int fd, const char *path, trove_error *error) {
    struct stat about;
    if (fstat(fd, &about) != 0)
        return tv_error_errno(error, errno, "looking at the key file %s", path);
    if (!S_ISREG(about.st_mode))
        return TV_FAIL(error, FAILED_PRECONDITION, "the key file %s is no regular file", path);
    if (about.st_uid != geteuid() && about.st_uid != 0)
        return TV_FAIL(error, FAILED_PRECONDITION, "the key file %s belongs to somebody else (uid %u)", path, about.st_uid);
    if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return TV_FAIL(error, FAILED_PRECONDITION,
                       "others may use the key file %s (mode %04o): it won't be used as long as they may; chmod 600 %s", path,
                       about.st_mode & 07777, path);
    return TROVE_OK;
}

/* At most one byte more than is allowed: it tells that it is too much. */
static trove_status read_all(int fd, const char *path, char *text, size_t *bytes, trove_error *error) {
    *bytes = 0;
    while (*bytes <= TV_KEY_FILE_BYTES_MAX) {
        ssize_t got = read(fd, text + *bytes, TV_KEY_FILE_BYTES_MAX + 1 - *bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tv_error_errno(error, errno, "reading the key file %s", path);
        if (got == 0)
            return TROVE_OK;
        *bytes += (size_t)got;
    }
    return TV_FAIL(error, INVALID_ARGUMENT, "the key file %s has more than %d bytes; is it the right one?", path,
                   TV_KEY_FILE_BYTES_MAX);
}

static trove_status load(int fd, const char *path, char *text, struct tv_key *key, trove_error *error) {
    size_t bytes;
    trove_status status = check_file(fd, path, error);
    if (status == TROVE_OK)
        status = read_all(fd, path, text, &bytes, error);
    return status == TROVE_OK ? tv_key_file_parse(path, text, bytes, key, error) : status;
}

trove_status tv_key_load(const char *path, struct tv_key **key_out, trove_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe must not hang here */
    if (fd < 0)
        return tv_error_errno(error, errno, "opening the key file %s", path);
    char *text = tv_secret_alloc(TV_KEY_FILE_BYTES_MAX + 1);
    struct tv_key *key = tv_secret_alloc(sizeof *key);
    trove_status status = text != NULL && key != NULL ? load(fd, path, text, key, error)
                                                      : TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the key of %s", path);
    close(fd);
    tv_secret_free(text);
    if (status != TROVE_OK) {
        tv_key_destroy(key);
        return status;
    }
    *key_out = key;
    return TROVE_OK;
}

void tv_key_destroy(struct tv_key *key) {
    tv_secret_free(key);
}

/* ---- making ---- */

static trove_status write_all(int fd, const char *path, const char *text, trove_error *error) {
    size_t bytes = strlen(text);
    for (size_t at = 0; at < bytes;) {
        ssize_t put = write(fd, text + at, bytes - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return tv_error_errno(error, errno, "writing the key file %s", path);
        at += (size_t)put;
    }
    return fsync(fd) == 0 ? TROVE_OK : tv_error_errno(error, errno, "syncing the key file %s", path);
}

static trove_status write_new(const char *path, const char *text, trove_error *error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (fd < 0 && errno == EEXIST)
        return TV_FAIL(error, ALREADY_EXISTS, "%s exists already, and a key is never replaced; name another file, or remove it",
                       path);
    if (fd < 0)
        return tv_error_errno(error, errno, "making the key file %s", path);
    trove_status status = write_all(fd, path, text, error);
    if (close(fd) != 0 && status == TROVE_OK)
        status = tv_error_errno(error, errno, "writing the key file %s", path);
    if (status != TROVE_OK)
        unlink(path);
    return status;
}

/* All that holds the private key while it is drawn and written. */
struct draft {
    struct tv_key key;
    char private_text[TV_KEY_TEXT_BYTES];
    char file[512];
};

trove_status tv_key_create(const char *path, char text[static TV_KEY_TEXT_BYTES], trove_error *error) {
    struct draft *draft = tv_secret_alloc(sizeof *draft);
    if (draft == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a key");
    randombytes_buf(draft->key.private_key, TV_NOISE_KEY_BYTES);
    tv_noise_public_key(draft->key.private_key, draft->key.public_key);
    char public_text[TV_KEY_TEXT_BYTES];
    tv_key_format(draft->key.public_key, public_text);
    tv_key_format(draft->key.private_key, draft->private_text);
    snprintf(draft->file, sizeof draft->file,
             "# A private key of Trove: who has it is taken for you. Keep it to yourself.\n"
             "# Its public key, which others may know:\n"
             "# %s\n" WORD " %s\n",
             public_text, draft->private_text);
    trove_status status = write_new(path, draft->file, error);
    tv_secret_free(draft);
    if (status == TROVE_OK)
        memcpy(text, public_text, sizeof public_text);
    return status;
}
