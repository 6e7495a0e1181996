/* fuzz_config.c - a config file of any content. libFuzzer; see CMakeLists.txt. */
#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    struct tvs_config config;
    trove_error error;
    tvs_config_init(&config);
    if (tvs_config_parse(&config, "x.yaml", (const char *)bytes, count, &error) == TROVE_OK)
        (void)!tvs_config_check(&config, &error);
    tvs_config_fini(&config);
    return 0;
}
