/* upload_record.h - what is remembered of an upload under way, as text: what it is of, and what the server knows it by. Pure.
 *
 * One JSON object with a checksum over all the rest: a record that was only half written is none.
 */
#ifndef CLI_UPLOAD_RECORD_H
#define CLI_UPLOAD_RECORD_H

#include "trove.h"

/* A file as it was. Two that are equal are taken to have the same bytes; the etag of the whole, in the end, tells if they
 * haven't. */
struct cli_source_mark {
    uint64_t size;
    uint64_t modified_ns;
    uint64_t inode;
    uint64_t device;
};

struct cli_upload_record {
    uint8_t request_id[TROVE_REQUEST_ID_BYTES];
    char upload_id[TROVE_UPLOAD_ID_BYTES]; /* "": the server hasn't told it yet */
    struct cli_source_mark source;
    char how[TROVE_UPLOAD_ID_BYTES]; /* 32 hexadecimal digits, a hash over the options that make a difference */
};

#define CLI_UPLOAD_RECORD_BYTES_MAX 1024 /* NUL included */

/* All of `record`, always of the same length but for the numbers. */
void cli_upload_record_write(const struct cli_upload_record *record, char text[CLI_UPLOAD_RECORD_BYTES_MAX]);

/* False: it is damaged, or of a version that isn't known. */
bool cli_upload_record_read(const char *text, struct cli_upload_record *record);

bool cli_source_mark_equal(const struct cli_source_mark *left, const struct cli_source_mark *right);

#endif
