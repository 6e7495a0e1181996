/* troved.c - see troved.h. One thread of its own per server, which reads the log. */
#include "troved.h"

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define READY_MS      60000
#define END_MS        60000
#define ARGUMENTS_MAX (16 + 2 * TROVED_LISTEN_MAX)
#define TEXT_BYTES    512
#define LOG_BYTES_MAX (256 * 1024)

struct troved {
    pid_t pid;
    char folder[TEXT_BYTES];
    char urls[TROVED_LISTEN_MAX][TEXT_BYTES];
    bool asked_to_end;
    bool held;
    int log_fd;
    pthread_t log_thread;
    char *log; /* the thread's until it has ended; its first LOG_BYTES_MAX */
    size_t log_bytes;
};

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether there is something to read by then. */
static bool readable_by(int fd, int64_t until_ms) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int64_t left_ms;
    int found;
    do {
        left_ms = until_ms - now_ms();
        found = poll(&wait, 1, left_ms > 0 ? (int)left_ms : 0);
    } while (found < 0 && errno == EINTR);
    return found == 1;
}

/* ---- the folder ---- */

void troved_remove_folder(const char *folder) {
    assert_true(scratch_remove(folder));
}

/* Puts the folder in the place of %s. */
static void expand(const char *text, const char *folder, char *out) {
    const char *at = strstr(text, "%s");
    int written = at == NULL ? snprintf(out, TEXT_BYTES, "%s", text)
                             : snprintf(out, TEXT_BYTES, "%.*s%s%s", (int)(at - text), text, folder, at + 2);
    assert_in_range(written, 0, TEXT_BYTES - 1);
}

/* ---- the log ---- */

static void keep_log(struct troved *troved, const char *bytes, size_t count) {
    size_t room = LOG_BYTES_MAX - troved->log_bytes;
    if (count > room)
        count = room;
    memcpy(troved->log + troved->log_bytes, bytes, count);
    troved->log_bytes += count;
}

static void *read_log(void *argument) {
    struct troved *troved = argument;
    char bytes[4096];
    ssize_t count;
    while ((count = read(troved->log_fd, bytes, sizeof bytes)) > 0 || (count < 0 && errno == EINTR))
        if (count > 0)
            keep_log(troved, bytes, (size_t)count);
    return NULL;
}

static void print_log(const struct troved *troved) {
    fprintf(stderr, "---- log of troved (pid %d) ----\n%.*s----\n", (int)troved->pid, (int)troved->log_bytes, troved->log);
}

/* The value of listen= in the line that says ready; NULL while it isn't there. */
static const char *find_ready(struct troved *troved) {
    troved->log[troved->log_bytes] = '\0';
    char *line = strstr(troved->log, "msg=ready ");
    if (line == NULL || strchr(line, '\n') == NULL)
        return NULL;
    char *listen = strstr(line, "listen=");
    return listen != NULL ? listen + strlen("listen=") : NULL;
}

/* A long value is quoted. */
static void note_urls(struct troved *troved, const char *value) {
    bool quoted = *value == '"';
    value += quoted;
    size_t left = strcspn(value, quoted ? "\"\n" : " \n");
    for (unsigned i = 0; i < TROVED_LISTEN_MAX && left > 0; i++) {
        const char *comma = memchr(value, ',', left);
        size_t bytes = comma != NULL ? (size_t)(comma - value) : left;
        snprintf(troved->urls[i], TEXT_BYTES, "%.*s", (int)bytes, value);
        bytes += comma != NULL;
        value += bytes;
        left -= bytes;
    }
}

/* Reads the log until it says ready. */
static void wait_until_ready(struct troved *troved) {
    const char *listen;
    int64_t until_ms = now_ms() + READY_MS;
    while ((listen = find_ready(troved)) == NULL) {
        char bytes[4096];
        ssize_t count = readable_by(troved->log_fd, until_ms) ? read(troved->log_fd, bytes, sizeof bytes) : 0;
        if (count <= 0) {
            print_log(troved);
            kill(troved->pid, SIGKILL);
            waitpid(troved->pid, NULL, 0);
            fail_msg("troved didn't get ready");
        }
        keep_log(troved, bytes, (size_t)count);
    }
    note_urls(troved, listen);
}

/* ---- the process ---- */

static void write_config(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* In the child: only what is allowed between fork and exec. It dies with the test, however that ends. */
static void become_troved(char **arguments, int log_fd, pid_t parent) {
    sigset_t none;
    int null_fd = open("/dev/null", O_RDWR);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 && dup2(null_fd, STDOUT_FILENO) >= 0 &&
        dup2(log_fd, STDERR_FILENO) >= 0)
        execv(arguments[0], arguments);
    _exit(127);
}

static void spawn(struct troved *troved, char **arguments) {
    int ends[2];
    pid_t parent = getpid();
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    troved->pid = fork();
    assert_true(troved->pid >= 0);
    if (troved->pid == 0)
        become_troved(arguments, ends[1], parent);
    close(ends[1]);
    troved->log_fd = ends[0];
}

/* exec's strings aren't const, but nobody writes to them. */
static char *word(const char *text) {
    return (char *)(uintptr_t)text;
}

struct troved *troved_start(const struct troved_options *options, const char *folder) {
    struct troved *troved = calloc(1, sizeof *troved);
    assert_non_null(troved);
    troved->log = malloc(LOG_BYTES_MAX + 1);
    assert_non_null(troved->log);
    if (folder != NULL)
        expand(folder, "", troved->folder);
    else
        assert_true(scratch_make(troved->folder));
    char texts[TROVED_LISTEN_MAX + 2][TEXT_BYTES];
    char *arguments[ARGUMENTS_MAX];
    unsigned count = 0;
    const char *program = getenv("TROVED");
    arguments[count++] = word(program != NULL ? program : TROVED_PROGRAM);
    arguments[count++] = word("--insecure");
    arguments[count++] = word("--store");
    expand(options->store != NULL ? options->store : "mem://", troved->folder, texts[TROVED_LISTEN_MAX]);
    arguments[count++] = texts[TROVED_LISTEN_MAX];
    if (options->config != NULL) {
        expand("%s/troved.yaml", troved->folder, texts[TROVED_LISTEN_MAX + 1]);
        write_config(texts[TROVED_LISTEN_MAX + 1], options->config);
        arguments[count++] = word("--config");
        arguments[count++] = texts[TROVED_LISTEN_MAX + 1];
    }
    for (unsigned i = 0; i < TROVED_LISTEN_MAX && options->listen[i] != NULL; i++) {
        expand(options->listen[i], troved->folder, texts[i]);
        arguments[count++] = word("--listen");
        arguments[count++] = texts[i];
    }
    arguments[count] = NULL;
    spawn(troved, arguments);
    wait_until_ready(troved);
    assert_int_equal(pthread_create(&troved->log_thread, NULL, read_log, troved), 0);
    return troved;
}

void troved_ask_to_end(struct troved *troved) {
    if (!troved->asked_to_end) /* a second signal would end it at once */
        kill(troved->pid, SIGTERM);
    troved->asked_to_end = true;
}

void troved_hold(struct troved *troved) {
    int how = 0;
    assert_int_equal(kill(troved->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(troved->pid, &how, WUNTRACED), troved->pid); /* all its threads have come to a stop */
    assert_true(WIFSTOPPED(how));
    troved->held = true;
}

void troved_let_go(struct troved *troved) {
    assert_int_equal(kill(troved->pid, SIGCONT), 0);
    troved->held = false;
}

/* Waits for its end. One that doesn't come to it is made to, in a way that says where it was: then *hung. Returns its exit code;
 * 128 and the signal's number for one that was killed. */
static int await_end(struct troved *troved, bool *hung) {
    int how = 0;
    int process = pidfd_open(troved->pid, 0);
    assert_true(process >= 0);
    *hung = !readable_by(process, now_ms() + END_MS);
    if (*hung)
        kill(troved->pid, SIGABRT);
    while (waitpid(troved->pid, &how, 0) < 0)
        assert_int_equal(errno, EINTR);
    close(process);
    pthread_join(troved->log_thread, NULL);
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

static void free_troved(struct troved *troved) {
    close(troved->log_fd);
    free(troved->log);
    free(troved);
}

int troved_stop(struct troved *troved, bool keep_folder) {
    bool hung;
    if (troved->held) /* never when it may be ending: the leak sanitizer then stops its threads, which SIGCONT takes back */
        troved_let_go(troved);
    troved_ask_to_end(troved);
    int code = await_end(troved, &hung);
    if (code != 0 || getenv("TROVE_TEST_LOG") != NULL)
        print_log(troved);
    if (!keep_folder)
        troved_remove_folder(troved->folder);
    free_troved(troved);
    if (hung)
        fail_msg("troved has not ended within %d ms", END_MS);
    return code;
}

void troved_kill(struct troved *troved) {
    kill(troved->pid, SIGKILL);
    bool hung;
    int code = await_end(troved, &hung);
    if (code != 128 + SIGKILL) { /* it had ended before, which it should not */
        print_log(troved);
        fail_msg("troved has ended with %d", code);
    }
    if (getenv("TROVE_TEST_LOG") != NULL)
        print_log(troved);
    free_troved(troved);
}

const char *troved_url(const struct troved *troved, const char *scheme) {
    size_t bytes = strlen(scheme);
    for (unsigned i = 0; i < TROVED_LISTEN_MAX; i++)
        if (strncmp(troved->urls[i], scheme, bytes) == 0 && strncmp(troved->urls[i] + bytes, "://", 3) == 0)
            return troved->urls[i];
    fail_msg("troved doesn't listen on %s", scheme);
    return NULL;
}

const char *troved_folder(const struct troved *troved) {
    return troved->folder;
}

pid_t troved_pid(const struct troved *troved) {
    return troved->pid;
}

/* A line of /proc/PID/status, such as "VmRSS:    1234 kB". */
static uint64_t status_bytes(const struct troved *troved, const char *name) {
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)troved->pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (kib == 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            assert_int_equal(sscanf(line + strlen(name), ": %llu", &kib), 1);
    fclose(file);
    return kib * 1024;
}

uint64_t troved_memory(const struct troved *troved) {
    return status_bytes(troved, "VmRSS");
}

uint64_t troved_memory_high_water(const struct troved *troved) {
    return status_bytes(troved, "VmHWM");
}
