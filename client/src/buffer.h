/* buffer.h - memory that is used again and again for what doesn't have the same size each time. Whoever has it protects it. */
#ifndef TVC_BUFFER_H
#define TVC_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tvc_buffer {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

/* Room for `capacity` bytes; what was in it is lost. False: no memory. */
bool tvc_buffer_reserve(struct tvc_buffer *buffer, size_t capacity);
/* Empties it, and frees memory that is too much to be kept. */
void tvc_buffer_clear(struct tvc_buffer *buffer);

#endif
