/* sim_memory.c - memory that the server is refused: of what its own objects ask for, on its threads, the nth. See sim.h.
 *
 * The linker leads the calls of malloc and its kin here (--wrap). Who asks is known by the thread: a server's threads serve, and
 * what the network and the disk call of it serves as well. The test's own objects go past it: own_memory.h.
 */
#include "sim.h"
#include "sim_threads.h"

#include <errno.h>

#define PLACES_MAX 512

/* Where a request stands in the code, and how often it was refused, in all runs. */
static struct place {
    const void *where;
    unsigned refused;
} places[PLACES_MAX];
static size_t place_count;

static struct place *asked[SIM_REQUESTS_MAX]; /* in this run, in order */

static struct place *place_of(const void *where) {
    size_t at = 0;
    while (at < place_count && places[at].where != where)
        at++;
    TV_ASSERT(at < PLACES_MAX);
    if (at == place_count)
        places[place_count++].where = where;
    return &places[at];
}

unsigned sim_memory_next(unsigned from, unsigned times, unsigned requests) {
    for (unsigned nth = from; nth <= requests && nth <= SIM_REQUESTS_MAX; nth++)
        if (asked[nth - 1]->refused < times)
            return nth;
    return 0;
}

size_t sim_memory_places(size_t *refused) {
    *refused = 0;
    for (size_t i = 0; i < place_count; i++)
        *refused += places[i].refused > 0;
    return place_count;
}

static bool is_refused(const void *where) {
    if (!sim.memory.counts || !sim_serves())
        return false;
    unsigned nth = ++sim.memory.requests;
    struct place *place = place_of(where);
    if (sim.memory.refuse == SIM_NO_REQUEST && nth <= SIM_REQUESTS_MAX)
        asked[nth - 1] = place;
    if (nth != sim.memory.refuse)
        return false;
    sim_trace("request %u for memory is refused, at %p", nth, where);
    sim.memory.refused = true;
    place->refused++;
    errno = ENOMEM;
    return true;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t bytes) {
    return is_refused(__builtin_return_address(0)) ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return is_refused(__builtin_return_address(0)) ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes) {
    return is_refused(__builtin_return_address(0)) ? NULL : __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return is_refused(__builtin_return_address(0)) ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__wrap_strdup(const char *text) {
    return is_refused(__builtin_return_address(0)) ? NULL : __real_strdup(text);
}
/* NOLINTEND(bugprone-reserved-identifier) */
