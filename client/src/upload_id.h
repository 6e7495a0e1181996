/* upload_id.h - ids of resumable uploads: 16 bytes on the wire, 32 hexadecimal digits for programs. Pure. */
#ifndef TVC_UPLOAD_ID_H
#define TVC_UPLOAD_ID_H

#include "status.h"

#define TVC_UPLOAD_ID_RAW_BYTES 16

/* False: it isn't one. */
bool tvc_upload_id_parse(const char *text, uint8_t id[TVC_UPLOAD_ID_RAW_BYTES]);
void tvc_upload_id_format(const uint8_t id[TVC_UPLOAD_ID_RAW_BYTES], char text[TROVE_UPLOAD_ID_BYTES]);

#endif
