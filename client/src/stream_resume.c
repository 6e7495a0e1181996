/* stream_resume.c - see stream_resume.h. */
#include "stream_resume.h"

#include "stream.h"

bool tvc_resume_detach(trove_stream *stream, const trove_error *lost) {
    (void)stream, (void)lost;
    return false;
}

void tvc_resume_look(trove_client *client) {
    (void)client;
}

void tvc_resume_give_up(trove_client *client, const trove_error *lost) {
    (void)client, (void)lost;
}

/* ---- what the program sees ---- */

const char *trove_stream_upload_id(const trove_stream *stream) {
    return stream->resume.upload_id;
}

uint64_t trove_stream_durable_offset(const trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    uint64_t offset = stream->resume.upload_id[0] != '\0' ? stream->upload.durable_offset : 0;
    pthread_mutex_unlock(&stream->client->lock);
    return offset;
}

bool trove_stream_upload_survives_restart(const trove_stream *stream) {
    return stream->resume.survives_restart;
}
