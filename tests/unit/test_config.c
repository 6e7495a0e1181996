/* The config file: what is taken, what is refused with which line and words, and that the example is what it says it is.
 * TROVE_EXAMPLE_CONFIG is the path of deploy/troved.yaml. */
#include "bounds.h"
#include "config.h"
#include "scratch.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static trove_status parse(const char *text, struct tvs_config *config, trove_error *error) {
    size_t bytes = strlen(text);
    char *copy = unit_copy(text, bytes);
    tvs_config_init(config);
    trove_status status = tvs_config_parse(config, "x.yaml", copy, bytes, error);
    free(copy);
    return status;
}

static void every_key_reaches_its_place(void **state) {
    (void)state;
    struct tvs_config config;
    trove_error error = {.message = ""};
    trove_status status =
        parse("listen:\n  - ipc:///a\n  - tcp://b:1\ninsecure: true\nstore: mem://\nstore_memory: 3MiB\n"
              "durability: relaxed\nmemory: 64MiB\nworkers: 7\ndrain_timeout: 3s\n"
              "pool:\n  streams: 9\n  chunk_size: 2MiB\n  channel_size: 5\n  idle_timeout: 7m\n  credit_expiry: 900ms\n"
              "  backpressure: drop\n"
              "connections:\n  max: 11\n  per_address: 12\n  handshakes_per_address: 13\n  streams: 14\n  calls: 15\n  "
              "keepalive: 2s\n  handshake_timeout: 250ms\n  call_timeout: 4s\n"
              "log:\n  level: warn\n  format: json\n",
              &config, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, TROVE_OK);
    assert_int_equal(config.listen_count, 2);
    assert_string_equal(config.listen[0], "ipc:///a");
    assert_string_equal(config.listen[1], "tcp://b:1");
    assert_true(config.insecure);
    assert_string_equal(config.store, "mem://");
    assert_int_equal(config.drain_timeout_ms, 3000);
    assert_int_equal(config.log_level, TVS_LOG_WARN);
    assert_int_equal(config.log_format, TVS_LOG_JSON);
    const struct tvs_server_options expected = {
        .store_memory_bytes = 3 * TV_MIB,
        .relaxed = true,
        .memory_bytes = 64 * TV_MIB,
        .workers = 7,
        .connections_max = 11,
        .keepalive_ms = 2000,
        .handshake_ms = 250,
        .call_deadline_ms = 4000,
    };
    const struct tvs_pool_limits pool = {
        .chunk_bytes = 2 * TV_MIB,
        .channel_chunks = 5,
        .streams_max = 9,
        .idle_timeout_ms = 420000,
        .grant_expiry_ms = 900,
        .backpressure = TROVE_BACKPRESSURE_DROP,
    };
    const struct tvs_pool_limits *standard = &config.server.pools.pools[0].limits;
    assert_int_equal(config.server.store_memory_bytes, expected.store_memory_bytes);
    assert_int_equal(config.server.relaxed, expected.relaxed);
    assert_int_equal(config.server.memory_bytes, expected.memory_bytes);
    assert_int_equal(standard->chunk_bytes, pool.chunk_bytes);
    assert_int_equal(standard->channel_chunks, pool.channel_chunks);
    assert_int_equal(standard->streams_max, pool.streams_max);
    assert_int_equal(config.server.workers, expected.workers);
    assert_int_equal(config.server.connections_max, expected.connections_max);
    assert_int_equal(config.server.per_address_max, 12);
    assert_int_equal(config.server.handshakes_max, 13);
    assert_int_equal(config.server.streams_max, 14);
    assert_int_equal(config.server.calls_max, 15);
    assert_int_equal(config.server.keepalive_ms, expected.keepalive_ms);
    assert_int_equal(config.server.handshake_ms, expected.handshake_ms);
    assert_int_equal(config.server.call_deadline_ms, expected.call_deadline_ms);
    assert_int_equal(standard->idle_timeout_ms, pool.idle_timeout_ms);
    assert_int_equal(standard->grant_expiry_ms, pool.grant_expiry_ms);
    assert_int_equal(standard->backpressure, pool.backpressure);
    tvs_config_fini(&config);
}

/* Field by field: what lies between them is anybody's. */
static void check_limits(const struct tvs_pool_limits *limits, const struct tvs_pool_limits *expected) {
    assert_int_equal(limits->streams_max, expected->streams_max);
    assert_int_equal(limits->bandwidth, expected->bandwidth);
    assert_int_equal(limits->chunk_bytes, expected->chunk_bytes);
    assert_int_equal(limits->channel_chunks, expected->channel_chunks);
    assert_int_equal(limits->memory_bytes, expected->memory_bytes);
    assert_int_equal(limits->buffers_max, expected->buffers_max);
    assert_int_equal(limits->stream_timeout_ms, expected->stream_timeout_ms);
    assert_int_equal(limits->idle_timeout_ms, expected->idle_timeout_ms);
    assert_int_equal(limits->rate_min, expected->rate_min);
    assert_int_equal(limits->paused_timeout_ms, expected->paused_timeout_ms);
    assert_int_equal(limits->grant_expiry_ms, expected->grant_expiry_ms);
    assert_int_equal(limits->backpressure, expected->backpressure);
}

/* What a further pool leaves out it has from the default pool, wherever that stands in the file. */
static void pools_take_after_the_default(void **state) {
    (void)state;
    struct tvs_config config;
    trove_error error = {.message = ""};
    trove_status status = parse("pools:\n"
                                "  - name: uploads\n    streams: 8\n    bandwidth: 20MiB\n    buffers: 32\n"
                                "  - name: slow_2-b\n    chunk_size: 64KiB\n    memory: 4MiB\n    stream_timeout: 30m\n"
                                "    paused_timeout: 0s\n    channel_size: 3\n"
                                "    idle_timeout: 2s\n    credit_expiry: 1s\n    backpressure: adaptive\n    min_rate: 7KiB\n"
                                "pool:\n  streams: 100\n  stream_timeout: 1h\n  paused_timeout: 1m\n  bandwidth: 1GiB\n",
                                &config, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, TROVE_OK);
    const struct tvs_pool_set *set = &config.server.pools;
    assert_int_equal(set->count, 3);
    assert_string_equal(set->pools[0].name, "default");
    assert_string_equal(set->pools[1].name, "uploads");
    assert_string_equal(set->pools[2].name, "slow_2-b");
    struct tvs_pool_limits expected;
    tvs_pool_limits_init(&expected);
    expected.streams_max = 100;
    expected.stream_timeout_ms = 3600000;
    expected.paused_timeout_ms = 60000;
    expected.bandwidth = TV_GIB;
    check_limits(&set->pools[0].limits, &expected);
    struct tvs_pool_limits uploads = expected;
    uploads.streams_max = 8;
    uploads.bandwidth = 20 * TV_MIB;
    uploads.buffers_max = 32;
    check_limits(&set->pools[1].limits, &uploads);
    struct tvs_pool_limits slow = expected;
    slow.chunk_bytes = 64 * TV_KIB;
    slow.memory_bytes = 4 * TV_MIB;
    slow.stream_timeout_ms = 1800000;
    slow.paused_timeout_ms = 0;
    slow.channel_chunks = 3;
    slow.idle_timeout_ms = 2000;
    slow.grant_expiry_ms = 1000;
    slow.backpressure = TROVE_BACKPRESSURE_ADAPTIVE;
    slow.rate_min = 7 * TV_KIB;
    check_limits(&set->pools[2].limits, &slow);
    tvs_config_fini(&config);
}

static void who_is_let_in(void **state) {
    (void)state;
    struct tvs_config config;
    trove_error error = {.message = ""};
    trove_status status =
        parse("key_file: /k\nauthorized_keys: /a\nsocket_mode: 0660\naudit_log: log\n"
              "allow_origins: [\"https://a.example\", \"https://b.example\"]\n"
              "pools: [{name: slow}]\nusers:\n  - uid: 4711\n    rights: read,list:media all:scratch\n    quota: 3GiB\n"
              "    bandwidth: 5MiB\n    pool: slow\n  - {uid: 0, rights: list}\n",
              &config, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, TROVE_OK);
    tvs_config_server(&config);
    const struct tvs_server_options *server = &config.server;
    assert_string_equal(config.key_file, "/k");
    assert_string_equal(config.audit_log, "log");
    assert_int_equal(server->socket_mode, 0660);
    assert_string_equal(server->access.authorized_keys, "/a");
    assert_int_equal(server->origin_count, 2);
    assert_string_equal(server->origins[1], "https://b.example");
    assert_int_equal(server->access.user_count, 2);
    const struct tvs_user *user = &server->access.users[0];
    assert_int_equal(user->uid, 4711);
    assert_string_equal(user->rights, "read,list:media all:scratch");
    assert_int_equal(user->quota_bytes, 3 * TV_GIB);
    assert_int_equal(user->bandwidth, 5 * TV_MIB);
    assert_string_equal(user->pool, "slow");
    assert_int_equal(server->access.users[1].uid, 0);
    assert_int_equal(server->access.users[1].quota_bytes, 0);
    assert_int_equal(server->access.users[1].bandwidth, 0);
    tvs_config_fini(&config);
    tvs_config_init(&config);
    assert_int_equal(config.server.socket_mode, 0600);
    assert_int_equal(config.user_count, 0);
    tvs_config_fini(&config);
}

static void own_memory(void **state) {
    (void)state;
    static const struct {
        uint64_t memory_bytes;
        uint32_t buffers_max;
        uint64_t own_bytes;
    } rows[] = {
        {0, 0, 0},
        {8 * TV_MIB, 0, 8 * TV_MIB},
        {0, 16, 16 * TV_MIB},
        {8 * TV_MIB, 16, 8 * TV_MIB},
        {32 * TV_MIB, 16, 16 * TV_MIB},
        {TV_MIB, 0, TV_MIB},
    };
    struct tvs_pool_limits limits;
    tvs_pool_limits_init(&limits);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        limits.memory_bytes = rows[i].memory_bytes;
        limits.buffers_max = rows[i].buffers_max;
        assert_int_equal(tvs_pool_own_bytes(&limits), rows[i].own_bytes);
    }
    limits = (struct tvs_pool_limits){.buffers_max = 4, .chunk_bytes = 4 * TV_KIB};
    assert_int_equal(tvs_pool_own_bytes(&limits), TVS_POOL_MEMORY_BYTES_MIN);
}

static void pool_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool valid;
    } rows[] = {
        {"a", true},
        {"0", true},
        {"-_-", true},
        {"default", true},
        {"", false},
        {"A", false},
        {"a b", false},
        {"a.b", false},
        {"\xc3\xa4", false},
        {"a\n", false},
        {"0123456789012345678901234567890123456789012345678901234567890ab", true},
        {"0123456789012345678901234567890123456789012345678901234567890abc", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unit_row(rows[i].name);
        assert_int_equal(tvs_pool_name_valid(rows[i].name), rows[i].valid);
    }
}

static void what_is_left_out_keeps_its_default(void **state) {
    (void)state;
    static const char *const texts[] = {
        "", "\n\n", "# only words\n", "---\n", "drain_timeout: 10s\n", "\xEF\xBB\xBFinsecure: false\n"};
    struct tvs_config fresh;
    tvs_config_init(&fresh);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tvs_config config;
        trove_error error = {.message = ""};
        unit_row(texts[i]);
        trove_status status = parse(texts[i], &config, &error);
        if (strcmp(texts[i], "---\n") == 0) {
            assert_int_equal(status, TROVE_INVALID_ARGUMENT);
        } else {
            assert_string_equal(error.message, "");
            assert_memory_equal(&config, &fresh, sizeof config);
        }
        tvs_config_fini(&config);
    }
}

static void mistakes_are_named_with_their_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *message; /* the beginning of it */
    } rows[] = {
        {"memory: 64MiB\n\nmemroy: 1GiB\n", "x.yaml line 3: unknown key `memroy`; known here: listen, insecure, store,"},
        {"pool:\n  chunk_size: 1MiB\n  chunk: 4\n", "x.yaml line 3: unknown key `pool.chunk`; known here: streams, chunk_size,"},
        {"pool:\n  streams: 5\nstreams: 5\n", "x.yaml line 3: unknown key `streams`;"},
        {"pool:\n  pool:\n    streams: 5\n", "x.yaml line 2: unknown key `pool.pool`;"},
        {"workers: 4\n# more\nworkers: 5\n", "x.yaml line 3: `workers` is given twice, first on line 1"},
        {"listen:\n  - ipc:///a\n  - {b: c}\n", "x.yaml line 3: `listen[1]` must be one plain value"},
        {"listen: ipc:///a\n", "x.yaml line 1: `listen` must be a list"},
        {"listen: []\n", "x.yaml line 1: `listen` is empty"},
        {"listen: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]\n", "x.yaml line 1: `listen` has more than 16 entries"},
        {"\nstore:\n", "x.yaml line 2: `store` is empty"},
        {"pool: 5\n", "x.yaml line 1: `pool` must be a section"},
        {"memory:\n  - 1MiB\n", "x.yaml line 1: `memory` must be one plain value"},
        {"memory: {a: b}\n", "x.yaml line 1: `memory` must be one plain value"},
        {"users:\n  - uid: 1\n    rights: read\n  - uid: 1\n    rights: list\n",
         "x.yaml line 4: `users[1].uid`: uid 1 is there already"},
        {"users:\n  - uid: me\n    rights: read\n", "x.yaml line 2: `users[0].uid`: "},
        {"users:\n  - uid: 1\n    rights: reed\n", "x.yaml line 3: `users[0].rights`: grant \"reed\": "},
        {"users:\n  - uid: 1\n", "x.yaml line 2: `users[0]` has no `rights`"},
        {"users:\n  - uid: 1\n    rights: read\n    quota: 3\n", "x.yaml line 4: `users[0].quota`: "},
        {"users:\n  - uid: 1\n    rights: read\n    bandwidth: 5B\n",
         "x.yaml line 4: `users[0].bandwidth` is 5B; 0 (none) and 1KiB to 1TiB are allowed"},
        {"users:\n  - uid: 1\n    rights: read\n    pool: A\n",
         "x.yaml line 4: `users[0].pool` is \"A\"; there is no pool of this name"},
        {"socket_mode: 0777\n", "x.yaml line 1: `socket_mode` is \"0777\"; allowed are: 0600, 0660, 0666"},
        {"insecure: flase\n", "x.yaml line 1: `insecure` is \"flase\"; allowed are: true, false"},
        {"insecure: 1\n", "x.yaml line 1: `insecure` is \"1\"; allowed are: true, false"},
        {"\n\ndurability: none\n", "x.yaml line 3: `durability` is \"none\"; allowed are: strict, relaxed"},
        {"log:\n  level: loud\n", "x.yaml line 2: `log.level` is \"loud\"; allowed are: debug, info, warn, error"},
        {"memory: 256\n", "x.yaml line 1: `memory`: \"256\" is no size; write digits and one of B, KiB,"},
        {"drain_timeout: 10\n", "x.yaml line 1: `drain_timeout`: \"10\" is no time; write digits and one of ms, s,"},
        {"workers: -1\n", "x.yaml line 1: `workers`: \"-1\" is no count"},
        {"connections:\n  max: 1\n  keepalive: 2h\n", "x.yaml line 3: `connections.keepalive` is 2h; 1s to 1h are allowed"},
        {"pools:\n  - name: a\n  - name: b\n    stream: 4\n",
         "x.yaml line 4: unknown key `pools[1].stream`; known here: name, streams,"},
        {"pools:\n  - name: a\n  - name: b\n  - name: a\n", "x.yaml line 4: `pools[2].name`: there is a pool \"a\" already"},
        {"pools:\n  - name: default\n", "x.yaml line 2: `pools[0].name`: there is a pool \"default\" already; it is the section"},
        {"pools:\n  - name: a\n  - streams: 4\n", "x.yaml line 3: `pools[1]` has no `name`"},
        {"pools:\n  - name: Uploads\n", "x.yaml line 2: `pools[0].name` is \"Uploads\"; a pool's name has 1 to 63 of"},
        {"pools:\n  - name: a\n    streams: 0\n", "x.yaml line 3: `pools[0].streams` is 0; 1 to 1000000 are allowed"},
        {"pools:\n  - name: a\n    bandwidth: 5\n", "x.yaml line 3: `pools[0].bandwidth`: \"5\" is no size"},
        {"pools: []\n", "x.yaml line 1: `pools` is empty"},
        {"pools: a\n", "x.yaml line 1: `pools` must be a list"},
        {"pools: [a]\n", "x.yaml line 1: `pools[0]` must be a section"},
        {"pools: [{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},"
         "{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: "
         "a},"
         "{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a}]\n",
         "x.yaml line 1: `pools` has more than 31 entries"},
        {"pool:\n  name: a\n", "x.yaml line 2: unknown key `pool.name`;"},
        {"a: b: c\n", "x.yaml line 1: mapping values are not allowed in this context"},
        {"memory: \"1MiB\nworkers: 4\n", "x.yaml line 3: while scanning a quoted scalar: found unexpected end of stream"},
        {"\tmemory: 1MiB\n", "x.yaml line 1: while scanning for the next token"},
        {"store: &a mem://\nmemory: *a\n", "x.yaml line 2: aliases (*a) aren't used here"},
        {"workers: 4\n---\nworkers: 5\n", "x.yaml line 2: a second document begins"},
        {"store: \"mem://\\0x\"\n", "x.yaml line 1: a NUL character inside a value"},
        {"? [a, b]\n: c\n", "x.yaml line 1: a key must be a plain word"},
        {"[[[[[[[[[[]]]]]]]]]]\n", "x.yaml line 1: nested more than 8 deep"},
        {"store: \xFF\n", "x.yaml line 1: invalid leading UTF-8 octet"},
        {"just words\n", "x.yaml: this is no config"},
        {"- a\n- b\n", "x.yaml: this is no config"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_config config;
        trove_error error;
        unit_row(rows[i].message);
        assert_int_equal(parse(rows[i].text, &config, &error), TROVE_INVALID_ARGUMENT);
        if (strncmp(error.message, rows[i].message, strlen(rows[i].message)) != 0)
            fail_msg("it says: %s", error.message);
        tvs_config_fini(&config);
    }
}

/* Both ends of every number's range: taken; one unit beyond: refused with both ends in the message. */
static void bounds_are_kept(void **state) {
    (void)state;
    static const struct {
        const char *key;
        const char *below;
        const char *least;
        const char *most;
        const char *above;
    } rows[] = {
        {"memory: ", "8388607B", "8MiB", "1024GiB", "1099511627777B"},
        {"store_memory: ", "1048575B", "1MiB", "1TiB", "1099511627777B"},
        {"workers: ", "0", "1", "256", "257"},
        {"drain_timeout: ", "99ms", "100ms", "1h", "3600001ms"},
        {"pool:\n  streams: ", "0", "1", "1000000", "1000001"},
        {"pool:\n  chunk_size: ", "4095B", "4KiB", "64MiB", "67108865B"},
        {"pool:\n  channel_size: ", "0", "1", "1024", "1025"},
        {"pool:\n  idle_timeout: ", "999ms", "1s", "24h", "86400001ms"},
        {"pool:\n  credit_expiry: ", "99ms", "100ms", "10m", "600001ms"},
        {"pool:\n  buffers: ", "3", "4", "1000000", "1000001"},
        {"pool:\n  memory: ", "1048575B", "1MiB", "1TiB", "1099511627777B"},
        {"pool:\n  bandwidth: ", "1023B", "1KiB", "1TiB", "1099511627777B"},
        {"pool:\n  bandwidth: ", "1B", "0B", "2KiB", "1099511627777B"},
        {"pool:\n  stream_timeout: ", "999ms", "1s", "720h", "2592000001ms"},
        {"pool:\n  stream_timeout: ", "1ms", "0s", "2s", "2592000001ms"},
        {"pool:\n  paused_timeout: ", "999ms", "1s", "720h", "2592000001ms"},
        {"pools:\n  - name: x\n    idle_timeout: ", "999ms", "1s", "24h", "86400001ms"},
        {"connections:\n  max: ", "0", "1", "100000", "100001"},
        {"connections:\n  keepalive: ", "999ms", "1s", "1h", "3600001ms"},
        {"connections:\n  handshake_timeout: ", "99ms", "100ms", "1m", "60001ms"},
        {"connections:\n  call_timeout: ", "99ms", "100ms", "1h", "3600001ms"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const values[] = {rows[i].below, rows[i].least, rows[i].most, rows[i].above};
        unit_row(rows[i].key);
        for (size_t v = 0; v < 4; v++) {
            struct tvs_config config;
            trove_error error = {.message = ""};
            char text[128];
            snprintf(text, sizeof text, "%s%s\n", rows[i].key, values[v]);
            trove_status status = parse(text, &config, &error);
            assert_int_equal(status, v == 0 || v == 3 ? TROVE_INVALID_ARGUMENT : TROVE_OK);
            if (status != TROVE_OK)
                assert_non_null(strstr(error.message, " are allowed"));
            tvs_config_fini(&config);
        }
    }
}

static void the_network_needs_a_word(void **state) {
    (void)state;
    static const struct {
        const char *text;
        trove_status status;
        const char *message;
    } rows[] = {
        {"listen: [ipc:///a]", TROVE_OK, ""},
        {"listen: [\"tcp://127.0.0.1:0\"]", TROVE_FAILED_PRECONDITION, "won't listen on tcp://127.0.0.1:0: whoever can reach it"},
        {"listen: [ipc:///a, \"ws://h:1/x\"]", TROVE_FAILED_PRECONDITION, "won't listen on ws://h:1/x: whoever can reach it"},
        {"{insecure: true, listen: [\"tcp://a:1\", \"ws://b:1/x\"]}", TROVE_OK, ""},
        {"{key_file: k, authorized_keys: a, listen: [\"tcp://a:1\"]}", TROVE_OK, ""},
        {"{key_file: k, listen: [\"tcp://a:1\"]}", TROVE_FAILED_PRECONDITION, "won't listen on tcp://a:1"},
        {"{authorized_keys: a, listen: [\"tcp://a:1\"]}", TROVE_FAILED_PRECONDITION, "won't listen on tcp://a:1"},
        {"listen: [\"http://a\"]", TROVE_INVALID_ARGUMENT, "`listen`: \"http://a\" is no server's address"},
        {"listen: [\"ipc://relative\"]", TROVE_INVALID_ARGUMENT, "`listen`: \"ipc://relative\" is no server's address"},
        {"{insecure: true, listen: [\"tcp://a\"]}", TROVE_INVALID_ARGUMENT,
         "`listen`: \"tcp://a\" is no server's address: :PORT"},
        {"{memory: 8MiB, pool: {chunk_size: 2MiB}}", TROVE_OK, ""},
        {"{memory: 8MiB, pool: {chunk_size: 3MiB}}", TROVE_INVALID_ARGUMENT,
         "pool \"default\": its chunk_size is 3MiB and doesn't fit into a quarter of `memory`, 8MiB"},
        {"{memory: 8MiB, pools: [{name: a, memory: 16MiB, chunk_size: 4MiB}]}", TROVE_OK, ""},
        {"{memory: 8MiB, pools: [{name: a, chunk_size: 3MiB}]}", TROVE_INVALID_ARGUMENT, "pool \"a\": its chunk_size is 3MiB"},
        {"pools: [{name: a, memory: 3MiB}]", TROVE_INVALID_ARGUMENT,
         "pool \"a\": its chunk_size is 1MiB and doesn't fit into a quarter of its own memory, 3MiB"},
        {"pools: [{name: a, buffers: 4}]", TROVE_OK, ""},
        {"pools: [{name: a, buffers: 4, memory: 3MiB}]", TROVE_INVALID_ARGUMENT, "pool \"a\": its chunk_size is 1MiB"},
        {"pool: {buffers: 1000000, chunk_size: 64MiB}", TROVE_INVALID_ARGUMENT,
         "pool \"default\": its buffers (1000000) would be"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tvs_config config;
        trove_error error = {.message = ""};
        unit_row(rows[i].text);
        assert_int_equal(parse(rows[i].text, &config, &error), TROVE_OK);
        assert_int_equal(tvs_config_check(&config, &error), rows[i].status);
        assert_int_equal(strncmp(error.message, rows[i].message, strlen(rows[i].message)), 0);
        tvs_config_fini(&config);
    }
}

/* Any text: an answer, no crash, nothing read beyond the end. */
static void damaged_texts_are_survived(void **state) {
    (void)state;
    static const char whole[] =
        "listen: [ipc:///a]\npool:\n  streams: 5\n  chunk_size: 1MiB\nlog: {level: info}\nstore: \"mem://\"\n"
        "pools:\n  - name: a\n    bandwidth: 1MiB\n  - {name: b, streams: 3}\n";
    uint64_t random = unit_seed();
    for (int round = 0; round < 3000; round++) {
        char text[sizeof whole];
        memcpy(text, whole, sizeof whole);
        for (uint64_t hits = unit_random(&random) % 4 + 1; hits > 0; hits--)
            text[unit_random(&random) % (sizeof whole - 1)] = (char)unit_random(&random);
        size_t bytes = unit_random(&random) % sizeof whole;
        char *copy = unit_copy(text, bytes);
        struct tvs_config config;
        trove_error error;
        tvs_config_init(&config);
        if (tvs_config_parse(&config, "x.yaml", copy, bytes, &error) != TROVE_OK)
            assert_int_equal(strncmp(error.message, "x.yaml", 6), 0);
        tvs_config_fini(&config);
        free(copy);
    }
}

static void the_example_holds_the_defaults(void **state) {
    (void)state;
    struct tvs_config example;
    struct tvs_config fresh;
    trove_error error = {.message = ""};
    tvs_config_init(&example);
    tvs_config_init(&fresh);
    trove_status status = tvs_config_load(&example, TROVE_EXAMPLE_CONFIG, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, TROVE_OK);
    assert_memory_equal(&example, &fresh, sizeof fresh);
    tvs_config_fini(&example);
}

static char folder[SCRATCH_BYTES];

static int make_folder(void **state) {
    (void)state;
    return scratch_make(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return scratch_remove(folder) ? 0 : -1;
}

static void unreadable_files_are_named(void **state) {
    (void)state;
    char large[SCRATCH_BYTES + 16];
    snprintf(large, sizeof large, "%s/large.yaml", folder);
    int fd = open(large, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    close(fd);
    struct tvs_config config;
    trove_error error;
    tvs_config_init(&config);
    assert_int_equal(tvs_config_load(&config, "/nowhere/x.yaml", &error), TROVE_NOT_FOUND);
    assert_string_equal(error.message, "opening the config /nowhere/x.yaml: No such file or directory");
    assert_int_not_equal(tvs_config_load(&config, folder, &error), TROVE_OK);
    assert_non_null(strstr(error.message, "Is a directory"));
    assert_int_equal(tvs_config_load(&config, large, &error), TROVE_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "larger than 1 MiB"));
    tvs_config_fini(&config);
}

static void the_command_line_replaces(void **state) {
    (void)state;
    struct tvs_config config;
    trove_error error;
    assert_int_equal(parse("listen: [ipc:///a]\nstore: mem://\n", &config, &error), TROVE_OK);
    tvs_config_clear_listen(&config);
    for (int i = 0; i < TVS_LISTEN_MAX; i++)
        assert_int_equal(tvs_config_add_listen(&config, "ipc:///b", &error), TROVE_OK);
    assert_int_equal(tvs_config_add_listen(&config, "ipc:///c", &error), TROVE_INVALID_ARGUMENT);
    assert_int_equal(tvs_config_set_store(&config, "null://", &error), TROVE_OK);
    assert_string_equal(config.store, "null://");
    assert_string_equal(config.listen[0], "ipc:///b");
    tvs_config_fini(&config);
    enum tvs_log_level level = TVS_LOG_INFO;
    assert_true(tvs_config_log_level("error", &level));
    assert_int_equal(level, TVS_LOG_ERROR);
    assert_false(tvs_config_log_level("ERROR", &level));
    enum tvs_log_format format = TVS_LOG_LOGFMT;
    assert_true(tvs_config_log_format("json", &format));
    assert_int_equal(format, TVS_LOG_JSON);
    assert_false(tvs_config_log_format("", &format));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_reaches_its_place),
        cmocka_unit_test(what_is_left_out_keeps_its_default),
        cmocka_unit_test(mistakes_are_named_with_their_line),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(the_network_needs_a_word),
        cmocka_unit_test(damaged_texts_are_survived),
        cmocka_unit_test(the_example_holds_the_defaults),
        cmocka_unit_test_setup_teardown(unreadable_files_are_named, make_folder, remove_folder),
        cmocka_unit_test(the_command_line_replaces),
        cmocka_unit_test(pools_take_after_the_default),
        cmocka_unit_test(who_is_let_in),
        cmocka_unit_test(own_memory),
        cmocka_unit_test(pool_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
