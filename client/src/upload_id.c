/* upload_id.c - see upload_id.h. */
#include "upload_id.h"

#include <sodium.h>
#include <string.h>

bool tvc_upload_id_parse(const char *text, uint8_t id[TVC_UPLOAD_ID_RAW_BYTES]) {
    uint8_t parsed[TVC_UPLOAD_ID_RAW_BYTES];
    size_t bytes = 0;
    if (text == NULL || strlen(text) != 2 * sizeof parsed ||
        sodium_hex2bin(parsed, sizeof parsed, text, 2 * sizeof parsed, NULL, &bytes, NULL) != 0 || bytes != sizeof parsed)
        return false;
    memcpy(id, parsed, sizeof parsed);
    return true;
}

void tvc_upload_id_format(const uint8_t id[TVC_UPLOAD_ID_RAW_BYTES], char text[TROVE_UPLOAD_ID_BYTES]) {
    sodium_bin2hex(text, TROVE_UPLOAD_ID_BYTES, id, TVC_UPLOAD_ID_RAW_BYTES);
}
