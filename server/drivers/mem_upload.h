/* mem_upload.h - resumable uploads of the mem driver: they live as long as the store is open.
 *
 * An upload owns the put that has its bytes (`content`); a holder has a put that only points at the upload and passes through
 * its gate (upload.h) on each call. "Durable" means flushed: a new holder goes on there as in any other store, so that what works
 * with this one works with one that has a disk.
 */
#ifndef TVS_MEM_UPLOAD_H
#define TVS_MEM_UPLOAD_H

#include "mem.h"
#include "upload.h"

#define TVS_MEM_UPLOADS_MAX 16384 /* that aren't complete */
#define TVS_MEM_RESULTS_MAX 4096  /* kept; of more, the oldest go before they expire */

struct tvs_mem_upload {
    struct tvs_upload_gate gate; /* has the id */
    /* constant */
    uint64_t bucket_id;
    uint64_t created_ns, idle_ns, keep_ns;
    uint64_t size_hint;
    struct tvs_declared_digest digest;
    uint8_t request_id[TVS_REQUEST_ID_BYTES];
    char bucket[TV_BUCKET_BYTES_MAX + 1];
    const char *key, *principal; /* in `text` */
    size_t charged_bytes;
    /* under the store's lock */
    unsigned refs;
    bool gone; /* from the store's lists */
    bool complete;
    uint64_t epoch;
    uint64_t durable_offset;
    uint64_t expires_ns;
    struct tvs_object result;
    struct tvs_mem_upload *next_result, *next_dropped;
    /* whose call is inside the gate */
    struct tvs_put *content; /* NULL once complete */
    char text[];
};

void tvs_mem_uploads_init(struct tvs_mem_uploads *uploads);
void tvs_mem_uploads_fini(struct tvs_mem *mem); /* nobody uses the store any more */

/* mem_uploads.c: the lists. Under the lock where it says so. */
struct tvs_mem_upload *tvs_mem_upload_find_locked(struct tvs_mem *mem, const struct tvs_upload_id *id); /* NULL; no reference */
struct tvs_mem_upload *tvs_mem_upload_find_request_locked(struct tvs_mem *mem, const char *principal, const uint8_t *request_id);
/* Errors: RESOURCE_EXHAUSTED. On success the lists have the caller's reference. */
trove_status tvs_mem_upload_insert_locked(struct tvs_mem *mem, struct tvs_mem_upload *upload, trove_error *error);
/* From all lists; the caller releases what was theirs, outside the lock. Nobody gets in any more. */
void tvs_mem_upload_remove_locked(struct tvs_mem *mem, struct tvs_mem_upload *upload);
/* All of a bucket that aren't complete: a list of those taken off the lists, to be released outside the lock. */
struct tvs_mem_upload *tvs_mem_uploads_drop_locked(struct tvs_mem *mem, uint64_t bucket_id);
/* Whether this holder's put may still change anything. Errors: ABORTED, NOT_FOUND. */
trove_status tvs_mem_upload_check_locked(const struct tvs_put *holder, trove_error *error);
/* The holder's upload has become an object. Returns a result too many, taken off the lists, to be released outside the lock;
 * NULL: none. */
struct tvs_mem_upload *tvs_mem_upload_complete_locked(struct tvs_mem *mem, const struct tvs_mem_change *change);
void tvs_mem_upload_touch_locked(struct tvs_mem_upload *upload);
/* Valid while the caller has a reference, `result` apart, which doesn't change either once it is there. */
void tvs_mem_upload_info_locked(const struct tvs_mem_upload *upload, struct tvs_upload_info *info);
void tvs_mem_upload_release(struct tvs_mem *mem, struct tvs_mem_upload *upload); /* NULL is allowed; takes the lock */

uint64_t tvs_mem_upload_durable_offset(const struct tvs_put *holder); /* takes the store's lock */

/* Of the driver's table. */
void tvs_mem_upload_begin(struct tvs_driver *driver, const char *bucket, const char *key,
                          const struct tvs_upload_options *options, tvs_upload_done done, void *context);
void tvs_mem_upload_attach(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal, tvs_upload_done done,
                           void *context);
trove_status tvs_mem_upload_open(struct tvs_driver *driver, const struct tvs_upload_id *id, uint64_t epoch, struct tvs_put **put,
                                 trove_error *error);
void tvs_mem_put_flush(struct tvs_put *put, tvs_upload_done done, void *context);
void tvs_mem_upload_abort(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal, tvs_upload_done done,
                          void *context);
trove_status tvs_mem_upload_stat(struct tvs_driver *driver, const struct tvs_upload_id *id, const char *principal,
                                 tvs_upload_visit visit, void *context, trove_error *error);
trove_status tvs_mem_upload_list(struct tvs_driver *driver, const char *bucket, struct tvs_upload_cursor *cursor, uint32_t limit,
                                 tvs_upload_visit visit, void *context, bool *more, trove_error *error);
trove_status tvs_mem_upload_collect(struct tvs_driver *driver, uint64_t now_ns, uint32_t limit, uint32_t *removed, bool *more,
                                    trove_error *error);

#endif
