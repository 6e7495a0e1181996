/* trove_transfers.h - whole objects in one call, and many small calls at once.
 * Comes with trove.h, whose first comment is true of this as well.
 */
#include "trove_streams.h" /* before the guard: whoever includes this one alone gets all of them, in their order */

#ifndef TROVE_TRANSFERS_H
#define TROVE_TRANSFERS_H

#ifdef __cplusplus
extern "C" {
#endif

/* ---- whole objects -------------------------------------------------------------------------------------------------------- */

/* For put and get: the stream's options; `timeout_ms` bounds each step that makes no progress, not the whole transfer. */

/* Stores `size` bytes from memory, which must stay as they are during the call. Small objects go up in one flight, of which no
 * progress is told; where another hook is set, under a limit, in a client's pool and where they are resumable they go by way of a
 * stream like others. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_put_memory(trove_client *client, const char *bucket, const char *key,
                                                          const void *data, size_t size, const trove_stream_options *options,
                                                          trove_object_info **info, trove_error *error);

/* Stores what `fd` gives from its present position to its end; a pipe will do. The descriptor stays the caller's. Errors besides
 * the stream's own: ABORTED (a file was changed meanwhile), DEADLINE_EXCEEDED (a pipe gave nothing for io_timeout_ms). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_put_fd(trove_client *client, const char *bucket, const char *key, int fd,
                                                      const trove_stream_options *options, trove_object_info **info,
                                                      trove_error *error);

TROVE_API TROVE_WARN_UNUSED trove_status trove_put_file(trove_client *client, const char *bucket, const char *key,
                                                        const char *path, const trove_stream_options *options,
                                                        trove_object_info **info, trove_error *error);

/* Reads the object (or the options' range) straight into `data`. *size_read tells how many bytes that were. On failure what is in
 * `data` is undefined. Errors: OUT_OF_RANGE where `capacity` is too small: nothing is read then, the message tells the size. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_get_memory(trove_client *client, const char *bucket, const char *key, void *data,
                                                          size_t capacity, const trove_stream_options *options, size_t *size_read,
                                                          trove_object_info **info, trove_error *error);

/* Writes the object to `fd` from its present position on; a pipe will do. For who reads a pipe in non-blocking mode it waits up
 * to io_timeout_ms (DEADLINE_EXCEEDED), in blocking mode like write(2) for ever; it raises SIGPIPE where nobody reads any
 * more. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_get_fd(trove_client *client, const char *bucket, const char *key, int fd,
                                                      const trove_stream_options *options, trove_object_info **info,
                                                      trove_error *error);

/* Writes to a file `.trove-XXXXXX.part` (0600) in the folder of `path` and renames it when it is whole; `path` is never half
 * written. The file isn't synced to disk. What is at `path` already must be a regular file; a symbolic link isn't followed. With
 * options.resumable what has come stays after a failure or a crash if it is 1 MiB or more: the file's name is made of those of
 * target and object then, and the next such call goes on with it, as trove_get_rest does. Failures after which that makes no
 * sense (NOT_FOUND, FAILED_PRECONDITION, DATA_LOSS, a full disk and the like) leave nothing; a key or a right that was taken
 * (UNAUTHENTICATED, PERMISSION_DENIED) may come back, and what has come stays. Where somebody else is getting the same object
 * into the same target, the file has another name, and nothing stays. A range is always read anew. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_get_file(trove_client *client, const char *bucket, const char *key,
                                                        const char *path, const trove_stream_options *options,
                                                        trove_object_info **info, trove_error *error);

/* Goes on with a download. `fd` is a regular file, open for reading and writing, whose bytes may be the object's beginning: from
 * an earlier try, of another version, or none. It is compared block by block (256 KiB) with what the server has; the beginning
 * that is the same is kept, the rest of the file cut off, and the rest of the object fetched behind it, under the condition that
 * it is still the object compared with. So on success the file is the object, whole, and never has bytes of two versions.
 * *kept_bytes (may be NULL) were there already; progress and metrics are of what is fetched. After a failure the file has some
 * beginning, to be gone on with again. For nobody else to use meanwhile: who shares a file must lock it.
 * Errors: those of trove_get_fd; INVALID_ARGUMENT (a range, or another kind of descriptor); FAILED_PRECONDITION (also: the object
 * was replaced while it was read, across a lost connection). */
TROVE_API TROVE_WARN_UNUSED trove_status trove_get_rest(trove_client *client, const char *bucket, const char *key, int fd,
                                                        const trove_stream_options *options, uint64_t *kept_bytes,
                                                        trove_object_info **info, trove_error *error);

/* ---- many small calls at once --------------------------------------------------------------------------------------------- */

/* Called from the hook thread, exactly once. `error` is NULL on success. `data` (an echo's answer) is valid during the call.
 * A `done` may begin next calls. Asynchronous ones go out together, when it has returned. */
typedef void (*trove_done_fn)(void *context, const trove_error *error, const void *data, size_t size);

/* Starts storing a small object and returns; `done` is called when it is durable or has failed (with DEADLINE_EXCEEDED after
 * `timeout_ms`). The bytes are copied. What the server has no room for in one flight the library puts once more, as a stream, one
 * after the other.
 * Blocks only while the connection's early-data allowance or its calls are used up, at most `timeout_ms`; in a hook or `done` it
 * doesn't wait for calls: RESOURCE_EXHAUSTED (one that was just told of has given its own back).
 * Errors: INVALID_ARGUMENT (also: larger than 64 KiB, or than the server takes in one flight), UNAVAILABLE, DEADLINE_EXCEEDED;
 * then `done` is not called. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_put_async(trove_client *client, const char *bucket, const char *key,
                                                         const void *data, size_t size, uint32_t timeout_ms, trove_done_fn done,
                                                         void *context, trove_error *error);

/* Sends up to 64 KiB and gets the same bytes back: measures the way of a call. Bounded by 1,024 calls under way; blocks as
 * trove_put_async. */
TROVE_API TROVE_WARN_UNUSED trove_status trove_echo_async(trove_client *client, const void *data, size_t size,
                                                          uint32_t timeout_ms, trove_done_fn done, void *context,
                                                          trove_error *error);

#ifdef __cplusplus
}
#endif

#endif
