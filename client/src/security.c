/* security.c - see security.h. */
#include "security.h"

#include "known_servers.h"

#include <string.h>

#define PARAMETER "?key="

/* The last one in the URL: a socket's path may have such a thing in its midst. */
static const char *find_parameter(const char *url) {
    const char *found = NULL;
    for (const char *at = strstr(url, PARAMETER); at != NULL; at = strstr(at + 1, PARAMETER))
        found = at;
    return found;
}

static trove_status take_server_key(struct trove_client *client, const char *in_url, const char *in_options, trove_error *error) {
    uint8_t other[TV_NOISE_KEY_BYTES];
    trove_error why;
    if (tv_key_parse(in_url != NULL ? in_url : in_options, client->server_key, &why) != TROVE_OK)
        return TV_FAIL(error, INVALID_ARGUMENT, "the server's key, %s: %s", in_url != NULL ? "in the URL" : "in the options",
                       why.message);
    if (in_url != NULL && in_options != NULL &&
        (tv_key_parse(in_options, other, NULL) != TROVE_OK || memcmp(other, client->server_key, sizeof other) != 0))
        return TV_FAIL(error, INVALID_ARGUMENT, "the server's key in the URL isn't the one in the options");
    return TROVE_OK;
}

const char *tvc_security_url_key(const char *url) {
    const char *parameter = find_parameter(url);
    return parameter != NULL ? parameter + strlen(PARAMETER) : NULL;
}

/* NOT_FOUND: it isn't known. */
static trove_status take_known_key(struct trove_client *client, const char *path, trove_error *error) {
    struct tvc_known_server found;
    if (path == NULL)
        return TROVE_NOT_FOUND;
    trove_status status = tvc_known_servers_find(path, client->url, &found, error);
    if (status != TROVE_OK)
        return status;
    if (asprintf(&client->known_from, "%s line %u", path, found.line) < 0) {
        client->known_from = NULL;
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a client");
    }
    memcpy(client->server_key, found.key, sizeof client->server_key);
    client->secure.asks_key = true; /* so that another key is found out by name */
    client->secure.known_from = client->known_from;
    return TROVE_OK;
}

trove_status tvc_security_begin(struct trove_client *client, const char *url, const trove_client_options *options,
                                trove_error *error) {
    const char *parameter = find_parameter(url);
    const char *in_url = parameter != NULL ? parameter + strlen(PARAMETER) : NULL;
    tv_secure_init(&client->secure);
    client->url = parameter != NULL ? strndup(url, (size_t)(parameter - url)) : strdup(url);
    if (client->url == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a client");
    bool given = in_url != NULL || options->server_key != NULL;
    trove_status status = given ? take_server_key(client, in_url, options->server_key, error)
                                : take_known_key(client, options->known_servers, error);
    if (!given && status == TROVE_NOT_FOUND)
        return TROVE_OK;
    if (status == TROVE_OK && options->key_file == NULL)
        status = TV_FAIL(error, INVALID_ARGUMENT,
                         "the server's key is given, but no key file of one's own: without it nobody is let in; `trove keygen` "
                         "makes one");
    if (status == TROVE_OK)
        status = tv_key_load(options->key_file, &client->key, error);
    client->secure.key = client->key;
    client->secure.server_key = client->server_key;
    return status;
}

void tvc_security_end(struct trove_client *client) {
    tv_secure_fini(&client->secure);
    tv_key_destroy(client->key);
    client->key = NULL;
    free(client->known_from);
    client->known_from = NULL;
}
