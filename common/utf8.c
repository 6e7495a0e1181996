/* utf8.c - see utf8.h. */
#include "utf8.h"

#include <string.h>

/* Of the character at `at`; 0 if there is no valid one. */
static size_t character_bytes(const unsigned char *at, size_t left) {
    unsigned char lead = at[0];
    if (lead < 0x80)
        return lead != 0 ? 1 : 0;
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || left < need)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (lead == 0xE0 && at[1] < 0xA0) || (lead == 0xF0 && at[1] < 0x90);
    bool surrogate = lead == 0xED && at[1] > 0x9F;
    bool too_large = lead == 0xF4 && at[1] > 0x8F;
    return overlong || surrogate || too_large ? 0 : need;
}

bool tv_utf8_valid(const char *text, size_t bytes) {
    const unsigned char *at = (const unsigned char *)text;
    while (bytes > 0) {
        size_t step = character_bytes(at, bytes);
        if (step == 0)
            return false;
        at += step;
        bytes -= step;
    }
    return true;
}

void tv_utf8_scrub(char *text) {
    for (size_t left = strlen(text); left > 0;) {
        size_t step = character_bytes((const unsigned char *)text, left);
        if (step == 0) {
            *text = '?';
            step = 1;
        }
        text += step;
        left -= step;
    }
}

void tv_utf8_trim(char *text) {
    size_t length = strlen(text);
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (length - (start - 1) < need)
        text[start - 1] = '\0';
}

void tv_utf8_copy(char *to, size_t capacity, const char *text) {
    size_t bytes = strnlen(text, capacity);
    bool cut = bytes == capacity;
    if (cut)
        bytes = capacity - 1;
    memcpy(to, text, bytes);
    to[bytes] = '\0';
    if (cut)
        tv_utf8_trim(to);
}
