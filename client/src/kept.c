/* kept.c - see kept.h. */
#include "kept.h"

#include "call.h"
#include "data.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the comparison stands. */
struct search {
    int fd;
    uint64_t file_blocks;
    uint64_t block; /* all below it are the object's */
    uint64_t object_blocks;
    bool over; /* a block isn't, or is behind the end */
    uint8_t *memory;
    struct tvc_kept kept;
};

static bool read_block(const struct search *search) {
    size_t done = 0;
    while (done < TV_BLOCK_BYTES) {
        off_t at = (off_t)(search->block * TV_BLOCK_BYTES + done);
        ssize_t step = pread(search->fd, search->memory + done, TV_BLOCK_BYTES - done, at);
        if (step > 0)
            done += (size_t)step;
        else if (step == 0 || errno != EINTR)
            return false;
    }
    return true;
}

static void compare(struct search *search, const Trove__V1__BlockSumsResponse *page) {
    search->over = page->n_sums == 0;
    for (size_t i = 0; i < page->n_sums && search->block < search->file_blocks && !search->over; i++) {
        search->over = !read_block(search) || tv_hash(search->memory, TV_BLOCK_BYTES) != page->sums[i];
        if (!search->over)
            search->block++;
    }
}

/* All pages must be of one object: where it changes in between, nothing is known of what was compared before. */
static void take_page(struct search *search, const Trove__V1__BlockSumsResponse *page) {
    char etag[TROVE_ETAG_BYTES];
    size_t bytes = strnlen(page->etag, sizeof etag - 1);
    memcpy(etag, page->etag, bytes);
    memset(etag + bytes, 0, sizeof etag - bytes);
    bool usable = page->block_bytes == TV_BLOCK_BYTES && etag[0] != '\0';
    if (!usable || (search->block > 0 && strcmp(etag, search->kept.etag) != 0)) {
        search->block = 0;
        search->over = true;
        return;
    }
    memcpy(search->kept.etag, etag, sizeof etag);
    search->object_blocks = page->block_count;
    compare(search, page);
}

static trove_status ask(trove_client *client, const char *bucket, const char *key, uint32_t timeout_ms, struct search *search,
                        trove_error *error) {
    Trove__V1__BlockSumsRequest request = TROVE__V1__BLOCK_SUMS_REQUEST__INIT;
    uint64_t left = search->file_blocks - search->block;
    request.bucket = (char *)(uintptr_t)bucket;
    request.key = (char *)(uintptr_t)key;
    request.first_block = search->block;
    request.limit = left < TV_BLOCK_SUMS_LIMIT_MAX ? (uint32_t)left : TV_BLOCK_SUMS_LIMIT_MAX;
    ProtobufCMessage *answer = NULL;
    trove_status status = tvc_call(client, "trove.v1.Objects/BlockSums", &request.base,
                                   &trove__v1__block_sums_response__descriptor, timeout_ms, &answer, error);
    if (status != TROVE_OK)
        return status;
    take_page(search, (const Trove__V1__BlockSumsResponse *)answer);
    tvc_answer_free(answer);
    return TROVE_OK;
}

trove_status tvc_kept_find(trove_client *client, const char *bucket, const char *key, int fd, uint32_t timeout_ms,
                           struct tvc_kept *kept, trove_error *error) {
    struct stat found;
    struct search search = {.fd = fd};
    *kept = (struct tvc_kept){0};
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size < (off_t)TV_BLOCK_BYTES)
        return TROVE_OK;
    search.file_blocks = (uint64_t)found.st_size / TV_BLOCK_BYTES;
    search.memory = malloc(TV_BLOCK_BYTES);
    if (search.memory == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to compare a file's blocks");
    trove_status status = TROVE_OK;
    while (status == TROVE_OK && !search.over && search.block < search.file_blocks)
        status = ask(client, bucket, key, timeout_ms, &search, error);
    free(search.memory);
    if (status != TROVE_OK)
        return status;
    if (search.block > 0 && search.block >= search.object_blocks)
        search.block = search.object_blocks > 0 ? search.object_blocks - 1 : 0;
    if (search.block == 0)
        return TROVE_OK;
    *kept = search.kept;
    kept->bytes = search.block * TV_BLOCK_BYTES;
    return TROVE_OK;
}
