/* stream_resume_down.c - a download whose connection is lost: what is forgotten, and the rest of the same object. See
 * stream_resume.h.
 *
 * What has come and wasn't read is let go of and comes again: at most a window. (Rejected: to keep it; chunks of two connections
 * would be in one queue, with acknowledgements that only one of them may have.)
 */
#include "stream.h"

#include <string.h>

bool tvc_download_current(const trove_stream *stream, const struct tvc_chunk *chunk) {
    const struct tvc_download *download = &stream->download;
    return chunk->call_id == download->call_id && chunk->generation == download->receiver.generation;
}

/* Nobody is left who could resume it. */
static void go_on_alone(trove_stream *stream) {
    if (stream->state == TROVE_STREAM_PAUSED)
        (void)tvc_stream_move(stream, TV_EVENT_RESUME, NULL);
    if (stream->state == TROVE_STREAM_ACTIVE)
        (void)tvc_stream_move(stream, TV_EVENT_COMPLETE, NULL);
    pthread_cond_broadcast(&stream->changed);
}

/* All bytes were read, and only the server's word that there are no more is missing. */
static void end_here(trove_stream *stream) {
    struct tvc_download *download = &stream->download;
    download->complete_seen = true;
    download->complete_chunks = download->receiver.expected_index;
    go_on_alone(stream);
    (void)tvc_download_finish(stream, false);
}

bool tvc_download_detach(trove_stream *stream) {
    struct tvc_download *download = &stream->download;
    const struct tv_receiver *receiver = &download->receiver;
    if (download->complete_seen && receiver->expected_index == download->complete_chunks && !download->damaged) {
        go_on_alone(stream);
        return false;
    }
    tvc_stream_limit_leave(&download->half);
    if (download->verified_bytes == download->size && stream->state != TROVE_STREAM_IDLE) {
        end_here(stream);
        return false;
    }
    if (receiver->expected_offset > download->reached_offset)
        download->reached_offset = receiver->expected_offset;
    tvc_download_forget(stream);
    if (download->verifying) /* its bytes may be in the sums already, and come again */
        download->check_etag = false;
    download->damaged = false;
    download->call_id = 0;
    download->complete_seen = download->resending = false;
    return true;
}

/* Others on the connection are cut off as well: a way that damages what goes through it is none to stay on. */
bool tvc_resume_damaged(trove_stream *stream, uint64_t deadline_ns, const trove_error *damage) {
    struct tvc_download *download = &stream->download;
    bool in_time = true;
    pthread_mutex_lock(&stream->client->lock);
    bool comes_back = stream->resume.open != NULL && tvc_client_retries(stream->client);
    download->damaged = comes_back && !tvc_stream_detached(stream) && !tv_stream_state_terminal(stream->state);
    bool abort = download->damaged;
    download->check_etag &= !comes_back; /* its bytes are in the sums */
    pthread_mutex_unlock(&stream->client->lock);
    if (abort)
        tvc_client_abort(stream->client, damage);
    pthread_mutex_lock(&stream->client->lock);
    while (download->damaged && !tv_stream_state_terminal(stream->state) && in_time)
        in_time = tvc_stream_wait(stream, deadline_ns);
    comes_back &= !download->damaged;
    download->damaged = false;
    pthread_mutex_unlock(&stream->client->lock);
    return comes_back;
}

uint64_t tvc_download_begin_again(trove_stream *stream) {
    struct tvc_download *download = &stream->download;
    const struct tv_receiver before = download->receiver;
    uint64_t chunks = download->half.chunks->count;
    uint64_t window_bytes = (chunks < stream->channel_chunks ? chunks : stream->channel_chunks) * stream->chunk_bytes;
    uint64_t credit = tvc_stream_limited(&stream->limit) ? 0 : window_bytes; /* limited: as it may move */
    download->base_offset = download->range_offset + download->verified_bytes;
    download->index_base = download->next_index;
    tv_receiver_init(&download->receiver, download->base_offset, stream->chunk_bytes, stream->client->limits.payload_bytes_max);
    download->receiver.received_bytes = before.received_bytes; /* ever */
    download->receiver.received_chunks = before.received_chunks;
    tv_receiver_grant(&download->receiver, credit);
    download->credit_due = window_bytes - credit;
    download->expired_due = 0;
    download->untold_chunks = 0;
    return credit;
}

trove_status tvc_download_attach(trove_stream *stream, const Trove__V1__Opened *opened, trove_error *error) {
    const trove_object_info *object = stream->download.object;
    if (opened->object == NULL || opened->object->size != object->size || strcmp(opened->object->etag, object->etag) != 0)
        return TV_FAIL(error, FAILED_PRECONDITION, "%s/%.200s: the object was replaced while it was read", stream->bucket,
                       stream->key);
    stream->download.call_id = stream->entry.node.id;
    return TROVE_OK;
}
