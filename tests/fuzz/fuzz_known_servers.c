/* fuzz_known_servers.c - a file of known servers, and a server's address, of any content. libFuzzer; see CMakeLists.txt. */
#include "fuzz_text.h"
#include "known_servers.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    struct tvc_known_server found;
    trove_error error;
    (void)!tvc_known_servers_look("FILE", (const char *)bytes, count, "host:7070", &found, &error);
    char *text = fuzz_text(bytes, count);
    char *address = NULL;
    if (text != NULL && tvc_known_servers_address(text, &address, &error) == TROVE_OK)
        (void)!tvc_known_servers_look("FILE", (const char *)bytes, count, address, &found, &error);
    free(address);
    free(text);
    return 0;
}
