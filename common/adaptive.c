/* adaptive.c - see adaptive.h. Pure; under the owner's lock. */
#include "adaptive.h"

#include "bounds.h"
#include "status.h"

#define ROUND_NS        UINT64_C(10000000) /* a round lasts so long at least, and has so many chunks */
#define ROUND_CHUNKS    8
#define ROUNDS_MIN      2 /* of one measurement */
#define ROUNDS_MAX      16
#define PRECISION       0.004 /* share of a rate that its error may be */
#define CLEAR           3     /* times the error */
#define GOOD_ENOUGH     0.98  /* of the best */
#define STILL_GOOD      0.97  /* for the size that was held before: what lies on the border stays */
#define GAIN            1.01  /* times the rate; less isn't worth another step */
#define LOOK_ROUNDS     32    /* held rounds before it looks around; doubled up to the second number */
#define LOOK_ROUNDS_MAX 256
#define DIFFERENT       0.0625 /* share of the usual rate */
#define USUAL_FACTOR    4      /* times the usual difference */
#define SMOOTHING       8      /* measurements that an average goes over, more or less */

static uint64_t size_at(const struct tv_adaptive *adaptive, uint32_t index) {
    bool last =
        adaptive->chunk_bytes_min >= adaptive->chunk_bytes_max >> index; /* or it would be larger, perhaps than its type */
    return last ? adaptive->chunk_bytes_max : adaptive->chunk_bytes_min << index;
}

void tv_adaptive_init(struct tv_adaptive *adaptive, uint64_t chunk_bytes_min, uint64_t chunk_bytes_max,
                      uint64_t chunk_bytes_first) {
    TV_ASSERT(chunk_bytes_min > 0 && chunk_bytes_min <= chunk_bytes_max);
    TV_ASSERT(chunk_bytes_max >> (TV_ADAPTIVE_SIZES_MAX - 1) < chunk_bytes_min);
    *adaptive = (struct tv_adaptive){
        .chunk_bytes_min = chunk_bytes_min,
        .chunk_bytes_max = chunk_bytes_max,
        .size_count = 1,
        .searching = true,
        .held_index = UINT32_MAX,
    };
    while (size_at(adaptive, adaptive->size_count - 1) < chunk_bytes_max)
        adaptive->size_count++;
    while (adaptive->size_index + 1 < adaptive->size_count && size_at(adaptive, adaptive->size_index + 1) <= chunk_bytes_first)
        adaptive->size_index++;
}

void tv_adaptive_init_for_stream(struct tv_adaptive *adaptive, uint64_t chunk_bytes_max) {
    bool small = chunk_bytes_max < TV_ADAPTIVE_CHUNK_BYTES_MIN;
    tv_adaptive_init(adaptive, small ? chunk_bytes_max : TV_ADAPTIVE_CHUNK_BYTES_MIN, chunk_bytes_max,
                     TV_ADAPTIVE_CHUNK_BYTES_FIRST);
}

uint64_t tv_adaptive_chunk_bytes(const struct tv_adaptive *adaptive) {
    return size_at(adaptive, adaptive->size_index);
}

void tv_adaptive_interrupted(struct tv_adaptive *adaptive) {
    adaptive->phase = TV_ADAPTIVE_AWAIT;
}

static void use(struct tv_adaptive *adaptive, uint32_t index) {
    if (index == adaptive->size_index)
        return;
    adaptive->size_index = index;
    adaptive->changes++;
    adaptive->phase = TV_ADAPTIVE_AWAIT;
}

/* ---- search ---------------------------------------------------------------------------------------------------------------- */

static void hold(struct tv_adaptive *adaptive, uint32_t index) {
    adaptive->searching = false;
    if (index != adaptive->held_index)
        adaptive->look_rounds = LOOK_ROUNDS;
    else if (adaptive->look_rounds < LOOK_ROUNDS_MAX)
        adaptive->look_rounds *= 2;
    adaptive->held_index = index;
    adaptive->held_rounds = 0;
    adaptive->usual_rate = adaptive->rates[index];
    adaptive->different_count = 0;
    use(adaptive, index);
}

/* What to measure next, or to hold. The sizes that are known lie side by side, and include the one in use. */
static void search_on(struct tv_adaptive *adaptive) {
    const double *rates = adaptive->rates;
    uint32_t low = adaptive->size_index, high = adaptive->size_index;
    while (low > 0 && rates[low - 1] > 0)
        low--;
    while (high + 1 < adaptive->size_count && rates[high + 1] > 0)
        high++;
    double before = 0; /* the best below the highest */
    for (uint32_t i = low; i < high; i++)
        if (rates[i] > before)
            before = rates[i];
    double best = rates[high] > before ? rates[high] : before;
    uint32_t good = low;
    while (rates[good] < best * (good == adaptive->held_index ? STILL_GOOD : GOOD_ENOUGH))
        good++;
    if (good == low && low > 0)
        use(adaptive, low - 1);
    else if (high + 1 < adaptive->size_count && rates[high] > before * GAIN)
        use(adaptive, high + 1);
    else
        hold(adaptive, good);
}

/* Forgets what was measured, and searches from the size at `index` on. */
static void search_from(struct tv_adaptive *adaptive, uint32_t index) {
    for (uint32_t i = 0; i < adaptive->size_count; i++)
        adaptive->rates[i] = 0;
    adaptive->searching = true;
    use(adaptive, index);
    adaptive->phase = TV_ADAPTIVE_AWAIT; /* what came across a change belongs to neither side of it */
}

/* ---- hold ------------------------------------------------------------------------------------------------------------------ */

/* As much smaller as it got slower. */
static uint32_t index_after_change(const struct tv_adaptive *adaptive, double rate) {
    uint32_t index = adaptive->size_index;
    double usual = adaptive->usual_rate;
    while (index > 0 && usual >= 2 * rate) {
        usual /= 2;
        index--;
    }
    return index;
}

static void go_on_holding(struct tv_adaptive *adaptive, double rate) {
    double usual = adaptive->usual_rate;
    double difference = (rate > usual ? rate - usual : usual - rate) / usual;
    double tolerance = USUAL_FACTOR * adaptive->usual_difference;
    adaptive->usual_difference += ((difference < 1 ? difference : 1) - adaptive->usual_difference) / SMOOTHING;
    if (difference > (tolerance > DIFFERENT ? tolerance : DIFFERENT)) {
        if (++adaptive->different_count == 2) {
            adaptive->usual_difference = 0;
            search_from(adaptive, index_after_change(adaptive, rate));
        }
        return;
    }
    adaptive->different_count = 0;
    adaptive->usual_rate += (rate - usual) / SMOOTHING;
    adaptive->held_rounds += ROUNDS_MIN;
    if (adaptive->held_rounds >= adaptive->look_rounds)
        search_from(adaptive, adaptive->size_index);
}

/* ---- measure --------------------------------------------------------------------------------------------------------------- */

static void begin_round(struct tv_adaptive *adaptive, uint64_t now_ns) {
    adaptive->round_begun_ns = now_ns;
    adaptive->round_bytes = 0;
    adaptive->round_chunks = 0;
}

static void begin_to_measure(struct tv_adaptive *adaptive, uint64_t now_ns) {
    adaptive->phase = TV_ADAPTIVE_MEASURE;
    adaptive->rounds = 0;
    adaptive->bytes = 0;
    adaptive->time_ns = 0;
    adaptive->differences = 0;
    begin_round(adaptive, now_ns);
}

static void measured(struct tv_adaptive *adaptive, double rate, uint64_t now_ns) {
    begin_to_measure(adaptive, now_ns); /* where the size stays */
    if (adaptive->searching) {
        adaptive->rates[adaptive->size_index] = rate;
        search_on(adaptive);
    } else {
        go_on_holding(adaptive, rate);
    }
}

/* Whether a rate that may be off by `error` can be judged: it is precise, or it is clear on which side of what a search asks
 * (still good enough? another gain?) it lies. While holding it is what is usual that tells. */
static bool precise_enough(const struct tv_adaptive *adaptive, double rate, double error) {
    if (!adaptive->searching || error <= PRECISION * rate || adaptive->rounds == ROUNDS_MAX)
        return true;
    double best = 0;
    for (uint32_t i = 0; i < adaptive->size_count; i++)
        if (adaptive->rates[i] > best)
            best = adaptive->rates[i];
    if (best == 0)
        return false;
    return rate + CLEAR * error < GOOD_ENOUGH * best || rate - CLEAR * error > GAIN * best;
}

/* Whole loops end here, and there were enough for a round. */
static void end_round(struct tv_adaptive *adaptive, uint64_t now_ns) {
    double time_ns = (double)(now_ns - adaptive->round_begun_ns);
    double rate = (double)adaptive->round_bytes * 1e9 / time_ns;
    if (adaptive->rounds > 0)
        adaptive->differences += rate > adaptive->round_rate ? rate - adaptive->round_rate : adaptive->round_rate - rate;
    adaptive->round_rate = rate;
    adaptive->rounds++;
    adaptive->bytes += (double)adaptive->round_bytes;
    adaptive->time_ns += time_ns;
    begin_round(adaptive, now_ns);
    if (adaptive->rounds < ROUNDS_MIN)
        return;
    rate = adaptive->bytes * 1e9 / adaptive->time_ns;
    /* What one round's ends are off by is off in the whole as well, which lasts so much longer. */
    double error = adaptive->differences / (adaptive->rounds - 1) / adaptive->rounds;
    if (precise_enough(adaptive, rate, error))
        measured(adaptive, rate > 1 ? rate : 1, now_ns); /* 0 is "not measured" */
}

uint64_t tv_adaptive_acknowledged(struct tv_adaptive *adaptive, uint64_t bytes, uint64_t chunk_bytes, uint64_t round_trip_ns,
                                  uint64_t now_ns) {
    if (chunk_bytes != tv_adaptive_chunk_bytes(adaptive))
        return tv_adaptive_chunk_bytes(adaptive); /* from before a change, or not as advised */
    uint64_t written_ns = now_ns > round_trip_ns ? now_ns - round_trip_ns : 0;
    bool loop_done = adaptive->phase != TV_ADAPTIVE_AWAIT && written_ns >= adaptive->loop_begun_ns;
    if (adaptive->phase == TV_ADAPTIVE_MEASURE) {
        adaptive->round_bytes += bytes;
        adaptive->round_chunks++;
    }
    if (adaptive->phase == TV_ADAPTIVE_AWAIT || loop_done)
        adaptive->loop_begun_ns = now_ns;
    if (adaptive->phase == TV_ADAPTIVE_AWAIT)
        adaptive->phase = TV_ADAPTIVE_WARM_UP;
    else if (loop_done && adaptive->phase == TV_ADAPTIVE_WARM_UP)
        begin_to_measure(adaptive, now_ns);
    else if (loop_done && adaptive->round_chunks >= ROUND_CHUNKS && now_ns >= adaptive->round_begun_ns + ROUND_NS)
        end_round(adaptive, now_ns);
    return tv_adaptive_chunk_bytes(adaptive);
}
