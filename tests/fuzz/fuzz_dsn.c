/* fuzz_dsn.c - the DSN of a store, of any content. libFuzzer; see CMakeLists.txt. */
#include "driver.h"
#include "fuzz_text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char *dsn = fuzz_text(bytes, count);
    const char *path = NULL;
    trove_error error;
    if (dsn == NULL)
        return 0;
    const struct tvs_driver_ops *ops = tvs_driver_find(dsn, &path, &error);
    if (ops != NULL) { /* the path is a part of it, behind the driver's own scheme */
        TV_ASSERT(path >= dsn && path <= dsn + strlen(dsn));
        TV_ASSERT(strncmp(dsn, ops->scheme, strlen(ops->scheme)) == 0);
    }
    free(dsn);
    return 0;
}
