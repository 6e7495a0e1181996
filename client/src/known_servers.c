/* known_servers.c - see known_servers.h: addresses and lines. The file itself is known_servers_file.c. */
#include "known_servers.h"

#include "key_file.h"
#include "url.h"

#include <ctype.h>
#include <string.h>

/* ---- addresses ---- */

static bool stands_in_a_line(const char *address) {
    if (*address == '\0' || *address == '#')
        return false;
    for (const char *at = address; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return false;
    return true;
}

trove_status tvc_known_servers_address(const char *url, char **address, trove_error *error) {
    trove_status status = tv_url_check(url, TV_URL_TO_DIAL, error);
    if (status != TROVE_OK)
        return status;
    const char *begin = strstr(url, "://") + 3;
    bool network = tv_url_is_network(url);
    char *copy = strndup(begin, network ? strcspn(begin, "/") : strlen(begin));
    if (copy == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a server's address");
    if (!stands_in_a_line(copy)) {
        TV_FAIL(error, INVALID_ARGUMENT, "%.200s can't stand in a file of known servers: its path has a blank or such", url);
        free(copy);
        return TROVE_INVALID_ARGUMENT;
    }
    for (char *at = copy; network && *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at); /* hosts have no case */
    *address = copy;
    return TROVE_OK;
}

/* ---- lines ---- */

struct word {
    const char *text;
    size_t bytes;
};

static bool is_blank(char character) {
    return character == ' ' || character == '\t' || character == '\r';
}

/* Takes the next word off the line; empty at its end. */
static struct word next_word(const char **line, const char *end) {
    while (*line < end && is_blank(**line))
        ++*line;
    struct word word = {.text = *line};
    while (*line < end && !is_blank(**line))
        ++*line;
    word.bytes = (size_t)(*line - word.text);
    return word;
}

static trove_status read_key(const char *name, unsigned number, struct word word, uint8_t key[static TV_NOISE_KEY_BYTES],
                             trove_error *error) {
    char text[TV_KEY_TEXT_BYTES] = "";
    if (word.bytes == TV_KEY_TEXT_BYTES - 1)
        memcpy(text, word.text, word.bytes);
    if (tv_key_parse(text, key, NULL) != TROVE_OK)
        return TV_FAIL(error, INVALID_ARGUMENT, "%.300s line %u: expected `ADDRESS PUBLIC_KEY`, of which the key isn't one", name,
                       number);
    return TROVE_OK;
}

static trove_status take_line(const char *name, unsigned number, const char *line, const char *end, const char *address,
                              struct tvc_known_server *found, trove_error *error) {
    struct word host = next_word(&line, end);
    struct tvc_known_server read = {.line = number};
    if (host.bytes == 0 || *host.text == '#')
        return TROVE_OK;
    trove_status status = read_key(name, number, next_word(&line, end), read.key, error);
    if (status != TROVE_OK)
        return status;
    if (host.bytes != strlen(address) || memcmp(host.text, address, host.bytes) != 0)
        return TROVE_OK;
    if (found->line != 0 && memcmp(found->key, read.key, sizeof read.key) != 0)
        return TV_FAIL(error, INVALID_ARGUMENT, "%.300s line %u: another key for %.100s than line %u has; take one of them out",
                       name, number, address, found->line);
    if (found->line == 0)
        *found = read;
    return TROVE_OK;
}

trove_status tvc_known_servers_look(const char *name, const char *text, size_t bytes, const char *address,
                                    struct tvc_known_server *found, trove_error *error) {
    struct tvc_known_server looked = {0};
    trove_status status = TROVE_OK;
    const char *end = text + bytes;
    unsigned number = 0;
    for (const char *line = text; line < end && status == TROVE_OK;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline != NULL ? newline : end;
        status = take_line(name, ++number, line, line_end, address, &looked, error);
        line = line_end + (newline != NULL);
    }
    if (status != TROVE_OK)
        return status;
    if (looked.line == 0)
        return TV_FAIL(error, NOT_FOUND, "%.300s has no line for %.100s", name, address);
    *found = looked;
    return TROVE_OK;
}
