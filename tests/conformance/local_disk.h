/* local_disk.h - what the local driver's tests see and do behind its back: the files below objects/. */
#ifndef CONFORMANCE_LOCAL_DISK_H
#define CONFORMANCE_LOCAL_DISK_H

#include "fixture.h"
#include "local_janitor.h"

#include <sys/types.h>

#define LOCAL_PATH_BYTES 400

/* Until all that was to be removed is. */
void wait_for_janitor(struct tvs_janitor *janitor);
/* The files below objects/, when all that were to be removed are; `path` (may be NULL) becomes the last one's. */
unsigned count_files(const struct store *store, char path[LOCAL_PATH_BYTES]);
void flip_byte(const char *path, off_t offset);
uint64_t disk_bytes(const char *path);

#endif
