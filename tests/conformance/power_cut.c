/* power_cut.c - see power_cut.h. Threads: any while it records, one afterwards. */
#include "power_cut.h"

#include "fixture.h"
#include "local_file.h"
#include "local_index.h"
#include "store_io.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum event_kind {
    EVENT_LINK,   /* a file gets its name */
    EVENT_UNLINK, /* a name goes */
    EVENT_WRITE,
    EVENT_LENGTH,
    EVENT_SYNC,                 /* has returned */
    EVENT_DIRECTORY_SYNC_BEGIN, /* of everything that was in it by then... */
    EVENT_DIRECTORY_SYNC,       /* ...which has returned */
    EVENT_INDEX_BEGIN,          /* a batch is being written */
    EVENT_INDEX,                /* and is */
    EVENT_MARK,
};

struct event {
    enum event_kind kind;
    unsigned file;      /* link, write, length, sync: an index of `files`; mark: its kind */
    unsigned directory; /* link, unlink, directory sync: a shard */
    char name[2 * TVS_FILE_ID_BYTES + 1];
    uint64_t offset, bytes; /* write; length: `bytes` */
    void *data;             /* write, index */
    size_t begin;           /* directory sync: the event of its beginning */
};

#define FDS_MAX   4096
#define FILES_MAX 4096

static struct {
    char base[300]; /* a copy of the store as it was */
    pthread_mutex_t lock;
    /* under `lock` */
    struct event *events;
    size_t count, capacity;
    unsigned file_count;
    char names[FILES_MAX][TVS_FILE_PATH_BYTES]; /* of each file as long as it has one, else "" */
    int fd_file[FDS_MAX];                       /* -1: none of ours */
    int fd_directory[FDS_MAX];
} power = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- recording ------------------------------------------------------------------------------------------------------- */

/* Under the lock. */
static struct event *add(enum event_kind kind) {
    if (power.count == power.capacity) {
        power.capacity = power.capacity == 0 ? 1024 : power.capacity * 2;
        power.events = realloc(power.events, power.capacity * sizeof *power.events);
        assert_non_null(power.events);
    }
    struct event *event = &power.events[power.count++];
    *event = (struct event){.kind = kind};
    return event;
}

void power_mark(unsigned kind) {
    pthread_mutex_lock(&power.lock);
    add(EVENT_MARK)->file = kind;
    pthread_mutex_unlock(&power.lock);
}

static void *copy_bytes(const void *bytes, size_t count) {
    void *copy = malloc(count + 1);
    assert_non_null(copy);
    memcpy(copy, bytes, count);
    return copy;
}

static bool is_file_path(const char *path) {
    return strlen(path) == TVS_FILE_PATH_BYTES - 1 && path[2] == '/';
}

static unsigned shard_of(const char *path) {
    return (unsigned)strtoul((char[3]){path[0], path[1], '\0'}, NULL, 16);
}

/* Under the lock. -1: none has this name. */
static int file_named(const char *path) {
    for (unsigned i = 0; i < power.file_count; i++)
        if (strcmp(power.names[i], path) == 0)
            return (int)i;
    return -1;
}

/* Under the lock. A file from before the recording counts as empty but for what is written now: none of those is ever written
 * to. */
static int link_file(const char *path) {
    assert_true(power.file_count < FILES_MAX);
    unsigned file = power.file_count++;
    strcpy(power.names[file], path);
    struct event *event = add(EVENT_LINK);
    event->file = file;
    event->directory = shard_of(path);
    strcpy(event->name, path + 3);
    return (int)file;
}

static int record_open_at(int directory, const char *path, int flags, mode_t mode) {
    int fd = tvs_store_io_system.open_at(directory, path, flags, mode);
    if (fd < 0)
        return fd;
    assert_true(fd < FDS_MAX);
    pthread_mutex_lock(&power.lock);
    power.fd_file[fd] = power.fd_directory[fd] = -1;
    if (is_file_path(path))
        power.fd_file[fd] = (flags & O_CREAT) != 0 ? link_file(path) : file_named(path);
    else if (strlen(path) == 2 && (flags & O_DIRECTORY) != 0)
        power.fd_directory[fd] = (int)shard_of(path);
    pthread_mutex_unlock(&power.lock);
    return fd;
}

static int record_close(int fd) {
    pthread_mutex_lock(&power.lock);
    power.fd_file[fd] = power.fd_directory[fd] = -1;
    pthread_mutex_unlock(&power.lock);
    return tvs_store_io_system.close(fd);
}

static int record_unlink_at(int directory, const char *path, int flags) {
    pthread_mutex_lock(&power.lock);
    int file = file_named(path);
    if (is_file_path(path) && faccessat(directory, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        struct event *event = add(EVENT_UNLINK);
        event->directory = shard_of(path);
        strcpy(event->name, path + 3);
    }
    if (file >= 0)
        power.names[file][0] = '\0';
    int result = tvs_store_io_system.unlink_at(directory, path, flags);
    pthread_mutex_unlock(&power.lock);
    return result;
}

static ssize_t record_pwritev(int fd, const struct iovec *iov, int count, off_t offset) {
    pthread_mutex_lock(&power.lock);
    int file = power.fd_file[fd];
    for (int i = 0; file >= 0 && i < count; i++) {
        struct event *event = add(EVENT_WRITE);
        event->file = (unsigned)file;
        event->offset = (uint64_t)offset;
        event->bytes = iov[i].iov_len;
        event->data = copy_bytes(iov[i].iov_base, iov[i].iov_len);
        offset += (off_t)iov[i].iov_len;
    }
    pthread_mutex_unlock(&power.lock);
    if (file < 0)
        return tvs_store_io_system.pwritev(fd, iov, count, offset);
    size_t all = 0;
    for (int i = 0; i < count; i++)
        all += iov[i].iov_len;
    ssize_t written = tvs_store_io_system.pwritev(fd, iov, count, offset - (off_t)all);
    assert_int_equal(written, all); /* a short one would have to be recorded so */
    return written;
}

static int record_set_length(int fd, off_t length) {
    pthread_mutex_lock(&power.lock);
    if (power.fd_file[fd] >= 0) {
        struct event *event = add(EVENT_LENGTH);
        event->file = (unsigned)power.fd_file[fd];
        event->bytes = (uint64_t)length;
    }
    pthread_mutex_unlock(&power.lock);
    return tvs_store_io_system.set_length(fd, length);
}

static int record_fdatasync(int fd) {
    pthread_mutex_lock(&power.lock);
    if (power.fd_file[fd] >= 0)
        add(EVENT_SYNC)->file = (unsigned)power.fd_file[fd];
    pthread_mutex_unlock(&power.lock);
    return 0;
}

static int record_sync_directory(int fd) {
    pthread_mutex_lock(&power.lock);
    int directory = power.fd_directory[fd];
    size_t begin = power.count;
    if (directory >= 0)
        add(EVENT_DIRECTORY_SYNC_BEGIN)->directory = (unsigned)directory;
    pthread_mutex_unlock(&power.lock);
    if (directory < 0)
        return 0;
    pthread_mutex_lock(&power.lock);
    struct event *event = add(EVENT_DIRECTORY_SYNC);
    event->directory = (unsigned)directory;
    event->begin = begin;
    pthread_mutex_unlock(&power.lock);
    return 0;
}

static int refuse_clone(int from, int to) {
    (void)from;
    (void)to;
    return -1;
}

static void record_index_write(rocksdb_t *db, const rocksdb_writeoptions_t *options, rocksdb_writebatch_t *batch, char **error) {
    size_t bytes;
    const char *data = rocksdb_writebatch_data(batch, &bytes);
    pthread_mutex_lock(&power.lock);
    struct event *event = add(EVENT_INDEX_BEGIN);
    event->data = copy_bytes(data, bytes);
    event->bytes = bytes;
    pthread_mutex_unlock(&power.lock);
    (void)options; /* they ask for a sync, which isn't needed where no power is ever lost */
    rocksdb_writeoptions_t *unsynced = rocksdb_writeoptions_create();
    rocksdb_write(db, unsynced, batch, error);
    rocksdb_writeoptions_destroy(unsynced);
    pthread_mutex_lock(&power.lock);
    add(EVENT_INDEX);
    pthread_mutex_unlock(&power.lock);
}

static void copy_folder(const char *from, const char *to) {
    char command[800];
    (void)scratch_remove(to);
    snprintf(command, sizeof command, "cp -r '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

void power_record(const char *path) {
    static struct tvs_store_io table;
    snprintf(power.base, sizeof power.base, "%s.base", path);
    copy_folder(path, power.base);
    memset(power.fd_file, -1, sizeof power.fd_file);
    memset(power.fd_directory, -1, sizeof power.fd_directory);
    table = tvs_store_io_system;
    table.open_at = record_open_at;
    table.close = record_close;
    table.unlink_at = record_unlink_at;
    table.pwritev = record_pwritev;
    table.set_length = record_set_length;
    table.fdatasync = record_fdatasync;
    table.sync_directory = record_sync_directory;
    table.clone = refuse_clone;
    table.index_write = record_index_write;
    tvs_store_io = &table;
}

size_t power_recorded(void) {
    tvs_store_io = &tvs_store_io_system;
    return power.count + 1;
}

void power_forget(void) {
    (void)scratch_remove(power.base);
    for (size_t i = 0; i < power.count; i++)
        free(power.events[i].data);
    free(power.events);
    power.events = NULL;
    power.count = power.capacity = 0;
    power.file_count = 0;
}

const char *power_moment_text(size_t moment) {
    static const char *const names[] = {
        "a file was made",    "a file was removed", "a write",   "a length",  "a sync",
        "a directory's sync", "a directory's sync", "the index", "the index", "an acknowledgement"};
    static char text[100];
    snprintf(text, sizeof text, "%zu of %zu, behind: %s", moment, power.count,
             moment == 0 ? "nothing" : names[power.events[moment - 1].kind]);
    return text;
}

/* ---- cutting --------------------------------------------------------------------------------------------------------- */

#define SECTOR_BYTES 512

static uint64_t draw(uint64_t *random, uint64_t below) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (*random >> 33) % below;
}

/* A file's bytes on the disk. */
struct image {
    uint8_t *bytes;
    uint64_t room, length;
};

/* What lies between the end and there was never written: zeros, or what stood on the disk before. */
static void reserve(struct image *image, uint64_t bytes, uint64_t *random) {
    if (bytes <= image->room)
        return;
    image->bytes = realloc(image->bytes, bytes);
    assert_non_null(image->bytes);
    memset(image->bytes + image->room, draw(random, 2) == 0 ? 0 : 0xEE, bytes - image->room);
    image->room = bytes;
}

static void apply_write(struct image *image, const struct event *event, uint64_t *random) {
    uint64_t end = event->offset + event->bytes;
    reserve(image, end, random);
    if (event->offset > image->length)
        memset(image->bytes + image->length, 0, event->offset - image->length);
    memcpy(image->bytes + event->offset, event->data, event->bytes);
    if (end > image->length)
        image->length = end;
}

static void apply_length(struct image *image, uint64_t length, uint64_t *random) {
    reserve(image, length, random);
    if (length > image->length)
        memset(image->bytes + image->length, 0, length - image->length);
    image->length = length;
}

/* Parts of it, one of them torn. What became of the length is another matter. */
static void apply_parts(struct image *image, const struct event *event, uint64_t *random) {
    reserve(image, event->offset + event->bytes, random);
    uint64_t how = draw(random, 4); /* none, all, any */
    for (uint64_t at = 0; at < event->bytes && how > 0;) {
        uint64_t here = SECTOR_BYTES - (event->offset + at) % SECTOR_BYTES;
        if (here > event->bytes - at)
            here = event->bytes - at;
        uint64_t part = draw(random, 40) == 0 ? draw(random, here + 1) : here;
        if (how == 1 || draw(random, 2) == 0)
            memcpy(image->bytes + event->offset + at, (const uint8_t *)event->data + at, part);
        at += here;
    }
}

/* The file as the cut leaves it: of events [0, moment) those up to its last sync, and any of the others. */
static struct image cut_file(unsigned file, size_t moment, uint64_t *random) {
    struct image image = {0};
    size_t synced = 0;
    for (size_t i = 0; i < moment; i++)
        if (power.events[i].kind == EVENT_SYNC && power.events[i].file == file)
            synced = i;
    for (size_t i = 0; i < synced; i++) {
        const struct event *event = &power.events[i];
        if (event->kind == EVENT_WRITE && event->file == file)
            apply_write(&image, event, random);
        else if (event->kind == EVENT_LENGTH && event->file == file)
            apply_length(&image, event->bytes, random);
    }
    uint64_t length = image.length, live = image.length;
    for (size_t i = synced; i < moment; i++) {
        const struct event *event = &power.events[i];
        if (event->file != file || (event->kind != EVENT_WRITE && event->kind != EVENT_LENGTH))
            continue;
        if (event->kind == EVENT_WRITE) {
            apply_parts(&image, event, random);
            live = event->offset + event->bytes > live ? event->offset + event->bytes : live;
        } else {
            reserve(&image, event->bytes, random);
            live = event->bytes;
        }
        if (draw(random, 2) == 0)
            length = live;
    }
    image.length = length;
    return image;
}

static void write_file(const char *path, unsigned directory, const char *name, struct image *image_move) {
    char folder[400], file[500];
    snprintf(folder, sizeof folder, "%s/objects/%02x", path, directory);
    snprintf(file, sizeof file, "%s/%s", folder, name);
    (void)mkdir(folder, 0700);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    for (uint64_t at = 0; at < image_move->length;) {
        ssize_t put = write(fd, image_move->bytes + at, image_move->length - at);
        assert_true(put > 0);
        at += (uint64_t)put;
    }
    close(fd);
    free(image_move->bytes);
}

/* The last moment from which on a directory's entries may be missing. */
static size_t directory_synced(unsigned directory, size_t moment) {
    size_t synced = 0;
    for (size_t i = 0; i < moment; i++) {
        const struct event *event = &power.events[i];
        if (event->kind == EVENT_DIRECTORY_SYNC && event->directory == directory && event->begin > synced)
            synced = event->begin;
    }
    return synced;
}

/* What a name leads to after the first `moment` events, if those from `synced` on took effect as *random has it: some of them,
 * from the first one on. -1: nothing; -2: what it led to before the recording. */
static int resolve(const char *name, unsigned directory, size_t synced, size_t moment, uint64_t *random) {
    int file = -2;
    for (size_t i = 0; i < moment; i++) {
        const struct event *event = &power.events[i];
        if ((event->kind != EVENT_LINK && event->kind != EVENT_UNLINK) || event->directory != directory ||
            strcmp(event->name, name) != 0)
            continue;
        if (i >= synced && draw(random, 2) == 0)
            break;
        file = event->kind == EVENT_LINK ? (int)event->file : -1;
    }
    return file;
}

static void cut_files(size_t moment, uint64_t *random, const char *path) {
    for (size_t i = 0; i < moment; i++) {
        const struct event *event = &power.events[i];
        if (event->kind != EVENT_LINK && event->kind != EVENT_UNLINK)
            continue;
        bool first = true; /* of its name */
        for (size_t j = 0; j < i && first; j++)
            first = (power.events[j].kind != EVENT_LINK && power.events[j].kind != EVENT_UNLINK) ||
                    power.events[j].directory != event->directory || strcmp(power.events[j].name, event->name) != 0;
        if (!first)
            continue;
        size_t synced = directory_synced(event->directory, moment);
        int file = resolve(event->name, event->directory, synced, moment, random);
        char old[500];
        snprintf(old, sizeof old, "%s/objects/%02x/%s", path, event->directory, event->name);
        if (file >= 0) {
            struct image image = cut_file((unsigned)file, moment, random);
            write_file(path, event->directory, event->name, &image);
        } else if (file == -1) {
            (void)unlink(old);
        }
    }
}

static void cut_index(size_t moment, uint64_t *random, const char *path) {
    char index_path[400];
    trove_error error = {0};
    struct tvs_index index;
    snprintf(index_path, sizeof index_path, "%s/index", path);
    must(tvs_index_open(&index, index_path, 0, true, &error), &error);
    for (size_t i = 0; i < moment; i++) {
        const struct event *event = &power.events[i];
        if (event->kind != EVENT_INDEX_BEGIN)
            continue;
        bool written = false;
        for (size_t j = i; j < moment && !written; j++)
            written = power.events[j].kind == EVENT_INDEX;
        if (!written && draw(random, 2) == 0)
            break;
        rocksdb_writebatch_t *batch = rocksdb_writebatch_create_from(event->data, event->bytes);
        char *failure = NULL;
        rocksdb_write(index.db, index.write_options, batch, &failure);
        assert_null(failure);
        rocksdb_writebatch_destroy(batch);
    }
    tvs_index_close(&index);
}

void power_cut(size_t moment, uint64_t *random, const char *path, unsigned marks[POWER_MARKS]) {
    assert_true(moment <= power.count);
    copy_folder(power.base, path);
    cut_files(moment, random, path);
    cut_index(moment, random, path);
    memset(marks, 0, POWER_MARKS * sizeof *marks);
    for (size_t i = 0; i < moment; i++)
        if (power.events[i].kind == EVENT_MARK)
            marks[power.events[i].file]++;
}
