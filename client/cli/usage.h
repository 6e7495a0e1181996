/* usage.h - how wrong usage is told: as text, or where the command line has --json, as one JSON object.
 *
 * argp and getopt print what is wrong by themselves and end the process. With --json what they print to standard error is caught
 * meanwhile, and the end of the process turns it into JSON. That --json is there is seen before anything is parsed: the mistake
 * may stand before it. One thread.
 */
#ifndef CLI_USAGE_H
#define CLI_USAGE_H

/* Looks for --json. */
void cli_usage_look(int argc, char **argv);

/* Around a parse. `verb` NULL: before there is one. */
void cli_usage_begin(const char *verb);
void cli_usage_end(void);

/* Says it, in the one way or the other. */
void cli_usage_say(const char *verb, const char *message);

#endif
