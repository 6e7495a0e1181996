/* losses.h - saying what was lost on the way of one object: --backpressure drop. */
#ifndef CLI_LOSSES_H
#define CLI_LOSSES_H

#include "output.h"

/* A remark on standard error if anything was dropped, which is no failure: it was asked for. With JSON the object's result tells
 * it; where it has none (`has_result` false: the bytes themselves are on standard output) a line of JSON on standard error
 * does. */
void cli_losses_say(struct cli_output *output, const char *object, const trove_stream_metrics *metrics, bool has_result);

#endif
