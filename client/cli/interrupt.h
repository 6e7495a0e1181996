/* interrupt.h - SIGINT, SIGTERM and SIGHUP end the command in a clean way.
 *
 * One thread waits for them; all others have them blocked. It removes the files that are under way, but for those that the same
 * command goes on with and that are worth it, and ends the process there and then: the server drops an upload whose connection
 * ends, or parks it. Unwinding every worker instead was rejected: one that sits in a read of a silent pipe or a call to a stuck
 * server would hold the exit up.
 * A second signal, while the first is being served, kills at once.
 */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include "output.h"
#include "part.h"

#include <pthread.h>
#include <signal.h>
#include <sys/types.h>
#include <termios.h>

/* A file to be removed should a signal come. Lives in the caller's memory from create or take to commit or drop. */
struct cli_unfinished {
    int folder_fd;
    char name[CLI_PART_NAME_BYTES];
    bool nameless;  /* it has no name yet: however the process ends, the system removes it */
    bool resumable; /* see part.h: it stays if it is worth it */
    struct cli_unfinished *next;
    struct cli_unfinished *previous;
};

/* An upload that the server keeps when the connection ends, to be thrown away should a signal come, unless it is remembered. */
struct cli_parked {
    bool remembered;
    char id[TROVE_UPLOAD_ID_BYTES]; /* "" until it is opened */
    struct cli_parked *next;
    struct cli_parked *previous;
};

struct cli_interrupt {
    struct cli_output *output;
    /* What a new file's mode is under the process's umask. Read before there are threads, since reading means setting. */
    mode_t new_file_mode;
    sigset_t signals;
    pthread_t thread;
    bool running;
    /* Held from the signal to the end of the process, so that no file appears behind the clearing up. */
    pthread_mutex_t lock;
    struct cli_unfinished *files;
    struct cli_parked *uploads;
    const char *action;   /* the verb */
    trove_client *client; /* NULL: there is no connection */
    bool has_terminal;
    struct termios terminal; /* as it was before the command changed it */
};

/* To be called before any other thread exists: they inherit the blocked signals. One that was ignored from the start (nohup)
 * stays ignored. Ignores SIGPIPE for good, so that a closed pipe is an error like others. */
void cli_interrupt_init(struct cli_interrupt *interrupt, struct cli_output *output);
void cli_interrupt_fini(struct cli_interrupt *interrupt);

/* What is interrupted, should a signal come: a verb, without what JSON escapes. */
void cli_interrupt_names(struct cli_interrupt *interrupt, const char *action);

/* Standard input's terminal gets this back should a signal come. */
void cli_interrupt_keep_terminal(struct cli_interrupt *interrupt, const struct termios *before);

/* Whose uploads they are. */
void cli_interrupt_connected(struct cli_interrupt *interrupt, trove_client *client);

/* An upload goes on from begin to end; its id is told as soon as it is known. In the caller's memory meanwhile. */
void cli_interrupt_park_begin(struct cli_interrupt *interrupt, struct cli_parked *parked);
void cli_interrupt_park_named(struct cli_interrupt *interrupt, struct cli_parked *parked, const char *id);
void cli_interrupt_park_end(struct cli_interrupt *interrupt, struct cli_parked *parked);

/* Creates the file (0600, new) and remembers it in one step: without a name where the file system can, so that even kill -9
 * leaves nothing of it. Returns its descriptor, or -1 with errno set. */
int cli_interrupt_create(struct cli_interrupt *interrupt, struct cli_unfinished *file);

/* Gives a nameless one its unfinished name, for commit to rename. Returns 0, or an errno (EEXIST: the name is taken). */
int cli_interrupt_name(struct cli_interrupt *interrupt, struct cli_unfinished *file, int fd);

/* The same for one that may be there already: see cli_part_open. */
int cli_interrupt_take(struct cli_interrupt *interrupt, struct cli_unfinished *file);

/* Renames the file to its name for good; from then on it stays. Returns 0, or an errno: then it is still to be removed. */
int cli_interrupt_commit(struct cli_interrupt *interrupt, struct cli_unfinished *file, const char *name);

/* Removes the file, or where it `can_go_on`, is resumable and worth it, leaves it. True: it is still there. */
bool cli_interrupt_drop(struct cli_interrupt *interrupt, struct cli_unfinished *file, bool can_go_on);

#endif
