/* unit_frame.h - frames for tests: one of every kind, its fields filled at random by walking its descriptor.
 */
#ifndef TROVE_TESTS_UNIT_FRAME_H
#define TROVE_TESTS_UNIT_FRAME_H

#include "frame.h"
#include "unit.h"

struct filler {
    struct tv_arena arena;
    uint64_t state;
};

/* NOLINTBEGIN(misc-no-recursion): as deep as the protocol's messages, of which none has one of its own kind */
static inline void fill_message(struct filler *filler, ProtobufCMessage *message);

static inline ProtobufCMessage *new_message(struct filler *filler, const ProtobufCMessageDescriptor *type) {
    ProtobufCMessage *message = tv_arena_alloc(&filler->arena, type->sizeof_message);
    assert_non_null(message);
    type->message_init(message);
    fill_message(filler, message);
    return message;
}

static inline char *new_text(struct filler *filler) {
    static const char *const words[] = {"", "a", "bucket-1", "photos/übung/雪.jpg", "\xF0\x9F\x90\x8B"};
    return (char *)words[unit_random(&filler->state) % (sizeof words / sizeof words[0])];
}

static inline void fill_value(struct filler *filler, const ProtobufCFieldDescriptor *field, void *member) {
    uint64_t value = unit_random(&filler->state) >> (unit_random(&filler->state) % 64);
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)member = new_message(filler, field->descriptor);
        break;
    case PROTOBUF_C_TYPE_STRING:
        *(char **)member = new_text(filler);
        break;
    case PROTOBUF_C_TYPE_BYTES: {
        char *text = new_text(filler);
        *(ProtobufCBinaryData *)member = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
        break;
    }
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)member = (protobuf_c_boolean)(value & 1);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        *(int *)member = (int)(value % 3);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        *(uint32_t *)member = (uint32_t)value;
        break;
    default:
        *(uint64_t *)member = value;
    }
}

static inline size_t value_size(const ProtobufCFieldDescriptor *field) {
    return field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING ? sizeof(void *) : sizeof(uint64_t);
}

static inline void fill_repeated(struct filler *filler, const ProtobufCFieldDescriptor *field, char *message) {
    size_t count = unit_random(&filler->state) % 4;
    char *values = tv_arena_alloc(&filler->arena, count * value_size(field));
    for (size_t i = 0; i < count; i++)
        fill_value(filler, field, values + i * value_size(field));
    *(size_t *)(message + field->quantifier_offset) = count;
    *(void **)(message + field->offset) = count > 0 ? values : NULL;
}

static inline void fill_message(struct filler *filler, ProtobufCMessage *message) {
    const ProtobufCMessageDescriptor *type = message->descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        char *base = (char *)message;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            fill_repeated(filler, field, base);
        } else if (unit_random(&filler->state) % 4 != 0) {
            fill_value(filler, field, base + field->offset);
            if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
                *(uint32_t *)(base + field->quantifier_offset) = field->id;
        }
    }
}
/* NOLINTEND(misc-no-recursion) */

static inline const ProtobufCFieldDescriptor *body_field(unsigned i) {
    const ProtobufCFieldDescriptor *field = &trove__v1__frame__descriptor.fields[i];
    return field->type == PROTOBUF_C_TYPE_MESSAGE ? field : NULL;
}

/* A frame whose body is the descriptor's i-th field, or without a body where that is none. */
static inline tv_frame sample_frame(struct filler *filler, unsigned i) {
    tv_frame frame = TROVE__V1__FRAME__INIT;
    frame.call_id = unit_random(&filler->state) >> (unit_random(&filler->state) % 64);
    const ProtobufCFieldDescriptor *field = body_field(i);
    if (field != NULL) {
        frame.body_case = (Trove__V1__Frame__BodyCase)field->id;
        frame.open = (Trove__V1__Open *)new_message(filler, field->descriptor);
    }
    return frame;
}

static inline void filler_init(struct filler *filler) {
    tv_arena_init(&filler->arena, 16 << 20);
    filler->state = unit_seed();
}

#endif
