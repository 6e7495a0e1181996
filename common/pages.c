/* pages.c - see pages.h. Under AddressSanitizer it is malloc after all, which sees what goes beyond an end. */
#include "pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)

void *tv_pages_get(size_t bytes) {
    return malloc(bytes);
}

void tv_pages_put(void *pages, size_t bytes) {
    (void)bytes;
    free(pages);
}

#else

void *tv_pages_get(size_t bytes) {
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void tv_pages_put(void *pages, size_t bytes) {
    if (pages != NULL)
        munmap(pages, bytes);
}

#endif
