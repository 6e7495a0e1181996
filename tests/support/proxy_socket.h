/* proxy_socket.h - the sockets of a proxy: where it listens, where it dials. See proxy.h. */
#ifndef TROVE_TESTS_PROXY_SOCKET_H
#define TROVE_TESTS_PROXY_SOCKET_H

#include <stdbool.h>

#define PROXY_URL_BYTES 256

/* Listens as `upstream` does and writes the URL. Returns the descriptor. */
int proxy_listen(const char *folder, const char *upstream, char url[PROXY_URL_BYTES]);
/* -1: nobody is there. */
int proxy_dial(const char *upstream);
/* -1: nobody came after all. */
int proxy_accept(int listener);
/* What was sent and not yet read is lost, on tcp. */
void proxy_reset(int fd);

#endif
