/* two_way_test.c - see two_way_test.h. */
#include "two_way_test.h"

#include "elsewhere.h"

#include <string.h>

trove_stream_options small_options(void) {
    trove_stream_options options;
    trove_stream_options_init(&options);
    options.chunk_bytes = CHUNK;
    options.channel_chunks = 4;
    return options;
}

const uint8_t *upwards(const struct client_test *test) {
    return test->bytes + 1 * MIB + 1;
}

void write_some(trove_stream *stream, const uint8_t *bytes, size_t size, bool final) {
    trove_chunk *chunk = NULL;
    trove_error error;
    CHECK_OK(trove_stream_chunk_get(stream, 0, &chunk, &error), &error);
    assert_true(size <= chunk->capacity);
    memcpy(chunk->data, bytes, size);
    chunk->size = size;
    chunk->final = final;
    CHECK_OK(trove_stream_write(stream, &chunk, 0, &error), &error);
}

bool read_some(trove_stream *stream, const uint8_t *expected) {
    trove_chunk *chunk = NULL;
    trove_error error;
    uint64_t at = trove_stream_read_offset(stream);
    CHECK_OK(trove_stream_read(stream, 0, &chunk, &error), &error);
    if (chunk == NULL)
        return false;
    assert_int_equal(chunk->offset, at);
    assert_true(memcmp(chunk->data, expected + at, chunk->size) == 0);
    trove_stream_chunk_put(stream, chunk);
    return true;
}

void read_all(trove_stream *stream, const uint8_t *expected, size_t size) {
    while (read_some(stream, expected))
        continue;
    assert_int_equal(trove_stream_read_offset(stream), size);
}

void *write_in_thread(void *argument) {
    struct writer *writer = argument;
    writer->status = write_bytes(writer->stream, upwards(writer->test), writer->size, 0, &writer->error);
    if (writer->status == TROVE_OK)
        writer->status = trove_stream_complete(writer->stream, 0, NULL, &writer->error);
    return NULL;
}

void *read_in_thread(void *argument) {
    struct reader *reader = argument;
    trove_chunk *before = NULL;
    trove_chunk *chunk = NULL;
    while ((reader->status = trove_stream_read(reader->stream, 0, &chunk, &reader->error)) == TROVE_OK && chunk != NULL) {
        MUST(memcmp(chunk->data, reader->test->bytes + chunk->offset, chunk->size) == 0);
        trove_stream_chunk_put(reader->stream, before);
        before = chunk;
    }
    trove_stream_chunk_put(reader->stream, before);
    return NULL;
}
