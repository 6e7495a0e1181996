/* object_name.c - see object_name.h. */
#include "object_name.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

bool cli_object_name_parse(const char *text, struct cli_object_name *name) {
    size_t bucket_bytes = strcspn(text, "/");
    if (bucket_bytes == 0)
        return false;
    name->bucket = cli_copy(text);
    bool has_key = name->bucket[bucket_bytes] == '/';
    name->bucket[bucket_bytes] = 0;
    name->key = name->bucket + bucket_bytes + (has_key ? 1 : 0);
    return true;
}

void cli_object_name_fini(struct cli_object_name *name) {
    free(name->bucket);
    name->bucket = NULL;
    name->key = NULL;
}

const char *cli_key_base(const char *key) {
    const char *slash = strrchr(key, '/');
    return slash == NULL ? key : slash + 1;
}

bool cli_key_is_folder(const char *key) {
    return *cli_key_base(key) == 0;
}

char *cli_key_folder(const char *key) {
    return cli_key_is_folder(key) ? cli_copy(key) : cli_format("%s/", key);
}
