/*
 * fs.remove: one entry, or a directory with all below it. From descriptor to descriptor: what is swapped for a link
 * meanwhile is removed as the link it is. A directory nested too deep for the walk moves up to the one being removed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "session-agent/fs_inside.h"
#include "session-agent/fs_walk.h"

#define REMOVE_TURN 256u
#define REMOVE_PASSES 1000u

struct remove_op {
    struct fs_op op;
    struct fs_walk *walk;
    int parent, dir;
    unsigned passes, moved;
    uint64_t removed;
    int why; /* -errno of the first that could not be removed in this pass */
    char name[NAME_MAX + 1];
};

static void
remove_end(struct fs_op *op)
{
    struct remove_op *removing = (struct remove_op *)op;

    removing->walk = fs_walk_free(removing->walk);
    fs_fd_close(&removing->dir);
    fs_fd_close(&removing->parent);
}

static void
remove_done(struct remove_op *removing)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(256);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    sbx_jsonw_uint(&w, "removed", removing->removed + 1);
    sbx_jsonw_object_end(&w);
    fs_op_done(&removing->op, &json);
}

static int
remove_pass(struct remove_op *removing)
{
    int r;

    removing->walk = fs_walk_free(removing->walk);
    fs_fd_close(&removing->dir);
    removing->why = 0;
    r = workspace_open(&removing->dir, removing->parent, removing->name, O_RDONLY | O_DIRECTORY);
    if (r < 0) {
        return r;
    }
    return fs_walk_new(&removing->walk, &(struct fs_walk_spec){
                                            .dir = removing->dir,
                                            .recursive = true,
                                            .leaves = true,
                                        });
}

static void
remove_start(struct fs_op *op, const struct fs_request *request)
{
    struct remove_op *removing = (struct remove_op *)op;
    const char *name;
    struct stat st;
    int r;

    removing->parent = removing->dir = -1;
    r = fs_open_parent(&removing->parent, &name, op->root, request->path);
    if (r != 0 || fstatat(removing->parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        fs_op_fail_errno(op, r != 0 ? r : -errno, request->path);
        return;
    }
    if (!S_ISDIR(st.st_mode) || !request->recursive) {
        if (unlinkat(removing->parent, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0) {
            fs_op_fail_errno(op, errno == EEXIST ? -ENOTEMPTY : -errno, request->path);
        } else {
            remove_done(removing);
        }
        return;
    }
    memcpy(removing->name, name, strlen(name) + 1); /* of a valid path: at most 255 bytes */
    r = remove_pass(removing);
    if (r < 0) {
        fs_op_fail_errno(op, r, request->path);
        return;
    }
    fs_op_continue(op);
}

static int
remove_lift(struct remove_op *removing, const struct fs_entry *entry)
{
    char name[48];

    do {
        (void)snprintf(name, sizeof(name), ".sbx-remove-%u", removing->moved++); /* fits */
        if (syscall(SYS_renameat2, entry->dir, entry->name, removing->dir, name, 1u /* RENAME_NOREPLACE */) ==
            0) {
            return 0;
        }
    } while (errno == EEXIST);
    return -errno;
}

static int
remove_entry(struct remove_op *removing, const struct fs_entry *entry)
{
    if (entry->entered) {
        return 0; /* comes again, empty */
    }
    if (unlinkat(entry->dir, entry->name, entry->leaving ? AT_REMOVEDIR : 0) == 0) {
        removing->removed++;
        return 0;
    }
    if (errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return -errno;
    }
    if (unlinkat(entry->dir, entry->name, AT_REMOVEDIR) == 0) {
        removing->removed++;
        return 0;
    }
    if (entry->why == -ENAMETOOLONG) {
        return remove_lift(removing, entry);
    }
    return entry->why != 0 ? entry->why : -errno;
}

/* Whether there was something to remove that could not be had in one pass: moved up, or made meanwhile. */
static void
remove_finish(struct remove_op *removing)
{
    uint64_t before = removing->removed;
    int r;

    if (unlinkat(removing->parent, removing->name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
        remove_done(removing);
        return;
    }
    r = errno == EEXIST ? -ENOTEMPTY : -errno;
    if (r == -ENOTEMPTY && removing->why == 0 && removing->passes++ < REMOVE_PASSES) {
        r = remove_pass(removing);
        if (r == 0) {
            fs_op_continue(&removing->op);
            return;
        }
    }
    fs_op_fail_errno(&removing->op, removing->why != 0 ? removing->why : r,
                     before > 0 ? "not all of it could be removed" : "it could not be removed");
}

static bool
remove_turn(struct fs_op *op)
{
    struct remove_op *removing = (struct remove_op *)op;
    unsigned budget = REMOVE_TURN;
    struct fs_entry entry;
    int r;

    for (;;) {
        r = fs_walk_next(removing->walk, &entry, &budget);
        if (r != FS_WALK_ENTRY) {
            break;
        }
        r = remove_entry(removing, &entry);
        /* A directory that is not empty: made meanwhile, or held what could not be removed. */
        if (r < 0 && removing->why == 0 && r != -ENOTEMPTY && r != -EEXIST) {
            removing->why = r;
        }
    }
    if (r == FS_WALK_PAUSE) {
        return true;
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, "the directory");
    } else {
        remove_finish(removing);
    }
    return op->wants_turn && !op->answered;
}

static const char *const members[] = { "op", "path", "recursive", NULL };

const struct fs_kind fs_remove_kind = { .op = "fs.remove",
                                        .members = members,
                                        .size = sizeof(struct remove_op),
                                        .start = remove_start,
                                        .turn = remove_turn,
                                        .end = remove_end };
