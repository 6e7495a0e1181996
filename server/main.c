/* main.c - `troved`: settings, signals, life and death of the server. What the command line says is in command_line.h.
 *
 * Signals are blocked before the first thread is made, so that all threads inherit that and this one alone takes them, with
 * sigwaitinfo. (Rejected: handlers that set flags; here they'd race with everything, and nothing is in a hurry.) The handlers
 * there are end the process: on a second SIGTERM or SIGINT while the first one drains, which isn't left to the default action,
 * for the kernel withholds that from process 1 of a container; and on SIGALRM when drain_timeout is over and even this thread
 * hangs.
 * Threads: this file's code runs on the main thread alone.
 */
#include "audit.h"
#include "command_line.h"
#include "drivers/driver.h"
#include "key_file.h"
#include "listener.h"
#include "places.h"
#include "url.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- settings ---- */

static trove_status fill_in_places(struct tvs_config *config, bool *store_is_default, trove_error *error) {
    trove_status status = TROVE_OK;
    *store_is_default = config->store == NULL;
    if (config->listen_count == 0) {
        char *url = tvs_place_listen(getenv("XDG_RUNTIME_DIR"), geteuid());
        status = url == NULL ? TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the config")
                             : tvs_config_add_listen(config, url, error);
        free(url);
    }
    if (status != TROVE_OK || config->store != NULL)
        return status;
    config->store = tvs_place_store(getenv("XDG_DATA_HOME"), getenv("HOME"), geteuid());
    if (config->store == NULL)
        return TV_FAIL(error, FAILED_PRECONDITION,
                       "no place for the store is known, for HOME isn't set; say --store local:///FOLDER");
    return TROVE_OK;
}

/* Whether the entry of a folder that was just made is there to stay. */
static bool sync_above(const char *path, const char *slash) {
    char *above = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    int fd = above != NULL ? open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    free(above);
    return synced;
}

/* Makes the folders above the default place, as the XDG specification wants them. A place that someone named must have them: a
 * typing error or a disk that isn't mounted should be heard of. */
static trove_status make_parents(const char *dsn, trove_error *error) {
    char *path = strdup(strstr(dsn, "://") + 3);
    if (path == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for the store's path");
    trove_status status = TROVE_OK;
    const char *before = path;
    for (char *slash = strchr(path + 1, '/'); status == TROVE_OK && slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, 0700) == 0;
        if ((!made && errno != EEXIST) || (made && !sync_above(path, before)))
            status = tv_error_errno(error, errno, "making the folder %s for the store", path);
        *slash = '/';
        before = slash;
    }
    free(path);
    return status;
}

static trove_status read_settings(const struct tvs_command_line *line, struct tvs_config *config, trove_error *error) {
    trove_status status = line->config != NULL ? tvs_config_load(config, line->config, error) : TROVE_OK;
    return status == TROVE_OK ? tvs_command_line_apply(line, config, error) : status;
}

static trove_status gather_settings(const struct tvs_command_line *line, struct tvs_config *config, bool *store_is_default,
                                    trove_error *error) {
    trove_status status = read_settings(line, config, error);
    if (status == TROVE_OK)
        tvs_log_setup(config->log_level, config->log_format, STDERR_FILENO);
    if (status == TROVE_OK)
        status = fill_in_places(config, store_is_default, error);
    if (status == TROVE_OK)
        status = tvs_config_check(config, error);
    const char *path;
    if (status == TROVE_OK && tvs_driver_find(config->store, &path, error) == NULL)
        status = TROVE_INVALID_ARGUMENT;
    tvs_config_server(config);
    return status;
}

static void log_failure(const char *what, const trove_error *error) {
    struct tvs_log_line line;
    tvs_log_begin(&line, TVS_LOG_ERROR, what);
    tvs_log_error(&line, error);
    tvs_log_end(&line);
}

/* ---- --check-config ---- */

/* Places are looked at, and nothing is made, locked or listened on. */
static trove_status check_places(const struct tvs_config *config, bool store_is_default, trove_error *error) {
    trove_error why;
    for (unsigned i = 0; i < config->listen_count; i++)
        if (tv_listener_check(config->listen[i], &why) != TROVE_OK)
            return tv_error_set(error, why.status, "`listen`: %s: %s", config->listen[i], why.message);
    struct tvs_keyring *keyring = NULL;
    if (config->audit_log != NULL && tvs_audit_check(config->audit_log, &why) != TROVE_OK)
        return tv_error_set(error, why.status, "`audit_log`: %s", why.message);
    struct tv_key *key = NULL;
    if (config->key_file != NULL && tv_key_load(config->key_file, &key, &why) != TROVE_OK)
        return tv_error_set(error, why.status, "`key_file`: %s", why.message);
    tv_key_destroy(key);
    if (tvs_keyring_create(&config->server.access, &keyring, error) != TROVE_OK)
        return error->status;
    tvs_keyring_destroy(keyring);
    const char *path;
    const struct tvs_driver_ops *driver = tvs_driver_find(config->store, &path, error);
    /* Of the default place all folders are made, of one that somebody named the last. */
    if (driver->check != NULL && driver->check(path, store_is_default ? UINT_MAX : 1, &why) != TROVE_OK)
        return tv_error_set(error, why.status, "`store`: %s: %s", config->store, why.message);
    return TROVE_OK;
}

static int check_only(const struct tvs_config *config, bool store_is_default) {
    trove_error error;
    if (check_places(config, store_is_default, &error) != TROVE_OK) {
        log_failure("can't start", &error);
        return EXIT_FAILURE;
    }
    printf("config and options are fine\n");
    return EXIT_SUCCESS;
}

/* ---- the process ---- */

/* Where a standard descriptor is closed, the next file or socket would take its number, and a log line would land in an
 * object. */
static bool keep_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return false;
    return true;
}

/* A connection or a file that is under way takes a descriptor; soft limits are 1,024 for the sake of select(2), unused here. */
static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void awaited_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

static void block_signals(void) {
    signal(SIGPIPE, SIG_IGN); /* a write to a peer that left is an error code to whoever wrote */
    signal(SIGXFSZ, SIG_IGN); /* and so is one beyond the limit of a file's size */
    sigset_t set;
    awaited_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void end_at_once(int signal_number) {
    (void)signal_number;
    _exit(EXIT_FAILURE);
}

static void end_in_time(int signal_number) {
    (void)signal_number;
    _exit(EXIT_SUCCESS);
}

/* Whatever hangs by then, this thread included: what was acknowledged is safe. */
static void end_after(uint32_t timeout_ms) {
    struct sigaction action = {.sa_handler = end_in_time};
    struct itimerval timer = {.it_value = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void let_second_signal_end(void) {
    struct sigaction action = {.sa_handler = end_at_once};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- the server ---- */

static void warn_if_insecure(const struct tvs_config *config) {
    for (unsigned i = 0; i < config->listen_count; i++) {
        if (!config->insecure || !tv_url_is_network(config->listen[i]))
            continue;
        struct tvs_log_line line;
        tvs_log_begin(&line, TVS_LOG_WARN,
                      "INSECURE: whoever reaches this address can read, change and delete everything; nothing is encrypted");
        tvs_log_text(&line, "listen", config->listen[i]);
        tvs_log_end(&line);
    }
}

static void log_ready(const struct tvs_config *config, const char *listen) {
    struct tvs_log_line line;
    tvs_log_begin(&line, TVS_LOG_INFO, "ready");
    tvs_log_text(&line, "listen", listen);
    tvs_log_text(&line, "store", config->store);
    tvs_log_text(&line, "version", tvs_command_line_version);
    tvs_log_number(&line, "pid", (uint64_t)getpid());
    tvs_log_end(&line);
}

/* Listens on every URL, then says that it is ready and where, with the ports that were really bound. */
static trove_status listen_everywhere(const struct tvs_config *config, struct tvs_server *server, trove_error *error) {
    char all[1024] = "";
    for (unsigned i = 0; i < config->listen_count; i++) {
        const char *bound = NULL;
        trove_status status = tvs_server_listen(server, config->listen[i], &bound, error);
        if (status != TROVE_OK)
            return status;
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", used > 0 ? "," : "", bound);
    }
    log_ready(config, all);
    return TROVE_OK;
}

static void drain(const struct tvs_config *config, struct tvs_server *server, int signal_number) {
    let_second_signal_end();
    end_after(config->drain_timeout_ms);
    struct tvs_log_line line;
    tvs_log_begin(&line, TVS_LOG_INFO, "draining; a second signal ends at once");
    tvs_log_text(&line, "signal", signal_number == SIGINT ? "SIGINT" : "SIGTERM");
    tvs_log_number(&line, "timeout_ms", config->drain_timeout_ms);
    tvs_log_end(&line);
    if (tvs_server_drain(server, config->drain_timeout_ms))
        return;
    tvs_log_begin(&line, TVS_LOG_WARN, "drain_timeout is over; what is unfinished fails");
    tvs_log_end(&line);
}

/* ---- SIGHUP ---- */

static bool same_text(const char *left, const char *right) {
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

static bool same_origins(const struct tvs_config *left, const struct tvs_config *right) {
    bool same = left->origin_count == right->origin_count;
    for (size_t i = 0; same && i < left->origin_count; i++)
        same = strcmp(left->origins[i], right->origins[i]) == 0;
    return same;
}

/* Whether a key differs that takes effect at the start alone. What the file leaves to its default place stays where it is. */
static bool needs_restart(const struct tvs_config *running, const struct tvs_config *read) {
    const struct tvs_server_options *was = &running->server;
    const struct tvs_server_options *is = &read->server;
    bool moved = read->log_level != running->log_level || read->log_format != running->log_format;
    moved |= read->insecure != running->insecure || !same_text(read->key_file, running->key_file);
    moved |= !same_text(read->audit_log, running->audit_log) || !same_origins(running, read);
    moved |= read->store != NULL && !same_text(running->store, read->store);
    moved |= read->listen_count > 0 && read->listen_count != running->listen_count;
    for (unsigned i = 0; i < read->listen_count && !moved; i++)
        moved = !same_text(running->listen[i], read->listen[i]);
    return moved || was->store_memory_bytes != is->store_memory_bytes || was->relaxed != is->relaxed ||
           was->memory_bytes != is->memory_bytes || was->workers != is->workers || was->connections_max != is->connections_max ||
           was->per_address_max != is->per_address_max || was->handshakes_max != is->handshakes_max ||
           was->streams_max != is->streams_max || was->calls_max != is->calls_max || was->keepalive_ms != is->keepalive_ms ||
           was->rate_min != is->rate_min || was->handshake_ms != is->handshake_ms ||
           was->call_deadline_ms != is->call_deadline_ms || was->uploads_idle_ms != is->uploads_idle_ms ||
           was->uploads_keep_ms != is->uploads_keep_ms || was->socket_mode != is->socket_mode;
}

static void log_reloaded(const struct tvs_config *running, const struct tvs_config *read) {
    struct tvs_log_line line;
    tvs_log_begin(&line, TVS_LOG_INFO, "reloaded");
    tvs_log_number(&line, "pools", read->server.pools.count);
    tvs_log_number(&line, "users", read->user_count);
    tvs_log_end(&line);
    if (!needs_restart(running, read))
        return;
    tvs_log_begin(
        &line, TVS_LOG_WARN,
        "of what has changed in the config, `pool`, `pools`, `users`, `authorized_keys` and `drain_timeout` are in effect; "
        "the rest needs a new start");
    tvs_log_end(&line);
}

/* Reads the config again. A mistake in it changes nothing. */
static void reload(const struct tvs_command_line *line, struct tvs_config *running, struct tvs_server *server) {
    struct tvs_config read;
    trove_error error;
    if (line->config == NULL) {
        struct tvs_log_line nothing;
        tvs_log_begin(&nothing, TVS_LOG_WARN, "SIGHUP: there is nothing to read, for no --config was given");
        tvs_log_end(&nothing);
        return;
    }
    tvs_config_init(&read);
    if (tvs_server_reopen_audit(server, &error) != TROVE_OK) /* whatever the config says now */
        log_failure("can't make the audit log anew, the old one goes on", &error);
    trove_status status = read_settings(line, &read, &error);
    if (status == TROVE_OK)
        status = tvs_config_check(&read, &error);
    tvs_config_server(&read);
    if (status == TROVE_OK)
        status = tvs_server_reload_access(server, &read.server.access, &error);
    if (status == TROVE_OK)
        status = tvs_server_reload(server, &read.server.pools, read.drain_timeout_ms, &error);
    if (status == TROVE_OK) {
        running->drain_timeout_ms = read.drain_timeout_ms;
        log_reloaded(running, &read);
    } else {
        log_failure("can't reload, nothing has changed", &error);
    }
    tvs_config_fini(&read);
}

/* Returns the signal that asks for the end. */
static int wait_for_end(const struct tvs_command_line *line, struct tvs_config *config, struct tvs_server *server) {
    sigset_t set;
    awaited_signals(&set);
    for (;;) {
        int number = sigwaitinfo(&set, NULL);
        if (number == SIGTERM || number == SIGINT)
            return number;
        if (number == SIGHUP)
            reload(line, config, server);
    }
}

static int serve(const struct tvs_command_line *command_line, struct tvs_config *config, bool store_is_default) {
    trove_error error;
    struct tvs_server *server = NULL;
    warn_if_insecure(config);
    trove_status status = store_is_default ? make_parents(config->store, &error) : TROVE_OK;
    if (status == TROVE_OK)
        status = tvs_server_create(&config->server, &server, &error);
    if (status == TROVE_OK)
        status = listen_everywhere(config, server, &error);
    if (status == TROVE_OK)
        drain(config, server, wait_for_end(command_line, config, server));
    else
        log_failure("can't start", &error);
    bool clean = tvs_server_destroy(server);
    int code = status == TROVE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
    struct tvs_log_line line;
    tvs_log_begin(&line, clean ? TVS_LOG_INFO : TVS_LOG_WARN, clean ? "stopped" : "stopped while a worker is stuck in the store");
    if (status == TROVE_OK || !clean)
        tvs_log_end(&line);
    if (!clean)
        _exit(code); /* the worker still uses memory that exit handlers would take away */
    return code;
}

int main(int argc, char **argv) {
    if (!keep_standard_descriptors())
        return EXIT_FAILURE;
    block_signals();
    raise_file_limit();
    umask(0077); /* for the store's files, and for the socket before its mode is set (listener.c) */
    struct tvs_command_line line;
    tvs_command_line_parse(&line, argc, argv);
    /* Errors in reading the config must be logged as well: as the command line says, or by the defaults. */
    tvs_log_setup(line.has_log_level ? line.log_level : TVS_LOG_INFO, line.has_log_format ? line.log_format : TVS_LOG_LOGFMT,
                  STDERR_FILENO);
    struct tvs_config config;
    tvs_config_init(&config);
    bool store_is_default = false;
    trove_error error;
    int code = EXIT_FAILURE;
    if (gather_settings(&line, &config, &store_is_default, &error) != TROVE_OK) {
        log_failure("can't start", &error);
    } else if (line.check_only) {
        code = check_only(&config, store_is_default);
    } else {
        code = serve(&line, &config, store_is_default);
    }
    tvs_config_fini(&config);
    return code;
}
