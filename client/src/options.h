/* options.h - the program's options structures, as it may have been compiled against an older trove.h, and their checks. Pure. */
#ifndef TVC_OPTIONS_H
#define TVC_OPTIONS_H

#include "bounds.h"
#include "status.h"

/* Fills *to from what the program gave (NULL: the defaults). INVALID_ARGUMENT where struct_bytes was never set. */
trove_status tvc_client_options_take(const trove_client_options *from, trove_client_options *to, trove_error *error);
/* `copy` alone for options that are to be given on; `take` fills in what a client's pool says. */
trove_status tvc_stream_options_copy(const trove_stream_options *from, trove_stream_options *to, trove_error *error);
trove_status tvc_stream_options_take(const trove_stream_options *from, trove_stream_options *to, trove_error *error);
trove_status tvc_pool_options_take(const trove_pool_options *from, trove_pool_options *to, trove_error *error);
trove_status tvc_server_stream_options_take(const trove_server_stream_options *from, trove_server_stream_options *to,
                                            trove_error *error);
trove_status tvc_scrub_options_take(const trove_scrub_options *from, trove_scrub_options *to, trove_error *error);
trove_status tvc_list_options_take(const trove_list_options *from, trove_list_options *to, trove_error *error);
trove_status tvc_upload_list_options_take(const trove_upload_list_options *from, trove_upload_list_options *to,
                                          trove_error *error);

/* Bucket and key, neither NULL. */
trove_status tvc_names_check(const char *bucket, const char *key, trove_error *error);
/* Whether the options make sense for the direction, and UNIMPLEMENTED for what isn't there yet. */
trove_status tvc_stream_options_check(const trove_stream_options *options, trove_direction direction, trove_error *error);

#endif
