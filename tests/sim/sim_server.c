/* sim_server.c - the server's life: it begins, is ended or dies, and the next one finds what the disk has. See sim.h.
 *
 * One that dies can't be taken away from under its threads. So its links break, its calls fail in the store, or what they did
 * there is told to nobody, and it is ended like any other: nothing of that can be seen from outside.
 */
#include "sim.h"

#include "server/session.h"

#include <string.h>

void sim_server_start(const struct tvs_server_options *options) {
    struct tvs_server *server = NULL;
    trove_error error;
    bool served = sim_serve(true);
    trove_status status = tvs_server_create(options, &server, &error);
    if (status == TROVE_RESOURCE_EXHAUSTED && sim.memory.refused) /* whoever starts it tries again */
        status = tvs_server_create(options, &server, &error);
    sim_serve(served);
    if (status != TROVE_OK) {
        sim_fail("the server can't be made: %s", error.message);
        return;
    }
    memset(sim.allowed_bytes, 0, sizeof sim.allowed_bytes);
    sim.server_begun_ns = sim.now_ns;
    sim.server_ends = sim.server_dead = false;
    sim.server = server;
}

static void end(uint32_t timeout_ms, bool may_be_late) {
    struct tvs_server *server = sim.server;
    bool served = sim_serve(true);
    bool drained = tvs_server_drain(server, timeout_ms);
    while (!sim_disk_still())
        sim_sleep(SIM_MS);
    sim.server = NULL;
    if (!tvs_server_destroy(server) || !(drained || may_be_late))
        sim_fail("the server doesn't end");
    sim_serve(served);
}

void sim_server_end(void) {
    for (unsigned seconds = 0; sim.server->session_count > 0; seconds++) {
        if (seconds == 120) {
            sim_fail("the clients have gone, and %u sessions are still there", sim.server->session_count);
            return;
        }
        sim_sleep(SIM_SECOND);
    }
    sim_check_end();
    end(1000, false);
}

static void restart(const struct tvs_server_options *options) {
    bool dies = sim_chance(60);
    sim_trace("the server %s", dies ? "dies" : "is ended");
    sim.server_ends = true;
    while (sim.accepting > 0)
        sim_sleep(SIM_MS);
    sim.server_dead = dies;
    if (dies)
        sim_links_cut();
    for (unsigned i = 0; i < sim.link_count; i++)
        sim.lost[i] = true;
    end(dies ? 10000 : (uint32_t)sim_between(10000, 20000), true);
    sim_met.crashes += dies;
    sim_met.ends += !dies;
    sim_sleep(sim_between(0, 3 * SIM_SECOND));
    sim_server_start(options);
    sim_trace("the next server");
}

void sim_server_restart_run(void *options) {
    for (unsigned times = (unsigned)sim_between(1, 2); times > 0 && sim.failure[0] == '\0'; times--) {
        sim_sleep(sim_between(0, 6 * SIM_SECOND));
        restart(options);
    }
}
