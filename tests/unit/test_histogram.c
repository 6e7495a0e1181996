/* test_histogram.c - every quantile is within 1/16 of the exact one, of any distribution. */
#include "histogram.h"

#include "unit.h"

#define SAMPLES 20000

static const double quantiles[] = {0, 1e-9, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.99999, 1};

static int by_size(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void assert_close(uint64_t told, uint64_t exact) {
    uint64_t off = told > exact ? told - exact : exact - told;
    if (off > exact / 16)
        fail_msg("%llu told for %llu", (unsigned long long)told, (unsigned long long)exact);
}

/* Sorts the samples. */
static void assert_quantiles(const struct tv_histogram *histogram, uint64_t *samples, size_t count) {
    qsort(samples, count, sizeof *samples, by_size);
    assert_int_equal(histogram->count, count);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double exact_rank = quantiles[i] * (double)count;
        size_t rank = (size_t)exact_rank + ((double)(size_t)exact_rank < exact_rank);
        assert_close(tv_histogram_quantile(histogram, quantiles[i]), samples[rank > 0 ? rank - 1 : 0]);
    }
}

/* ---- distributions
 * --------------------------------------------------------------------------------------------------------------- */

static uint64_t uniform(uint64_t *random) {
    return unit_random(random);
}

static uint64_t all_sizes(uint64_t *random) {
    return unit_random(random) >> (unit_random(random) % 64);
}

static uint64_t narrow(uint64_t *random) {
    return 1000000 + unit_random(random) % 1000;
}

static uint64_t two_peaks(uint64_t *random) {
    return unit_random(random) % 100 == 0 ? 40000000 + unit_random(random) % 5000000 : 200000 + unit_random(random) % 90000;
}

static uint64_t tiny(uint64_t *random) {
    return unit_random(random) % 20;
}

static uint64_t one_value(uint64_t *random) {
    (void)random;
    return 123456789;
}

static uint64_t ends(uint64_t *random) {
    return unit_random(random) % 2 == 0 ? 0 : UINT64_MAX;
}

static const struct {
    const char *name;
    uint64_t (*draw)(uint64_t *random);
} distributions[] = {{"uniform", uniform}, {"all sizes", all_sizes}, {"narrow", narrow}, {"two peaks", two_peaks},
                     {"tiny", tiny},       {"one value", one_value}, {"ends", ends}};

static void quantiles_are_within_a_sixteenth(void **state) {
    (void)state;
    static uint64_t samples[SAMPLES];
    uint64_t random = unit_seed();
    for (size_t i = 0; i < sizeof distributions / sizeof *distributions; i++) {
        unit_row(distributions[i].name);
        for (size_t count = 1; count <= SAMPLES; count = count * 3 + 1) {
            struct tv_histogram histogram;
            tv_histogram_init(&histogram);
            for (size_t j = 0; j < count; j++)
                tv_histogram_add(&histogram, samples[j] = distributions[i].draw(&random));
            assert_quantiles(&histogram, samples, count);
        }
    }
}

static void a_merge_is_as_if_all_were_added_to_one(void **state) {
    (void)state;
    uint64_t random = unit_seed();
    struct tv_histogram one, two, both;
    tv_histogram_init(&one);
    tv_histogram_init(&two);
    tv_histogram_init(&both);
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t value = all_sizes(&random);
        tv_histogram_add(unit_random(&random) % 3 == 0 ? &one : &two, value);
        tv_histogram_add(&both, value);
    }
    tv_histogram_merge(&one, &two);
    assert_memory_equal(&one, &both, sizeof one);
    tv_histogram_merge(&one, &one);
    assert_int_equal(one.count, 2 * SAMPLES);
}

/* Each value that begins or ends a bin, and its neighbours. */
static void every_bin_is_close_to_its_ends(void **state) {
    (void)state;
    for (unsigned power = 0; power < 64; power++)
        for (uint64_t eighth = 0; eighth < 8; eighth++)
            for (uint64_t near = 0; near < 3; near++) {
                uint64_t value = (UINT64_C(1) << power) + ((UINT64_C(1) << power) >> 3) * eighth + near - 1;
                struct tv_histogram histogram;
                tv_histogram_init(&histogram);
                tv_histogram_add(&histogram, value);
                assert_close(tv_histogram_quantile(&histogram, 0.5), value);
            }
}

static void empty_is_zero(void **state) {
    (void)state;
    struct tv_histogram histogram;
    tv_histogram_init(&histogram);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        assert_int_equal(tv_histogram_quantile(&histogram, quantiles[i]), 0);
}

static void what_is_no_share_counts_as_the_nearer_end(void **state) {
    (void)state;
    struct tv_histogram histogram;
    tv_histogram_init(&histogram);
    for (uint64_t i = 1; i <= 10; i++)
        tv_histogram_add(&histogram, i);
    assert_int_equal(tv_histogram_quantile(&histogram, -1), 1);
    assert_int_equal(tv_histogram_quantile(&histogram, 17), 10);
    assert_int_equal(tv_histogram_quantile(&histogram, strtod("nan", NULL)), 1);
    assert_int_equal(tv_histogram_quantile(&histogram, strtod("inf", NULL)), 10);
}

/* Three quarters of one value and a quarter of another, as full as can be: one more halves both and keeps the shares. */
static void a_full_bin_halves_all(void **state) {
    (void)state;
    struct tv_histogram histogram;
    tv_histogram_init(&histogram);
    tv_histogram_add(&histogram, 3);
    tv_histogram_add(&histogram, 7);
    for (int i = 0; i < 31; i++)
        tv_histogram_merge(&histogram, &histogram);
    struct tv_histogram third = histogram;
    third.bins[7] = 0;
    third.bins[3] = UINT32_MAX - histogram.bins[3];
    third.count = third.bins[3];
    histogram.bins[7] = UINT32_MAX / 3;
    histogram.count = (uint64_t)histogram.bins[3] + histogram.bins[7];
    tv_histogram_merge(&histogram, &third);
    assert_int_equal(histogram.bins[3], UINT32_MAX); /* to the brim, nothing halved */
    struct tv_histogram merged = histogram;
    tv_histogram_add(&histogram, 3);
    assert_int_equal(histogram.bins[3], UINT32_MAX / 2 + 1);
    assert_int_equal(histogram.bins[7], UINT32_MAX / 3 / 2);
    assert_int_equal(histogram.count, (uint64_t)histogram.bins[3] + histogram.bins[7]);
    assert_int_equal(tv_histogram_quantile(&histogram, 0.74), 3);
    assert_int_equal(tv_histogram_quantile(&histogram, 0.76), 7);

    tv_histogram_merge(&merged, &third);
    assert_int_equal(merged.bins[3], ((uint64_t)UINT32_MAX + third.bins[3]) / 2);
    assert_int_equal(merged.bins[7], UINT32_MAX / 3 / 2);
    assert_int_equal(merged.count, (uint64_t)merged.bins[3] + merged.bins[7]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_a_sixteenth),
        cmocka_unit_test(a_merge_is_as_if_all_were_added_to_one),
        cmocka_unit_test(every_bin_is_close_to_its_ends),
        cmocka_unit_test(empty_is_zero),
        cmocka_unit_test(what_is_no_share_counts_as_the_nearer_end),
        cmocka_unit_test(a_full_bin_halves_all),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
