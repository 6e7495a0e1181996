/* interrupt.c - see interrupt.h. */
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const int handled[] = {SIGINT, SIGTERM, SIGHUP};
enum {
    HANDLED_COUNT = sizeof handled / sizeof handled[0],
    ABORTS_MAX = 4,
    ABORT_TIMEOUT_MS = 500,
};

/* False: it stays. */
static bool remove_unless_worth(const struct cli_unfinished *file, bool can_go_on) {
    if (file->nameless)
        return true; /* it goes with its descriptor */
    if (file->resumable && can_go_on && cli_part_is_worth(file->folder_fd, file->name))
        return false;
    unlinkat(file->folder_fd, file->name, 0);
    return true;
}

/* One after the other, and all of them in a moment: what the server isn't told of expires there. */
static void throw_away(struct cli_interrupt *interrupt) {
    unsigned calls = 0;
    for (const struct cli_parked *upload = interrupt->uploads; upload != NULL && calls < ABORTS_MAX; upload = upload->next) {
        if (upload->remembered || upload->id[0] == 0)
            continue;
        (void)!trove_upload_abort(interrupt->client, upload->id, ABORT_TIMEOUT_MS, NULL);
        calls++;
    }
}

static bool has_remembered(const struct cli_interrupt *interrupt) {
    const struct cli_parked *upload = interrupt->uploads;
    while (upload != NULL && !(upload->remembered && upload->id[0] != 0))
        upload = upload->next;
    return upload != NULL;
}

static void *wait_for_signal(void *context) {
    struct cli_interrupt *interrupt = context;
    int number = 0;
    if (sigwait(&interrupt->signals, &number) != 0)
        return NULL;
    /* A regular end that crosses the signal must not stop this halfway: it waits, and the process ends here. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_mutex_lock(&interrupt->lock);
    bool left = has_remembered(interrupt);
    for (const struct cli_unfinished *file = interrupt->files; file != NULL; file = file->next)
        left |= !remove_unless_worth(file, true);
    if (interrupt->has_terminal)
        tcsetattr(STDIN_FILENO, TCSANOW, &interrupt->terminal);

    for (size_t i = 0; i < HANDLED_COUNT; i++)
        signal(handled[i], SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &interrupt->signals, NULL);
    cli_output_abandon(interrupt->output, interrupt->action, 128 + number,
                       left ? "interrupted; run the same command again, and it goes on where this one was"
                            : "interrupted; nothing half-done is left");
    throw_away(interrupt); /* whose put says nothing of it any more */
    _exit(128 + number);
}

void cli_interrupt_init(struct cli_interrupt *interrupt, struct cli_output *output) {
    mode_t mask = umask(0);
    umask(mask);
    *interrupt = (struct cli_interrupt){.output = output, .action = "trove", .new_file_mode = 0666 & ~mask};
    pthread_mutex_init(&interrupt->lock, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&interrupt->signals);
    for (size_t i = 0; i < HANDLED_COUNT; i++) {
        struct sigaction action;
        if (sigaction(handled[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&interrupt->signals, handled[i]);
    }
    pthread_sigmask(SIG_BLOCK, &interrupt->signals, NULL);
    interrupt->running = pthread_create(&interrupt->thread, NULL, wait_for_signal, interrupt) == 0;
    /* Without the thread the signals do what they do by default, which is better than nothing happening at all. */
    if (!interrupt->running)
        pthread_sigmask(SIG_UNBLOCK, &interrupt->signals, NULL);
}

void cli_interrupt_fini(struct cli_interrupt *interrupt) {
    if (interrupt->running) {
        pthread_cancel(interrupt->thread);
        pthread_join(interrupt->thread, NULL);
    }
    pthread_mutex_destroy(&interrupt->lock);
}

void cli_interrupt_names(struct cli_interrupt *interrupt, const char *action) {
    pthread_mutex_lock(&interrupt->lock);
    interrupt->action = action;
    pthread_mutex_unlock(&interrupt->lock);
}

void cli_interrupt_keep_terminal(struct cli_interrupt *interrupt, const struct termios *before) {
    pthread_mutex_lock(&interrupt->lock);
    interrupt->has_terminal = true;
    interrupt->terminal = *before;
    pthread_mutex_unlock(&interrupt->lock);
}

void cli_interrupt_connected(struct cli_interrupt *interrupt, trove_client *client) {
    pthread_mutex_lock(&interrupt->lock);
    interrupt->client = client;
    pthread_mutex_unlock(&interrupt->lock);
}

void cli_interrupt_park_begin(struct cli_interrupt *interrupt, struct cli_parked *parked) {
    pthread_mutex_lock(&interrupt->lock);
    parked->previous = NULL;
    parked->next = interrupt->uploads;
    if (parked->next != NULL)
        parked->next->previous = parked;
    interrupt->uploads = parked;
    pthread_mutex_unlock(&interrupt->lock);
}

void cli_interrupt_park_named(struct cli_interrupt *interrupt, struct cli_parked *parked, const char *id) {
    pthread_mutex_lock(&interrupt->lock);
    snprintf(parked->id, sizeof parked->id, "%s", id);
    pthread_mutex_unlock(&interrupt->lock);
}

void cli_interrupt_park_end(struct cli_interrupt *interrupt, struct cli_parked *parked) {
    pthread_mutex_lock(&interrupt->lock);
    if (parked->previous != NULL)
        parked->previous->next = parked->next;
    else
        interrupt->uploads = parked->next;
    if (parked->next != NULL)
        parked->next->previous = parked->previous;
    pthread_mutex_unlock(&interrupt->lock);
}

static void forget(struct cli_interrupt *interrupt, struct cli_unfinished *file) {
    if (file->previous != NULL)
        file->previous->next = file->next;
    else
        interrupt->files = file->next;
    if (file->next != NULL)
        file->next->previous = file->previous;
}

static void remember(struct cli_interrupt *interrupt, struct cli_unfinished *file) {
    file->previous = NULL;
    file->next = interrupt->files;
    if (file->next != NULL)
        file->next->previous = file;
    interrupt->files = file;
}

static void descriptor_path(int fd, char path[static 32]) {
    snprintf(path, 32, "/proc/self/fd/%d", fd);
}

/* -1: this file system has no such files, or there is no /proc to name them by later. */
static int create_nameless(int folder_fd) {
    char path[32];
    int fd = openat(folder_fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    descriptor_path(fd, path);
    if (access(path, F_OK) == 0)
        return fd;
    close(fd);
    return -1;
}

int cli_interrupt_create(struct cli_interrupt *interrupt, struct cli_unfinished *file) {
    pthread_mutex_lock(&interrupt->lock);
    int fd = create_nameless(file->folder_fd);
    file->nameless = fd >= 0;
    if (fd < 0)
        fd = openat(file->folder_fd, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int error_number = errno;
    if (fd >= 0)
        remember(interrupt, file);
    pthread_mutex_unlock(&interrupt->lock);
    errno = error_number;
    return fd;
}

int cli_interrupt_take(struct cli_interrupt *interrupt, struct cli_unfinished *file) {
    pthread_mutex_lock(&interrupt->lock);
    int fd = cli_part_open(file->folder_fd, file->name);
    file->resumable = fd >= 0;
    if (fd >= 0)
        remember(interrupt, file);
    pthread_mutex_unlock(&interrupt->lock);
    return fd;
}

/* By way of a name of its own, for a link can't take that of a file that is there already. */
int cli_interrupt_name(struct cli_interrupt *interrupt, struct cli_unfinished *file, int fd) {
    char path[32];
    descriptor_path(fd, path);
    pthread_mutex_lock(&interrupt->lock);
    int error_number = 0;
    if (file->nameless && linkat(AT_FDCWD, path, file->folder_fd, file->name, AT_SYMLINK_FOLLOW) != 0)
        error_number = errno;
    file->nameless = file->nameless && error_number != 0;
    pthread_mutex_unlock(&interrupt->lock);
    return error_number;
}

int cli_interrupt_commit(struct cli_interrupt *interrupt, struct cli_unfinished *file, const char *name) {
    pthread_mutex_lock(&interrupt->lock);
    int error_number = renameat(file->folder_fd, file->name, file->folder_fd, name) == 0 ? 0 : errno;
    if (error_number == 0)
        forget(interrupt, file);
    pthread_mutex_unlock(&interrupt->lock);
    return error_number;
}

bool cli_interrupt_drop(struct cli_interrupt *interrupt, struct cli_unfinished *file, bool can_go_on) {
    pthread_mutex_lock(&interrupt->lock);
    bool left = !remove_unless_worth(file, can_go_on);
    forget(interrupt, file);
    pthread_mutex_unlock(&interrupt->lock);
    return left;
}
