/* audit.c - see audit.h.
 *
 * Two buffers: one is filled under the lock while the thread writes the other one out, without it. The file belongs to that
 * thread; a new one is handed to it.
 */
#include "audit.h"

#include "folder.h"
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES (TVS_AUDIT_BYTES_MAX / 2)
#define END_S        5

_Static_assert(2 * TVS_AUDIT_LINE_BYTES_MAX <= BUFFER_BYTES, "a line, and one that says how many were lost, fit");

struct buffer {
    size_t used;
    uint64_t lines; /* in it, and those that it says are lost: so many are lost with it */
    char bytes[BUFFER_BYTES];
};

struct tvs_audit {
    /* constant */
    char *path; /* NULL: the log */
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    struct buffer *filling;
    uint64_t lost;
    int next_fd; /* -1: none */
    bool ending;
    bool ended; /* the thread is done with everything, and about to return */

    /* the thread's */
    struct buffer *writing;
    int fd;
    bool failing; /* has been said */
    struct buffer buffers[2];
};

/* ---- the file ---- */

static trove_status open_file(const char *path, int *fd_out, trove_error *error) {
    struct stat info;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        return tv_error_errno(error, errno, "opening the audit log %s", path);
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return TV_FAIL(error, FAILED_PRECONDITION, "the audit log %s is no regular file", path);
    }
    *fd_out = fd;
    return TROVE_OK;
}

trove_status tvs_audit_check(const char *place, trove_error *error) {
    struct stat info;
    if (strcmp(place, TVS_AUDIT_LOG) == 0)
        return TROVE_OK;
    if (place[0] != '/')
        return TV_FAIL(error, INVALID_ARGUMENT, "\"%.200s\" is neither a path that begins with / nor \"%s\"", place,
                       TVS_AUDIT_LOG);
    if (lstat(place, &info) == 0) {
        if (!S_ISREG(info.st_mode))
            return TV_FAIL(error, FAILED_PRECONDITION, "%s is no regular file", place);
        return access(place, W_OK) == 0 ? TROVE_OK : tv_error_errno(error, errno, "%s can't be written to", place);
    }
    char *folder = strndup(place, place == strrchr(place, '/') ? 1 : (size_t)(strrchr(place, '/') - place));
    if (folder == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the path of the audit log");
    trove_status status = tv_folder_check(folder, 0, error);
    free(folder);
    return status;
}

/* False: not all of it could be written; what is lost may end inside a line. */
static bool write_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(fd, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

/* ---- the thread ---- */

static void say_failure(struct tvs_audit *audit, int error_number, uint64_t lines) {
    struct tvs_log_line line;
    if (audit->failing)
        return;
    audit->failing = true;
    tvs_log_begin(&line, TVS_LOG_ERROR, "the audit log can't be written; lines are lost until it can");
    tvs_log_text(&line, "path", audit->path);
    tvs_log_text(&line, "error", strerrordesc_np(error_number));
    tvs_log_number(&line, "lines", lines);
    tvs_log_end(&line);
}

/* Returns how many lines are lost. */
static uint64_t write_out(struct tvs_audit *audit) {
    struct buffer *buffer = audit->writing;
    off_t before = lseek(audit->fd, 0, SEEK_END);
    uint64_t lost = 0;
    if (buffer->used > 0 && !write_all(audit->fd, buffer->bytes, buffer->used)) {
        int error_number = errno;
        lost = buffer->lines;
        say_failure(audit, error_number, lost);
        if (before >= 0 && ftruncate(audit->fd, before) != 0) /* half a line would spoil the next one */
            (void)!write(audit->fd, "\n", 1);
    } else if (buffer->used > 0) {
        audit->failing = false;
    }
    buffer->used = 0;
    buffer->lines = 0;
    return lost;
}

static void take_file_locked(struct tvs_audit *audit) {
    if (audit->next_fd < 0)
        return;
    close(audit->fd);
    audit->fd = audit->next_fd;
    audit->next_fd = -1;
}

static void append_locked(struct tvs_audit *audit, const char *text, size_t bytes, uint64_t lines) {
    memcpy(audit->filling->bytes + audit->filling->used, text, bytes);
    audit->filling->used += bytes;
    audit->filling->lines += lines;
}

/* That lines were lost is said before the next one, when there is room for both. */
static bool say_lost_locked(struct tvs_audit *audit, size_t bytes) {
    char text[512];
    struct tvs_log_line line;
    if (audit->lost == 0)
        return true;
    tvs_log_begin_record(&line, "audit", text, sizeof text);
    tvs_log_text(&line, "event", "lost");
    tvs_log_number(&line, "lines", audit->lost);
    size_t said_bytes = tvs_log_finish(&line);
    if (said_bytes + bytes > BUFFER_BYTES - audit->filling->used)
        return false;
    append_locked(audit, text, said_bytes, audit->lost);
    audit->lost = 0;
    return true;
}

static void *run(void *argument) {
    struct tvs_audit *audit = argument;
    bool said_last = false;
    pthread_mutex_lock(&audit->lock);
    for (;;) {
        while (audit->filling->used == 0 && audit->next_fd < 0 && !audit->ending)
            pthread_cond_wait(&audit->changed, &audit->lock);
        take_file_locked(audit);
        if (audit->filling->used == 0 && audit->ending) {
            if (said_last || audit->lost == 0)
                break;
            said_last = say_lost_locked(audit, 0); /* once: it may be lost, too */
        }
        struct buffer *full = audit->filling;
        audit->filling = audit->writing;
        audit->writing = full;
        pthread_mutex_unlock(&audit->lock);
        uint64_t lost = write_out(audit);
        pthread_mutex_lock(&audit->lock);
        audit->lost += lost;
    }
    audit->ended = true;
    pthread_cond_broadcast(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
    return NULL;
}

/* ---- life ---- */

static struct tvs_audit *create(void) {
    struct tvs_audit *audit = calloc(1, sizeof *audit);
    pthread_condattr_t clock;
    if (audit == NULL)
        return NULL;
    audit->fd = audit->next_fd = -1;
    audit->filling = &audit->buffers[0];
    audit->writing = &audit->buffers[1];
    pthread_mutex_init(&audit->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&audit->changed, &clock);
    pthread_condattr_destroy(&clock);
    return audit;
}

static void destroy(struct tvs_audit *audit) {
    if (audit->fd >= 0)
        close(audit->fd);
    if (audit->next_fd >= 0)
        close(audit->next_fd);
    pthread_cond_destroy(&audit->changed);
    pthread_mutex_destroy(&audit->lock);
    free(audit->path);
    free(audit);
}

trove_status tvs_audit_create(const char *place, struct tvs_audit **audit_out, trove_error *error) {
    trove_status status = tvs_audit_check(place, error);
    if (status != TROVE_OK)
        return status;
    struct tvs_audit *audit = create();
    bool to_log = strcmp(place, TVS_AUDIT_LOG) == 0;
    if (audit == NULL || (!to_log && (audit->path = strdup(place)) == NULL)) {
        if (audit != NULL)
            destroy(audit);
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the audit log");
    }
    if (!to_log)
        status = open_file(place, &audit->fd, error);
    if (status == TROVE_OK && !to_log)
        status = tv_thread_start("audit", run, audit, &audit->thread, error);
    if (status != TROVE_OK)
        destroy(audit);
    else
        *audit_out = audit;
    return status;
}

trove_status tvs_audit_reopen(struct tvs_audit *audit, trove_error *error) {
    int fd = -1;
    if (audit->path == NULL)
        return TROVE_OK;
    trove_status status = open_file(audit->path, &fd, error);
    if (status != TROVE_OK)
        return status;
    pthread_mutex_lock(&audit->lock);
    if (audit->next_fd >= 0)
        close(audit->next_fd);
    audit->next_fd = fd;
    pthread_cond_broadcast(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
    return TROVE_OK;
}

/* Where its thread hangs in the disk it is left behind, with its memory. */
void tvs_audit_destroy(struct tvs_audit *audit) {
    if (audit == NULL)
        return;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += END_S;
    pthread_mutex_lock(&audit->lock);
    audit->ending = true;
    pthread_cond_broadcast(&audit->changed);
    int code = 0;
    while (audit->path != NULL && !audit->ended && code == 0)
        code = pthread_cond_timedwait(&audit->changed, &audit->lock, &end);
    bool done = audit->path == NULL || audit->ended;
    pthread_mutex_unlock(&audit->lock);
    if (audit->path != NULL && done)
        pthread_join(audit->thread, NULL);
    if (done)
        destroy(audit);
}

/* ---- lines ---- */

void tvs_audit_begin(struct tvs_audit_line *line, const char *event) {
    tvs_log_begin_record(&line->line, "audit", line->text, sizeof line->text);
    tvs_log_text(&line->line, "event", event);
}

void tvs_audit_end(struct tvs_audit *audit, struct tvs_audit_line *line) {
    size_t bytes = tvs_log_finish(&line->line);
    if (audit->path == NULL) {
        tvs_log_write(line->text, bytes);
        return;
    }
    pthread_mutex_lock(&audit->lock);
    if (bytes <= BUFFER_BYTES - audit->filling->used && say_lost_locked(audit, bytes))
        append_locked(audit, line->text, bytes, 1);
    else
        audit->lost++;
    pthread_cond_signal(&audit->changed);
    pthread_mutex_unlock(&audit->lock);
}
