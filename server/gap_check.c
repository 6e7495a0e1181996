/* gap_check.c - see gap_check.h. */
#include "gap_check.h"

trove_status tvs_gaps_check(const char *bucket, const struct tvs_object *object, uint64_t offset, uint64_t length,
                            bool allow_gaps, trove_error *error) {
    const trove_gap *gap = allow_gaps ? NULL : tv_gaps_find(object->gaps, object->gaps_listed, offset, length);
    if (gap == NULL)
        return TROVE_OK;
    /* The last entry of a list that couldn't take them all covers bytes that are there, too (gaps.h). */
    bool in_part = gap == &object->gaps[object->gaps_listed - 1] && object->gap_count > object->gaps_listed;
    return TV_FAIL(error, DATA_LOSS,
                   "%s/%.200s: bytes from %llu to %llu were lost%s when it was stored (%llu gaps, %llu bytes in all); allow gaps "
                   "(--allow-gaps) to read zeros for them",
                   bucket, object->key, (unsigned long long)gap->offset, (unsigned long long)(gap->offset + gap->length),
                   in_part ? ", in part," : "", (unsigned long long)object->gap_count, (unsigned long long)object->gap_bytes);
}
