/* listing.h - a bucket's keys page by page to the end. */
#ifndef CLI_LISTING_H
#define CLI_LISTING_H

#include "trove.h"

#include <stdbool.h>

/* Takes one page; false stops the listing there, which is no error. */
typedef bool (*cli_listing_fn)(void *context, const trove_list_page *page);

/* Lists what begins with the prefix, at most `limit` entries. `delimiter` is "/" or NULL. */
trove_status cli_listing_run(trove_client *client, const char *bucket, const char *prefix, const char *delimiter, uint64_t limit,
                             cli_listing_fn take, void *context, trove_error *error);

#endif
