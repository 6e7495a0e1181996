/* names.h - what may be a bucket, a key, a content type, metadata. Pure; any thread. */
#ifndef TV_NAMES_H
#define TV_NAMES_H

#include "status.h"

#include <stddef.h>

/* Each checks one name and says INVALID_ARGUMENT with the rule that it breaks. */
TROVE_WARN_UNUSED trove_status tv_bucket_check(const char *bucket, trove_error *error);
TROVE_WARN_UNUSED trove_status tv_key_check(const char *key, trove_error *error);
TROVE_WARN_UNUSED trove_status tv_content_type_check(const char *content_type, trove_error *error);

/* Count and total size of user metadata; keys must be non-empty UTF-8 and differ from each other. */
TROVE_WARN_UNUSED trove_status tv_metadata_check(const trove_metadata *metadata, size_t count, trove_error *error);

#endif
