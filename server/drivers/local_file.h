/* local_file.h - the files of the local driver: one for each object too large to be inline.
 *
 * A file is named by an id that is never used again, objects/xx/ID, never by its key. It holds the object's bytes and behind
 * them the checksums of its blocks (XXH3-64, little-endian, eight bytes each): sums and bytes become durable with one sync, a
 * get needs neither memory for all sums nor the index to read on after its object was deleted, and the object's etag, which the
 * index keeps, is a hash over all sums. (Rejected: sums in the index. 4 GiB have 128 KiB of them: either a get loads them all
 * up front or it holds a snapshot that keeps RocksDB from dropping anything meanwhile.)
 *
 * Writing goes around the page cache (O_DIRECT) where memory, offset and length are multiples of 4096, as the pool's segments
 * are; what isn't is gathered in a buffer, the writer's tail. Whatever the file system refuses is written through the page cache
 * instead. Reading goes through the page cache: its read-ahead overlaps the disk with the network, which one thread with
 * O_DIRECT doesn't, and objects are often read more than once.
 *
 * A tail begins with a page, which each writer may have, and grows as it is filled: to what may go into the index, and where
 * there is a file to a block. For all that is more than a page a store has one budget. A writer that gets nothing of it isn't
 * refused: it makes its file earlier, and writes whole pages through the page cache as they come. (Rejected: waiting for room.
 * Uploads that stand still would hold up others.)
 *
 * A writer and a reader belong to one thread at a time, but for tvs_file_writer_read; the store may be used by any.
 */
#ifndef TVS_LOCAL_FILE_H
#define TVS_LOCAL_FILE_H

#include "data.h"
#include "local_record.h"

#include <pthread.h>
#include <stdatomic.h>

#define TVS_FILE_SHARDS 256
/* What O_DIRECT takes: memory, offset and length are multiples of it. */
#define TVS_DIRECT_ALIGNMENT 4096u
/* Largest object: S3's limit. Its checksums take 160 MiB while it is written, so it is no accident. */
#define TVS_FILE_OBJECT_BYTES_MAX (5 * 1024 * TV_GIB)
/* Of tails, beyond the page that each may have, for all writers of a store together: 256 whole ones. */
#define TVS_TAIL_BYTES_MAX  (64 * TV_MIB)
#define TVS_FILE_PATH_BYTES (3 + 2 * TVS_FILE_ID_BYTES + 1) /* "xx/" and 32 digits */

/* Syncs of one directory, shared by all that wait for one at the same time. */
struct tvs_directory_sync {
    uint64_t wanted;   /* tickets given out */
    uint64_t finished; /* tickets whose entries are durable or failed */
    uint64_t failed;   /* the last ticket of the last sync that failed */
    int failure;       /* its errno */
    bool running;
};

struct tvs_file_store {
    /* constant */
    int directory; /* objects/ */
    bool relaxed;  /* no syncs */
    uint64_t incarnation;
    uint64_t index_bytes; /* for which room is kept back */
    /* atomic */
    atomic_ullong next_number;
    atomic_bool direct;       /* the file system takes O_DIRECT, as far as known */
    atomic_ullong tail_bytes; /* that writers have of TVS_TAIL_BYTES_MAX */
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t synced;
    struct tvs_directory_sync syncs[TVS_FILE_SHARDS];
};

/* Takes over the descriptor of objects/. Makes the shard directories that are missing and syncs the entries of
 * all: a start before this one may have made them and not come to it. */
trove_status tvs_file_store_init(struct tvs_file_store *store, int directory_move, bool relaxed, trove_error *error);
void tvs_file_store_fini(struct tvs_file_store *store);

/* Whether the file system that this descriptor is on has only left what is kept back for the index: as much as that has in memory
 * and must be able to write at any time, but not more than a quarter of all. */
bool tvs_file_space_is_low(int fd, uint64_t index_bytes);

/* One that no file has had. */
void tvs_file_id_draw(struct tvs_file_store *store, struct tvs_file_id *id);
void tvs_file_path(const struct tvs_file_id *id, char path[TVS_FILE_PATH_BYTES]);
/* Whether `name` in the shard directory `shard` is what tvs_file_path makes of some id, which it then is. */
bool tvs_file_id_parse(unsigned shard, const char *name, struct tvs_file_id *id);
/* Removes a file. One that is gone already is fine; anything else is left for the next start, which removes orphans. */
void tvs_file_remove(struct tvs_file_store *store, const struct tvs_file_id *id);

struct tvs_file_writer {
    struct tvs_file_store *store;
    struct tvs_file_id id;
    int fd; /* -1: not created yet */
    bool direct;
    uint64_t bytes;      /* taken */
    uint64_t file_bytes; /* of them in the file, or a hole in it: the file's length */
    uint8_t *tail;       /* what isn't yet, aligned; NULL until needed */
    size_t tail_bytes;
    size_t tail_capacity;  /* whole pages, up to TV_BLOCK_BYTES */
    bool kept;             /* a resumable upload's: the file outlives this writer, whatever becomes of it */
    bool entry_durable;    /* the file's directory entry is */
    bool sync_failed;      /* nobody knows what of the file is on the disk */
    uint64_t synced_bytes; /* kept: so many of the object's bytes are durable in the file, and stay there */
    /* under `lock`: what other threads may read meanwhile; see local_unfinished.c */
    pthread_mutex_t lock;
    struct {
        uint64_t file_bytes;
        const uint8_t *tail;
        size_t tail_bytes;
    } shown;
    int read_fd; /* -1: nobody has read yet */
};

/* No file is made until more than TV_INLINE_BYTES_MAX have come: an object that turns out to be small goes into the index. */
void tvs_file_writer_init(struct tvs_file_writer *writer, struct tvs_file_store *store);
/* Blocks. After an error the writer can only be abandoned. */
trove_status tvs_file_writer_append(struct tvs_file_writer *writer, const struct tv_data *data, trove_error *error);
/* Blocks. Appends zeros: a hole in the file, as far as whole pages go. Else as above. */
trove_status tvs_file_writer_skip(struct tvs_file_writer *writer, uint64_t bytes, trove_error *error);
/* Instead of appending: the file becomes a copy of another one of an object of `size` bytes and shares its blocks on disk.
 * UNIMPLEMENTED where the file system can't; the writer is as before then. */
trove_status tvs_file_writer_clone(struct tvs_file_writer *writer, int from_fd, uint64_t size, trove_error *error);
/* Closes, and removes the file if there is one and it isn't kept. */
void tvs_file_writer_abandon(struct tvs_file_writer *writer);
void tvs_file_writer_fini(struct tvs_file_writer *writer); /* the same, at its end */
/* Before that: leaves the file to the caller to be removed, which may take a disk a while. False: there is none to be. */
bool tvs_file_writer_leave(struct tvs_file_writer *writer, struct tvs_file_id *id);
/* Between a writer's files. All block. Makes the file; writes all of the iov, which is used up, at the end of what is in it. */
trove_status tvs_file_writer_create(struct tvs_file_writer *writer, trove_error *error);
trove_status tvs_file_writer_write(struct tvs_file_writer *writer, struct iovec *iov, int count, trove_error *error);
bool tvs_file_writer_leave_direct(struct tvs_file_writer *writer);
/* Makes the tail hold so many bytes: at most TV_INLINE_BYTES_MAX, with a file TV_BLOCK_BYTES. False: there is no room for that;
 * what it has stays as it is. */
bool tvs_file_writer_reserve_tail(struct tvs_file_writer *writer, size_t bytes);
void tvs_file_writer_release_tail(struct tvs_file_writer *writer);
/* Closes, and removes the file if there is one and it isn't kept; what the tail has stays. */
void tvs_file_writer_drop_file(struct tvs_file_writer *writer);
/* Opens the writer's file, around the page cache if it can; flags beside O_DIRECT. Returns an errno or 0. */
int tvs_file_writer_open(struct tvs_file_writer *writer, int flags);

/* local_durable.c */
/* Blocks: writes what is left and the checksums, makes the file and its directory entry durable, closes it. The file must be
 * claimed by the index or removed afterwards. */
trove_status tvs_file_writer_finish(struct tvs_file_writer *writer, const uint64_t *sums, size_t sum_count, trove_error *error);
/* A kept one goes on with a file of which an object's first `bytes` bytes are durable: cuts it to that length. With 0 bytes there
 * need be no file. Blocks. Errors: DATA_LOSS (it isn't there, or is shorter). */
trove_status tvs_file_writer_reopen(struct tvs_file_writer *writer, const struct tvs_file_id *id, uint64_t bytes,
                                    trove_error *error);
/* Of a kept one: makes everything that was appended durable, up to the last byte. Blocks. After an error it can only be
 * abandoned. */
trove_status tvs_file_writer_sync(struct tvs_file_writer *writer, trove_error *error);
/* Blocks: how long a file is. Errors: NOT_FOUND; DATA_LOSS (it is none). */
trove_status tvs_file_length(struct tvs_file_store *store, const struct tvs_file_id *id, uint64_t *bytes, trove_error *error);

/* local_unfinished.c */
/* Makes what was written so far what tvs_file_writer_read sees: after an append or skip, before it is told to anybody. */
void tvs_file_writer_show(struct tvs_file_writer *writer);
/* Blocks. Fills data's memory from what was appended and shown. Any thread, while one other appends and shows. */
trove_status tvs_file_writer_read(struct tvs_file_writer *writer, const struct tv_data *data, trove_error *error);
/* Blocks. Goes back to `bytes`, which is at most what was taken. `block` has the beginning of the block that `bytes` lies inside
 * of, at least up to there; not looked at where it is a block's end. Not while others read. After an error the writer can only
 * be abandoned. */
trove_status tvs_file_writer_rewind(struct tvs_file_writer *writer, uint64_t bytes, const void *block, trove_error *error);
/* Blocks. Makes the file so long: shorter, or longer by a hole. */
trove_status tvs_file_writer_set_length(struct tvs_file_writer *writer, uint64_t length, trove_error *error);

/* Blocks: reads to the last byte of the iov. Errors: DATA_LOSS. */
trove_status tvs_file_read_all(int fd, const struct iovec *iov, uint32_t count, uint64_t offset, trove_error *error);

struct tvs_file_reader {
    int fd; /* -1: none */
    uint64_t size;
    uint64_t kept_from; /* up to where the page cache was told to let go */
};

/* Blocks. NOT_FOUND: no such file. DATA_LOSS: its length isn't what an object of `size` bytes needs. */
trove_status tvs_file_reader_open(struct tvs_file_store *store, const struct tvs_file_id *id, uint64_t size,
                                  struct tvs_file_reader *reader, trove_error *error);
/* Blocks: fills data's memory. Errors: DATA_LOSS. */
trove_status tvs_file_reader_read(struct tvs_file_reader *reader, const struct tv_data *data, trove_error *error);
/* Blocks: the stored checksums of `count` blocks from `first` on. Errors: DATA_LOSS. */
trove_status tvs_file_reader_sums(const struct tvs_file_reader *reader, uint64_t first, size_t count, uint64_t *sums,
                                  trove_error *error);
void tvs_file_reader_close(struct tvs_file_reader *reader);

#endif
