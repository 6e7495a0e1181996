/* memory_faults.c - see memory_faults.h. */
#include "memory_faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

extern const char __executable_start[]; /* NOLINT(bugprone-reserved-identifier): the linker's */

#define BLOCKS_MAX 8192

struct block {
    const void *memory; /* NULL: none */
    const void *where;  /* the call's */
    size_t bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* under `lock` */
static struct block blocks[BLOCKS_MAX];
static size_t blocks_used; /* none lies behind */
static unsigned fault_nth, calls, refused;
static bool fault_lasts;

void memory_fault_set(unsigned nth, bool lasting) {
    pthread_mutex_lock(&lock);
    fault_nth = nth;
    fault_lasts = lasting;
    calls = refused = 0;
    pthread_mutex_unlock(&lock);
}

unsigned memory_faults(void) {
    pthread_mutex_lock(&lock);
    unsigned count = refused;
    pthread_mutex_unlock(&lock);
    return count;
}

unsigned memory_held(bool say) {
    unsigned count = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < blocks_used; i++) {
        if (blocks[i].memory == NULL)
            continue;
        count++;
        if (say)
            fprintf(stderr, "    held: %zu bytes, taken at %#zx (addr2line)\n", blocks[i].bytes,
                    (size_t)((const char *)blocks[i].where - __executable_start));
    }
    pthread_mutex_unlock(&lock);
    return count;
}

static bool is_refused(void) {
    pthread_mutex_lock(&lock);
    bool hit = fault_nth != 0 && (++calls == fault_nth || (fault_lasts && calls > fault_nth));
    refused += hit;
    pthread_mutex_unlock(&lock);
    if (hit)
        errno = ENOMEM;
    return hit;
}

static void forget(const void *memory) {
    pthread_mutex_lock(&lock);
    for (size_t i = blocks_used; memory != NULL && i-- > 0;) {
        if (blocks[i].memory != memory)
            continue;
        blocks[i].memory = NULL;
        break;
    }
    while (blocks_used > 0 && blocks[blocks_used - 1].memory == NULL)
        blocks_used--;
    pthread_mutex_unlock(&lock);
}

static void *note(void *memory, size_t bytes, const void *where) {
    pthread_mutex_lock(&lock);
    if (memory != NULL && blocks_used < BLOCKS_MAX)
        blocks[blocks_used++] = (struct block){memory, where, bytes};
    pthread_mutex_unlock(&lock);
    return memory;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);

void *__wrap_malloc(size_t bytes) {
    return is_refused() ? NULL : note(__real_malloc(bytes), bytes, __builtin_return_address(0));
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return is_refused() ? NULL : note(__real_calloc(count, bytes), count * bytes, __builtin_return_address(0));
}

void *__wrap_realloc(void *memory, size_t bytes) {
    if (is_refused())
        return NULL;
    forget(memory);
    return note(__real_realloc(memory, bytes), bytes, __builtin_return_address(0));
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return is_refused() ? NULL : note(__real_aligned_alloc(alignment, bytes), bytes, __builtin_return_address(0));
}

char *__wrap_strdup(const char *text) {
    return is_refused() ? NULL : note(__real_strdup(text), strlen(text) + 1, __builtin_return_address(0));
}

void __wrap_free(void *memory) {
    forget(memory);
    __real_free(memory);
}
/* NOLINTEND(bugprone-reserved-identifier) */
