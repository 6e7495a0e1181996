/* put_list.c - see put_list.h.
 *
 * The keys of a folder's files are the prefix and the path below the folder. Where several things are put at once each folder
 * goes under its own name, as with cp -r: two folders with a file of the same name would collide otherwise.
 */
#include "put_list.h"

#include "folder.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void add(struct cli_put_list *list, const char *path, char *key_move, uint64_t size, bool follow_links) {
    list->files = cli_grow(list->files, &list->room, list->count + 1, sizeof *list->files);
    list->files[list->count++] =
        (struct cli_put_file){.path = cli_copy(path), .key = key_move, .size = size, .follow_links = follow_links};
}

static void refuse(struct cli_put_list *list, struct cli_context *context, const char *path, const trove_error *error) {
    list->worst = cli_exit_worst(list->worst, cli_fail(context, "put", path, NULL, NULL, error));
}

/* The last part of a path without the slashes behind it; "" for "/", "." and "..", which name nothing. The caller's. */
static char *base_name(const char *path) {
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    char *name = cli_format("%.*s", (int)(end - begin), path + begin);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        *name = 0;
    return name;
}

static uint64_t size_of(const struct stat *found) {
    return S_ISREG(found->st_mode) ? (uint64_t)found->st_size : TROVE_SIZE_UNKNOWN;
}

void cli_put_list_one(struct cli_put_list *list, struct cli_context *context, const char *path,
                      const struct cli_object_name *to) {
    struct stat found;
    trove_error error;
    if (strcmp(path, "-") == 0) {
        uint64_t size = fstat(STDIN_FILENO, &found) == 0 ? size_of(&found) : TROVE_SIZE_UNKNOWN;
        add(list, path, cli_copy(to->key), size, true);
        return;
    }
    if (stat(path, &found) != 0) {
        cli_error_errno(&error, errno, "the file can't be read");
        refuse(list, context, path, &error);
        return;
    }
    if (S_ISDIR(found.st_mode)) {
        cli_error_set(&error, TROVE_FAILED_PRECONDITION, "it is a folder, which --recursive takes");
        refuse(list, context, path, &error);
        return;
    }
    char *name = base_name(path);
    add(list, path, cli_format("%s%s", to->key, cli_key_is_folder(to->key) ? name : ""), size_of(&found), true);
    free(name);
}

struct walk {
    struct cli_put_list *list;
    struct cli_context *context;
    const char *prefix;
    bool follow_links;
};

static void on_file(void *input, const char *path, const char *relative, uint64_t size) {
    const struct walk *walk = input;
    add(walk->list, path, cli_format("%s%s", walk->prefix, relative), size, walk->follow_links);
}

static void on_skipped(void *input, const char *path, const char *why) {
    const struct walk *walk = input;
    cli_output_note(&walk->context->output, "left out %s: %s", path, why);
}

static void on_error(void *input, const char *path, const trove_error *error) {
    const struct walk *walk = input;
    refuse(walk->list, walk->context, path, error);
}

static int by_key(const void *left, const void *right) {
    return strcmp(((const struct cli_put_file *)left)->key, ((const struct cli_put_file *)right)->key);
}

static void fini_file(struct cli_put_file *file) {
    free(file->path);
    free(file->key);
}

/* Takes out all files that share a key with another one: storing either would lose the other without a word. */
static void refuse_doubles(struct cli_put_list *list, struct cli_context *context, const char *bucket) {
    qsort(list->files, list->count, sizeof *list->files, by_key);
    size_t kept = 0;
    for (size_t first = 0; first < list->count;) {
        size_t end = first + 1;
        while (end < list->count && by_key(&list->files[first], &list->files[end]) == 0)
            end++;
        for (size_t i = first; end - first > 1 && i < end; i++) {
            trove_error error;
            const char *other = list->files[i == first ? first + 1 : first].path;
            if (strcmp(list->files[i].path, other) == 0)
                cli_error_set(&error, TROVE_FAILED_PRECONDITION, "it is named more than once, and would become %s/%s each time",
                              bucket, list->files[i].key);
            else
                cli_error_set(&error, TROVE_FAILED_PRECONDITION, "it would become %s/%s, and so would %s", bucket,
                              list->files[i].key, other);
            refuse(list, context, list->files[i].path, &error);
        }
        if (end - first == 1)
            list->files[kept++] = list->files[first];
        else
            for (size_t i = first; i < end; i++)
                fini_file(&list->files[i]);
        first = end;
    }
    list->count = kept;
}

void cli_put_list_many(struct cli_put_list *list, struct cli_context *context, char *const *paths, size_t path_count,
                       const struct cli_object_name *to, bool recursive, bool follow_links) {
    char *prefix = cli_key_folder(to->key);
    for (size_t i = 0; i < path_count; i++) {
        struct stat found;
        const struct cli_object_name below = {.bucket = to->bucket, .key = prefix};
        if (!recursive || stat(paths[i], &found) != 0 || !S_ISDIR(found.st_mode)) {
            cli_put_list_one(list, context, paths[i], &below);
            continue;
        }
        char *name = path_count > 1 ? base_name(paths[i]) : cli_copy("");
        char *walk_prefix = cli_format("%s%s%s", prefix, name, *name != 0 ? "/" : "");
        struct walk walk = {.list = list, .context = context, .prefix = walk_prefix, .follow_links = follow_links};
        const struct cli_folder_visitor visitor = {
            .context = &walk, .on_file = on_file, .on_skipped = on_skipped, .on_error = on_error};
        cli_folder_walk(paths[i], follow_links, &visitor);
        free(walk_prefix);
        free(name);
    }
    free(prefix);
    refuse_doubles(list, context, to->bucket);
}

void cli_put_list_fini(struct cli_put_list *list) {
    for (size_t i = 0; i < list->count; i++)
        fini_file(&list->files[i]);
    free(list->files);
}
