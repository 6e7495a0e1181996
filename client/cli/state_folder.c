/* state_folder.c - see state_folder.h. */
#include "state_folder.h"

#include "failure.h"
#include "part.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    ENTRIES_MAX = 10000, /* that are looked at */
    MONTH_S = 30 * 24 * 3600,
};

/* Neither may be relative: the XDG specification has it ignored. NULL: there is none. The caller's to free. */
static char *path(void) {
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (state != NULL && *state == '/')
        return cli_format("%s/trove/uploads", state);
    return home != NULL && *home == '/' ? cli_format("%s/.local/state/trove/uploads", home) : NULL;
}

/* All folders on the way. */
static int make(char *folder) {
    for (char *slash = strchr(folder + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = 0;
        int failed = mkdir(folder, 0700) == 0 ? 0 : errno;
        struct stat found;
        if (failed != 0 && stat(folder, &found) == 0 && S_ISDIR(found.st_mode))
            failed = 0;
        if (slash == NULL || failed != 0)
            return failed;
        *slash = '/';
    }
}

static trove_status check(int fd, const char *folder, trove_error *error) {
    struct stat found;
    if (fstat(fd, &found) != 0)
        return cli_error_errno(error, errno, "%s", folder);
    if (found.st_uid != geteuid())
        return cli_error_set(error, TROVE_FAILED_PRECONDITION, "%s belongs to somebody else", folder);
    if ((found.st_mode & 077) != 0 && fchmod(fd, 0700) != 0)
        return cli_error_errno(error, errno, "others may look into %s, and that can't be changed", folder);
    return TROVE_OK;
}

static void remove_old(int folder_fd) {
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (entries == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    time_t now = time(NULL);
    const struct dirent *entry;
    for (unsigned i = 0; i < ENTRIES_MAX && (entry = readdir(entries)) != NULL; i++) {
        struct stat found;
        if (fstatat(folder_fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(found.st_mode) &&
            found.st_mtime < now - MONTH_S)
            cli_part_remove(folder_fd, entry->d_name);
    }
    closedir(entries);
}

trove_status cli_state_folder_open(int *folder_fd, trove_error *error) {
    char *folder = path();
    if (folder == NULL)
        return cli_error_set(error, TROVE_FAILED_PRECONDITION, "neither XDG_STATE_HOME nor HOME is set");
    trove_status status = TROVE_OK;
    int fd = -1;
    int failed = make(folder);
    if (failed != 0)
        status = cli_error_errno(error, failed, "%s can't be made", folder);
    else if ((fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        status = cli_error_errno(error, errno, "%s can't be opened", folder);
    else
        status = check(fd, folder, error);
    if (status == TROVE_OK) {
        remove_old(fd);
        *folder_fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
    free(folder);
    return status;
}
