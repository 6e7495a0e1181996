/* folder.c - see folder.h. */
#include "folder.h"

#include "failure.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int by_name(const FTSENT **left, const FTSENT **right) {
    return strcmp((*left)->fts_name, (*right)->fts_name);
}

static void visit(const FTSENT *entry, size_t root_bytes, const struct cli_folder_visitor *visitor) {
    const char *path = entry->fts_path;
    trove_error error;
    switch (entry->fts_info) {
    case FTS_F:
        visitor->on_file(visitor->context, path, path + root_bytes + strspn(path + root_bytes, "/"),
                         (uint64_t)entry->fts_statp->st_size);
        return;
    case FTS_SL:
        visitor->on_skipped(visitor->context, path, "a symbolic link; --follow takes what links point to");
        return;
    case FTS_DEFAULT:
        visitor->on_skipped(visitor->context, path, "neither a file nor a folder");
        return;
    case FTS_SLNONE:
        cli_error_set(&error, TROVE_NOT_FOUND, "the symbolic link points to nothing");
        break;
    case FTS_DC:
        cli_error_set(&error, TROVE_FAILED_PRECONDITION, "the symbolic link leads back to a folder above it");
        break;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        cli_error_errno(&error, entry->fts_errno, "it can't be read");
        break;
    default:
        return;
    }
    visitor->on_error(visitor->context, path, &error);
}

void cli_folder_walk(const char *folder, bool follow_links, const struct cli_folder_visitor *visitor) {
    char *const roots[] = {(char *)(uintptr_t)folder, NULL};
    int mode = follow_links ? FTS_LOGICAL : FTS_PHYSICAL | FTS_COMFOLLOW;
    trove_error error;
    FTS *walk = fts_open(roots, mode | FTS_NOCHDIR, by_name);
    if (walk == NULL) {
        cli_error_errno(&error, errno, "it can't be read");
        visitor->on_error(visitor->context, folder, &error);
        return;
    }
    size_t root_bytes = strlen(folder);
    errno = 0;
    for (const FTSENT *entry = fts_read(walk); entry != NULL; entry = fts_read(walk)) {
        visit(entry, root_bytes, visitor);
        errno = 0;
    }
    if (errno != 0) {
        cli_error_errno(&error, errno, "it can't be read to its end");
        visitor->on_error(visitor->context, folder, &error);
    }
    fts_close(walk);
}

trove_status cli_folder_make(const char *path, int *folder_fd, trove_error *error) {
    char *partial = cli_copy(path);
    for (char *slash = *partial != 0 ? strchr(partial + 1, '/') : NULL; slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(partial, 0777);
        *slash = '/';
    }
    mkdir(partial, 0777);
    free(partial);
    /* What went wrong on the way shows here. */
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return cli_error_errno(error, errno, "folder %s can't be made or entered", path);
    *folder_fd = fd;
    return TROVE_OK;
}

trove_status cli_folder_make_above(const char *file, trove_error *error) {
    char *copy = cli_copy(file);
    trove_status status = TROVE_OK;
    for (char *slash = strchr(copy + 1, '/'); status == TROVE_OK && slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            status = cli_error_errno(error, errno, "the folder %s can't be made", copy);
        *slash = '/';
    }
    free(copy);
    return status;
}
