/* xxh3.h - XXH3 by the variant for the CPU at hand: twice the speed where it has AVX2. Include it instead of <xxhash.h>. */
#ifndef TV_XXH3_H
#define TV_XXH3_H

#define XXH_STATIC_LINKING_ONLY /* the layout of XXH3_state_t */
#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h> /* redefines XXH3_... as the dispatching ones */
#endif

#endif
