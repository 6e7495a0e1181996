/* main.c - the command `trove`: libtrove for people. Finds the verb and hands over. */
#include "commands.h"
#include "options.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    enum cli_exit (*run)(struct cli_context *context, int argc, char **argv);
} verbs[] = {
    {"mb", cmd_mb},       {"rb", cmd_rb},     {"ls", cmd_ls},           {"put", cmd_put},
    {"get", cmd_get},     {"cat", cmd_cat},   {"stat", cmd_stat},       {"cp", cmd_cp},
    {"rm", cmd_rm},       {"ping", cmd_ping}, {"scrub", cmd_scrub},     {"streams", cmd_streams},
    {"pools", cmd_pools}, {"top", cmd_top},   {"uploads", cmd_uploads}, {"keygen", cmd_keygen},
};

static const char verbs_doc[] = "Verbs:\n"
                                "  mb BUCKET\tmake a bucket\n"
                                "  rb BUCKET\tremove an empty bucket\n"
                                "  ls [BUCKET[/PREFIX]]\tlist buckets or objects\n"
                                "  put FILE|- BUCKET/KEY\tstore files (many, or folders with --recursive)\n"
                                "  get BUCKET/KEY [FILE|-]\tfetch an object into a file\n"
                                "  cat BUCKET/KEY\tfetch an object to standard output\n"
                                "  stat BUCKET/KEY\tshow what is known of an object\n"
                                "  cp BUCKET/KEY BUCKET/KEY\tcopy inside the server\n"
                                "  rm BUCKET/KEY...\tdelete objects\n"
                                "  scrub BUCKET\tverify what the server has stored\n"
                                "  streams [pause|resume|cancel|seek ID...]\tlist or move the streams of the server\n"
                                "  uploads ls|abort [BUCKET|ID...]\tlist resumable uploads, or throw them away\n"
                                "  pools\tlist the server's stream pools\n"
                                "  top\twatch pools and streams\n"
                                "  ping\tsee whether the server answers\n"
                                "  keygen\tmake a key in a file, and print its public key\n"
                                "\n`trove VERB --help' tells more.\n";

/* Where a standard descriptor is closed, the next file or socket would take its number and get what is printed. It is filled with
 * one that fails when used, as a closed one would. */
static void keep_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(CLI_EXIT_FAILURE);
}

int main(int argc, char **argv) {
    keep_standard_descriptors();
    struct cli_context context;
    cli_context_init(&context);
    int verb_index = cli_options_parse_global(&context, argc, argv, verbs_doc);
    const char *verb = argv[verb_index];
    context.verb = verb;
    enum cli_exit code = CLI_EXIT_OK;
    size_t found = 0;
    while (found < sizeof verbs / sizeof verbs[0] && strcmp(verbs[found].name, verb) != 0)
        found++;
    if (found < sizeof verbs / sizeof verbs[0]) {
        cli_interrupt_names(&context.interrupt, verbs[found].name);
        code = verbs[found].run(&context, argc - verb_index, argv + verb_index);
    } else {
        cli_usage_error(NULL, "'%s' is no verb; 'trove --help' lists them", verb);
    }
    code = cli_output_finish(&context.output, code);
    cli_context_fini(&context);
    return (int)code;
}
