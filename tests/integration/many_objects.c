/* many_objects.c - for the end-to-end tests: what the command would be too slow for, or doesn't do.
 *
 *   many_objects URL BUCKET put          stores an object for every key on standard input (NUL behind each); it contains its key
 *   many_objects URL BUCKET first-page   prints the milliseconds that the first page of a listing takes: best and median of 31
 */
#include "trove.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PAGES = 31,
    STORE_TIMEOUT_MS = 60000
};

static _Noreturn void fail(const char *what, const trove_error *error) {
    fprintf(stderr, "many_objects: %s: %s (%s)\n", what, error->message, trove_status_name(error->status));
    exit(EXIT_FAILURE);
}

/* ---- put ---- */

struct puts {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long under_way;
    trove_error failure; /* the first one */
};

static void stored(void *context, const trove_error *error, const void *data, size_t size) {
    struct puts *puts = context;
    (void)data;
    (void)size;
    pthread_mutex_lock(&puts->lock);
    puts->under_way--;
    if (error != NULL && puts->failure.status == TROVE_OK)
        puts->failure = *error;
    if (puts->under_way == 0)
        pthread_cond_signal(&puts->changed);
    pthread_mutex_unlock(&puts->lock);
}

static void put(trove_client *client, const char *bucket) {
    struct puts puts = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    trove_error error;
    char *key = NULL;
    size_t room = 0;
    unsigned long count = 0;
    for (ssize_t bytes = 0; (bytes = getdelim(&key, &room, 0, stdin)) > 0; count++) {
        pthread_mutex_lock(&puts.lock);
        puts.under_way++;
        pthread_mutex_unlock(&puts.lock);
        if (trove_put_async(client, bucket, key, key, (size_t)bytes - 1, STORE_TIMEOUT_MS, stored, &puts, &error) != TROVE_OK)
            fail("put", &error);
    }
    free(key);
    pthread_mutex_lock(&puts.lock);
    while (puts.under_way > 0)
        pthread_cond_wait(&puts.changed, &puts.lock);
    pthread_mutex_unlock(&puts.lock);
    if (puts.failure.status != TROVE_OK)
        fail("put", &puts.failure);
    printf("%lu\n", count);
}

/* ---- first-page ---- */

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_size(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return difference < 0 ? -1 : difference > 0;
}

static void first_page(trove_client *client, const char *bucket) {
    double took_ms[PAGES];
    for (int i = 0; i < PAGES; i++) {
        trove_error error;
        trove_list_page *page = NULL;
        double begin_ms = now_ms();
        if (trove_list(client, bucket, NULL, &page, &error) != TROVE_OK)
            fail("list", &error);
        took_ms[i] = now_ms() - begin_ms;
        trove_list_page_free(page);
    }
    qsort(took_ms, PAGES, sizeof took_ms[0], by_size);
    printf("%.3f %.3f\n", took_ms[0], took_ms[PAGES / 2]);
}

int main(int argc, char **argv) {
    bool is_put = argc == 4 && strcmp(argv[3], "put") == 0;
    if (!is_put && !(argc == 4 && strcmp(argv[3], "first-page") == 0)) {
        fprintf(stderr, "usage: many_objects URL BUCKET put|first-page\n");
        return 64;
    }
    trove_client *client = NULL;
    trove_error error;
    if (trove_connect(argv[1], NULL, &client, &error) != TROVE_OK)
        fail("connect", &error);
    if (is_put)
        put(client, argv[2]);
    else
        first_page(client, argv[2]);
    trove_close(client);
    return EXIT_SUCCESS;
}
