/* pump.c - the raw socket pump's program. See pump.h for what it is and how its files and threads lie.
 *
 *   pump server URL [--root FOLDER [--durable]]     prints "msg=ready listen=URL" with the port it got
 *   pump client up|down|both --server URL [OPTION...] [sealed]   memory to memory, encrypted with sealed; both: two connections
 *   pump client file-put --server URL FILE NAME     FILE to NAME in the server's folder
 *   pump client file-get --server URL NAME FILE
 *
 * The options and the JSON line are those of bench_client.h.
 */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t request_magic = 0x504D55505F474F31u;

/* ---- server ---- */

struct server {
    int folder; /* -1: no file modes */
    bool durable;
};

struct session {
    const struct server *server;
    int socket;
};

static int reply_send(int socket, int error, uint64_t bytes) {
    struct pump_reply reply = {.error = (uint64_t)error, .bytes = bytes};
    return pump_send(socket, &reply, sizeof reply);
}

static int serve_stream(int socket, const struct pump_request *request, struct pump_ring *ring) {
    struct pump_totals totals = {0};
    if (reply_send(socket, 0, 0) != 0)
        return -1;
    if (request->mode == PUMP_UP)
        return pump_stream_receive(socket, ring, &totals);
    uint64_t go = 0;
    return pump_receive(socket, &go, sizeof go) != 0 ? -1 : pump_stream_send(socket, ring, request->total_bytes, &totals);
}

static int serve_put(const struct session *session, const struct pump_request *request, struct pump_ring *ring) {
    int file = -1;
    if (pump_file_create(session->server->folder, request->name, &file) != 0)
        return reply_send(session->socket, EIO, 0);
    int status = reply_send(session->socket, 0, 0);
    if (status == 0)
        status = pump_file_receive(session->socket, file, ring, request->total_bytes);
    if (status == 0) {
        int published = pump_file_publish(session->server->folder, request->name, file, session->server->durable);
        status = reply_send(session->socket, published == 0 ? 0 : EIO, request->total_bytes);
    }
    close(file);
    return status;
}

static int serve_get(const struct session *session, const struct pump_request *request) {
    int file = openat(session->server->folder, request->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat info;
    if (file < 0 || fstat(file, &info) != 0) {
        int error = errno;
        if (file >= 0)
            close(file);
        return reply_send(session->socket, error, 0);
    }
    int status = reply_send(session->socket, 0, (uint64_t)info.st_size);
    if (status == 0)
        status = pump_file_send(session->socket, file, (uint64_t)info.st_size);
    close(file);
    return status;
}

static int serve_request(const struct session *session, struct pump_request *request) {
    struct pump_ring ring = {0};
    bool file_mode = request->mode == PUMP_FILE_PUT || request->mode == PUMP_FILE_GET;
    request->name[PUMP_NAME_BYTES - 1] = '\0';
    if (request->magic != request_magic || request->window == 0 || request->window > PUMP_WINDOW_MAX ||
        request->chunk_bytes == 0 || request->chunk_bytes > 64u << 20 || request->mode < PUMP_UP ||
        request->mode > PUMP_FILE_GET || (file_mode && (session->server->folder < 0 || !pump_file_name_valid(request->name))))
        return reply_send(session->socket, EINVAL, 0);
    if (request->mode == PUMP_FILE_GET)
        return serve_get(session, request);
    if (pump_ring_init(&ring, request->window, request->chunk_bytes, !file_mode && request->sealed != 0) != 0)
        return reply_send(session->socket, ENOMEM, 0);
    int status = file_mode ? serve_put(session, request, &ring) : serve_stream(session->socket, request, &ring);
    pump_ring_fini(&ring);
    return status;
}

static void *session_run(void *argument) {
    struct session *session = argument;
    struct pump_request request;
    if (pump_receive(session->socket, &request, sizeof request) == 0)
        serve_request(session, &request);
    close(session->socket);
    free(session);
    return NULL;
}

static int session_start(const struct server *server, int socket) {
    struct session *session = malloc(sizeof *session);
    pthread_t thread;
    if (session == NULL) {
        close(socket);
        return -1;
    }
    *session = (struct session){.server = server, .socket = socket};
    if (pthread_create(&thread, NULL, session_run, session) != 0) {
        close(socket);
        free(session);
        return -1;
    }
    pthread_detach(thread);
    return 0;
}

static int server_options(int argc, char **argv, struct server *server) {
    for (int index = 3; index < argc; index++) {
        if (strcmp(argv[index], "--durable") == 0) {
            server->durable = true;
        } else if (strcmp(argv[index], "--root") == 0 && index + 1 < argc) {
            server->folder = open(argv[++index], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (server->folder < 0) {
                fprintf(stderr, "pump: %s: %s\n", argv[index], strerror(errno));
                return -1;
            }
        } else {
            fprintf(stderr, "pump: unknown option %s\n", argv[index]);
            return -1;
        }
    }
    return 0;
}

static int server_main(int argc, char **argv) {
    struct server server = {.folder = -1};
    int listener = -1;
    char url[256];
    if (server_options(argc, argv, &server) != 0 || pump_listen(argv[2], &listener) != 0 ||
        pump_listener_url(listener, url, sizeof url) != 0)
        return 1;
    printf("msg=ready listen=%s\n", url);
    fflush(stdout);
    int socket = -1;
    while (pump_accept(listener, &socket) == 0 && session_start(&server, socket) == 0) {
    }
    return 1;
}

/* ---- client ---- */

static int request_send(int socket, const struct pump_request *request, struct pump_reply *reply) {
    if (pump_send(socket, request, sizeof *request) != 0 || pump_receive(socket, reply, sizeof *reply) != 0)
        return -1;
    if (reply->error != 0) {
        fprintf(stderr, "pump: the server refused: %s\n", strerror((int)reply->error));
        return -1;
    }
    return 0;
}

/* One connection of the client. Set up by the main thread, then touched by its own alone until it is joined. */
struct transfer {
    pthread_t thread;
    int socket;
    bool down;
    int status;
    struct pump_ring ring;
    uint64_t bytes; /* to transfer */
    struct pump_totals totals;
};

/* Streams alone, by an argument behind the options. */
static bool is_sealed(const struct bench_options *options) {
    return options->arguments_count == 1 && strcmp(options->arguments[0], "sealed") == 0;
}

static int transfer_connect(struct transfer *transfer, const struct bench_options *options, uint32_t index) {
    transfer->bytes = bench_share(options, index);
    struct pump_request request = {
        .magic = request_magic,
        .mode = transfer->down ? PUMP_DOWN : PUMP_UP,
        .window = options->window,
        .sealed = is_sealed(options),
        .chunk_bytes = options->chunk_bytes,
        .total_bytes = transfer->bytes,
    };
    struct pump_reply reply;
    if (pump_ring_init(&transfer->ring, options->window, options->chunk_bytes, is_sealed(options)) != 0 ||
        pump_connect(options->server, &transfer->socket) != 0)
        return -1;
    return request_send(transfer->socket, &request, &reply);
}

static void *transfer_run(void *argument) {
    struct transfer *transfer = argument;
    uint64_t go = 1;
    if (!transfer->down)
        transfer->status = pump_stream_send(transfer->socket, &transfer->ring, transfer->bytes, &transfer->totals);
    else if (pump_send(transfer->socket, &go, sizeof go) == 0)
        transfer->status = pump_stream_receive(transfer->socket, &transfer->ring, &transfer->totals);
    return NULL;
}

static int transfers_run(struct transfer *transfers, uint32_t count) {
    int status = 0;
    uint32_t started = 0;
    for (; started < count; started++) {
        struct transfer *transfer = &transfers[started];
        if (pthread_create(&transfer->thread, NULL, transfer_run, transfer) != 0) {
            status = -1;
            break;
        }
    }
    for (uint32_t index = 0; index < started; index++) {
        pthread_join(transfers[index].thread, NULL);
        status = transfers[index].status != 0 ? -1 : status;
    }
    return status;
}

static int stream_main(const struct bench_options *options) {
    bool both = strcmp(options->mode, "both") == 0;
    uint32_t count = options->connections * (both ? 2 : 1);
    struct transfer *transfers = calloc(count, sizeof *transfers);
    if (transfers == NULL)
        return 1;
    for (uint32_t index = 0; index < count; index++) {
        bool down = both ? index % 2 == 1 : strcmp(options->mode, "down") == 0;
        transfers[index] = (struct transfer){.down = down, .status = -1};
        if (transfer_connect(&transfers[index], options, both ? index / 2 : index) != 0)
            return 1;
    }
    struct bench_report report = {.p50_us = -1.0, .p99_us = -1.0};
    double started_s = bench_now_s();
    double started_cpu_s = bench_cpu_s();
    int status = transfers_run(transfers, count);
    report.seconds = bench_now_s() - started_s;
    report.cpu_client_s = bench_cpu_s() - started_cpu_s;
    for (uint32_t index = 0; index < count; index++) {
        report.bytes += transfers[index].totals.bytes;
        report.ops += transfers[index].totals.chunks;
        pump_ring_fini(&transfers[index].ring);
        close(transfers[index].socket);
    }
    free(transfers);
    if (status == 0)
        bench_report_print(&report);
    return status == 0 ? 0 : 1;
}

static int file_put(int socket, const struct bench_options *options, uint64_t *bytes_out) {
    int file = open(options->arguments[0], O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (file < 0 || fstat(file, &info) != 0) {
        fprintf(stderr, "pump: %s: %s\n", options->arguments[0], strerror(errno));
        return -1;
    }
    struct pump_request request = {.magic = request_magic,
                                   .mode = PUMP_FILE_PUT,
                                   .window = options->window,
                                   .chunk_bytes = 1u << 20,
                                   .total_bytes = (uint64_t)info.st_size};
    snprintf(request.name, sizeof request.name, "%s", options->arguments[1]);
    struct pump_reply reply = {0};
    if (request_send(socket, &request, &reply) != 0 || pump_file_send(socket, file, request.total_bytes) != 0 ||
        pump_receive(socket, &reply, sizeof reply) != 0)
        return -1;
    close(file);
    *bytes_out = request.total_bytes;
    return reply.error == 0 ? 0 : -1;
}

static int file_get(int socket, const struct bench_options *options, uint64_t *bytes_out) {
    struct pump_request request = {
        .magic = request_magic, .mode = PUMP_FILE_GET, .window = options->window, .chunk_bytes = 1u << 20};
    snprintf(request.name, sizeof request.name, "%s", options->arguments[0]);
    char folder_path[4096];
    char name_path[4096];
    snprintf(folder_path, sizeof folder_path, "%s", options->arguments[1]);
    snprintf(name_path, sizeof name_path, "%s", options->arguments[1]);
    const char *name = basename(name_path);
    int folder = open(dirname(folder_path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int file = -1;
    struct pump_reply reply = {0};
    struct pump_ring ring = {0};
    if (folder < 0 || request_send(socket, &request, &reply) != 0 || pump_file_create(folder, name, &file) != 0 ||
        pump_ring_init(&ring, request.window, request.chunk_bytes, false) != 0)
        return -1;
    int status = pump_file_receive(socket, file, &ring, reply.bytes);
    if (status == 0)
        status = pump_file_publish(folder, name, file, false);
    pump_ring_fini(&ring);
    close(file);
    close(folder);
    *bytes_out = reply.bytes;
    return status;
}

static int file_main(const struct bench_options *options) {
    struct bench_report report = {.ops = 1, .p50_us = -1.0, .p99_us = -1.0};
    int socket = -1;
    if (options->arguments_count != 2) {
        fprintf(stderr, "pump: %s needs two arguments\n", options->mode);
        return 1;
    }
    if (pump_connect(options->server, &socket) != 0)
        return 1;
    double started_s = bench_now_s();
    double started_cpu_s = bench_cpu_s();
    bool put = strcmp(options->mode, "file-put") == 0;
    int status = put ? file_put(socket, options, &report.bytes) : file_get(socket, options, &report.bytes);
    report.seconds = bench_now_s() - started_s;
    report.cpu_client_s = bench_cpu_s() - started_cpu_s;
    close(socket);
    if (status == 0)
        bench_report_print(&report);
    return status == 0 ? 0 : 1;
}

static int client_main(int argc, char **argv) {
    struct bench_options options;
    if (bench_options_parse(argc, argv, &options) != 0)
        return 2;
    if (bench_mode_is_stream(options.mode))
        return stream_main(&options);
    if (strcmp(options.mode, "file-put") == 0 || strcmp(options.mode, "file-get") == 0)
        return file_main(&options);
    fprintf(stderr, "pump: unknown mode %s\n", options.mode);
    return 2;
}

int main(int argc, char **argv) {
    pump_seal_init();
    if (argc >= 3 && strcmp(argv[1], "server") == 0)
        return server_main(argc, argv);
    if (argc >= 3 && strcmp(argv[1], "client") == 0)
        return client_main(argc - 1, argv + 1);
    fprintf(stderr, "usage: pump server URL [--root FOLDER [--durable]] | pump client MODE --server URL [OPTION...]\n");
    return 2;
}
