/* names.c - see names.h. A bucket's length and characters are those of S3's "General purpose bucket naming rules", so that a name
 * fits there. The prefixes and suffixes that S3 reserves for itself (xn--, sthree-, -s3alias, ...) are a matter of a store at S3.
 */
#include "names.h"

#include "bounds.h"
#include "utf8.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_lower_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Names come from a peer: a message never repeats more of one than fits, and control characters don't get into a log's line
 * because the logger escapes them. */
trove_status tv_bucket_check(const char *bucket, trove_error *error) {
    size_t bytes = strlen(bucket);
    if (bytes < TV_BUCKET_BYTES_MIN || bytes > TV_BUCKET_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "bucket name \"%.64s\" has %zu bytes; %d to %d are allowed", bucket, bytes,
                       TV_BUCKET_BYTES_MIN, TV_BUCKET_BYTES_MAX);
    for (size_t i = 0; i < bytes; i++) {
        if (!is_lower_or_digit(bucket[i]) && bucket[i] != '-' && bucket[i] != '.')
            return TV_FAIL(error, INVALID_ARGUMENT,
                           "bucket name \"%s\" has a character other than a-z, 0-9, '.' and '-' at position %zu", bucket, i + 1);
        if (i > 0 && bucket[i] == '.' && bucket[i - 1] == '.')
            return TV_FAIL(error, INVALID_ARGUMENT, "bucket name \"%s\" has two dots in a row", bucket);
    }
    if (!is_lower_or_digit(bucket[0]) || !is_lower_or_digit(bucket[bytes - 1]))
        return TV_FAIL(error, INVALID_ARGUMENT, "bucket name \"%s\" must begin and end with a letter or a digit", bucket);
    struct in_addr address;
    if (inet_pton(AF_INET, bucket, &address) == 1)
        return TV_FAIL(error, INVALID_ARGUMENT, "bucket name \"%s\" looks like an IP address", bucket);
    return TROVE_OK;
}

trove_status tv_key_check(const char *key, trove_error *error) {
    size_t bytes = strlen(key);
    if (bytes == 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "the key is empty");
    if (bytes > TV_KEY_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "key \"%.40s...\" has %zu bytes; at most %d are allowed", key, bytes,
                       TV_KEY_BYTES_MAX);
    if (!tv_utf8_valid(key, bytes))
        return TV_FAIL(error, INVALID_ARGUMENT, "the key is not valid UTF-8");
    return TROVE_OK;
}

trove_status tv_content_type_check(const char *content_type, trove_error *error) {
    size_t bytes = strlen(content_type);
    if (bytes > TV_CONTENT_TYPE_BYTES_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "the content type has %zu bytes; at most %d are allowed", bytes,
                       TV_CONTENT_TYPE_BYTES_MAX);
    for (size_t i = 0; i < bytes; i++)
        if (content_type[i] < 0x20 || content_type[i] > 0x7E)
            return TV_FAIL(error, INVALID_ARGUMENT, "the content type has a character that is not printable ASCII");
    return TROVE_OK;
}

trove_status tv_metadata_check(const trove_metadata *metadata, size_t count, trove_error *error) {
    if (count > TV_METADATA_COUNT_MAX)
        return TV_FAIL(error, INVALID_ARGUMENT, "%zu metadata entries; at most %d are allowed", count, TV_METADATA_COUNT_MAX);
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const char *key = metadata[i].key;
        const char *value = metadata[i].value;
        size_t key_bytes = strlen(key);
        size_t value_bytes = strlen(value);
        if (key_bytes == 0)
            return TV_FAIL(error, INVALID_ARGUMENT, "metadata entry %zu has an empty name", i + 1);
        if (!tv_utf8_valid(key, key_bytes) || !tv_utf8_valid(value, value_bytes))
            return TV_FAIL(error, INVALID_ARGUMENT, "metadata entry %zu is not valid UTF-8", i + 1);
        for (size_t j = 0; j < i; j++)
            if (strcmp(metadata[j].key, key) == 0)
                return TV_FAIL(error, INVALID_ARGUMENT, "metadata \"%.64s\" is given twice", key);
        total += key_bytes + value_bytes;
        if (total > TV_METADATA_BYTES_MAX)
            return TV_FAIL(error, INVALID_ARGUMENT, "the metadata has more than %d bytes in all", (int)TV_METADATA_BYTES_MAX);
    }
    return TROVE_OK;
}
