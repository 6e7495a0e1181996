/* fuzz_range.c - ranges, sizes, seconds and numbers of the command line, of any content. libFuzzer; see CMakeLists.txt. */
#include "fuzz_text.h"
#include "parse.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check(bool holds) {
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char *text = fuzz_text(bytes, count);
    struct cli_range range = {0};
    uint64_t number = 0;
    uint32_t ms = 0;
    if (text == NULL)
        return 0;
    if (cli_parse_range(text, &range) == NULL) /* its end is in 64 bits, unless it has none */
        check(range.length != 0 && (range.length == UINT64_MAX || range.offset <= UINT64_MAX - range.length));
    if (cli_parse_count(text, 3, 1000, &number))
        check(number >= 3 && number <= 1000);
    if (cli_parse_seconds(text, &ms))
        check(ms >= 1 && ms <= 1000000000);
    (void)cli_parse_size(text, &number);
    (void)cli_parse_etag(text);
    free(text);
    return 0;
}
