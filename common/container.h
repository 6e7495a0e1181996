/* container.h - from a member back to the structure that it is embedded in. */
#ifndef TV_CONTAINER_H
#define TV_CONTAINER_H

#include <stddef.h>

/* `pointer` points to `member` of a `type`; anything else doesn't compile. */
#define TV_CONTAINER_OF(pointer, type, member)                                                                                   \
    __extension__({                                                                                                              \
        __typeof__(((type *)NULL)->member) *member_ = (pointer);                                                                 \
        (type *)(void *)((char *)member_ - offsetof(type, member));                                                              \
    })

#endif
