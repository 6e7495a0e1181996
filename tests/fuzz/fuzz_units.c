/* fuzz_units.c - sizes and times of the config, of any content. libFuzzer; see CMakeLists.txt. */
#include "fuzz_text.h"
#include "units.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char *text = fuzz_text(bytes, count);
    char again[32];
    uint64_t size, size_again;
    uint32_t ms, ms_again, number;
    trove_error error;
    if (text == NULL)
        return 0;
    if (tvs_parse_bytes(text, &size, &error) == TROVE_OK) {
        tvs_format_bytes(size, again);
        TV_ASSERT(tvs_parse_bytes(again, &size_again, &error) == TROVE_OK && size_again == size);
    }
    if (tvs_parse_ms(text, &ms, &error) == TROVE_OK) {
        tvs_format_ms(ms, again);
        TV_ASSERT(tvs_parse_ms(again, &ms_again, &error) == TROVE_OK && ms_again == ms);
    }
    (void)!tvs_parse_count(text, &number, &error);
    free(text);
    return 0;
}
