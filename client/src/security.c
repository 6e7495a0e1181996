/* security.c - see security.h. */
#include "security.h"

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

trove_status tvc_security_begin(struct trove_client *client, const char *url, const trove_client_options *options,
                                trove_error *error) {
    const char *parameter = find_parameter(url);
    const char *in_url = parameter != NULL ? parameter + strlen(PARAMETER) : NULL;
    tv_secure_init(&client->secure);
    client->url = parameter != NULL ? strndup(url, (size_t)(parameter - url)) : strdup(url);
    if (client->url == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a client");
    if (in_url == NULL && options->server_key == NULL)
        return TROVE_OK;
    trove_status status = take_server_key(client, in_url, options->server_key, error);
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
}
