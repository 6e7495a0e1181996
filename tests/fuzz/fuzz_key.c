/* fuzz_key.c - a key file, and a public key, of any content. libFuzzer; see CMakeLists.txt. */
#include "fuzz_text.h"
#include "key_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    struct tv_key key;
    uint8_t public_key[TV_NOISE_KEY_BYTES];
    trove_error error;
    (void)!tv_key_file_parse("FILE", (const char *)bytes, count, &key, &error);
    char *text = fuzz_text(bytes, count);
    if (text != NULL)
        (void)!tv_key_parse(text, public_key, &error);
    free(text);
    return 0;
}
