/* local_index.c - see local_index.h.
 *
 * Options that aren't RocksDB's own defaults, and why:
 * - No compression: rows are small and mostly hashes, objects' bytes are mostly compressed already, and both cores are needed.
 * - Write buffers of 8 MiB (rows) and 32 MiB (inline): a small skip list is a fast one; objects' bytes arrive in the order of
 *   their keys, which costs next to nothing at any size, and few large tables are better than many.
 * - Tables of inline bytes are merged when there are 8, not 4: generations hardly overlap, so that more tables don't slow reading
 *   down, and each merge writes all objects' bytes that live once more. What is overwritten keeps its room that much longer.
 * - A bloom filter over the write buffer: nearly every put looks up a key that isn't there.
 * - Log files are recycled: overwriting a file that has its length and blocks already spares each sync the inode (measured here:
 *   a synced append costs 2 to 3 times a synced overwrite). That rules out all recovery modes but "point in time": replay stops
 *   at the first record that isn't whole, which is what a crash leaves behind the last synced batch. A log that ends before a
 *   table file that was built from it is refused as damage.
 * - Filters (16 bits a key: one look-up in some thousand reads a block in vain) belong to open tables and aren't kept in the
 *   block cache: looking them up there cost 2 us a put, and where the cache was too small for them 40. max_open_files bounds
 *   them.
 */
#include "local_index.h"

#include "descriptors.h"

#include <string.h>

#define INDEX_MEMORY_BYTES_DEFAULT (128 * TV_MIB)
#define INDEX_MEMORY_BYTES_MIN     (16 * TV_MIB)
#define RECOVER_TO_POINT_IN_TIME   2
#define INLINE_TABLES              8

void tvs_index_thread_start(void) {
    rocksdb_set_perf_level(rocksdb_disable);
}

trove_status tvs_index_fail(char *rocksdb_error_move, const char *what, trove_error *error) {
    char *text = rocksdb_error_move;
    trove_status status;
    if (strstr(text, "No space left") != NULL || strstr(text, "NoSpace") != NULL)
        status = TV_FAIL(error, RESOURCE_EXHAUSTED, "%s: the disk is full: %.300s", what, text);
    else if (strncmp(text, "Corruption", 10) == 0)
        status = TV_FAIL(error, DATA_LOSS, "%s: the index is damaged: %.300s", what, text);
    else
        status = TV_FAIL(error, INTERNAL, "%s: %.300s", what, text);
    rocksdb_free(text);
    return status;
}

static rocksdb_options_t *make_options(struct tvs_index *index, size_t write_buffer_bytes, int write_buffers) {
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(options, write_buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(options, write_buffers);
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0); /* there is one writer */
    rocksdb_options_set_max_background_jobs(options, 2);
    uint32_t files_max = tv_descriptors_max() / 8;
    rocksdb_options_set_max_open_files(options, (int)(files_max < TV_INDEX_FILES_MAX ? files_max : TV_INDEX_FILES_MAX));
    rocksdb_options_set_recycle_log_file_num(options, 2);
    rocksdb_options_set_wal_recovery_mode(options, RECOVER_TO_POINT_IN_TIME);
    rocksdb_options_set_max_total_wal_size(options, 128 * TV_MIB);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_info_log_level(options, 2); /* warnings */
    rocksdb_options_set_max_log_file_size(options, TV_MIB);
    rocksdb_options_set_keep_log_file_num(options, 4);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, index->cache);
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(16));
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    return options;
}

trove_status tvs_index_open(struct tvs_index *index, const char *path, uint64_t memory_bytes, bool relaxed, trove_error *error) {
    *index = (struct tvs_index){0};
    uint64_t memory = memory_bytes == 0 ? INDEX_MEMORY_BYTES_DEFAULT : memory_bytes;
    if (memory < INDEX_MEMORY_BYTES_MIN)
        memory = INDEX_MEMORY_BYTES_MIN;
    /* In sixteenths: 3 for the cache, 3 for three buffers of rows, 8 for two of inline bytes (one fills, the others are on their
     * way to disk); 2 are left for filters and what RocksDB needs besides. */
    index->memory_bytes = memory;
    index->cache = rocksdb_cache_create_lru((size_t)(memory * 3 / 16));
    index->options[0] = make_options(index, (size_t)(memory / 16), 3);
    index->options[1] = make_options(index, (size_t)(memory * 4 / 16), 2);
    rocksdb_options_set_level0_file_num_compaction_trigger(index->options[1], INLINE_TABLES);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(index->options[0], 0.1);
    rocksdb_options_set_memtable_whole_key_filtering(index->options[0], 1);
    static const char *const names[2] = {"default", "inline"};
    const rocksdb_options_t *options[2] = {index->options[0], index->options[1]};
    rocksdb_column_family_handle_t *families[2];
    char *failure = NULL;
    index->db = rocksdb_open_column_families(index->options[0], path, 2, names, options, families, &failure);
    if (failure != NULL) {
        index->db = NULL;
        tvs_index_close(index);
        return tvs_index_fail(failure, "can't open the index", error);
    }
    index->rows = families[0];
    index->inlined = families[1];
    index->read_options = rocksdb_readoptions_create();
    index->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(index->write_options, !relaxed);
    return TROVE_OK;
}

void tvs_index_close(struct tvs_index *index) {
    if (index->db != NULL) {
        rocksdb_column_family_handle_destroy(index->rows);
        rocksdb_column_family_handle_destroy(index->inlined);
        rocksdb_close(index->db);
        rocksdb_readoptions_destroy(index->read_options);
        rocksdb_writeoptions_destroy(index->write_options);
    }
    for (size_t i = 0; i < 2; i++)
        if (index->options[i] != NULL)
            rocksdb_options_destroy(index->options[i]);
    if (index->cache != NULL)
        rocksdb_cache_destroy(index->cache);
    *index = (struct tvs_index){0};
}

trove_status tvs_index_get(const struct tvs_index *index, rocksdb_column_family_handle_t *family, const void *key,
                           size_t key_bytes, struct tvs_row *row, trove_error *error) {
    char *failure = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(index->db, index->read_options, family, key, key_bytes, &failure);
    if (failure != NULL)
        return tvs_index_fail(failure, "can't read the index", error);
    *row = (struct tvs_row){.slice = slice};
    if (slice != NULL)
        row->bytes = rocksdb_pinnableslice_value(slice, &row->count);
    return TROVE_OK;
}

void tvs_row_fini(struct tvs_row *row) {
    if (row->slice != NULL)
        rocksdb_pinnableslice_destroy(row->slice);
    *row = (struct tvs_row){0};
}

trove_status tvs_index_get_object(const struct tvs_index *index, const void *index_key, size_t index_key_bytes,
                                  struct tvs_row *row, struct tvs_record *record, bool *found, trove_error *error) {
    trove_status status = tvs_index_get(index, index->rows, index_key, index_key_bytes, row, error);
    if (status != TROVE_OK)
        return status;
    if (row->bytes == NULL) {
        *found = false;
        return TROVE_OK;
    }
    status = tvs_record_decode(row->bytes, row->count, record, error);
    if (status != TROVE_OK) {
        tvs_row_fini(row);
        return status;
    }
    *found = true;
    return TROVE_OK;
}
