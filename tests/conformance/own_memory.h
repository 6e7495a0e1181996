/* own_memory.h - put before the source of a test of memory faults (-include): what the test itself takes is never refused nor
 * counted. See memory_faults.h.
 */
#ifndef CONFORMANCE_OWN_MEMORY_H
#define CONFORMANCE_OWN_MEMORY_H

#include <malloc.h> /* declares them, before they have other names */
#include <stdlib.h>
#include <string.h>

/* The linker's names (--wrap). */
void *__real_malloc(size_t bytes);                          /* NOLINT(bugprone-reserved-identifier) */
void *__real_calloc(size_t count, size_t bytes);            /* NOLINT(bugprone-reserved-identifier) */
void *__real_realloc(void *memory, size_t bytes);           /* NOLINT(bugprone-reserved-identifier) */
void *__real_aligned_alloc(size_t alignment, size_t bytes); /* NOLINT(bugprone-reserved-identifier) */
char *__real_strdup(const char *text);                      /* NOLINT(bugprone-reserved-identifier) */
void __real_free(void *memory);                             /* NOLINT(bugprone-reserved-identifier) */

#define malloc(bytes)                   __real_malloc(bytes)
#define calloc(count, bytes)            __real_calloc(count, bytes)
#define realloc(memory, bytes)          __real_realloc(memory, bytes)
#define aligned_alloc(alignment, bytes) __real_aligned_alloc(alignment, bytes)

#endif
