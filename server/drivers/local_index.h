/* local_index.h - the RocksDB database of the local driver: opening it, its options, reading rows. Writing is the committer's.
 *
 * Two column families: "default" has the small rows (local_record.h says which), "inline" the bytes of small objects. One write-
 * ahead log serves both, so a batch over both is atomic and costs one sync. Any thread may read.
 */
#ifndef TVS_LOCAL_INDEX_H
#define TVS_LOCAL_INDEX_H

#include "local_record.h"

#include <rocksdb/c.h>

struct tvs_index {
    /* constant after open */
    rocksdb_t *db;
    rocksdb_column_family_handle_t *rows;
    rocksdb_column_family_handle_t *inlined;
    rocksdb_readoptions_t *read_options;
    rocksdb_writeoptions_t *write_options; /* synced, but for a relaxed store */
    rocksdb_options_t *options[2];
    rocksdb_cache_t *cache;
    uint64_t memory_bytes; /* of all its parts together */
};

/* Blocks: recovers. `memory_bytes` bounds caches and write buffers; 0: the default.
 * Errors: DATA_LOSS (damaged), RESOURCE_EXHAUSTED (full disk), INTERNAL. */
trove_status tvs_index_open(struct tvs_index *index, const char *path, uint64_t memory_bytes, bool relaxed, trove_error *error);
void tvs_index_close(struct tvs_index *index); /* zeroed and half-opened ones are allowed */

/* To be called by a thread that uses the index much: RocksDB counts each comparison in thread-local memory unless told not to,
 * which measured a tenth of a put. */
void tvs_index_thread_start(void);

/* Takes over what RocksDB's C API hands out as an error. */
trove_status tvs_index_fail(char *rocksdb_error_move, const char *what, trove_error *error);

/* A row as it lies in RocksDB's memory; bytes NULL: there is none. */
struct tvs_row {
    rocksdb_pinnableslice_t *slice;
    const char *bytes;
    size_t count;
};

/* May block for the disk. On success *row must be let go of, also where there is none. */
trove_status tvs_index_get(const struct tvs_index *index, rocksdb_column_family_handle_t *family, const void *key,
                           size_t key_bytes, struct tvs_row *row, trove_error *error);
void tvs_row_fini(struct tvs_row *row);

/* Reads and decodes an object's row; `record` points into *row. *found tells whether there is one. */
trove_status tvs_index_get_object(const struct tvs_index *index, const void *index_key, size_t index_key_bytes,
                                  struct tvs_row *row, struct tvs_record *record, bool *found, trove_error *error);

#endif
