/* fuzz_rights.c - rights of any content, and a question: its bucket and prefix stand behind the first two NULs. libFuzzer; see
 * CMakeLists.txt. */
#include "rights.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char *text = malloc(count + 3);
    struct tvs_rights *rights = NULL;
    trove_error error;
    if (text == NULL)
        return 0;
    if (count > 0)
        memcpy(text, bytes, count);
    memset(text + count, 0, 3); /* all three parts end */
    if (tvs_rights_parse(text, &rights, &error) == TROVE_OK) {
        const char *bucket = text + strlen(text) + 1;
        const char *prefix = bucket < text + count ? bucket + strlen(bucket) + 1 : "";
        bool all = tvs_rights_allow(rights, TVS_RIGHTS_ALL, bucket, prefix);
        /* Who has everything has each part of it, and sees where it is. */
        for (unsigned right = 1; right < TVS_RIGHTS_ALL; right <<= 1)
            TV_ASSERT(!all || tvs_rights_allow(rights, right, bucket, prefix));
        TV_ASSERT(!all || tvs_rights_touch(rights, TVS_RIGHT_READ, bucket));
        TV_ASSERT(!tvs_rights_allow(rights, TVS_RIGHT_ADMIN, NULL, "") ||
                  tvs_rights_allow(rights, TVS_RIGHT_ADMIN, bucket, prefix));
        tvs_rights_release(rights);
    }
    free(text);
    return 0;
}
