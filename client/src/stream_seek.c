/* stream_seek.c - going on at another byte of the object: who may be moved there from outside, and what an upload does then. What
 * a download does is in stream_download.c; asking for it, and being told, in stream_control.c.
 *
 * The server moves an upload whose writer knows nothing of it yet, and may be anywhere: filling a chunk, waiting with one,
 * completing. So nothing is done to the writer. What it brings says which byte it belongs to, and is refused where that isn't the
 * next one. (Rejected: to take chunks again once the hook has returned. The writer may be another thread, which has read on
 * meanwhile.)
 */
#include "stream.h"

/* Those who are told that it goes on elsewhere, and can: a digest that the library computes doesn't go back, but where it reads
 * the bytes itself it begins again; and what the library receives for the program would have holes. */
bool tvc_stream_may_be_moved(const struct tvc_stream_request *request) {
    const trove_stream_options *options = &request->options;
    bool computes = options->digest.kind != TROVE_DIGEST_NONE && options->digest.size == 0;
    if (request->direction == TROVE_DIRECTION_BIDI || options->lossy)
        return false;
    return request->whole ? request->replays : options->hooks.on_seek != NULL && !computes;
}

static void go_elsewhere(trove_stream *stream, uint64_t offset, uint64_t generation) {
    struct tvc_upload *upload = &stream->upload;
    if (stream->resume.open != NULL) /* what isn't durable of it may have to be sent again */
        tvc_upload_taken(stream, offset);
    tv_sender_seek(&upload->sender, offset, generation);
    tvc_keep_seek(stream, offset);
    upload->next_offset = offset;
    upload->acked_offset = upload->received_offset = offset;
    upload->sought = true;
    tvc_spill_abandon(stream);
    tvc_upload_interrupted(stream);
}

void tvc_upload_seek(trove_stream *stream, uint64_t offset, uint64_t generation) {
    go_elsewhere(stream, offset, generation);
    stream->upload.moved = false; /* who writes has asked for it */
}

void tvc_upload_move(trove_stream *stream, uint64_t offset, uint64_t generation) {
    struct tvc_upload *upload = &stream->upload;
    bool ending = upload->finishing || upload->sender.final_pushed || upload->spill.final;
    upload->moved |= offset != upload->next_offset || ending;
    upload->finishing = false;
    upload->etag[0] = '\0';
    upload->digest.kind = TROVE_DIGEST_NONE;
    go_elsewhere(stream, offset, generation);
    pthread_cond_broadcast(&stream->changed);
}

bool tvc_upload_take_move(trove_stream *stream) {
    struct tvc_upload *upload = &stream->upload;
    pthread_mutex_lock(&stream->client->lock);
    bool moved = upload->moved;
    upload->moved = false;
    upload->sought &= !moved;
    pthread_mutex_unlock(&stream->client->lock);
    if (!moved)
        return false;
    tvc_block_sums_fini(&upload->sums);
    upload->sums = (struct tvc_block_sums){0};
    if (upload->digesting != NULL)
        tvc_digest_restart(upload->digesting);
    return true;
}

trove_status tvc_upload_elsewhere(const trove_stream *stream, trove_error *error) {
    return TV_FAIL(error, OUT_OF_RANGE, "%s/%.200s: the stream was moved from outside; go on writing at byte %llu",
                   stream->bucket, stream->key, (unsigned long long)stream->upload.next_offset);
}
