/* consumer.c - the smallest use of an installed libtrove: it links, and reports a missing server as it should. */
#include <trove.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    trove_client *client = NULL;
    trove_error error;
    trove_status status = trove_connect("ipc:///nowhere/troved.sock", NULL, &client, &error);
    printf("libtrove %s: %s: %s\n", trove_version(), trove_status_name(status), error.message);
    return status == TROVE_UNAVAILABLE && client == NULL && strcmp(trove_version(), "0.1.0") == 0 ? 0 : 1;
}
