/* target.c - see target.h. */
#include "target.h"

#include "local_path.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FOLDER_FLAGS = O_PATH | O_DIRECTORY | O_CLOEXEC,
    NAME_TRIES = 16,
    READER_STEP_MS = 50,
};

static bool draw_name(struct cli_target *target) {
    unsigned long long number = 0;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return false;
    snprintf(target->unfinished.name, sizeof target->unfinished.name, ".trove-%016llx.part", number);
    return true;
}

static trove_status create_unfinished(struct cli_target *target, trove_error *error) {
    target->unfinished.folder_fd = target->folder_fd;
    for (int i = 0; i < NAME_TRIES; i++) {
        if (!draw_name(target))
            return cli_error_errno(error, errno, "no random numbers for a file name");
        target->fd = cli_interrupt_create(target->interrupt, &target->unfinished);
        if (target->fd >= 0)
            return TROVE_OK;
        if (errno != EEXIST)
            break;
    }
    return cli_error_errno(error, errno, "no file can be made in the folder of %s", target->name);
}

/* False: it can't be had, and a new one is made instead. */
static bool take_unfinished(struct cli_target *target, const struct cli_resume *resume) {
    target->unfinished.folder_fd = target->folder_fd;
    cli_part_name(target->name, resume->object, target->unfinished.name);
    if (resume->anew) {
        cli_part_remove(target->folder_fd, target->unfinished.name);
        return false;
    }
    target->fd = cli_interrupt_take(target->interrupt, &target->unfinished);
    if (target->fd < 0)
        return false;
    target->lock_fd = fcntl(target->fd, F_DUPFD_CLOEXEC, 0);
    if (target->lock_fd >= 0)
        return true;
    cli_interrupt_drop(target->interrupt, &target->unfinished, true);
    target->unfinished.resumable = false;
    close(target->fd);
    return false;
}

/* Takes folder_fd over in any case. */
static trove_status open_in_folder(struct cli_target *target, struct cli_interrupt *interrupt, int folder_fd, const char *name,
                                   const struct cli_resume *resume, trove_error *error) {
    *target = (struct cli_target){.interrupt = interrupt,
                                  .fd = -1,
                                  .lock_fd = -1,
                                  .folder_fd = folder_fd,
                                  .name = cli_copy(name),
                                  .mode = interrupt->new_file_mode};
    struct stat existing;
    if (fstatat(folder_fd, name, &existing, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(existing.st_mode)) {
            close(folder_fd);
            cli_error_set(error, TROVE_FAILED_PRECONDITION, "%s is a folder already", name);
            free(target->name);
            return error->status;
        }
        /* A file that was readable by its owner alone doesn't become public by being replaced. */
        if (S_ISREG(existing.st_mode))
            target->mode = existing.st_mode & 0777;
    }
    if (resume != NULL && take_unfinished(target, resume))
        return TROVE_OK;
    trove_status status = create_unfinished(target, error);
    if (status != TROVE_OK) {
        close(folder_fd);
        free(target->name);
    }
    return status;
}

/* A pipe can be opened when somebody reads it, and nothing tells when that is. */
static int open_pipe(const char *path, uint32_t timeout_ms) {
    for (uint64_t waited_ms = 0;; waited_ms += READER_STEP_MS) {
        int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 || errno != ENXIO || (timeout_ms != TROVE_NO_TIMEOUT && waited_ms >= timeout_ms))
            return fd;
        usleep(READER_STEP_MS * 1000);
    }
}

static trove_status open_special(struct cli_target *target, const char *path, bool is_pipe, uint32_t timeout_ms,
                                 trove_error *error) {
    int fd = is_pipe ? open_pipe(path, timeout_ms) : open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && is_pipe && errno == ENXIO)
        return cli_error_set(error, TROVE_DEADLINE_EXCEEDED, "nobody has read %s for %g s", path, timeout_ms / 1000.0);
    if (fd < 0)
        return cli_error_errno(error, errno, "%s can't be opened", path);
    *target = (struct cli_target){.fd = fd, .lock_fd = -1, .folder_fd = -1};
    return TROVE_OK;
}

/* Opened anew, for whether it blocks belongs to what others share with us: the shell, and whoever else writes to the same pipe.
 * Where that can't be done (no /proc, another user's pipe) it blocks. */
static void unblock_stdout(void) {
    struct stat found;
    if (fstat(STDOUT_FILENO, &found) != 0 || !S_ISFIFO(found.st_mode))
        return;
    int fd = open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    dup2(fd, STDOUT_FILENO);
    close(fd);
}

struct cli_target cli_target_stdout(void) {
    unblock_stdout();
    return (struct cli_target){.fd = STDOUT_FILENO, .lock_fd = -1, .folder_fd = -1};
}

trove_status cli_target_open(struct cli_target *target, struct cli_context *context, const char *path, const char *default_name,
                             const struct cli_resume *resume, trove_error *error) {
    if (strcmp(path, "-") == 0) {
        *target = cli_target_stdout();
        return TROVE_OK;
    }
    struct stat existing;
    bool exists = stat(path, &existing) == 0;
    bool is_folder = exists && S_ISDIR(existing.st_mode);
    const char *refusal = is_folder ? cli_local_path_refusal(default_name) : NULL;
    if (refusal != NULL)
        return cli_error_set(error, TROVE_FAILED_PRECONDITION, "the key's last part can't be a file's name: %s", refusal);
    if (exists && !is_folder && !S_ISREG(existing.st_mode))
        return open_special(target, path, S_ISFIFO(existing.st_mode), context->io_timeout_ms, error);
    if (!exists && path[strlen(path) - 1] == '/')
        return cli_error_set(error, TROVE_NOT_FOUND, "folder %s doesn't exist", path);

    /* The link's end is what gets replaced, never the link: that may be /dev/stdout. */
    char *real = exists && !is_folder ? realpath(path, NULL) : NULL;
    char *for_folder = cli_copy(real != NULL ? real : path);
    char *for_name = cli_copy(real != NULL ? real : path);
    const char *folder = is_folder ? path : dirname(for_folder);
    const char *name = is_folder ? default_name : basename(for_name);
    trove_status status = TROVE_OK;
    int folder_fd = open(folder, FOLDER_FLAGS);
    if (folder_fd < 0)
        status = cli_error_errno(error, errno, "folder %s can't be entered", folder);
    else
        status = open_in_folder(target, &context->interrupt, folder_fd, name, resume, error);
    free(for_folder);
    free(for_name);
    free(real);
    return status;
}

/* Enters `name` below `parent_fd`, making it if need be. Returns the descriptor or -1 with errno set. */
static int enter(int parent_fd, const char *name) {
    int fd = openat(parent_fd, name, FOLDER_FLAGS | O_NOFOLLOW);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    /* Another worker may make the same folder at the same time. */
    if (mkdirat(parent_fd, name, 0777) != 0 && errno != EEXIST)
        return -1;
    return openat(parent_fd, name, FOLDER_FLAGS | O_NOFOLLOW);
}

trove_status cli_target_open_below(struct cli_target *target, struct cli_context *context, int folder_fd, const char *relative,
                                   const struct cli_resume *resume, trove_error *error) {
    char *parts = cli_copy(relative);
    int fd = openat(folder_fd, ".", FOLDER_FLAGS);
    trove_status status = fd >= 0 ? TROVE_OK : cli_error_errno(error, errno, "the folder can't be entered");
    char *part = parts;
    for (char *slash = strchr(part, '/'); status == TROVE_OK && slash != NULL; slash = strchr(part, '/')) {
        *slash = 0;
        int next_fd = enter(fd, part);
        if (next_fd < 0 && (errno == ENOTDIR || errno == ELOOP))
            status = cli_error_set(error, TROVE_FAILED_PRECONDITION,
                                   "%s is a file or a symbolic link here, not a folder; it isn't followed", part);
        else if (next_fd < 0)
            status = cli_error_errno(error, errno, "folder %s can't be entered", part);
        close(fd);
        fd = next_fd;
        part = slash + 1;
    }
    if (status == TROVE_OK)
        status = open_in_folder(target, &context->interrupt, fd, part, resume, error);
    free(parts);
    return status;
}

static void close_target(struct cli_target *target) {
    if (target->fd >= 0 && target->fd != STDOUT_FILENO)
        close(target->fd);
    if (target->lock_fd >= 0)
        close(target->lock_fd);
    if (target->folder_fd >= 0)
        close(target->folder_fd);
    free(target->name);
    *target = (struct cli_target){.fd = -1, .lock_fd = -1, .folder_fd = -1};
}

/* One that has no name yet gets its unfinished one. Returns 0 or an errno. */
static int name_unfinished(struct cli_target *target) {
    int error_number = EEXIST;
    for (int i = 0; i < NAME_TRIES && error_number == EEXIST && (i == 0 || draw_name(target)); i++)
        error_number = cli_interrupt_name(target->interrupt, &target->unfinished, target->fd);
    return error_number;
}

trove_status cli_target_publish(struct cli_target *target, trove_error *error) {
    trove_status status = TROVE_OK;
    if (target->folder_fd >= 0) {
        /* Late errors of network file systems come out at the close. */
        int error_number = fchmod(target->fd, target->mode) == 0 ? name_unfinished(target) : errno;
        if (close(target->fd) != 0 && error_number == 0)
            error_number = errno;
        target->fd = -1;
        if (error_number == 0)
            error_number = cli_interrupt_commit(target->interrupt, &target->unfinished, target->name);
        if (error_number != 0) {
            status = cli_error_errno(error, error_number, "%s can't be written", target->name);
            cli_interrupt_drop(target->interrupt, &target->unfinished, false);
        }
    }
    close_target(target);
    return status;
}

bool cli_target_discard(struct cli_target *target, trove_status status) {
    bool left = target->folder_fd >= 0 && cli_interrupt_drop(target->interrupt, &target->unfinished, cli_part_can_go_on(status));
    close_target(target);
    return left;
}
