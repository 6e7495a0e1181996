/* relief.c - see relief.h. All operations are sequentially consistent: a wish is written before `armed` is looked at, `armed` is
 * taken back before the wishes are looked at, so that at least one of both sees the other. */
#include "relief.h"

bool tvs_relief_want(struct tvs_relief *relief) {
    atomic_store(&relief->wanted, true);
    return !atomic_exchange(&relief->armed, true);
}

void tvs_relief_disarm(struct tvs_relief *relief) {
    atomic_store(&relief->armed, false);
}

void tvs_relief_begin(struct tvs_relief *relief) {
    /* Not only written: this round sees whatever happened before the wishes that it takes away. */
    (void)atomic_exchange(&relief->wanted, false);
}

bool tvs_relief_end(struct tvs_relief *relief) {
    atomic_store(&relief->armed, false);
    return atomic_load(&relief->wanted) && !atomic_exchange(&relief->armed, true);
}
