/* get_list.c - see get_list.h. */
#include "get_list.h"

#include "listing.h"
#include "local_path.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

struct making {
    struct cli_get_list *list;
    struct cli_context *context;
    const char *bucket;
};

static void refuse(const struct making *making, const char *key, const trove_error *error) {
    char *object = cli_format("%s/%s", making->bucket, key);
    struct cli_get_list *list = making->list;
    list->worst = cli_exit_worst(list->worst, cli_fail(making->context, "get", object, NULL,
                                                       "fetch it by itself with 'trove get BUCKET/KEY FILE'", error));
    free(object);
}

static bool take_page(void *input, const trove_list_page *page) {
    const struct making *making = input;
    struct cli_get_list *list = making->list;
    list->found_count += page->count;
    for (size_t i = 0; i < page->count; i++) {
        const trove_list_entry *entry = &page->entries[i];
        const char *refusal = cli_local_path_refusal(entry->key + list->folder_bytes);
        if (refusal != NULL) {
            trove_error error;
            cli_error_set(&error, TROVE_FAILED_PRECONDITION, "the key can't be a path here: %s", refusal);
            refuse(making, entry->key, &error);
            continue;
        }
        list->objects = cli_grow(list->objects, &list->room, list->count + 1, sizeof *list->objects);
        list->objects[list->count++] = (struct cli_get_object){.key = cli_copy(entry->key), .size = entry->size};
    }
    return true;
}

/* A key that would be a file where others need a folder is refused; those below it are kept. */
static void refuse_collisions(const struct making *making) {
    struct cli_get_list *list = making->list;
    const char **keys = cli_alloc(list->count * sizeof *keys);
    bool *refused = cli_alloc(list->count * sizeof *refused);
    for (size_t i = 0; i < list->count; i++)
        keys[i] = list->objects[i].key;
    for (size_t i = 0; i < list->count; i++) {
        size_t below = cli_local_path_below(keys, list->count, i);
        refused[i] = below < list->count;
        if (!refused[i])
            continue;
        trove_error error;
        cli_error_set(&error, TROVE_FAILED_PRECONDITION, "it would be a file where %s/%s needs a folder of the same name",
                      making->bucket, keys[below]);
        refuse(making, keys[i], &error);
    }
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (refused[i])
            free(list->objects[i].key);
        else
            list->objects[kept++] = list->objects[i];
    }
    list->count = kept;
    free(refused);
    free(keys);
}

enum cli_exit cli_get_list_make(struct cli_get_list *list, struct cli_context *context, const char *bucket, const char *folder) {
    *list = (struct cli_get_list){.folder_bytes = strlen(folder), .worst = CLI_EXIT_OK};
    struct making making = {.list = list, .context = context, .bucket = bucket};
    trove_error error = {0};
    trove_status status = cli_listing_run(context->client, bucket, folder, NULL, UINT64_MAX, take_page, &making, &error);
    if (status == TROVE_OK && list->found_count == 0 && *folder != 0)
        status = cli_error_set(&error, TROVE_NOT_FOUND, "no key begins with %s", folder);
    if (status != TROVE_OK) {
        char *object = cli_format("%s/%s", bucket, folder);
        const struct cli_hint_about about = {.bucket = bucket};
        list->worst = cli_exit_worst(list->worst, cli_fail_call(context, "get", object, NULL, &about, &error));
        free(object);
        return list->worst;
    }
    refuse_collisions(&making);
    return CLI_EXIT_OK;
}

void cli_get_list_fini(struct cli_get_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->objects[i].key);
    free(list->objects);
}
