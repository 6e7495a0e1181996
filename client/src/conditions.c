/* conditions.c - see conditions.h. */
#include "conditions.h"

#include <string.h>

trove_status tvc_conditions_check(const trove_conditions *conditions, bool creates, trove_error *error) {
    if (conditions == NULL)
        return TROVE_OK;
    const char *etag = conditions->if_match;
    if (etag != NULL && (strlen(etag) != TROVE_ETAG_BYTES - 1 || strspn(etag, "0123456789abcdef") != TROVE_ETAG_BYTES - 1))
        return TV_FAIL(error, INVALID_ARGUMENT, "if_match \"%.40s\" is no etag: those have %d hexadecimal digits, in lower case",
                       etag, TROVE_ETAG_BYTES - 1);
    if (conditions->if_none_match && !creates)
        return TV_FAIL(error, INVALID_ARGUMENT, "if_none_match is for what creates an object: uploads and copies");
    if (conditions->if_none_match && (etag != NULL || conditions->if_generation != 0))
        return TV_FAIL(error, INVALID_ARGUMENT, "if_none_match asks for no object and %s for one; both can't hold",
                       etag != NULL ? "if_match" : "if_generation");
    return TROVE_OK;
}

Trove__V1__Conditions *tvc_conditions_to_wire(const trove_conditions *conditions, Trove__V1__Conditions *wire) {
    if (conditions == NULL || (conditions->if_match == NULL && !conditions->if_none_match && conditions->if_generation == 0))
        return NULL;
    trove__v1__conditions__init(wire);
    if (conditions->if_match != NULL)
        wire->if_match = (char *)conditions->if_match;
    wire->if_none_match = conditions->if_none_match;
    wire->if_generation = conditions->if_generation;
    return wire;
}
