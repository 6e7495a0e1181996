/* test_thread.c - threads have their names and no signals, whether somebody joins them or not. */
#include "thread.h"

#include "unit.h"

#include <semaphore.h>
#include <signal.h>

struct seen {
    char name[16];
    sigset_t blocked;
    sem_t over;
};

static void *look(void *context) {
    struct seen *seen = context;
    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    sem_post(&seen->over);
    return seen;
}

static void check(struct seen *seen, const char *name) {
    assert_string_equal(seen->name, name);
    assert_int_equal(sigismember(&seen->blocked, SIGTERM), 1);
    assert_int_equal(sigismember(&seen->blocked, SIGUSR2), 1);
    sigset_t own;
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_int_equal(sigismember(&own, SIGTERM), 0);
}

static void one_that_is_joined(void **state) {
    (void)state;
    static struct seen seen;
    pthread_t thread;
    void *result;
    sem_init(&seen.over, 0, 0);
    assert_int_equal(tv_thread_start("a-name-of-15-by", look, &seen, &thread, NULL), TROVE_OK);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &seen);
    check(&seen, "a-name-of-15-by");
}

static void ones_that_nobody_joins(void **state) {
    (void)state;
    static struct seen seen; /* there until the last thread is over, which nobody sees */
    sem_init(&seen.over, 0, 0);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(tv_thread_start("left", look, &seen, NULL, NULL), TROVE_OK);
        while (sem_wait(&seen.over) != 0)
            continue;
        check(&seen, "left");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_joined),
        cmocka_unit_test(ones_that_nobody_joins),
    };
    return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
