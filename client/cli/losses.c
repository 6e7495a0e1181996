/* losses.c - see losses.h. */
#include "losses.h"

#include "failure.h"
#include "object_output.h"

#include <inttypes.h>

void cli_losses_say(struct cli_output *output, const char *object, const trove_stream_metrics *metrics, bool has_result) {
    if (metrics->chunks_dropped == 0)
        return;
    cli_output_note(output, "%s: %" PRIu64 " bytes in %" PRIu64 " chunks were dropped on the way, and are zeros", object,
                    metrics->bytes_dropped, metrics->chunks_dropped);
    if (!output->json || has_result)
        return;
    json_t *note = json_object();
    json_object_set_new(note, "object", cli_json_text(object));
    cli_object_json_add_metrics(note, metrics, 0);
    cli_output_json_note(output, note);
}
