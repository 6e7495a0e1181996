/* elsewhere.h - for tests: what must hold on threads that aren't the test's own, such as hooks run on. cmocka's asserts unwind to
 * a place that each thread has for itself; elsewhere they end the program without a word. These say where and what, and abort.
 */
#ifndef TROVE_TESTS_ELSEWHERE_H
#define TROVE_TESTS_ELSEWHERE_H

#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                                                                          \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            fprintf(stderr, "%s:%d: on another thread: not %s\n", __FILE__, __LINE__, #condition);                               \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)

/* A call that returns a status, 0 being the good one, and says more in an error. */
#define MUST_OK(call, error)                                                                                                     \
    do {                                                                                                                         \
        if ((call) != 0) {                                                                                                       \
            fprintf(stderr, "%s:%d: on another thread: %s: %s\n", __FILE__, __LINE__, #call, (error)->message);                  \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)

#endif
