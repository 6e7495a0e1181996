/* frame.c - see frame.h. Pure; any thread, one arena each.
 *
 * The envelope, call_id and a body, is read and written here; the bodies are protobuf-c's. It would go through all of the frame's
 * fields, twice when it packs, and so take longer for the envelope than for the chunk inside.
 * protobuf-c takes more than the contract allows (strings that aren't UTF-8 or have a NUL inside), and a NUL can't be seen any
 * more once a string is unpacked. So the bytes themselves are walked along protobuf-c's descriptors first; messages that can't
 * hold text are passed over, which makes the walk free for chunks. (Rejected: a check in each place that uses a string; one would
 * be forgotten.)
 */
#include "frame.h"

#include "bytes.h"
#include "data.h"
#include "utf8.h"

#include <inttypes.h>
#include <string.h>

/* ---- fields on the wire --------------------------------------------------------------------------------------------------- */

#define WIRE_VARINT 0
#define WIRE_64BIT  1
#define WIRE_BYTES  2
#define WIRE_32BIT  5

/* A varint has at most so many octets; protobuf-c takes tags and lengths of five, a length of ours may be longer. */
#define VARINT_BYTES_MAX 10
#define TAG_BYTES_MAX    5
#define TAG_MAX          ((1u << 29) - 1)
#define TAG_CALL_ID      1

struct field {
    uint32_t tag;
    unsigned wire;
    uint64_t at;          /* of its tag in the message */
    uint64_t value_at;    /* of its first byte after tag and length */
    uint64_t value_bytes; /* from there on; need not be there yet */
};

enum step {
    STEP_OK,
    STEP_MORE, /* `have` ends inside the tag, the length or a varint */
    STEP_BAD,
};

static enum step read_varint(const uint8_t *bytes, uint64_t have, uint64_t *at, unsigned bytes_max, uint64_t *value) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < bytes_max; i++) {
        if (*at + i >= have)
            return STEP_MORE;
        uint8_t octet = bytes[*at + i];
        sum |= (uint64_t)(octet & 0x7F) << (7 * i);
        if (octet < 0x80) {
            *at += i + 1;
            *value = sum;
            return STEP_OK;
        }
    }
    return STEP_BAD;
}

/* Reads the field at `at`. Groups, which proto3 doesn't have, and the tag 0 are bad. */
static enum step read_field(const uint8_t *bytes, uint64_t have, uint64_t at, struct field *field) {
    uint64_t key;
    uint64_t varint;
    field->at = at;
    enum step step = read_varint(bytes, have, &at, TAG_BYTES_MAX, &key);
    if (step != STEP_OK)
        return step;
    if (key >> 3 == 0 || key >> 3 > TAG_MAX)
        return STEP_BAD;
    field->tag = (uint32_t)(key >> 3);
    field->wire = key & 7;
    field->value_at = at;
    switch (field->wire) {
    case WIRE_VARINT:
        step = read_varint(bytes, have, &at, VARINT_BYTES_MAX, &varint);
        field->value_bytes = at - field->value_at;
        return step;
    case WIRE_64BIT:
        field->value_bytes = 8;
        return STEP_OK;
    case WIRE_32BIT:
        field->value_bytes = 4;
        return STEP_OK;
    case WIRE_BYTES:
        step = read_varint(bytes, have, &at, VARINT_BYTES_MAX, &field->value_bytes);
        field->value_at = at;
        return step;
    default:
        return STEP_BAD;
    }
}

static trove_status malformed(trove_error *error, uint64_t at) {
    return TV_FAIL(error, INVALID_ARGUMENT, "malformed frame: no valid protobuf field at byte %" PRIu64, at);
}

/* A field that lies in the message as a whole, of a wire type that fits what we know about it. */
static bool field_fits(const struct field *field, uint64_t message_bytes) {
    if (field->value_at > message_bytes || field->value_bytes > message_bytes - field->value_at)
        return false;
    if (field->tag == TV_TAG_PAYLOAD)
        return field->wire == WIRE_BYTES;
    return field->tag != TV_TAG_HEADER_CHECKSUM || field->wire == WIRE_64BIT;
}

static trove_status header_too_large(trove_error *error) {
    return TV_FAIL(error, INVALID_ARGUMENT, "a frame's header has more than %d bytes", (int)TV_HEADER_BYTES_MAX);
}

/* ---- scanning ------------------------------------------------------------------------------------------------------------- */

static enum tv_scan scan_bad(trove_error *error, uint64_t at) {
    malformed(error, at);
    return TV_SCAN_BAD;
}

enum tv_scan tv_frame_scan(const uint8_t *bytes, size_t have, uint64_t message_bytes, struct tv_frame_layout *layout,
                           trove_error *error) {
    struct tv_frame_layout found = {.payload_at = message_bytes};
    struct field field;
    uint64_t at = 0;
    if (have > message_bytes)
        have = message_bytes;
    while (at < message_bytes) {
        enum step step = read_field(bytes, have, at, &field);
        if (step == STEP_MORE && have < message_bytes)
            return TV_SCAN_MORE;
        if (step != STEP_OK || !field_fits(&field, message_bytes))
            return scan_bad(error, at);
        uint64_t end = field.value_at + field.value_bytes;
        if (field.tag == TV_TAG_PAYLOAD) {
            found.payload_at = field.value_at;
            found.payload_bytes = field.value_bytes;
            if (!found.has_checksum)
                found.header_bytes = at;
            *layout = found;
            return end == message_bytes ? TV_SCAN_OK : TV_SCAN_SHUFFLED;
        }
        if (found.has_checksum)
            return TV_SCAN_SHUFFLED;
        if (field.tag == TV_TAG_HEADER_CHECKSUM) {
            if (end > have)
                return TV_SCAN_MORE;
            found.has_checksum = true;
            found.checksum = tv_read_le64(bytes + field.value_at);
            found.header_bytes = at;
        } else if (end > TV_HEADER_BYTES_MAX) {
            header_too_large(error);
            return TV_SCAN_BAD;
        } else {
            found.header_bytes = end;
        }
        at = end;
    }
    if (have < message_bytes)
        return TV_SCAN_MORE;
    *layout = found;
    return TV_SCAN_OK;
}

/* Fields behind the payload are few and small, however large the payload is: they wait aside while it moves. */
trove_status tv_frame_compact(uint8_t *bytes, size_t message_bytes, struct tv_frame_layout *layout, trove_error *error) {
    uint8_t behind[TV_HEADER_BYTES_MAX];
    size_t behind_bytes = 0;
    size_t front_bytes = 0;
    struct field payload = {.tag = 0};
    struct field field;
    for (uint64_t at = 0; at < message_bytes; at = field.value_at + field.value_bytes) {
        if (read_field(bytes, message_bytes, at, &field) != STEP_OK || !field_fits(&field, message_bytes))
            return malformed(error, at);
        size_t field_bytes = field.value_at + field.value_bytes - at;
        if (field.tag == TV_TAG_HEADER_CHECKSUM)
            return TV_FAIL(error, INVALID_ARGUMENT,
                           "malformed frame: fields other than the payload follow its header checksum, or it follows the "
                           "payload");
        if (field.tag == TV_TAG_PAYLOAD) {
            if (payload.tag != 0)
                return TV_FAIL(error, INVALID_ARGUMENT, "malformed frame: it has two payloads");
            payload = field;
            continue;
        }
        if (field_bytes > TV_HEADER_BYTES_MAX - front_bytes - behind_bytes)
            return header_too_large(error);
        if (payload.tag == 0) {
            front_bytes += field_bytes;
        } else {
            memcpy(behind + behind_bytes, bytes + at, field_bytes);
            behind_bytes += field_bytes;
        }
    }
    size_t header_bytes = front_bytes + behind_bytes;
    if (payload.tag != 0)
        memmove(bytes + header_bytes, bytes + payload.value_at, payload.value_bytes);
    memcpy(bytes + front_bytes, behind, behind_bytes);
    *layout = (struct tv_frame_layout){
        .header_bytes = header_bytes,
        .payload_at = header_bytes,
        .payload_bytes = payload.value_bytes,
    };
    return TROVE_OK;
}

/* ---- unpacking ------------------------------------------------------------------------------------------------------------ */

/* Whether a message can have text in it; if not, its bytes needn't be looked at. */
static bool may_hold_text(const ProtobufCMessageDescriptor *type) {
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].type == PROTOBUF_C_TYPE_STRING || type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            return true;
    return false;
}

/* NOLINTNEXTLINE(misc-no-recursion): TV_NESTING_MAX bounds it */
static trove_status check_text(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, uint64_t count, unsigned depth,
                               trove_error *error) {
    if (depth > TV_NESTING_MAX) /* protobuf-c's own recursion follows the same path and is bounded with it */
        return TV_FAIL(error, INVALID_ARGUMENT, "malformed message: %s is nested too deeply", type->name);
    struct field field;
    for (uint64_t at = 0; at < count; at = field.value_at + field.value_bytes) {
        if (read_field(bytes, count, at, &field) != STEP_OK || field.value_bytes > count - field.value_at)
            return TV_FAIL(error, INVALID_ARGUMENT, "malformed message: no valid field at byte %" PRIu64 " of a %s", at,
                           type->name);
        if (field.wire != WIRE_BYTES)
            continue;
        const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(type, field.tag);
        if (known == NULL)
            continue;
        const uint8_t *value = bytes + field.value_at;
        if (known->type == PROTOBUF_C_TYPE_STRING && !tv_utf8_valid((const char *)value, field.value_bytes))
            return TV_FAIL(error, INVALID_ARGUMENT, "field \"%s\" of %s is not UTF-8 without NUL", known->name, type->name);
        if (known->type == PROTOBUF_C_TYPE_MESSAGE && may_hold_text(known->descriptor)) {
            trove_status status = check_text(known->descriptor, value, field.value_bytes, depth + 1, error);
            if (status != TROVE_OK)
                return status;
        }
    }
    return TROVE_OK;
}

trove_status tv_message_unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t count, struct tv_arena *arena,
                               ProtobufCMessage **message, trove_error *error) {
    if (may_hold_text(type)) {
        trove_status status = check_text(type, bytes, count, 1, error);
        if (status != TROVE_OK)
            return status;
    }
    ProtobufCMessage *unpacked = protobuf_c_message_unpack(type, &arena->allocator, count, bytes);
    if (unpacked == NULL && arena->out_of_memory)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to unpack a %s of %zu bytes", type->name, count);
    if (unpacked == NULL && arena->wanted > arena->bytes_max)
        return TV_FAIL(error, INVALID_ARGUMENT, "a %s of %zu bytes would unpack to more than %zu bytes", type->name, count,
                       arena->bytes_max);
    if (unpacked == NULL)
        return TV_FAIL(error, INVALID_ARGUMENT, "malformed message: not a %s", type->name);
    *message = unpacked;
    return TROVE_OK;
}

/* All members of the oneof `body` are messages, so that one union member stands for any. */
static trove_status unpack_body(const struct field *field, const uint8_t *value, struct tv_arena *arena, tv_frame *frame,
                                trove_error *error) {
    const ProtobufCFieldDescriptor *body = protobuf_c_message_descriptor_get_field(&trove__v1__frame__descriptor, field->tag);
    if (body == NULL)
        return TROVE_OK;
    ProtobufCMessage *message = NULL;
    if (body->type != PROTOBUF_C_TYPE_MESSAGE || field->wire != WIRE_BYTES)
        return malformed(error, field->at);
    trove_status status = tv_message_unpack(body->descriptor, value, field->value_bytes, arena, &message, error);
    if (status != TROVE_OK)
        return status;
    frame->body_case = (Trove__V1__Frame__BodyCase)field->tag;
    frame->open = (Trove__V1__Open *)message;
    return TROVE_OK;
}

trove_status tv_frame_unpack(const uint8_t *header, size_t header_bytes, struct tv_arena *arena, tv_frame **frame,
                             trove_error *error) {
    tv_frame *unpacked = tv_arena_alloc(arena, sizeof *unpacked);
    if (unpacked == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a frame's header");
    trove__v1__frame__init(unpacked);
    struct field field;
    for (uint64_t at = 0; at < header_bytes; at = field.value_at + field.value_bytes) {
        if (read_field(header, header_bytes, at, &field) != STEP_OK || !field_fits(&field, header_bytes))
            return malformed(error, at);
        if (field.tag == TAG_CALL_ID) {
            if (field.wire != WIRE_VARINT)
                return malformed(error, at);
            uint64_t value_at = field.value_at;
            (void)read_varint(header, header_bytes, &value_at, VARINT_BYTES_MAX, &unpacked->call_id);
            continue;
        }
        trove_status status = unpack_body(&field, header + field.value_at, arena, unpacked, error);
        if (status != TROVE_OK)
            return status;
    }
    *frame = unpacked;
    return TROVE_OK;
}

/* ---- packing -------------------------------------------------------------------------------------------------------------- */

#define CHECKSUM_FIELD_BYTES (2 + 8)
/* call_id's tag and value, the body's tag and length */
#define ENVELOPE_BYTES_MAX (1 + VARINT_BYTES_MAX + TAG_BYTES_MAX + VARINT_BYTES_MAX)

uint64_t tv_frame_checksum(const uint8_t *header, size_t header_bytes, uint64_t message_bytes) {
    return tv_hash_seeded(header, header_bytes, message_bytes);
}

/* Both tags take two octets; the _Static_assert below keeps it so. */
static size_t put_tag(uint8_t *out, uint32_t tag, unsigned wire) {
    uint32_t key = tag << 3 | wire;
    out[0] = (uint8_t)(key | 0x80);
    out[1] = (uint8_t)(key >> 7);
    return 2;
}
_Static_assert(TV_TAG_PAYLOAD == (1 << 14 >> 3) - 1, "the payload has the highest tag of two octets");

static size_t put_varint(uint8_t *out, uint64_t value) {
    size_t count = 0;
    for (; value >= 0x80; value >>= 7)
        out[count++] = (uint8_t)(value | 0x80);
    out[count++] = (uint8_t)value;
    return count;
}

/* The body's tag and length; 0 if there is none. */
static size_t put_body_start(uint8_t *out, const tv_frame *frame, const ProtobufCMessage *body, size_t body_bytes) {
    if (body == NULL)
        return 0;
    size_t count = put_varint(out, (uint64_t)frame->body_case << 3 | WIRE_BYTES);
    return count + put_varint(out + count, body_bytes);
}

static size_t put_payload_start(uint8_t *out, uint64_t payload_bytes) {
    if (payload_bytes == 0)
        return 0;
    size_t count = put_tag(out, TV_TAG_PAYLOAD, WIRE_BYTES);
    return count + put_varint(out + count, payload_bytes);
}

size_t tv_frame_pack(const tv_frame *frame, uint64_t payload_bytes, bool checksummed, uint8_t *out, size_t capacity) {
    const ProtobufCMessage *body =
        frame->body_case == TROVE__V1__FRAME__BODY__NOT_SET ? NULL : (const ProtobufCMessage *)frame->open;
    size_t body_bytes = body == NULL ? 0 : protobuf_c_message_get_packed_size(body);
    uint8_t start[ENVELOPE_BYTES_MAX];
    size_t start_bytes = 0;
    if (frame->call_id != 0) {
        start[start_bytes++] = TAG_CALL_ID << 3 | WIRE_VARINT;
        start_bytes += put_varint(start + start_bytes, frame->call_id);
    }
    start_bytes += put_body_start(start + start_bytes, frame, body, body_bytes);
    uint8_t tail[TV_FRAME_TAIL_BYTES_MAX];
    size_t tail_bytes = checksummed ? CHECKSUM_FIELD_BYTES : 0;
    tail_bytes += put_payload_start(tail + tail_bytes, payload_bytes);

    size_t header_bytes = start_bytes + body_bytes;
    if (header_bytes > capacity || tail_bytes > capacity - header_bytes)
        return 0;
    memcpy(out, start, start_bytes);
    if (body != NULL)
        protobuf_c_message_pack(body, out + start_bytes);
    if (checksummed) {
        uint64_t message_bytes = header_bytes + tail_bytes + payload_bytes;
        size_t tag_bytes = put_tag(tail, TV_TAG_HEADER_CHECKSUM, WIRE_64BIT);
        tv_write_le64(tail + tag_bytes, tv_frame_checksum(out, header_bytes, message_bytes));
    }
    memcpy(out + header_bytes, tail, tail_bytes);
    return header_bytes + tail_bytes;
}

/* ---- payloads of calls and of their answers ------------------------------------------------------------------------------- */

void tv_call_set_checksum(Trove__V1__Call *call, const void *payload, size_t payload_bytes) {
    if (payload_bytes == 0)
        return;
    call->payload_checksum_given_case = TROVE__V1__CALL__PAYLOAD_CHECKSUM_GIVEN_PAYLOAD_CHECKSUM;
    call->payload_checksum = tv_hash(payload, payload_bytes);
}

void tv_status_set_checksum(Trove__V1__Status *status, const void *payload, size_t payload_bytes) {
    if (payload_bytes == 0)
        return;
    status->payload_checksum_given_case = TROVE__V1__STATUS__PAYLOAD_CHECKSUM_GIVEN_PAYLOAD_CHECKSUM;
    status->payload_checksum = tv_hash(payload, payload_bytes);
}

bool tv_frame_payload_matches(const tv_frame *frame, const void *payload, size_t payload_bytes) {
    if (frame->body_case == TV_BODY(CALL) &&
        frame->call->payload_checksum_given_case == TROVE__V1__CALL__PAYLOAD_CHECKSUM_GIVEN_PAYLOAD_CHECKSUM)
        return frame->call->payload_checksum == tv_hash(payload, payload_bytes);
    if (frame->body_case == TV_BODY(STATUS) &&
        frame->status->payload_checksum_given_case == TROVE__V1__STATUS__PAYLOAD_CHECKSUM_GIVEN_PAYLOAD_CHECKSUM)
        return frame->status->payload_checksum == tv_hash(payload, payload_bytes);
    return true;
}

/* ---- statuses ------------------------------------------------------------------------------------------------------------- */

#define SAME_NUMBER(name, number) _Static_assert((int)TROVE__V1__CODE__##name == (number), "the wire's codes are the API's");
TROVE_STATUS_LIST(SAME_NUMBER)
#undef SAME_NUMBER

void tv_status_to_wire(const trove_error *error, Trove__V1__Status *status) {
    trove__v1__status__init(status);
    status->code = (Trove__V1__Code)error->status;
    status->message = (char *)error->message;
}

trove_status tv_status_from_wire(const Trove__V1__Status *status, trove_error *error) {
    if (status == NULL || (status->code == 0 && status->message[0] == '\0')) { /* by far the most frequent: nothing to format */
        if (error != NULL) {
            error->status = TROVE_OK;
            error->message[0] = '\0';
        }
        return TROVE_OK;
    }
    switch ((int)status->code) {
#define KNOWN(name, number) case number:
        TROVE_STATUS_LIST(KNOWN)
#undef KNOWN
        return tv_error_set(error, (trove_status)status->code, "%s", status->message);
    default:
        return TV_FAIL(error, UNKNOWN, "%s (status code %d, which this version doesn't know)", status->message,
                       (int)status->code);
    }
}

const char *tv_status_detail(const Trove__V1__Status *status, const char *key) {
    for (size_t i = 0; i < status->n_details; i++)
        if (strcmp(status->details[i]->key, key) == 0)
            return status->details[i]->value;
    return NULL;
}
