/* part.c - see part.h. */
#include "part.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    HASH_BYTES = 16,
    NAME_HASH_BYTES = 8,
    OPEN_FLAGS = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
    /* Whoever had the file may be through with it between its opening and its lock: then there is a next one, or none. */
    TRIES = 4,
    WORTH_BYTES = 1 << 20,
};

void cli_part_name(const char *target, const char *object, char name[CLI_PART_NAME_BYTES]) {
    unsigned char hash[HASH_BYTES];
    char text[2 * NAME_HASH_BYTES + 1];
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    crypto_generichash_update(&state, (const unsigned char *)target, strlen(target) + 1);
    crypto_generichash_update(&state, (const unsigned char *)object, strlen(object) + 1);
    crypto_generichash_final(&state, hash, sizeof hash);
    snprintf(name, CLI_PART_NAME_BYTES, ".trove-%s.part", sodium_bin2hex(text, sizeof text, hash, NAME_HASH_BYTES));
}

/* Ours alone, and still the one of this name. */
static bool is_usable(int fd, int folder_fd, const char *name) {
    struct stat opened;
    struct stat named;
    return fstat(fd, &opened) == 0 && S_ISREG(opened.st_mode) && opened.st_uid == geteuid() && opened.st_nlink == 1 &&
           fstatat(folder_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_dev == opened.st_dev &&
           named.st_ino == opened.st_ino;
}

int cli_part_open(int folder_fd, const char *name) {
    for (unsigned tries = 0; tries < TRIES; tries++) {
        int fd = openat(folder_fd, name, OPEN_FLAGS, 0600);
        if (fd < 0)
            return -1;
        int failed = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
        if (failed == 0 && is_usable(fd, folder_fd, name) && fchmod(fd, 0600) == 0)
            return fd;
        close(fd);
        errno = failed != 0 ? failed : EEXIST;
        if (failed != 0)
            return -1;
    }
    return -1;
}

void cli_part_remove(int folder_fd, const char *name) {
    struct stat found;
    if (fstatat(folder_fd, name, &found, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    int fd = cli_part_open(folder_fd, name);
    if (fd < 0)
        return;
    unlinkat(folder_fd, name, 0);
    close(fd);
}

/* What can't be finished for want of room is better not there: it takes the last of it from all others. */
static bool has_room(int fd) {
    struct statvfs disk;
    return fstatvfs(fd, &disk) != 0 || (uint64_t)disk.f_bavail * disk.f_frsize >= WORTH_BYTES;
}

bool cli_part_is_worth(int folder_fd, const char *name) {
    struct stat found;
    int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool worth = fd >= 0 && fstat(fd, &found) == 0 && found.st_size >= WORTH_BYTES && has_room(fd);
    if (fd >= 0)
        close(fd);
    return worth;
}

bool cli_part_can_go_on(trove_status status) {
    switch (status) {
    case TROVE_PERMISSION_DENIED: /* a right that was taken may be given again, and a key let in */
    case TROVE_UNAUTHENTICATED:
    case TROVE_UNAVAILABLE:
    case TROVE_DEADLINE_EXCEEDED:
    case TROVE_CANCELLED:
    case TROVE_ABORTED:
    case TROVE_RESOURCE_EXHAUSTED:
        return true;
    default:
        return false;
    }
}
