/* anew.h - a put whose upload the server has lost is begun once more, from its first byte.
 *
 * A store in memory loses its uploads with its process, any store those that have expired or were aborted. While a stream has all
 * that was written it begins a new upload by itself (stream_resume.h). Behind that the bytes are to be read again, which only who
 * puts a whole object can do: it opens another stream. What the two have moved counts together.
 *
 * The next upload has the program's request id, if it gave one: what that began is no more, so it begins another one, and a
 * program that dies after that finds it by the id that it has kept, as it was promised. Should somebody else have begun one with
 * the id meanwhile, the put goes on with that: it has all bytes, to sum what is there already and to send what isn't. A stream
 * can't do that, it has only what it keeps: so one that begins anew by itself draws an id that is nobody's (set_upload of
 * stream_resume.c). Where the program gave none, each opening draws one.
 */
#ifndef TVC_ANEW_H
#define TVC_ANEW_H

#include "backoff.h"
#include "transfer.h"

/* Zeroed memory is that of a put that has lost nothing. */
struct tvc_anew {
    struct tvc_backoff backoff;
    uint64_t mark;               /* what was durable when the backoff was begun */
    trove_stream_metrics before; /* what the streams before have moved */
};

/* Whether the stream has ended because its upload is gone. */
bool tvc_anew_lost(const trove_stream *stream);
/* Waits a little, and takes the counts of a stream that has lost its upload; then another one is to be opened, with the options
 * of the transfer. False: it is given up, for the client's retry_for_ms are over without its having got any further than
 * before. */
bool tvc_anew_begin(struct tvc_anew *anew, struct tvc_transfer *transfer, trove_stream *stream);
/* Adds what the streams before have moved to the last one's metrics, if the program wants them. */
void tvc_anew_add(const struct tvc_anew *anew, const struct tvc_transfer *transfer);

#endif
