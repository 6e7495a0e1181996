/* follow.h - objects that are read while they are written: what put and get do with --follow.
 *
 * Both are to a descriptor what trove_put_fd and trove_get_fd are, by a stream that is opened to follow. What is read from the
 * source goes up as it comes, and what comes down is written as it comes, however little it is.
 */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "trove.h"

/* Writes the object for others to follow.
 * Errors: FAILED_PRECONDITION (another stream writes it), DEADLINE_EXCEEDED (the source gave nothing for io_timeout_ms), those of
 * the stream. */
trove_status cli_follow_put_fd(trove_client *client, const char *bucket, const char *key, int fd,
                               const trove_stream_options *options, trove_object_info **info, trove_error *error);

/* Follows who writes it. `silence_ms` is how long nothing may come; TROVE_NO_TIMEOUT: for ever, since a writer that ends is told
 * of.
 * Errors: NOT_FOUND (nobody writes it), ABORTED (the writer has failed), DEADLINE_EXCEEDED, those of the stream. */
trove_status cli_follow_get_fd(trove_client *client, const char *bucket, const char *key, int fd, uint32_t silence_ms,
                               const trove_stream_options *options, trove_object_info **info, trove_error *error);

#endif
