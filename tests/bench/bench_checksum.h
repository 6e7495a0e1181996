/* bench_checksum.h - the checksum that every competitor of the benchmark takes over each chunk: XXH3-64, by the variant for the
 * CPU at hand where the library offers one. C and C++. */
#ifndef TROVE_BENCH_CHECKSUM_H
#define TROVE_BENCH_CHECKSUM_H

#define XXH_STATIC_LINKING_ONLY /* the layout of XXH3_state_t */
#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h> /* redefines XXH3_64bits and XXH3_64bits_update as the dispatching ones */
#endif

#endif
