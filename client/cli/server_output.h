/* server_output.h - how the server's pools and streams are shown, the same by `streams`, `pools` and `top`; and fetching them
 * all. */
#ifndef CLI_SERVER_OUTPUT_H
#define CLI_SERVER_OUTPUT_H

#include "trove.h"

#include <jansson.h>

/* A line of the table, and the one above it; without a newline. The caller's to free. Pure. Streams: where `cells` aren't enough
 * for all columns, those that tell least leave, so that the object, which is the last one, has some room; SIZE_MAX: all. */
char *cli_pool_head(void);
char *cli_pool_row(const trove_server_pool *pool);
char *cli_stream_head(size_t cells);
char *cli_stream_row(const trove_server_stream *stream, size_t cells);

/* All that is known. The caller's reference. */
json_t *cli_pool_json(const trove_server_pool *pool);
json_t *cli_stream_json(const trove_server_stream *stream);

/* Takes one page; false stops there, which is no error. */
typedef bool (*cli_streams_fn)(void *context, const trove_server_stream_page *page);

/* All streams of a pool (NULL: of all pools), page by page. */
trove_status cli_streams_run(trove_client *client, const char *pool, cli_streams_fn take, void *context, trove_error *error);

#endif
