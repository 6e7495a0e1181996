/* power_cut.h - a disk that can lose its power, under the local driver's seam (store_io.h).
 *
 * While it records, every call goes to a real store as ever, but for the syncs, and is written down. Afterwards any moment of the
 * recording can be made a store again as a power cut might have left it there:
 *   - a file has what was synced, and of what was written since any part: each 512 bytes of each write are there or not, with a
 *     tear inside; where nothing was ever written there are zeros or rubbish; its length is any that it had since its last sync
 *   - a directory has the entries that were synced, and of those made and removed since any, of one name in their order
 *   - the index is a list of batches: those whose synced write had returned, and of one that was being written all or nothing
 * So the model of files is meaner than any file system. That of the index takes RocksDB at its word: a batch is a record of its
 * log with a checksum, and what recovers after a cut is a beginning of them. RocksDB does its I/O itself, its C API has no way to
 * put an Env in between, and what it makes of a torn log of its own isn't tested here. Not covered either: directories and FORMAT
 * of a store that is being made, which are there before the recording begins; a disk that lies about its syncs.
 */
#ifndef CONFORMANCE_POWER_CUT_H
#define CONFORMANCE_POWER_CUT_H

#include <stddef.h>
#include <stdint.h>

enum {
    POWER_MARKS = 8 /* kinds of marks */
};

/* The store at `path` is closed, and counts as durable. Puts the recording table in place. */
void power_record(const char *path);
/* Notes in the recording that something was acknowledged. Any thread. */
void power_mark(unsigned kind);
/* The store is closed again. Puts the real table back; returns how many moments there are. */
size_t power_recorded(void);
/* Makes the store at `path`, which is removed first, what the cut at this moment has left, as *random will have it. marks[kind]:
 * how often each was noted by then. */
void power_cut(size_t moment, uint64_t *random, const char *path, unsigned marks[POWER_MARKS]);
/* What happens at this moment, for a message: a static buffer. */
const char *power_moment_text(size_t moment);
void power_forget(void);

#endif
