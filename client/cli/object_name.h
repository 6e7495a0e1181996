/* object_name.h - BUCKET/KEY as people write it, and keys as folders of others. Pure.
 *
 * Whether a name is allowed is the server's business; here it is only cut in two. The first slash divides, so a key may begin
 * with one: "b//x" is the key "/x" of bucket "b".
 */
#ifndef CLI_OBJECT_NAME_H
#define CLI_OBJECT_NAME_H

#include <stdbool.h>

struct cli_object_name {
    char *bucket; /* one block with the key */
    char *key;    /* "" where only a bucket was given */
};

/* False where the bucket is empty. To be released with cli_object_name_fini. */
bool cli_object_name_parse(const char *text, struct cli_object_name *name);
void cli_object_name_fini(struct cli_object_name *name);

/* What stands behind the key's last slash; "" where the key ends in one. Points into `key`. */
const char *cli_key_base(const char *key);

/* Whether the key stands for a folder: empty or ending in a slash. */
bool cli_key_is_folder(const char *key);

/* The prefix of all keys in that folder: "" stays, "a" and "a/" are "a/". The caller's to free. */
char *cli_key_folder(const char *key);

#endif
