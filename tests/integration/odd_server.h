/* odd_server.h - a server that the test plays itself, frame by frame, for what a real troved never does or hardly ever. It shares
 * no code with libtrove: it is the other end of a raw_client.h.
 *
 * The server is the test's own thread; calls of the client that wait for it run in threads beside it.
 */
#ifndef ODD_SERVER_H
#define ODD_SERVER_H

#include "client_test.h"
#include "raw_client.h"

struct odd_server {
    char folder[96];
    char url[128];
    bool tcp; /* else a unix socket in the folder */
    int listener;
    struct raw_client peer; /* the connection that was taken last */
};

/* What a welcome says unless the test says otherwise: that of troved, without header checksums. */
void odd_init_welcome(Trove__V1__Welcome *welcome);

void odd_listen(struct odd_server *server);
/* On a port of its own, whose queue holds one connection that wasn't taken yet. */
void odd_listen_tcp(struct odd_server *server);
/* Fills that queue with the connection that is returned: who dials from then on hears nothing. */
int odd_fill_queue(const struct odd_server *server);
/* Connects a client; `welcome` may be NULL, `options` too: then it doesn't connect again. */
trove_client *odd_connect(struct odd_server *server, Trove__V1__Welcome *welcome, const trove_client_options *options);
/* Takes a connection up to its first frame. */
void odd_take(struct odd_server *server);
/* Takes a connection up to its hello. */
void odd_accept(struct odd_server *server);
void odd_welcome(struct odd_server *server, Trove__V1__Welcome *welcome);
/* Closes the client, which is waited for, and the connection. */
void odd_disconnect(struct odd_server *server, trove_client *client);
void odd_end(struct odd_server *server);

/* The next frame of this kind, for raw_free; what comes before it is ignored. */
raw_frame *odd_expect(struct odd_server *server, Trove__V1__Frame__BodyCase body);
/* Waits until the client has handled all that was sent so far. */
void odd_settle(struct odd_server *server);

void odd_send_status(struct odd_server *server, uint64_t call_id, Trove__V1__Code code, const char *message, bool not_taken);
/* Opens a download of `size` bytes, or an upload with credit for as much. */
void odd_send_opened(struct odd_server *server, uint64_t call_id, const Trove__V1__Open *open, uint64_t size);

#endif
