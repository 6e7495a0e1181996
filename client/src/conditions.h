/* conditions.h - what must hold for an operation to take effect: the program's terms checked, and as the wire has them. Pure. */
#ifndef TVC_CONDITIONS_H
#define TVC_CONDITIONS_H

#include "frame.h"

/* `conditions` may be NULL; `creates`: the operation makes an object, so that it may be told to replace none.
 * Errors: INVALID_ARGUMENT. */
trove_status tvc_conditions_check(const trove_conditions *conditions, bool creates, trove_error *error);
/* Fills *wire, which borrows the strings, and yields it; NULL where nothing is asked for. */
Trove__V1__Conditions *tvc_conditions_to_wire(const trove_conditions *conditions, Trove__V1__Conditions *wire);

#endif
