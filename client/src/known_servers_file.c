/* known_servers_file.c - see known_servers.h: reading the file, and putting a longer one in its place. */
#include "known_servers.h"

#include "key_file.h"
#include "url.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TRIES   250
#define LOCK_STEP_US 20000

/* A file's content; `text` has room for a line behind it. */
struct content {
    char *text;
    size_t bytes;
    mode_t mode;
};

/* A line: the longest address, a key, two blanks, a newline. */
#define LINE_BYTES_MAX (256 + TV_KEY_TEXT_BYTES + 8)

/* ---- reading ---- */

static trove_status check_file(int fd, const char *path, struct content *content, trove_error *error) {
    struct stat about;
    if (fstat(fd, &about) != 0)
        return tv_error_errno(error, errno, "looking at %.300s", path);
    if (!S_ISREG(about.st_mode))
        return TV_FAIL(error, FAILED_PRECONDITION, "the file of known servers %.300s is no regular file", path);
    if (about.st_uid != geteuid() && about.st_uid != 0)
        return TV_FAIL(error, FAILED_PRECONDITION, "the file of known servers %.300s belongs to somebody else (uid %u)", path,
                       about.st_uid);
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return TV_FAIL(error, FAILED_PRECONDITION,
                       "others may write to %.150s (mode %04o), and say what is known; chmod go-w %.150s", path,
                       about.st_mode & 07777, path);
    content->mode = about.st_mode & 0777;
    return TROVE_OK;
}

/* At most one byte more than is allowed: it tells that it is too much. */
static trove_status read_all(int fd, const char *path, struct content *content, trove_error *error) {
    while (content->bytes <= TVC_KNOWN_SERVERS_BYTES_MAX) {
        ssize_t got = read(fd, content->text + content->bytes, TVC_KNOWN_SERVERS_BYTES_MAX + 1 - content->bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tv_error_errno(error, errno, "reading %.300s", path);
        if (got == 0)
            return TROVE_OK;
        content->bytes += (size_t)got;
    }
    return TV_FAIL(error, INVALID_ARGUMENT, "%.300s has more than %zu bytes; is it the right file?", path,
                   TVC_KNOWN_SERVERS_BYTES_MAX);
}

/* On OK content->text is the caller's to free. Errors: NOT_FOUND, as known_servers.h has them. */
static trove_status load(const char *path, struct content *content, trove_error *error) {
    *content = (struct content){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe must not hang here */
    if (fd < 0)
        return tv_error_errno(error, errno, "opening the file of known servers %.300s", path);
    content->text = malloc(TVC_KNOWN_SERVERS_BYTES_MAX + 1 + LINE_BYTES_MAX);
    trove_status status = content->text != NULL ? check_file(fd, path, content, error)
                                                : TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read %.300s", path);
    if (status == TROVE_OK)
        status = read_all(fd, path, content, error);
    close(fd);
    if (status != TROVE_OK)
        free(content->text);
    return status;
}

trove_status tvc_known_servers_find(const char *path, const char *url, struct tvc_known_server *found, trove_error *error) {
    struct content content;
    char *address = NULL;
    trove_status status = tvc_known_servers_address(url, &address, error);
    if (status == TROVE_INVALID_ARGUMENT && tv_url_check(url, TV_URL_TO_DIAL, NULL) == TROVE_OK)
        return TV_FAIL(error, NOT_FOUND, "%.200s can't stand in %.200s", url, path);
    if (status != TROVE_OK)
        return status;
    status = load(path, &content, error);
    if (status == TROVE_OK) {
        status = tvc_known_servers_look(path, content.text, content.bytes, address, found, error);
        free(content.text);
    }
    free(address);
    return status;
}

/* ---- adding ---- */

/* Where the file really is: what a link points to is replaced, not the link. The caller's to free. */
static char *real_path(const char *path) {
    char *real = realpath(path, NULL);
    return real != NULL ? real : strdup(path);
}

/* Nobody holds the lock for longer than it takes to write the file. */
static trove_status lock(int folder_fd, const char *path, trove_error *error) {
    for (unsigned tries = 0; flock(folder_fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return tv_error_errno(error, errno, "locking the folder of %.300s", path);
        if (tries == LOCK_TRIES)
            return TV_FAIL(error, UNAVAILABLE, "somebody else has the folder of %.300s locked; try again later", path);
        usleep(LOCK_STEP_US);
    }
    return TROVE_OK;
}

/* *folder_fd is the caller's to close, and locked until then. */
static trove_status open_folder(const char *path, int *folder_fd, trove_error *error) {
    char *copy = strdup(path);
    if (copy == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to write %.300s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    trove_status status = fd >= 0 ? lock(fd, path, error) : tv_error_errno(error, errno, "opening the folder of %.300s", path);
    free(copy);
    if (status != TROVE_OK && fd >= 0)
        close(fd);
    if (status == TROVE_OK)
        *folder_fd = fd;
    return status;
}

static trove_status write_all(int fd, const char *path, const struct content *content, trove_error *error) {
    for (size_t at = 0; at < content->bytes;) {
        ssize_t put = write(fd, content->text + at, content->bytes - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return tv_error_errno(error, errno, "writing %.300s", path);
        at += (size_t)put;
    }
    if (fchmod(fd, content->mode) != 0 || fsync(fd) != 0)
        return tv_error_errno(error, errno, "writing %.300s", path);
    return TROVE_OK;
}

/* What a crash has left under the new file's name is nobody's: the folder is locked. */
static trove_status replace(int folder_fd, const char *path, const struct content *content, trove_error *error) {
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    char next[NAME_MAX + 1];
    if ((size_t)snprintf(next, sizeof next, "%s.new", name) >= sizeof next)
        return TV_FAIL(error, INVALID_ARGUMENT, "the name of %.300s is too long", path);
    unlinkat(folder_fd, next, 0);
    int fd = openat(folder_fd, next, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return tv_error_errno(error, errno, "making %.300s.new", path);
    trove_status status = write_all(fd, path, content, error);
    if (close(fd) != 0 && status == TROVE_OK)
        status = tv_error_errno(error, errno, "writing %.300s", path);
    if (status == TROVE_OK && (renameat(folder_fd, next, folder_fd, name) != 0 || fsync(folder_fd) != 0))
        status = tv_error_errno(error, errno, "replacing %.300s", path);
    if (status != TROVE_OK)
        unlinkat(folder_fd, next, 0);
    return status;
}

static void add_line(struct content *content, const char *address, const uint8_t key[static TV_NOISE_KEY_BYTES]) {
    char text[TV_KEY_TEXT_BYTES];
    tv_key_format(key, text);
    bool in_line = content->bytes > 0 && content->text[content->bytes - 1] != '\n';
    content->bytes +=
        (size_t)snprintf(content->text + content->bytes, LINE_BYTES_MAX, "%s%.256s %s\n", in_line ? "\n" : "", address, text);
}

/* What is there is left as it is. */
static trove_status judge(const char *path, const struct content *content, const char *address,
                          const uint8_t key[static TV_NOISE_KEY_BYTES], trove_error *error) {
    struct tvc_known_server found;
    trove_status status = tvc_known_servers_look(path, content->text, content->bytes, address, &found, error);
    if (status == TROVE_OK && memcmp(found.key, key, sizeof found.key) != 0)
        status = TV_FAIL(error, ALREADY_EXISTS, "%.300s line %u has another key for %.100s", path, found.line, address);
    return status;
}

/* With the folder locked. */
static trove_status add(int folder_fd, const char *path, const char *address, const uint8_t key[static TV_NOISE_KEY_BYTES],
                        trove_error *error) {
    struct content content;
    trove_status status = load(path, &content, error);
    if (status == TROVE_NOT_FOUND) {
        content = (struct content){.text = malloc(LINE_BYTES_MAX), .mode = S_IRUSR | S_IWUSR};
        if (content.text == NULL)
            return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to write %.300s", path);
    } else if (status != TROVE_OK) {
        return status;
    }
    status = judge(path, &content, address, key, error);
    if (status == TROVE_NOT_FOUND) {
        add_line(&content, address, key);
        status = content.bytes <= TVC_KNOWN_SERVERS_BYTES_MAX
                     ? replace(folder_fd, path, &content, error)
                     : TV_FAIL(error, RESOURCE_EXHAUSTED, "%.300s may have %zu bytes, and has no room for another line", path,
                               TVC_KNOWN_SERVERS_BYTES_MAX);
    }
    free(content.text);
    return status;
}

trove_status tvc_known_servers_add(const char *path, const char *url, const uint8_t key[static TV_NOISE_KEY_BYTES],
                                   trove_error *error) {
    char *address = NULL;
    trove_status status = tvc_known_servers_address(url, &address, error);
    if (status != TROVE_OK)
        return status;
    char *real = real_path(path);
    int folder_fd = -1;
    status = real != NULL ? open_folder(real, &folder_fd, error)
                          : TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to write %.300s", path);
    if (status == TROVE_OK) {
        status = add(folder_fd, real, address, key, error);
        close(folder_fd);
    }
    free(real);
    free(address);
    return status;
}
