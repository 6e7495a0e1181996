/* driver.c - finds the driver that a DSN names. See driver.h. */
#include "driver.h"

#include <string.h>

static const struct tvs_driver_ops *const drivers[] = {&tvs_local_driver, &tvs_mem_driver, &tvs_null_driver};

const struct tvs_driver_ops *tvs_driver_find(const char *dsn, const char **path, trove_error *error) {
    const char *separator = strstr(dsn, "://");
    size_t scheme_bytes = separator == NULL ? strlen(dsn) : (size_t)(separator - dsn);
    for (size_t i = 0; separator != NULL && i < sizeof drivers / sizeof *drivers; i++) {
        if (strlen(drivers[i]->scheme) == scheme_bytes && memcmp(dsn, drivers[i]->scheme, scheme_bytes) == 0) {
            *path = separator + 3;
            return drivers[i];
        }
    }
    (void)TV_FAIL(error, INVALID_ARGUMENT, "store \"%.128s\" is none that I know; use local:///DIRECTORY, mem:// or null://",
                  dsn);
    return NULL;
}
