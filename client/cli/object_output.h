/* object_output.h - how objects and buckets are shown, the same by every verb. */
#ifndef CLI_OBJECT_OUTPUT_H
#define CLI_OBJECT_OUTPUT_H

#include "trove.h"

#include <jansson.h>

/* All that is known of the object. The caller's reference. */
json_t *cli_object_json(const trove_object_info *info);

/* Adds "transfer", what moving the object was like: bytes that an earlier command had moved already, bytes that went over the
 * wire, lost connections that it outlived, latencies of its chunks, retries, what was dropped, what went through an overflow. */
void cli_object_json_add_metrics(json_t *object, const trove_stream_metrics *metrics, uint64_t resumed_bytes);

/* Sizes and counts beyond 63 bits, which JSON libraries don't take, become the largest that is. */
json_t *cli_json_number(uint64_t number);

#endif
