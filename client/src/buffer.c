/* buffer.c - see buffer.h. */
#include "buffer.h"

#include "bounds.h"

#include <stdlib.h>

/* A buffer larger than this isn't kept: those of 1,024 calls hold at most 16 MiB. */
#define KEPT_BYTES (16 * TV_KIB)
#define BYTES_MIN  256

bool tvc_buffer_reserve(struct tvc_buffer *buffer, size_t capacity) {
    buffer->size = 0;
    if (capacity <= buffer->capacity)
        return true;
    size_t rounded = BYTES_MIN;
    while (rounded < capacity)
        rounded *= 2;
    uint8_t *bytes = malloc(rounded);
    if (bytes == NULL)
        return false;
    free(buffer->bytes);
    buffer->bytes = bytes;
    buffer->capacity = rounded;
    return true;
}

void tvc_buffer_clear(struct tvc_buffer *buffer) {
    buffer->size = 0;
    if (buffer->capacity <= KEPT_BYTES)
        return;
    free(buffer->bytes);
    *buffer = (struct tvc_buffer){0};
}
