/* conversations.c - what clients say when all is well. See mutate.h. */
#include "mutate.h"

#include "stock_client.h"

#define BYTES_MAX 3000

/* What is sent is collected in a client that isn't connected; this marks where frames begin. */
struct talk {
    struct raw_client client;
    struct conversation *conversation;
    struct seeded *random;
    uint8_t bytes[BYTES_MAX];
};

static void mark(struct talk *talk) {
    struct conversation *conversation = talk->conversation;
    if (conversation->frames < MUTATE_FRAMES_MAX)
        conversation->begins[conversation->frames++] = talk->client.sent_bytes;
}

static const char *key_for(struct talk *talk) {
    static const char *const keys[] = {"kept", "one", "two", "a/b", "a/c"};
    return keys[seeded_below(talk->random, sizeof keys / sizeof keys[0])];
}

/* ---- calls ---- */

static void call(struct talk *talk, const char *method, const ProtobufCMessage *request) {
    mark(talk);
    (void)raw_call(&talk->client, method, request);
}

static void say_calls(struct talk *talk) {
    Trove__V1__ObjectListRequest list = TROVE__V1__OBJECT_LIST_REQUEST__INIT;
    Trove__V1__ObjectHeadRequest head = TROVE__V1__OBJECT_HEAD_REQUEST__INIT;
    Trove__V1__ObjectDeleteRequest delete = TROVE__V1__OBJECT_DELETE_REQUEST__INIT;
    Trove__V1__ObjectCopyRequest copy = TROVE__V1__OBJECT_COPY_REQUEST__INIT;
    Trove__V1__Conditions conditions = TROVE__V1__CONDITIONS__INIT;
    Trove__V1__BlockSumsRequest sums = TROVE__V1__BLOCK_SUMS_REQUEST__INIT;
    Trove__V1__BucketDeleteRequest bucket = TROVE__V1__BUCKET_DELETE_REQUEST__INIT;
    Trove__V1__StreamListRequest streams = TROVE__V1__STREAM_LIST_REQUEST__INIT;
    Trove__V1__StreamControlRequest control = TROVE__V1__STREAM_CONTROL_REQUEST__INIT;
    Trove__V1__EchoRequest echo = TROVE__V1__ECHO_REQUEST__INIT;
    list.bucket = head.bucket = delete.bucket = copy.from_bucket = copy.to_bucket = sums.bucket = raw_text(MUTATE_BUCKET);
    bucket.bucket = raw_text("nothing-there");
    list.prefix = raw_text("a/");
    list.delimiter = raw_text("/");
    head.key = delete.key = copy.from_key = sums.key = raw_text(key_for(talk));
    copy.to_key = raw_text(key_for(talk));
    conditions.if_generation = seeded_next(talk->random);
    delete.conditions = &conditions; /* it hardly ever holds: objects stay */
    control.stream_id = streams.limit = 1;
    control.type = TROVE__V1__CONTROL_TYPE__PAUSE;
    echo.data.data = talk->bytes;
    echo.data.len = 100;
    call(talk, "trove.v1.Objects/List", &list.base);
    call(talk, "trove.v1.Objects/Head", &head.base);
    call(talk, "trove.v1.Objects/Delete", &delete.base);
    call(talk, "trove.v1.Objects/Copy", &copy.base);
    call(talk, "trove.v1.Objects/BlockSums", &sums.base);
    call(talk, "trove.v1.Buckets/Delete", &bucket.base);
    call(talk, "trove.v1.Buckets/List", NULL);
    call(talk, "trove.v1.Pools/List", NULL);
    call(talk, "trove.v1.Streams/List", &streams.base);
    call(talk, "trove.v1.Streams/Control", &control.base);
    call(talk, "trove.v1.Server/Info", NULL);
    call(talk, "trove.v1.Server/Echo", &echo.base);
}

static void say_upload_calls(struct talk *talk) {
    Trove__V1__UploadListRequest list = TROVE__V1__UPLOAD_LIST_REQUEST__INIT;
    Trove__V1__UploadAttachRequest attach = TROVE__V1__UPLOAD_ATTACH_REQUEST__INIT;
    Trove__V1__UploadFlushRequest flush = TROVE__V1__UPLOAD_FLUSH_REQUEST__INIT;
    Trove__V1__UploadAbortRequest abort = TROVE__V1__UPLOAD_ABORT_REQUEST__INIT;
    list.bucket = raw_text(MUTATE_BUCKET);
    list.limit = 3;
    attach.upload_id.data = flush.upload_id.data = abort.upload_id.data = talk->bytes;
    attach.upload_id.len = flush.upload_id.len = abort.upload_id.len = 16;
    flush.epoch = 1;
    call(talk, "trove.v1.Uploads/List", &list.base);
    call(talk, "trove.v1.Uploads/Attach", &attach.base);
    call(talk, "trove.v1.Uploads/Flush", &flush.base);
    call(talk, "trove.v1.Uploads/Abort", &abort.base);
}

/* ---- streams ---- */

static uint64_t open_stream(struct talk *talk, Trove__V1__Open *open) {
    mark(talk);
    return raw_open_stream(&talk->client, open);
}

static void body(struct talk *talk, uint64_t id, Trove__V1__Frame__BodyCase which, ProtobufCMessage *message) {
    mark(talk);
    raw_send_body(&talk->client, id, which, message);
}

static void control(struct talk *talk, uint64_t id, Trove__V1__ControlType type, uint64_t serial) {
    Trove__V1__Control message = TROVE__V1__CONTROL__INIT;
    message.type = type;
    message.serial = serial;
    message.generation = 1;
    message.offset = seeded_below(talk->random, BYTES_MAX);
    body(talk, id, RAW_BODY(CONTROL), &message.base);
}

/* Three chunks and the end, without waiting for anything. */
static void send_bytes(struct talk *talk, uint64_t id, uint64_t epoch, bool gap) {
    Trove__V1__Chunk chunk;
    Trove__V1__Complete complete = TROVE__V1__COMPLETE__INIT;
    Trove__V1__Gap lost = TROVE__V1__GAP__INIT;
    for (uint64_t i = 0; i < 3; i++) {
        raw_init_chunk(&chunk, id, i, i * 1000, talk->bytes + i * 1000, 1000);
        chunk.final = i == 2;
        chunk.epoch = epoch;
        lost.first_index = i;
        lost.count = 1;
        lost.offset = i * 1000;
        lost.length = 1000;
        if (gap && i == 1) {
            body(talk, id, RAW_BODY(GAP), &lost.base);
            continue;
        }
        mark(talk);
        raw_send_chunk(&talk->client, id, &chunk, talk->bytes + i * 1000, 1000);
    }
    complete.size = 3000;
    complete.chunks = 3;
    complete.epoch = epoch;
    body(talk, id, RAW_BODY(COMPLETE), &complete.base);
}

static void say_upload(struct talk *talk) {
    Trove__V1__Open open;
    bool lossy = seeded_once_in(talk->random, 3);
    raw_init_open(&open, MUTATE_BUCKET, key_for(talk), true);
    open.lossy = lossy;
    open.backpressure_given_case = TROVE__V1__OPEN__BACKPRESSURE_GIVEN_BACKPRESSURE;
    open.backpressure = lossy ? TROVE__V1__BACKPRESSURE__DROP : TROVE__V1__BACKPRESSURE__BLOCK;
    uint64_t id = open_stream(talk, &open);
    if (seeded_once_in(talk->random, 2)) {
        control(talk, id, TROVE__V1__CONTROL_TYPE__PAUSE, 1);
        control(talk, id, TROVE__V1__CONTROL_TYPE__RESUME, 2);
        control(talk, id, TROVE__V1__CONTROL_TYPE__SEEK, 3);
    }
    send_bytes(talk, id, 0, lossy);
}

static void say_resumable(struct talk *talk) {
    Trove__V1__Open open;
    raw_init_open(&open, MUTATE_BUCKET, key_for(talk), true);
    open.resumable = true;
    open.request_id.data = talk->bytes;
    open.request_id.len = 16;
    uint64_t id = open_stream(talk, &open);
    send_bytes(talk, id, 1, false);
    control(talk, id, TROVE__V1__CONTROL_TYPE__CANCEL, 1);
}

/* Down, or both ways at once. */
static void say_download(struct talk *talk) {
    Trove__V1__Open open;
    bool two_way = seeded_once_in(talk->random, 2);
    raw_init_open(&open, MUTATE_BUCKET, "kept", two_way);
    if (two_way)
        open.direction = TROVE__V1__DIRECTION__BIDI;
    open.credit = 4000;
    open.follow = two_way && seeded_once_in(talk->random, 2);
    uint64_t id = open_stream(talk, &open);
    if (two_way)
        send_bytes(talk, id, 0, false);
    mark(talk);
    raw_send_ack(&talk->client, id, 0, 1, 1000, false);
    mark(talk);
    raw_send_credit(&talk->client, id, 4000);
    control(talk, id, TROVE__V1__CONTROL_TYPE__SEEK, 1);
    mark(talk);
    raw_send_completed(&talk->client, id);
}

static void say_inline(struct talk *talk) {
    raw_frame frame = TROVE__V1__FRAME__INIT;
    Trove__V1__Open open;
    raw_init_open(&open, MUTATE_BUCKET, key_for(talk), true);
    frame.call_id = raw_new_id(&talk->client);
    open.inline_checksum_given_case = TROVE__V1__OPEN__INLINE_CHECKSUM_GIVEN_INLINE_CHECKSUM;
    open.inline_checksum = stock_chunk_checksum(frame.call_id, 0, 0, talk->bytes, 500);
    frame.body_case = RAW_BODY(OPEN);
    frame.open = &open;
    frame.payload.data = talk->bytes;
    frame.payload.len = 500;
    mark(talk);
    raw_send(&talk->client, &frame);
}

/* ---- a conversation ---- */

void conversation_draw(struct conversation *conversation, struct seeded *random, bool type_octet) {
    static void (*const say[])(struct talk *) = {say_calls,     say_upload_calls, say_upload,
                                                 say_resumable, say_download,     say_inline};
    struct talk talk = {.conversation = conversation, .random = random};
    *conversation = (struct conversation){.type_octet = type_octet};
    raw_collect(&talk.client, type_octet);
    seeded_fill(seeded_next(random), 0, talk.bytes, sizeof talk.bytes);
    mark(&talk);
    raw_greeting(&talk.client);
    mark(&talk);
    raw_send_hello(&talk.client, seeded_once_in(random, 8));
    for (uint64_t parts = 1 + seeded_below(random, 3); parts > 0; parts--)
        say[seeded_below(random, sizeof say / sizeof say[0])](&talk);
    conversation->bytes = talk.client.sent;
    conversation->count = talk.client.sent_bytes;
    conversation->begins[conversation->frames] = conversation->count;
}

void conversation_fini(struct conversation *conversation) {
    free(conversation->bytes);
}
