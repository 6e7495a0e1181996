/* local_disk.c - see local_disk.h. */
#include "local_disk.h"

#include "local.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_idle(struct tvs_janitor *janitor) {
    pthread_mutex_lock(&janitor->lock);
    bool idle = janitor->count == 0 && !janitor->removing;
    pthread_mutex_unlock(&janitor->lock);
    return idle;
}

void wait_for_janitor(struct tvs_janitor *janitor) {
    WAIT_FOR(is_idle(janitor));
}

unsigned count_files(const struct store *store, char path[LOCAL_PATH_BYTES]) {
    unsigned count = 0;
    if (store->driver != NULL)
        wait_for_janitor(&tvs_local_of(store->driver)->janitor);
    for (unsigned shard = 0; shard < TVS_FILE_SHARDS; shard++) {
        char folder[300];
        snprintf(folder, sizeof folder, "%s/objects/%02x", store->path, shard);
        DIR *entries = opendir(folder);
        assert_non_null(entries);
        for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
            if (entry->d_name[0] == '.')
                continue;
            count++;
            if (path != NULL)
                snprintf(path, LOCAL_PATH_BYTES, "%s/%.40s", folder, entry->d_name);
        }
        closedir(entries);
    }
    return count;
}

void flip_byte(const char *path, off_t offset) {
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte = (char)(byte ^ 0x10);
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

uint64_t disk_bytes(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (uint64_t)info.st_blocks * 512;
}
