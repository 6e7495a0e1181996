/* fuzz_authorized_keys.c - a file of keys of any content. libFuzzer; see CMakeLists.txt. */
#include "authorized_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    struct tvs_authorized_keys keys;
    trove_error error;
    if (tvs_authorized_keys_parse("keys", (const char *)bytes, count, &keys, &error) != TROVE_OK)
        return 0;
    for (size_t i = 0; i < keys.count; i++) {
        /* Each is found, and none has more than its line says: a name, and some right. */
        TV_ASSERT(tvs_authorized_keys_find(&keys, keys.list[i].public_key) == &keys.list[i]);
        TV_ASSERT(keys.list[i].name[0] == 'k' && keys.list[i].rights != NULL);
        (void)!tvs_principal_check(&keys.list[i], TVS_RIGHT_READ, "media", "a", &error);
    }
    tvs_authorized_keys_fini(&keys);
    return 0;
}
