/* plain.c - runs a fuzz target over the files of a folder, without libFuzzer: what was once found is tried in every build. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void fail(const char *what, const char *path) {
    fprintf(stderr, "%s %s\n", what, path);
    exit(EXIT_FAILURE);
}

/* The bytes lie in a block of exactly their size, so that a sanitizer sees what is read beyond. */
static void try_file(const char *path) {
    struct stat info;
    FILE *file = fopen(path, "r");
    if (file == NULL || fstat(fileno(file), &info) != 0)
        fail("can't open", path);
    size_t count = (size_t)info.st_size;
    uint8_t *bytes = malloc(count > 0 ? count : 1);
    if (bytes == NULL || fread(bytes, 1, count, file) != count)
        fail("can't read", path);
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last one is the one that failed */
    LLVMFuzzerTestOneInput(bytes, count);
    free(bytes);
}

int main(int argc, char **argv) {
    unsigned tried = 0;
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (folder == NULL)
        fail("usage: PROGRAM FOLDER; no folder is", argc == 2 ? argv[1] : "there");
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        try_file(path);
        tried++;
    }
    closedir(folder);
    if (tried == 0)
        fail("there is nothing in", argv[1]);
    return EXIT_SUCCESS;
}
