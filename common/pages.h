/* pages.h - memory in whole pages, from the kernel and back to it: for buffers that come and go with connections. malloc's heap
 * keeps what is given back between small things that stay; with connections that come and go beside a store in use, a server that
 * needed 40 MB stood at 500 MB after some hundred thousand of them.
 */
#ifndef TV_PAGES_H
#define TV_PAGES_H

#include <stddef.h>

/* NULL: no memory. */
void *tv_pages_get(size_t bytes);
/* `bytes` as they were asked for. NULL is allowed. */
void tv_pages_put(void *pages, size_t bytes);

#endif
