/* bad_peers.c */
#include "bad_input.h"
const struct CMUnitTest bad_peer_tests[] = {{0}};
const size_t bad_peer_test_count = 0;
