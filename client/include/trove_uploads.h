/* trove_uploads.h - streams that outlive their connection, and the uploads that the server keeps for them.
 * Comes with trove.h, whose first comment is true of this as well.
 */
#include "trove_streams.h" /* before the guard: whoever includes this one alone gets all of them, in their order */

#ifndef TROVE_UPLOADS_H
#define TROVE_UPLOADS_H

#ifdef __cplusplus
extern "C" {
#endif

/* ---- resumable streams ---------------------------------------------------------------------------------------------------- */

/* Resumable streams (trove_stream_options.resumable). When the connection is lost, or the server goes away, the stream doesn't
 * fail: it stands still, and goes on when the client has connected again; trove_stream_metrics.reconnects counts how often. It is
 * given up, with UNAVAILABLE, when it hasn't within the client's retry_for_ms.
 *
 * Upload. What the server has made durable stays when the stream ends, but for a cancel (or a release before its end), which
 * throws it away. (A cancel of the program's: one from outside, by trove_server_stream_control or `trove streams cancel`, ends
 * the stream alone; trove_upload_abort throws the upload away.) Chunks are kept in their buffers until their bytes are durable,
 * and sent again from where the server goes on: see keep_bytes. What was acknowledged and has to be sent again counts as queued
 * once more in trove_stream_metrics; on_chunk tells of each chunk once, and progress doesn't go back.
 * - trove_stream_upload_id names it. A stream that is opened with trove_stream_options.upload_id, and the same bucket and key, by
 *   this process or another one, goes on with the upload: the program writes on from trove_stream_offset. Of its options content
 *   type, metadata and conditions aren't looked at, for they are those of the beginning; size and digest must not contradict it.
 *   If it is complete already, the stream is so when it is open, and trove_stream_complete tells the object.
 * - Who attaches takes the upload over: the stream that had it before fails with ABORTED, and doesn't come back. (One whose own
 *   opening or attach had no answer in the minute before comes back once, for that may have been what fenced it off.) A stream
 *   that comes back takes nothing over where more is durable than was written to it: it fails with FAILED_PRECONDITION.
 * - Errors that end the stream and leave the upload, whose id the message tells: UNAVAILABLE, DEADLINE_EXCEEDED,
 *   RESOURCE_EXHAUSTED. NOT_FOUND at the opening: there is no such upload (any more). A stream that finds the upload gone when it
 *   comes back begins a new one if it still has all that was written, else it fails with NOT_FOUND.
 * - PERMISSION_DENIED: the upload is another principal's. UNIMPLEMENTED: the server's store has no resumable uploads.
 * - An etag is given to the server at the end only where the library has seen the object's bytes from the first one on; a digest
 *   that the library is to compute of a stream that begins further behind is INVALID_ARGUMENT.
 * - Not with lossy, nor with TROVE_BACKPRESSURE_BUFFER; a seek can't go below trove_stream_durable_offset.
 *
 * Download. It goes on at the first byte that the program hasn't read, of the object that it has begun with: FAILED_PRECONDITION
 * if that was replaced meanwhile. Chunks that came and weren't read are fetched again. From then on it can't seek to before that
 * byte (OUT_OF_RANGE).
 *
 * Controls wait for the connection; one that was under way when it was lost fails with UNAVAILABLE, and its state is what it was.
 *
 * Whole objects: trove_put_* and trove_get_* with `resumable` work alike; a small object doesn't go up in one flight then.
 * With upload_id, trove_put_file and trove_put_fd (of a file) read what the server has already, to check it with the etag at the
 * end, and send the rest; a source that has less than that is FAILED_PRECONDITION.
 * A put that comes back and finds its upload lost (expired, aborted, or of a store that didn't survive) begins anew with the
 * first byte, where that can be read again: of memory and of files, not of a pipe, which fails with NOT_FOUND. The hooks are
 * told: on_error of the upload that is lost, on_opened of the new one, and progress begins at 0. It is given up when it hasn't
 * got any further within the client's retry_for_ms. The metrics add up what was sent.
 *
 * The upload's id; "" for other streams. Belongs to the stream. */
TROVE_API const char *trove_stream_upload_id(const trove_stream *stream);
/* Resumable upload: all below it survives a crash of the server, if trove_stream_upload_survives_restart says so; 0 for
 * others. */
TROVE_API uint64_t trove_stream_durable_offset(const trove_stream *stream);
TROVE_API bool trove_stream_upload_survives_restart(const trove_stream *stream);

/* ---- resumable uploads, seen from outside --------------------------------------------------------------------------------- */

/* A resumable upload as the server keeps it, whether a stream holds it now or it is parked. */
typedef struct trove_upload {
    char id[TROVE_UPLOAD_ID_BYTES]; /* trove_stream_options.upload_id */
    const char *bucket;
    const char *key;
    uint64_t received_offset;           /* by the stream that holds it; durable_offset where none does */
    uint64_t durable_offset;            /* where it would go on */
    uint64_t created_ns;                /* since the epoch, UTC */
    uint64_t expires_ns;                /* it is thrown away then, unless somebody goes on with it before */
    const trove_object_info *completed; /* its result, which is told until it expires; NULL: it isn't complete */
} trove_upload;

/* Set up with trove_upload_list_options_init, then change what differs. */
typedef struct trove_upload_list_options {
    size_t struct_bytes;
    const char *bucket; /* only those of this bucket; NULL or "" for all */
    const char *cursor; /* next_cursor of the page before; NULL for the first page */
    uint32_t limit;     /* uploads a page, 1 to 1,000; 0 is 1,000. A page may hold fewer, or none, and still not be the last */
    uint32_t timeout_ms;
} trove_upload_list_options;

TROVE_API void trove_upload_list_options_init(trove_upload_list_options *options);

typedef struct trove_upload_page {
    const trove_upload *uploads; /* in the order of buckets (as they were made), keys, ids */
    size_t count;
    const char *next_cursor; /* NULL on the last page */
} trove_upload_page;

/* One page of the caller's own uploads that aren't complete. `options` may be NULL. Release with trove_upload_page_free, which
 * takes NULL.
 * Errors: INVALID_ARGUMENT, NOT_FOUND (bucket), UNIMPLEMENTED (a store without resumable uploads). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_upload_list(trove_client *client, const trove_upload_list_options *options,
                                                           trove_upload_page **page, trove_error *error);
TROVE_API void trove_upload_page_free(trove_upload_page *page);

/* How an upload stands. Asking fences nobody: whoever holds it goes on. Release with trove_upload_free, which takes NULL.
 * Errors: NOT_FOUND (never there, aborted or expired), PERMISSION_DENIED (another principal's), INVALID_ARGUMENT. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_upload_stat(trove_client *client, const char *upload_id, uint32_t timeout_ms,
                                                           trove_upload **upload, trove_error *error);
TROVE_API void trove_upload_free(trove_upload *upload);

/* Throws an upload away with what it has stored. A stream that holds it fails with ABORTED.
 * Errors as above, and FAILED_PRECONDITION (it is complete: delete the object instead). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_upload_abort(trove_client *client, const char *upload_id, uint32_t timeout_ms,
                                                            trove_error *error);

#ifdef __cplusplus
}
#endif

#endif
