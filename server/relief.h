/* relief.h - when those who don't use their memory are to be asked for it: in rounds, one after the other, as long as somebody
 * waits.
 *
 * Whoever begins to wait wants a round. One that was wanted before a round began is served by it; one that comes later, even as
 * the last moment of a round passes, makes another one: no wish is lost. (It stands for itself so that a test can try each
 * order.)
 * Threads: want from any; begin and end by the one that runs the rounds.
 */
#ifndef TVS_RELIEF_H
#define TVS_RELIEF_H

#include <stdatomic.h>
#include <stdbool.h>

/* Zeroed before the first use. */
struct tvs_relief {
    atomic_bool armed;  /* a round will be run, or is */
    atomic_bool wanted; /* since the last one began */
};

/* Somebody waits. True: the caller arms the next round, or says tvs_relief_disarm if it can't. */
bool tvs_relief_want(struct tvs_relief *relief);
void tvs_relief_disarm(struct tvs_relief *relief);

void tvs_relief_begin(struct tvs_relief *relief);
/* As tvs_relief_want: true if another one was wanted. */
bool tvs_relief_end(struct tvs_relief *relief);

#endif
