/* bytes.h - numbers as bytes, little-endian, wherever they lie. Pure; any thread. */
#ifndef TV_BYTES_H
#define TV_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t tv_read_le64(const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

static inline void tv_write_le64(uint8_t *to, uint64_t value) {
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

#endif
