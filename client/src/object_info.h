/* object_info.h - descriptions of objects and pages of listings for the program: each is one block of memory. Any thread. */
#ifndef TVC_OBJECT_INFO_H
#define TVC_OBJECT_INFO_H

#include "frame.h"

/* From the wire. `bucket` and `key` stand in where the server left them out. Errors: RESOURCE_EXHAUSTED, INTERNAL (no answer). */
trove_status tvc_object_info_create(const Trove__V1__ObjectInfo *wire, const char *bucket, const char *key,
                                    trove_object_info **info, trove_error *error);
/* The same with a list of what was lost. */
trove_status tvc_object_info_create_with_gaps(const Trove__V1__ObjectInfo *wire, Trove__V1__GapInfo *const *gaps,
                                              size_t gap_count, const char *bucket, const char *key, trove_object_info **info,
                                              trove_error *error);
trove_status tvc_object_info_copy(const trove_object_info *from, trove_object_info **info, trove_error *error);

/* The wire's cursor is any bytes; the program's is their hexadecimal digits. */
trove_status tvc_list_page_create(const Trove__V1__ObjectListResponse *wire, trove_list_page **page, trove_error *error);
/* *bytes is malloc'd. Errors: INVALID_ARGUMENT (no cursor of ours), RESOURCE_EXHAUSTED. */
trove_status tvc_cursor_decode(const char *cursor, uint8_t **bytes, size_t *count, trove_error *error);

#endif
