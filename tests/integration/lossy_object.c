/* lossy_object.c - for tests: puts an object with gaps into a local store that no server has open.
 *
 *     lossy_object FOLDER BUCKET KEY [OFFSET-LENGTH...] < BYTES
 *
 * The bucket is made where it is missing; of the bytes, what lies in a gap doesn't matter.
 */
#include "driver.h"
#include "local_waiter.h"

#include <unistd.h>

#define BYTES_MAX (64 * TV_MIB)

static void must(trove_status status, const trove_error *error) {
    if (status == TROVE_OK)
        return;
    fprintf(stderr, "lossy_object: %s: %s\n", trove_status_name(status), error->message);
    exit(1);
}

static size_t read_all(char *to) {
    size_t size = 0;
    for (ssize_t got; (got = read(STDIN_FILENO, to + size, BYTES_MAX - size)) > 0;)
        size += (size_t)got;
    return size;
}

static void write_range(struct tvs_put *put, const char *bytes, uint64_t from, uint64_t to) {
    trove_error error;
    while (from < to) {
        uint64_t here = to - from < TV_BLOCK_BYTES ? to - from : TV_BLOCK_BYTES;
        struct tv_data data = {
            .offset = from, .bytes = here, .iov_count = 1, .iov[0] = {(void *)(uintptr_t)(bytes + from), (size_t)here}};
        tv_data_hash(&data);
        must(tvs_local_driver.put_write(put, &data, &error), &error);
        from += here;
    }
}

static void put_object(struct tvs_driver *driver, char **arguments, const char *bytes, size_t size) {
    const struct tvs_put_options options = {.content_type = "", .size_hint = size};
    struct tvs_put *put;
    trove_error error;
    must(tvs_local_driver.put_begin(driver, arguments[0], arguments[1], &options, &put, &error), &error);
    uint64_t at = 0;
    for (char **gap = arguments + 2; *gap != NULL; gap++) {
        char *end;
        uint64_t offset = strtoull(*gap, &end, 10);
        uint64_t length = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
        write_range(put, bytes, at, offset);
        must(tvs_local_driver.put_gap(put, offset, length, &error), &error);
        at = offset + length;
    }
    write_range(put, bytes, at, size);
    struct tvs_waiter waiter;
    tvs_waiter_init(&waiter, NULL, &error);
    tvs_local_driver.put_commit(put, NULL, tvs_waiter_done, &waiter);
    must(tvs_waiter_wait(&waiter), &error);
}

int main(int count, char **arguments) {
    if (count < 4)
        return 2;
    char *bytes = malloc(BYTES_MAX);
    if (bytes == NULL)
        return 2;
    size_t size = read_all(bytes);
    const struct tvs_driver_config config = {.path = arguments[1]};
    struct tvs_driver *driver;
    trove_error error;
    must(tvs_local_driver.open(&config, &driver, &error), &error);
    trove_status made = tvs_local_driver.bucket_create(driver, arguments[2], &error);
    if (made != TROVE_ALREADY_EXISTS)
        must(made, &error);
    put_object(driver, arguments + 2, bytes, size);
    tvs_local_driver.close(driver);
    free(bytes);
    return 0;
}
