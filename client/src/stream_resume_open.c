/* stream_resume_open.c - what a stream asks for that is to outlive its connection. See stream_resume.h. */
#include "stream.h"
#include "upload_id.h"

#include <string.h>

/* Descriptors of chunks cost, too: streams of tiny chunks keep fewer bytes. */
#define KEEP_CHUNKS_MAX 4096

uint32_t tvc_resume_keep_chunks(uint64_t keep_bytes, uint64_t chunk_bytes) {
    uint64_t chunks = (keep_bytes + chunk_bytes - 1) / chunk_bytes;
    return chunks < KEEP_CHUNKS_MAX ? (uint32_t)chunks : KEEP_CHUNKS_MAX;
}

/* Of what the program allows, what there is memory for besides the chunk that is being filled. */
static uint64_t told_keep_bytes(const trove_stream *stream, uint64_t chunk_bytes) {
    uint64_t chunks = (uint64_t)TV_CHANNEL_CHUNKS_MAX + KEEP_CHUNKS_MAX;
    chunks = tvc_half_fitting(&stream->upload.half, chunk_bytes, chunks);
    uint64_t fits = chunks > 1 ? (chunks - 1) * chunk_bytes : 0;
    uint64_t keep_bytes = stream->upload.keep_bytes < fits ? stream->upload.keep_bytes : fits;
    return keep_bytes > TVC_KEEP_BYTES_MIN ? keep_bytes : TVC_KEEP_BYTES_MIN;
}

static trove_status keep_open(struct tvc_resume *resume, const Trove__V1__Open *open, trove_error *error) {
    resume->open_bytes = trove__v1__open__get_packed_size(open);
    resume->open = malloc(resume->open_bytes);
    if (resume->open == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a stream");
    trove__v1__open__pack(open, resume->open);
    return TROVE_OK;
}

trove_status tvc_resume_prepare(trove_stream *stream, const trove_stream_options *options, uint64_t chunk_bytes,
                                Trove__V1__Open *open, uint8_t id[TROVE_REQUEST_ID_BYTES], trove_error *error) {
    if (tvc_stream_sends(stream)) {
        open->keep_bytes = told_keep_bytes(stream, chunk_bytes);
        if (options->upload_id != NULL) {
            (void)tvc_upload_id_parse(options->upload_id, id); /* it was checked */
            open->upload_id = (ProtobufCBinaryData){TVC_UPLOAD_ID_RAW_BYTES, id};
        } else {
            memcpy(id, options->request_id, TROVE_REQUEST_ID_BYTES); /* the program's, or drawn for it */
            open->request_id = (ProtobufCBinaryData){TROVE_REQUEST_ID_BYTES, id};
            open->resumable = true;
        }
    }
    return keep_open(&stream->resume, open, error);
}

void tvc_resume_fini(struct tvc_resume *resume) {
    free(resume->open);
}
