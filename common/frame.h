/* frame.h - one SP message to and from one `Frame` of trove.proto.
 *
 * Header and payload are kept apart: the header (everything but the payload) is packed and unpacked by protobuf-c, the payload is
 * the message's last field and goes straight to or from its own memory. Pure; no I/O.
 */
#ifndef TV_FRAME_H
#define TV_FRAME_H

#include "arena.h"
#include "bounds.h"
#include "status.h"

#include <trove/v1/trove.pb-c.h>

/* Short names for what the generated code calls Trove__V1__X. */
typedef Trove__V1__Frame tv_frame;
#define TV_BODY(name) TROVE__V1__FRAME__BODY_##name /* as in TV_BODY(OPEN) */

#define TV_TAG_HEADER_CHECKSUM 2046
#define TV_TAG_PAYLOAD         2047
/* Checksum field, then the payload's tag and length. */
#define TV_FRAME_TAIL_BYTES_MAX (2 + 8 + 2 + 10)

#define TV_FEATURE_HEADER_CHECKSUM ((uint64_t)TROVE__V1__FEATURE__FEATURE_HEADER_CHECKSUM)
#define TV_FEATURE_LOSSY           ((uint64_t)TROVE__V1__FEATURE__FEATURE_LOSSY)
#define TV_FEATURE_RESUMABLE       ((uint64_t)TROVE__V1__FEATURE__FEATURE_RESUMABLE)
#define TV_FEATURE_BIDI            ((uint64_t)TROVE__V1__FEATURE__FEATURE_BIDI)

/* Where things lie in a message. */
struct tv_frame_layout {
    size_t header_bytes; /* fields before checksum and payload */
    bool has_checksum;
    uint64_t checksum;
    size_t payload_at; /* offset in the message of the payload's first byte; the message's end if there is none */
    uint64_t payload_bytes;
};

enum tv_scan {
    TV_SCAN_MORE,     /* more of the message's beginning is needed */
    TV_SCAN_OK,       /* the payload (if any) is the last field: the fast way */
    TV_SCAN_SHUFFLED, /* fields follow the payload or the checksum: the whole message is needed, see tv_frame_compact */
    TV_SCAN_BAD,
};

/* Looks at the first `have` bytes of a message of `message_bytes`. */
enum tv_scan tv_frame_scan(const uint8_t *bytes, size_t have, uint64_t message_bytes, struct tv_frame_layout *layout,
                           trove_error *error);

/* A whole message whose payload isn't last: moves header fields together to the front of `bytes` (header_bytes of them) and the
 * payload behind them. INVALID_ARGUMENT for a second payload. */
TROVE_WARN_UNUSED trove_status tv_frame_compact(uint8_t *bytes, size_t message_bytes, struct tv_frame_layout *layout,
                                                trove_error *error);

/* Unpacks any message into the arena (valid until it is reset): requests and answers in payloads. Checks what protobuf-c doesn't:
 * strings are UTF-8 without NUL. Errors: INVALID_ARGUMENT, also where it would outgrow the arena; RESOURCE_EXHAUSTED (no
 * memory). */
TROVE_WARN_UNUSED trove_status tv_message_unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t count,
                                                 struct tv_arena *arena, ProtobufCMessage **message, trove_error *error);

/* The same for a frame's header. */
TROVE_WARN_UNUSED trove_status tv_frame_unpack(const uint8_t *header, size_t header_bytes, struct tv_arena *arena,
                                               tv_frame **frame, trove_error *error);

/* The checksum over a header, for a message of `message_bytes`. */
uint64_t tv_frame_checksum(const uint8_t *header, size_t header_bytes, uint64_t message_bytes);

/* Packs `frame` (its payload field is ignored) for a payload of `payload_bytes` into `out`, everything but the payload itself,
 * and returns the number of bytes; 0 if they are more than `capacity`. `checksummed` adds the header checksum. */
size_t tv_frame_pack(const tv_frame *frame, uint64_t payload_bytes, bool checksummed, uint8_t *out, size_t capacity);

/* The checksum over the payload of a call or of its answer (what Call and Status have for it), and whether a payload matches that
 * of its frame, where the frame has one. */
void tv_call_set_checksum(Trove__V1__Call *call, const void *payload, size_t payload_bytes);
void tv_status_set_checksum(Trove__V1__Status *status, const void *payload, size_t payload_bytes);
bool tv_frame_payload_matches(const tv_frame *frame, const void *payload, size_t payload_bytes);

/* Fills a wire status from an error and back. The wire status borrows the error's message. An absent status (NULL) is OK; a code
 * that isn't known becomes UNKNOWN. */
void tv_status_to_wire(const trove_error *error, Trove__V1__Status *status);
trove_status tv_status_from_wire(const Trove__V1__Status *status, trove_error *error);
/* The value of a status' detail, NULL if it has none. */
const char *tv_status_detail(const Trove__V1__Status *status, const char *key);

#endif
