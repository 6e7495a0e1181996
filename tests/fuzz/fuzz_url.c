/* fuzz_url.c - an address of any content. libFuzzer; see CMakeLists.txt. */
#include "fuzz_text.h"
#include "url.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char *url = fuzz_text(bytes, count);
    trove_error error;
    if (url == NULL)
        return 0;
    if (tv_url_check(url, TV_URL_TO_LISTEN, &error) == TROVE_OK)
        (void)tv_url_host(url);
    (void)!tv_url_check(url, TV_URL_TO_DIAL, &error);
    free(url);
    return 0;
}
