/* url.c - see url.h. */
#include "url.h"

#include <string.h>

static const char LETTERS_AND_DIGITS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static trove_status refuse(const char *url, const char *why, trove_error *error) {
    return TV_FAIL(error, INVALID_ARGUMENT, "\"%.200s\" is no server's address: %s; addresses look like " TV_URL_FORMS, url, why);
}

/* Where the host begins, and what stands behind it: ":PORT/PATH". */
static const char *network_host(const char *url, size_t *bytes, const char **rest) {
    const char *host = strstr(url, "://") + 3;
    size_t count = strcspn(host, "/");
    const char *end = host + count;
    if (*host == '[') {
        const char *bracket = memchr(host, ']', count);
        host++;
        *bytes = bracket != NULL ? (size_t)(bracket - host) : 0;
        *rest = bracket != NULL ? bracket + 1 : end;
        return host;
    }
    const char *colon = memrchr(host, ':', count);
    *rest = colon != NULL ? colon : end;
    *bytes = (size_t)(*rest - host);
    return host;
}

static const char *host_mistake(const char *host, size_t bytes, enum tv_url_use use) {
    bool in_brackets = host[-1] == '[';
    if (use == TV_URL_TO_LISTEN && !in_brackets && (bytes == 0 || (bytes == 1 && *host == '*')))
        return NULL;
    if (bytes == 0)
        return in_brackets ? "there is no address between [ and ]" : "HOST is missing";
    if (in_brackets)
        return strspn(host, "0123456789abcdefABCDEF:.") == bytes && memchr(host, ':', bytes) != NULL
                   ? NULL
                   : "between [ and ] there is no IPv6 address";
    if (memchr(host, ':', bytes) != NULL)
        return "an IPv6 address stands in brackets, as in tcp://[::1]:7000";
    for (size_t i = 0; i < bytes; i++)
        if (strchr(LETTERS_AND_DIGITS, host[i]) == NULL && strchr("-._", host[i]) == NULL)
            return "a host's name has letters, digits, '-', '.' and '_'";
    return NULL;
}

/* `text` is ":PORT", with or without a path behind it. */
static const char *port_mistake(const char *text, enum tv_url_use use) {
    size_t digits = *text == ':' ? strspn(text + 1, "0123456789") : 0;
    if (*text != ':' || (digits == 0 && strcspn(text + 1, "/") == 0))
        return ":PORT is missing";
    unsigned port = 0;
    for (size_t i = 1; i <= digits && port <= UINT16_MAX; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    if (use == TV_URL_TO_DIAL && digits > 0 && text[digits + 1] == '?')
        return "of what stands behind a '?' only key= is known";
    bool is_number = digits > 0 && (text[digits + 1] == '\0' || text[digits + 1] == '/');
    if (!is_number || port > UINT16_MAX || (port == 0 && use == TV_URL_TO_DIAL))
        return use == TV_URL_TO_DIAL ? "PORT is a number from 1 to 65535" : "PORT is a number from 1 to 65535, or 0 for any";
    return NULL;
}

static const char *network_mistake(const char *url, enum tv_url_use use) {
    const char *rest;
    size_t bytes;
    const char *host = network_host(url, &bytes, &rest);
    const char *mistake = host_mistake(host, bytes, use);
    if (mistake == NULL)
        mistake = port_mistake(rest, use);
    if (mistake != NULL)
        return mistake;
    const char *path = rest + strcspn(rest, "/");
    if (*path != '\0' && *url == 't')
        return "a tcp address ends with its port";
    for (; *path != '\0'; path++)
        if (*path <= ' ' || *path > '~')
            return "its path has a character that must be written as %XX";
    return NULL;
}

static trove_status check_ipc(const char *url, trove_error *error) {
    const char *path = url + strlen("ipc://");
    size_t bytes = strlen(path);
    if (*path != '/')
        return refuse(url, "a unix socket needs an absolute path, such as ipc:///run/trove/troved.sock", error);
    if (path[bytes - 1] == '/')
        return refuse(url, "it is a folder, and the name of a socket is missing", error);
    if (bytes > TV_IPC_PATH_BYTES_MAX)
        return TV_FAIL(
            error, INVALID_ARGUMENT,
            "%.200s: the path has %zu bytes, and that of a unix socket may have %d; choose a shorter one for " TV_URL_FORMS, url,
            bytes, TV_IPC_PATH_BYTES_MAX);
    return TROVE_OK;
}

trove_status tv_url_check(const char *url, enum tv_url_use use, trove_error *error) {
    if (strncmp(url, "ipc://", 6) == 0)
        return check_ipc(url, error);
    if (!tv_url_is_network(url))
        return refuse(url, *url != '\0' ? "it begins with none of ipc://, tcp:// and ws://" : "it is empty", error);
    const char *mistake = strlen(url) <= TV_URL_BYTES_MAX ? network_mistake(url, use) : "it has more than 255 characters";
    return mistake == NULL ? TROVE_OK : refuse(url, mistake, error);
}

bool tv_url_is_network(const char *url) {
    return strncmp(url, "tcp://", 6) == 0 || strncmp(url, "ws://", 5) == 0;
}

struct tv_url_host tv_url_host(const char *url) {
    struct tv_url_host result = {""};
    if (!tv_url_is_network(url))
        return result;
    const char *rest;
    size_t bytes;
    const char *host = network_host(url, &bytes, &rest);
    snprintf(result.text, sizeof result.text, "%.*s", (int)bytes, host);
    return result;
}
