/* test_job_thread.c - a thread that runs jobs: started when it is needed, jobs in order and queued once, ended with nothing left
 * behind.
 *
 * pthread_create is the one in here (the linker's --wrap), so that it can fail.
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>

#include "job_thread.h"

#define JOBS 5

static bool no_threads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    return no_threads ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}

/* A job that notes when it ran, after the gate was opened. */
struct noted {
    struct tvc_job job; /* first */
    unsigned runs;
    unsigned when;   /* it ran last */
    bool post_again; /* while it runs */
    bool here;
    bool signals_blocked;
};

static struct tvc_job_thread thread;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static unsigned ran; /* jobs in all */

static void run(struct tvc_job *job) {
    struct noted *noted = (struct noted *)job;
    sigset_t blocked;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    noted->runs++;
    noted->when = ran++;
    noted->here = tvc_job_thread_here(&thread);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    noted->signals_blocked = sigismember(&blocked, SIGINT) == 1 && sigismember(&blocked, SIGTERM) == 1;
    if (noted->post_again)
        noted->post_again = !tvc_job_thread_post(&thread, job);
}

static void test_jobs(void **state) {
    (void)state;
    struct noted jobs[JOBS] = {0};
    trove_error error;
    ran = 0;
    tvc_job_thread_init(&thread);
    assert_int_equal(tvc_job_thread_start(&thread, &error), TROVE_OK);
    assert_int_equal(tvc_job_thread_start(&thread, &error), TROVE_OK); /* it runs already */
    assert_false(tvc_job_thread_here(&thread));
    pthread_mutex_lock(&gate);
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i].job.run = run;
        assert_true(tvc_job_thread_post(&thread, &jobs[i].job));
    }
    assert_false(tvc_job_thread_post(&thread, &jobs[JOBS - 1].job)); /* it waits behind the gate */
    jobs[1].post_again = true;
    pthread_mutex_unlock(&gate);
    tvc_job_thread_end(&thread); /* runs what is queued */
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].runs, i == 1 ? 2 : 1);
        assert_int_equal(jobs[i].when, i == 1 ? JOBS : i);
        assert_true(jobs[i].here && jobs[i].signals_blocked);
    }
    assert_false(tvc_job_thread_post(&thread, &jobs[0].job));
    assert_int_equal(tvc_job_thread_start(&thread, &error), TROVE_CANCELLED);
    tvc_job_thread_fini(&thread);
}

static void test_never_started(void **state) {
    (void)state;
    struct noted noted = {.job.run = run};
    trove_error error;
    tvc_job_thread_init(&thread);
    assert_false(tvc_job_thread_post(&thread, &noted.job));
    tvc_job_thread_end(&thread);
    assert_int_equal(tvc_job_thread_start(&thread, &error), TROVE_CANCELLED);
    tvc_job_thread_fini(&thread);
    assert_int_equal(noted.runs, 0);
}

static void test_no_thread(void **state) {
    (void)state;
    struct noted noted = {.job.run = run};
    trove_error error;
    tvc_job_thread_init(&thread);
    no_threads = true;
    assert_int_equal(tvc_job_thread_start(&thread, &error), TROVE_RESOURCE_EXHAUSTED);
    no_threads = false;
    assert_false(tvc_job_thread_post(&thread, &noted.job));
    assert_int_equal(tvc_job_thread_start(&thread, &error), TROVE_OK); /* there is one now */
    assert_true(tvc_job_thread_post(&thread, &noted.job));
    tvc_job_thread_end(&thread);
    tvc_job_thread_fini(&thread);
    assert_int_equal(noted.runs, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_never_started),
        cmocka_unit_test(test_no_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
