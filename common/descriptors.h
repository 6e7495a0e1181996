/* descriptors.h - whether the process has descriptors to spare. The system gives out the lowest number that is free, so the
 * number of one that was just opened tells. (Rejected: counting what is open, for nng and RocksDB open theirs where nobody
 * counts.)
 *
 * What must not starve is the store's index, whose failing ends the process: RocksDB needs a descriptor whenever it makes a
 * file. So nobody else gets the last ones; objects' files end a little earlier than that, so that a server that is full of them
 * can still be reached; and connections, which anybody can make, are never more than leave room for files. Any thread.
 */
#ifndef TV_DESCRIPTORS_H
#define TV_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

/* What is kept back for the index, tables that stay open and what RocksDB has besides; what files leave to connections; what
 * connections leave to files. A quarter of all, a sixteenth and a half where those are fewer. */
#define TV_INDEX_FILES_MAX             256u
#define TV_DESCRIPTORS_FOR_INDEX       (TV_INDEX_FILES_MAX + 64)
#define TV_DESCRIPTORS_FOR_CONNECTIONS 64u
#define TV_DESCRIPTORS_FOR_FILES       1024u

/* The limit of open files that is in effect now. */
uint32_t tv_descriptors_max(void);
/* How many connections there may be under it. */
uint32_t tv_descriptors_connections_max(void);
/* Whether a file may keep the descriptor that it was given. */
bool tv_descriptor_for_file(int fd);
/* Whether there are any for one more connection. */
bool tv_descriptors_for_connection(void);

#endif
