/* fuzz_text.h - an input as the text that a parser is given. */
#ifndef TROVE_FUZZ_TEXT_H
#define TROVE_FUZZ_TEXT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The input with a NUL behind it, for the caller to free. (Rejected: strndup, which AddressSanitizer wants to be given
 * strings.) */
static inline char *fuzz_text(const uint8_t *bytes, size_t count) {
    char *text = malloc(count + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, bytes, count);
    text[count] = '\0';
    return text;
}

#endif
