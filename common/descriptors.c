/* descriptors.c - see descriptors.h. */
#include "descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

uint32_t tv_descriptors_max(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX)
        return INT32_MAX;
    return (uint32_t)limit.rlim_cur;
}

static uint32_t at_most(uint32_t left, uint32_t right) {
    return left < right ? left : right;
}

static uint32_t for_index(uint32_t max) {
    return at_most(TV_DESCRIPTORS_FOR_INDEX, max / 4);
}

uint32_t tv_descriptors_connections_max(void) {
    uint32_t max = tv_descriptors_max();
    return max - at_most(TV_DESCRIPTORS_FOR_FILES, max / 2);
}

bool tv_descriptor_for_file(int fd) {
    uint32_t max = tv_descriptors_max();
    return (uint32_t)fd < max - for_index(max) - at_most(TV_DESCRIPTORS_FOR_CONNECTIONS, max / 16);
}

/* A connection's own isn't told: what the next one would be. */
bool tv_descriptors_for_connection(void) {
    uint32_t max = tv_descriptors_max();
    int next = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (next < 0)
        return false;
    close(next);
    return (uint32_t)next < max - for_index(max);
}
