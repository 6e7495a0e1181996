/* upload_state.c - see upload_state.h. */
#include "upload_state.h"

#include "failure.h"
#include "part.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    HASH_BYTES = 16,
};

static void add(crypto_generichash_state *hash, const char *text) {
    const char *given = text != NULL ? text : "";
    crypto_generichash_update(hash, (const unsigned char *)given, strlen(given) + 1);
}

static void finish(crypto_generichash_state *hash, char digits[2 * HASH_BYTES + 1]) {
    unsigned char sum[HASH_BYTES];
    crypto_generichash_final(hash, sum, sizeof sum);
    sodium_bin2hex(digits, 2 * HASH_BYTES + 1, sum, sizeof sum);
}

static void make_name(const struct cli_upload_about *about, char name[40]) {
    char digits[2 * HASH_BYTES + 1];
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, NULL, 0, HASH_BYTES);
    add(&hash, about->server);
    add(&hash, about->own_key);
    add(&hash, about->source);
    add(&hash, about->object);
    finish(&hash, digits);
    snprintf(name, 40, "%s.json", digits);
}

/* What was said of the object when it was begun holds to its end, so it must be the same. */
static void hash_options(const trove_stream_options *options, char digits[TROVE_UPLOAD_ID_BYTES]) {
    crypto_generichash_state hash;
    const trove_conditions *conditions = &options->conditions;
    const trove_digest *digest = &options->digest;
    crypto_generichash_init(&hash, NULL, 0, HASH_BYTES);
    add(&hash, options->content_type);
    for (size_t i = 0; i < options->metadata_count; i++) {
        add(&hash, options->metadata[i].key);
        add(&hash, options->metadata[i].value);
    }
    add(&hash, conditions->if_match);
    crypto_generichash_update(&hash, (const unsigned char *)&conditions->if_none_match, sizeof conditions->if_none_match);
    crypto_generichash_update(&hash, (const unsigned char *)&conditions->if_generation, sizeof conditions->if_generation);
    crypto_generichash_update(&hash, (const unsigned char *)&digest->kind, sizeof digest->kind);
    crypto_generichash_update(&hash, digest->value, digest->size);
    finish(&hash, digits);
}

static enum cli_upload_found read_record(struct cli_upload_state *state, const struct cli_upload_about *about) {
    char text[CLI_UPLOAD_RECORD_BYTES_MAX];
    char how[TROVE_UPLOAD_ID_BYTES];
    ssize_t bytes = pread(state->fd, text, sizeof text, 0);
    if (bytes == 0)
        return CLI_UPLOAD_NEW;
    if (bytes < 0 || (size_t)bytes == sizeof text)
        return CLI_UPLOAD_DAMAGED;
    text[bytes] = 0;
    if (!cli_upload_record_read(text, &state->record))
        return CLI_UPLOAD_DAMAGED;
    hash_options(about->options, how);
    bool same = cli_source_mark_equal(&state->record.source, &about->mark) && strcmp(state->record.how, how) == 0;
    return same ? CLI_UPLOAD_FOUND : CLI_UPLOAD_CHANGED;
}

trove_status cli_upload_state_open(struct cli_upload_state *state, int folder_fd, const struct cli_upload_about *about,
                                   enum cli_upload_found *found, trove_error *error) {
    *state = (struct cli_upload_state){.folder_fd = folder_fd, .fd = -1};
    make_name(about, state->name);
    state->fd = cli_part_open(folder_fd, state->name);
    if (state->fd < 0) {
        int failed = errno;
        close(folder_fd);
        if (failed == EWOULDBLOCK)
            return cli_error_set(error, TROVE_ABORTED, "another put of this file to this object is under way");
        return cli_error_errno(error, failed, "its record can't be opened");
    }
    *found = read_record(state, about);
    return TROVE_OK;
}

static trove_status write_record(const struct cli_upload_state *state, trove_error *error) {
    char text[CLI_UPLOAD_RECORD_BYTES_MAX];
    cli_upload_record_write(&state->record, text);
    size_t bytes = strlen(text);
    errno = ENOSPC; /* a short write says no more */
    if (pwrite(state->fd, text, bytes, 0) != (ssize_t)bytes || ftruncate(state->fd, (off_t)bytes) != 0)
        return cli_error_errno(error, errno, "its record can't be written");
    return TROVE_OK;
}

trove_status cli_upload_state_begin(struct cli_upload_state *state, const struct cli_upload_about *about, trove_error *error) {
    state->record = (struct cli_upload_record){.source = about->mark};
    hash_options(about->options, state->record.how);
    randombytes_buf(state->record.request_id, sizeof state->record.request_id);
    trove_status status = write_record(state, error);
    if (status == TROVE_OK && (fsync(state->fd) != 0 || fsync(state->folder_fd) != 0))
        status = cli_error_errno(error, errno, "its record can't be synced");
    return status;
}

void cli_upload_state_opened(struct cli_upload_state *state, const char *upload_id) {
    trove_error ignored; /* the request id, which is there, finds the upload as well */
    snprintf(state->record.upload_id, sizeof state->record.upload_id, "%s", upload_id);
    (void)write_record(state, &ignored);
}

void cli_upload_state_close(struct cli_upload_state *state, bool keep) {
    if (!keep)
        unlinkat(state->folder_fd, state->name, 0);
    close(state->fd);
    close(state->folder_fd);
}
