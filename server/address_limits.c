/* address_limits.c - see address_limits.h. A hash table, and a ring of those without connections, from the longest idle one
 * on. */
#include "address_limits.h"

#include "data.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>

#define MINUTE_NS  (60 * UINT64_C(1000000000))
#define SLOTS      1024
#define KEY_BYTES  24
#define IDLE_EXTRA 1024 /* addresses without connections that are remembered in any case */

/* Neighbours in the ring; the table has an end of its own in it. */
struct ring {
    struct ring *next;
    struct ring *previous;
};

struct tvs_address {
    struct ring idle; /* first; linked while there are no connections */
    struct tvs_address *next;
    char key[KEY_BYTES];
    uint32_t connections;
    uint32_t refused;    /* of them */
    uint64_t allowed_ns; /* what it may spend on handshakes, up to a minute; each costs its part of one */
    uint64_t seen_ns;    /* when that was counted */
};

struct tvs_address_limits {
    struct tvs_address_limits_options options; /* constant */

    pthread_mutex_t lock;
    /* under the lock */
    size_t count;
    struct ring idle;
    struct tvs_address *slots[SLOTS];
};

/* ---- addresses ---- */

static void put_key(char key[static KEY_BYTES], char kind, const void *bytes, size_t count) {
    key[0] = kind;
    memcpy(key + 1, bytes, count);
}

static void key_of_v6(const struct in6_addr *address, char key[static KEY_BYTES]) {
    if (IN6_IS_ADDR_V4MAPPED(address))
        put_key(key, '4', address->s6_addr + 12, 4);
    else
        put_key(key, '6', address->s6_addr, 8);
}

/* Of what a transport says of its peer. What it doesn't know is one address. */
static void key_of(const char *peer, char key[static KEY_BYTES]) {
    char host[INET6_ADDRSTRLEN] = "";
    const char *colon = strrchr(peer, ':');
    const char *uid = strstr(peer, " uid ");
    bool bracket = peer[0] == '[';
    size_t bytes = colon != NULL ? (size_t)(colon - peer) : 0;
    struct in6_addr v6;
    struct in_addr v4;
    memset(key, 0, KEY_BYTES);
    if (bracket && bytes >= 2) /* without the brackets */
        snprintf(host, sizeof host, "%.*s", (int)bytes - 2, peer + 1);
    else
        snprintf(host, sizeof host, "%.*s", (int)bytes, peer);
    if (uid != NULL)
        snprintf(key, KEY_BYTES, "u%s", uid + strlen(" uid "));
    else if (bracket && inet_pton(AF_INET6, host, &v6) == 1)
        key_of_v6(&v6, key);
    else if (inet_pton(AF_INET, host, &v4) == 1)
        put_key(key, '4', &v4, sizeof v4);
}

static struct tvs_address **slot_of(struct tvs_address_limits *limits, const char *key) {
    return &limits->slots[tv_hash(key, KEY_BYTES) % SLOTS];
}

static void unlink_idle(struct tvs_address *address) {
    address->idle.previous->next = address->idle.next;
    address->idle.next->previous = address->idle.previous;
}

static void link_idle(struct tvs_address_limits *limits, struct tvs_address *address) {
    address->idle.next = &limits->idle;
    address->idle.previous = limits->idle.previous;
    limits->idle.previous->next = &address->idle;
    limits->idle.previous = &address->idle;
}

static void forget(struct tvs_address_limits *limits, struct tvs_address *address) {
    struct tvs_address **at = slot_of(limits, address->key);
    while (*at != address)
        at = &(*at)->next;
    *at = address->next;
    unlink_idle(address);
    limits->count--;
    free(address);
}

/* Those whose handshakes don't count any more, and, where it is full, the one that has been idle for longest. */
static void make_room(struct tvs_address_limits *limits, uint64_t now_ns) {
    while (limits->idle.next != &limits->idle) {
        struct tvs_address *oldest = (struct tvs_address *)limits->idle.next;
        bool full = limits->count >= (size_t)limits->options.addresses_max + IDLE_EXTRA;
        if (!full && now_ns < oldest->seen_ns + MINUTE_NS)
            return;
        forget(limits, oldest);
    }
}

static struct tvs_address *find_or_make(struct tvs_address_limits *limits, const char *key, uint64_t now_ns) {
    struct tvs_address **slot = slot_of(limits, key);
    struct tvs_address *address = *slot;
    while (address != NULL && memcmp(address->key, key, KEY_BYTES) != 0)
        address = address->next;
    if (address != NULL)
        return address;
    make_room(limits, now_ns);
    if (limits->count >= (size_t)limits->options.addresses_max + IDLE_EXTRA || (address = calloc(1, sizeof *address)) == NULL)
        return NULL;
    memcpy(address->key, key, KEY_BYTES);
    address->allowed_ns = MINUTE_NS;
    address->seen_ns = now_ns;
    address->next = *slot;
    *slot = address;
    link_idle(limits, address);
    limits->count++;
    return address;
}

/* ---- coming and going ---- */

static bool may_shake_hands(const struct tvs_address_limits *limits, struct tvs_address *address, uint64_t now_ns) {
    uint64_t cost_ns = MINUTE_NS / limits->options.handshakes_max;
    uint64_t since_ns = now_ns > address->seen_ns ? now_ns - address->seen_ns : 0;
    address->allowed_ns = since_ns < MINUTE_NS - address->allowed_ns ? address->allowed_ns + since_ns : MINUTE_NS;
    if (now_ns > address->seen_ns)
        address->seen_ns = now_ns;
    if (address->allowed_ns < cost_ns)
        return false;
    address->allowed_ns -= cost_ns;
    return true;
}

static trove_status judge(const struct tvs_address_limits *limits, struct tvs_address *address, bool handshake, uint64_t now_ns,
                          trove_error *error) {
    if (address->connections - address->refused >= limits->options.connections_max)
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "there are %u connections from this address, which is the limit (connections.per_address)",
                       limits->options.connections_max);
    if (handshake && !may_shake_hands(limits, address, now_ns))
        return TV_FAIL(error, RESOURCE_EXHAUSTED,
                       "more than %u handshakes a minute from this address (connections.handshakes_per_address); try again later",
                       limits->options.handshakes_max);
    return TROVE_OK;
}

trove_status tvs_address_limits_enter(struct tvs_address_limits *limits, const char *peer, bool handshake, uint64_t now_ns,
                                      struct tvs_entry *entry, trove_error *error) {
    char key[KEY_BYTES];
    key_of(peer, key);
    *entry = (struct tvs_entry){.refused = true};
    pthread_mutex_lock(&limits->lock);
    struct tvs_address *address = find_or_make(limits, key, now_ns);
    trove_status status = address != NULL ? judge(limits, address, handshake, now_ns, error)
                                          : TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for one more address");
    if (address != NULL) {
        if (address->connections++ == 0)
            unlink_idle(address);
        entry->address = address;
        entry->refused = status != TROVE_OK;
        entry->politely = address->refused < TVS_REFUSED_POLITELY_MAX;
        address->refused += entry->refused;
    }
    pthread_mutex_unlock(&limits->lock);
    return status;
}

void tvs_address_limits_leave(struct tvs_address_limits *limits, struct tvs_entry *entry) {
    struct tvs_address *address = entry->address;
    if (address == NULL)
        return;
    entry->address = NULL;
    pthread_mutex_lock(&limits->lock);
    address->refused -= entry->refused;
    if (--address->connections == 0)
        link_idle(limits, address);
    pthread_mutex_unlock(&limits->lock);
}

size_t tvs_address_limits_count(struct tvs_address_limits *limits) {
    pthread_mutex_lock(&limits->lock);
    size_t count = limits->count;
    pthread_mutex_unlock(&limits->lock);
    return count;
}

/* ---- life ---- */

trove_status tvs_address_limits_create(const struct tvs_address_limits_options *options, struct tvs_address_limits **limits_out,
                                       trove_error *error) {
    struct tvs_address_limits *limits = calloc(1, sizeof *limits);
    if (limits == NULL)
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory for a server");
    limits->options = *options;
    limits->idle.next = limits->idle.previous = &limits->idle;
    pthread_mutex_init(&limits->lock, NULL);
    *limits_out = limits;
    return TROVE_OK;
}

void tvs_address_limits_destroy(struct tvs_address_limits *limits) {
    if (limits == NULL)
        return;
    while (limits->idle.next != &limits->idle)
        forget(limits, (struct tvs_address *)limits->idle.next);
    TV_ASSERT(limits->count == 0);
    pthread_mutex_destroy(&limits->lock);
    free(limits);
}
