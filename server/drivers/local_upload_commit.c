/* local_upload_commit.c - see local_upload_commit.h. */
#include "local_upload_commit.h"

#include "local_committer.h"

trove_status tvs_upload_commit_create(enum tvs_commit_kind kind, struct tvs_local_upload *upload_move, size_t sum_count,
                                      struct tvs_upload_commit **commit, trove_error *error) {
    size_t bytes = sizeof **commit + sum_count * sizeof(uint64_t);
    struct tvs_upload_commit *made = calloc(1, bytes);
    if (made == NULL)
        return tvs_fail_no_memory("a commit", error);
    made->base.kind = kind;
    made->base.upload = upload_move;
    made->base.memory_bytes = bytes;
    made->sum_count = sum_count;
    *commit = made;
    return TROVE_OK;
}

void tvs_upload_commit_destroy(struct tvs_upload_commit *commit) {
    if (commit != NULL)
        tvs_commit_destroy(&commit->base);
}

/* A tvs_commit_done. */
static void tell(void *context, trove_status status, const struct tvs_object *object, const trove_error *error) {
    (void)object;
    struct tvs_upload_commit *commit = context;
    if (commit->done != NULL)
        commit->done(commit->context, status, status == TROVE_OK ? &commit->info : NULL, error);
    tvs_object_fini(&commit->result);
}

void tvs_upload_commit_submit(struct tvs_committer *committer, struct tvs_upload_commit *commit_move, tvs_upload_done done,
                              void *context) {
    commit_move->done = done;
    commit_move->context = context;
    tvs_committer_submit(committer, &commit_move->base, tell, commit_move);
}
