/* coming_and_going.c - see coming_and_going.h. */
#include "coming_and_going.h"

#include <signal.h>
#include <string.h>

void restarted_begin(struct restarted *own, const struct client_test *group, const trove_client_options *options) {
    trove_error error;
    *own = (struct restarted){.test = *group, .options = {.listen = {"ipc://%s/socket"}, .store = client_test_store()}};
    pthread_mutex_init(&own->lock, NULL);
    pthread_cond_init(&own->changed, NULL);
    own->test.server = troved_start(&own->options, NULL);
    own->test.url = troved_url(own->test.server, "ipc");
    CHECK_OK(trove_connect(own->test.url, options, &own->test.client, &error), &error);
    CHECK_OK(trove_bucket_create(own->test.client, BUCKET, 0, &error), &error);
}

void restarted_end(struct restarted *own) {
    trove_close(own->test.client);
    assert_int_equal(troved_stop(own->test.server, false), 0);
    pthread_mutex_lock(&own->lock);
    own->over = true;
    pthread_cond_broadcast(&own->changed);
    pthread_mutex_unlock(&own->lock);
    for (unsigned i = 0; i < own->count; i++)
        pthread_join(own->threads[i], NULL);
}

void restarted_kill(struct restarted *own) {
    kill(troved_pid(own->test.server), SIGKILL);
}

/* The folder's name is the server's, which goes. */
void restarted_start(struct restarted *own) {
    char folder[256];
    assert_true(strlen(troved_folder(own->test.server)) < sizeof folder);
    strcpy(folder, troved_folder(own->test.server));
    (void)troved_stop(own->test.server, true); /* killed, or asked to end */
    own->test.server = troved_start(&own->options, folder);
    own->test.url = troved_url(own->test.server, "ipc");
}

static void *start_after_a_while(void *argument) {
    struct restarted *own = argument;
    pause_ms(own->pause_ms);
    restarted_start(own);
    pthread_mutex_lock(&own->lock);
    own->started++;
    pthread_cond_broadcast(&own->changed);
    while (!own->over)
        pthread_cond_wait(&own->changed, &own->lock);
    pthread_mutex_unlock(&own->lock);
    return NULL;
}

void restarted_start_soon(struct restarted *own, unsigned pause_ms) {
    own->pause_ms = pause_ms;
    assert_true(own->count < RESTARTS_MAX);
    assert_int_equal(pthread_create(&own->threads[own->count++], NULL, start_after_a_while, own), 0);
}

void restarted_wait_for_start(struct restarted *own) {
    pthread_mutex_lock(&own->lock);
    while (own->started < own->count)
        pthread_cond_wait(&own->changed, &own->lock);
    pthread_mutex_unlock(&own->lock);
}

bool restarted_keeps(void) {
    return strncmp(client_test_store(), "local:", 6) == 0;
}
