/* listing.c - see listing.h. */
#include "listing.h"

#include "text.h"

#include <stdlib.h>

enum {
    PAGE_ENTRIES_MAX = 1000
};

trove_status cli_listing_run(trove_client *client, const char *bucket, const char *prefix, const char *delimiter, uint64_t limit,
                             cli_listing_fn take, void *context, trove_error *error) {
    char *cursor = NULL;
    uint64_t left = limit;
    bool more = true;
    trove_status status = TROVE_OK;
    while (more && left > 0) {
        trove_list_options options;
        trove_list_options_init(&options);
        options.prefix = prefix;
        options.delimiter = delimiter;
        options.cursor = cursor;
        options.limit = left < PAGE_ENTRIES_MAX ? (uint32_t)left : PAGE_ENTRIES_MAX;
        trove_list_page *page = NULL;
        status = trove_list(client, bucket, &options, &page, error);
        if (status != TROVE_OK)
            break;
        left -= page->count < left ? page->count : left;
        more = take(context, page) && page->next_cursor != NULL;
        free(cursor);
        cursor = more ? cli_copy(page->next_cursor) : NULL;
        trove_list_page_free(page);
    }
    free(cursor);
    return status;
}
