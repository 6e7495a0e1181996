/* stream_keep.c - see stream_keep.h. Under the client's lock. */
#include "stream_keep.h"

#include "stream.h"

/* ---- lists ---- */

static void append(struct tvc_chunk_list *list, struct tvc_chunk *chunk) {
    chunk->next = NULL;
    if (list->last != NULL)
        list->last->next = chunk;
    else
        list->first = chunk;
    list->last = chunk;
    list->sum.bytes += chunk->wire.bytes;
    list->sum.chunks++;
}

static struct tvc_chunk *pop(struct tvc_chunk_list *list) {
    struct tvc_chunk *chunk = list->first;
    list->first = chunk->next;
    if (list->first == NULL)
        list->last = NULL;
    list->sum.bytes -= chunk->wire.bytes;
    list->sum.chunks--;
    chunk->next = NULL;
    return chunk;
}

static void append_all(struct tvc_chunk_list *list, struct tvc_chunk_list *more) {
    while (more->first != NULL)
        append(list, pop(more));
}

static uint64_t end_of(const struct tvc_chunk *chunk) {
    return chunk->wire.offset + chunk->wire.bytes;
}

/* ---- keeping ---- */

/* The last chunk is kept to the end: the server wants to see one that says so. */
void tvc_keep_add(trove_stream *stream, struct tvc_chunk *chunk) {
    if (end_of(chunk) <= stream->upload.durable_offset && !chunk->wire.final)
        return;
    tv_chunk_acquire(&chunk->wire);
    append(&stream->upload.keep.kept, chunk);
}

void tvc_keep_durable(trove_stream *stream) {
    struct tvc_chunk_list *kept = &stream->upload.keep.kept;
    while (kept->first != NULL && end_of(kept->first) <= stream->upload.durable_offset && !kept->first->wire.final)
        tv_chunk_release(&pop(kept)->wire);
}

/* ---- going back ---- */

void tvc_keep_unwind(trove_stream *stream) {
    struct tvc_upload *upload = &stream->upload;
    struct tvc_keep *keep = &upload->keep;
    struct tv_sender *sender = &upload->sender;
    struct tvc_chunk_list all = {0};
    keep->index_base += sender->base - keep->kept.sum.chunks;
    sender->acknowledged_bytes -= keep->kept.sum.bytes;
    sender->acknowledged_chunks -= keep->kept.sum.chunks;
    sender->pushed_bytes -= keep->kept.sum.bytes;
    sender->pushed_chunks -= keep->kept.sum.chunks;
    append_all(&all, &keep->kept);
    for (struct tv_chunk *chunk; (chunk = tv_sender_unwind(sender)) != NULL;)
        append(&all, tvc_chunk_of_wire(chunk));
    append_all(&all, &keep->again);
    keep->again = all;
}

/* Bytes that turn out to be stored without having been acknowledged. */
static void count_stored(struct tv_sender *sender, uint64_t bytes, uint64_t chunks) {
    sender->pushed_bytes += bytes;
    sender->pushed_chunks += chunks;
    sender->acknowledged_bytes += bytes;
    sender->acknowledged_chunks += chunks;
}

/* Takes the first chunk out: it is stored. */
static void let_go(trove_stream *stream) {
    struct tvc_keep *keep = &stream->upload.keep;
    struct tvc_chunk *chunk = pop(&keep->again);
    count_stored(&stream->upload.sender, chunk->wire.bytes, 1);
    chunk->wire.index = 0; /* what it had on the connection before says nothing any more */
    tvc_upload_acked(stream, &chunk->wire, tv_now_ns());
    keep->index_base++;
    tv_chunk_release(&chunk->wire);
}

/* Leaves the bytes [offset, end) of a chunk, whoever else has it. That is safe at any moment, and waits for nobody (a frame of it
 * may be sent for as long as the server doesn't read, and this may be the thread that would be told of it). Two others may have
 * it. The transport has a frame of it: that is the memory alone, which is neither written nor given back while it has its
 * reference; what the frame says was put together under the lock (tvc_upload_pull). And its writer, who adds it to the object's
 * sums: from the memory, and from what it has noted before the chunk was let into the window (note_written). */
static void cut(struct tvc_chunk_list *list, struct tvc_chunk *chunk, uint64_t offset, uint64_t end) {
    list->sum.bytes -= chunk->wire.bytes - (end - offset);
    tv_chunk_cut(&chunk->wire, offset, end);
}

void tvc_keep_released(trove_stream *stream) {
    pthread_mutex_lock(&stream->client->lock);
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->client->lock);
}

void tvc_keep_go_on(trove_stream *stream, uint64_t offset) {
    struct tvc_chunk_list *again = &stream->upload.keep.again;
    while (again->first != NULL && end_of(again->first) <= offset && !again->first->wire.final)
        let_go(stream);
    if (again->first != NULL && again->first->wire.offset < offset) {
        count_stored(&stream->upload.sender, offset - again->first->wire.offset, 0);
        cut(again, again->first, offset, end_of(again->first));
    }
    tv_sender_restart(&stream->upload.sender, offset);
}

unsigned tvc_keep_refill(trove_stream *stream) {
    struct tvc_chunk_list *again = &stream->upload.keep.again;
    unsigned wants = 0;
    while (again->first != NULL && !tv_sender_full(&stream->upload.sender))
        wants |= tvc_upload_push(stream, &pop(again)->wire);
    return wants;
}

/* ---- the rest ---- */

/* What was to be sent again: the server has none of it. */
static void abandon_again(trove_stream *stream) {
    struct tvc_chunk_list *again = &stream->upload.keep.again;
    struct tv_sender *sender = &stream->upload.sender;
    sender->pushed_bytes += again->sum.bytes;
    sender->pushed_chunks += again->sum.chunks;
    sender->abandoned_bytes += again->sum.bytes;
    sender->abandoned_chunks += again->sum.chunks;
    while (again->first != NULL)
        tv_chunk_release(&pop(again)->wire);
}

void tvc_keep_seek(trove_stream *stream, uint64_t offset) {
    struct tvc_keep *keep = &stream->upload.keep;
    struct tvc_chunk_list all = keep->kept;
    abandon_again(stream);
    keep->kept = (struct tvc_chunk_list){0};
    while (all.first != NULL) {
        struct tvc_chunk *chunk = pop(&all);
        if (chunk->wire.offset >= offset) {
            tv_chunk_release(&chunk->wire);
            continue;
        }
        chunk->wire.final = false;
        append(&keep->kept, chunk);
        if (end_of(chunk) > offset) /* what was written behind it is given up */
            cut(&keep->kept, chunk, chunk->wire.offset, offset);
    }
    keep->index_base = 0;
}

void tvc_keep_all_stored(trove_stream *stream) {
    while (stream->upload.keep.again.first != NULL)
        let_go(stream);
}

void tvc_keep_end(trove_stream *stream) {
    struct tvc_keep *keep = &stream->upload.keep;
    while (keep->kept.first != NULL)
        tv_chunk_release(&pop(&keep->kept)->wire);
    abandon_again(stream);
}
