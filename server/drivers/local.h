/* local.h - the local driver from inside: its parts and what its files share.
 *
 *   local.c            open, close, the table of functions, buckets, head, delete
 *   local_recover.c    the directory: lock, format, orphans
 *   local_put.c        puts; local_get.c gets; local_list.c listings; local_copy.c copies; local_scrub.c scrubs
 *   local_upload.c     resumable uploads: begun, attached to, aborted; local_resume.c their bytes; local_upload_list.c many of
 *                      them, local_upload_discard.c those that are damaged
 *   local_committer.c  the threads that change the index, and THE ORDER OF SYNCS; local_commit.c a request to them, local_batch.c
 *                      what they write, local_upload_batch.c the part of resumable uploads in that, local_pending.c the keys in
 *                      it, local_waiter.c waiting for it
 *   local_index.c      RocksDB; local_record.c and local_upload_record.c its rows as bytes; local_buckets.c the buckets in
 *                      memory, local_uploads.c the uploads that are in use
 *   local_file.c       files, local_writer.c writing them, local_durable.c making them durable, local_unfinished.c reading and
 *                      cutting what is written so far, local_janitor.c removing them
 *
 * DIR/            0700
 *   LOCK          held while the store is open; has the holder's process id
 *   FORMAT        "trove-local 1"
 *   index/        RocksDB
 *   objects/xx/   0700, files 0600
 */
#ifndef TVS_LOCAL_H
#define TVS_LOCAL_H

#include "local_committer.h"
#include "local_uploads.h"

/* Of the store's directory: what RocksDB puts behind it must stay a path that the system takes (4,096 with its NUL). */
#define TVS_LOCAL_PATH_BYTES_MAX 4000

struct tvs_local {
    struct tvs_driver base;
    /* constant after open; the parts lock for themselves */
    int lock_fd;
    int root;
    struct tvs_index index;
    struct tvs_local_buckets buckets;
    struct tvs_file_store files;
    struct tvs_janitor janitor;
    struct tvs_committer committer;
    struct tvs_local_uploads uploads;
    /* atomic */
    atomic_ullong sums_bytes;     /* checksums that unfinished puts hold */
    atomic_ullong gap_sums_bytes; /* checksums that unfinished puts hold for what they lost */
};

static inline struct tvs_local *tvs_local_of(struct tvs_driver *driver) {
    return (struct tvs_local *)(void *)driver;
}

/* local_recover.c. All block. */
/* driver.h's `check`. */
trove_status tvs_local_directory_check(const char *path, unsigned missing_max, trove_error *error);
/* Opens or makes the directory and takes its lock. Errors: FAILED_PRECONDITION (in use, by whom; not a store; another format). */
trove_status tvs_local_directory_open(const char *path, bool relaxed, int *root, int *lock_fd, trove_error *error);
/* Opens objects/, made where it is missing. */
trove_status tvs_local_objects_open(int root, bool relaxed, int *objects, trove_error *error);
/* Gives every file that no row owns to the janitor, before there are any that are being written. *removed counts them. */
trove_status tvs_local_remove_orphans(struct tvs_local *local, uint64_t *removed, trove_error *error);

/* local_upload_list.c. Blocks. Counts the unfinished uploads, says of which the store has lost bytes, collects what has
 * expired or was left of a deleted bucket. */
trove_status tvs_local_uploads_recover(struct tvs_local *local, trove_error *error);

/* Blocks until they are gone, durably: a deleted bucket's unfinished uploads, whoever holds them. */
void tvs_local_uploads_drop(struct tvs_local *local, uint64_t bucket_id);

/* local_upload_discard.c */
/* Whether what the index has of the upload is damaged, and *error says so. *upload: a reference, or NULL where not even its
 * description can be read. May block for the disk. */
bool tvs_local_upload_damaged(struct tvs_local *local, const struct tvs_upload_id *id, struct tvs_local_upload **upload,
                              trove_error *error);
/* Removes what is left of such a one. `upload_move` is that reference, or NULL. Blocks: looks through the rows of all uploads. */
void tvs_local_upload_discard(struct tvs_local *local, const struct tvs_upload_id *id, struct tvs_local_upload *upload_move,
                              tvs_upload_done done, void *context);

/* local_put.c */
trove_status tvs_local_put_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                                 const struct tvs_put_options *options, struct tvs_put **put, trove_error *error);
trove_status tvs_local_put_write(struct tvs_put *put, const struct tv_data *data, trove_error *error);
trove_status tvs_local_put_gap(struct tvs_put *put, uint64_t offset, uint64_t length, trove_error *error);
trove_status tvs_local_put_rewind(struct tvs_put *put, uint64_t offset, trove_error *error);
trove_status tvs_local_put_read(struct tvs_put *put, struct tv_data *data, trove_error *error);
trove_status tvs_local_put_expect(struct tvs_put *put, const struct tvs_declared_digest *digest, trove_error *error);
void tvs_local_put_commit(struct tvs_put *put_move, const char *etag, tvs_commit_done done, void *context);
void tvs_local_put_abort(struct tvs_put *put_move);
void tvs_local_put_small(struct tvs_driver *driver, const char *bucket, const char *key, const struct tvs_put_options *options,
                         const struct tv_data *data, tvs_commit_done done, void *context);

/* Instead of writing: the put takes over what a get of a file has, bytes shared on disk. UNIMPLEMENTED where that can't be. */
trove_status tvs_local_put_clone(struct tvs_put *put, struct tvs_get *get, trove_error *error);
/* For copies: zeros that the put doesn't take for lost, and what its source has lost. */
trove_status tvs_local_put_zeros(struct tvs_put *put, uint64_t bytes, trove_error *error);
trove_status tvs_local_put_take_gaps(struct tvs_put *put, const struct tvs_object *source, trove_error *error);

/* local_get.c */
struct tvs_get {
    struct tvs_record record; /* without its strings and gaps */
    struct tvs_row inlined;   /* place inline: the bytes, pinned in RocksDB's memory */
    struct tvs_file_reader file;
    char bucket[TV_BUCKET_BYTES_MAX + 1];
    char key[]; /* for messages */
};

trove_status tvs_local_get_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                                 const struct tvs_conditions *conditions, struct tvs_get **get, struct tvs_object *object,
                                 trove_error *error);
trove_status tvs_local_get_read(struct tvs_get *get, struct tv_data *data, trove_error *error);
void tvs_local_get_end(struct tvs_get *get_move);
/* `count` of the object's checksums, which has them all, from `first` on. All are read, in parts, for the etag vouches for them
 * together. Errors: DATA_LOSS. */
trove_status tvs_local_get_sums(struct tvs_get *get, uint64_t first, size_t count, uint64_t *sums, trove_error *error);
trove_status tvs_local_describe(const char *key, const struct tvs_record *record, struct tvs_object *object, trove_error *error);

/* local_scrub.c */
trove_status tvs_local_scrub(struct tvs_driver *driver, const char *bucket, struct tvs_scrub *scrub, bool *finished,
                             trove_error *error);

/* local_list.c */
trove_status tvs_local_list(struct tvs_driver *driver, const char *bucket, const struct tvs_list_query *query,
                            tvs_list_visit visit, void *context, bool *more, trove_error *error);

/* local_upload.c */
void tvs_local_upload_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                            const struct tvs_upload_options *options, tvs_upload_done done, void *context);
void tvs_local_upload_attach(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                             tvs_upload_done done, void *context);
void tvs_local_upload_abort(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                            tvs_upload_done done, void *context);
trove_status tvs_local_upload_stat(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                                   tvs_upload_visit visit, void *context, trove_error *error);

/* local_resume.c */
trove_status tvs_local_upload_open(struct tvs_driver *driver, const struct tvs_upload_id *id, uint64_t epoch,
                                   struct tvs_put **put, trove_error *error);
void tvs_local_put_flush(struct tvs_put *put, tvs_upload_done done, void *context);

/* local_upload_list.c */
trove_status tvs_local_upload_list(struct tvs_driver *driver, const char *bucket, struct tvs_upload_cursor *cursor,
                                   uint32_t limit, tvs_upload_visit visit, void *context, bool *more, trove_error *error);
trove_status tvs_local_upload_collect(struct tvs_driver *driver, uint64_t now_ns, uint32_t limit, uint32_t *removed, bool *more,
                                      trove_error *error);

/* local_copy.c */
trove_status tvs_local_copy_begin(struct tvs_driver *driver, const char *from_bucket, const char *from_key, const char *to_bucket,
                                  const char *to_key, const struct tvs_conditions *conditions, struct tvs_copy **copy,
                                  trove_error *error);
trove_status tvs_local_copy_step(struct tvs_copy *copy, bool *finished, trove_error *error);
void tvs_local_copy_commit(struct tvs_copy *copy_move, tvs_commit_done done, void *context);
void tvs_local_copy_abort(struct tvs_copy *copy_move);

#endif
