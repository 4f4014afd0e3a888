/* What touches names only: stat, mkdir, move; and what lists them: list, glob. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "session-agent/collect.h"
#include "session-agent/fs_inside.h"
#include "session-agent/fs_walk.h"

#define META_JSON_MAX 16384
#define LIST_MAX 1000u
#define LIST_TURN 512u
#define GLOB_MAX_FILES 1000u

static void
done_with_entry(struct fs_op *op, const char *path, const struct stat *st)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(META_JSON_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    fs_write_entry(&w, path, st);
    sbx_jsonw_object_end(&w);
    fs_op_done(op, &json);
}

static void
stat_start(struct fs_op *op, const struct fs_request *request)
{
    struct stat st;
    int r = fs_stat_path(&st, op->root, request->path);

    if (r < 0) {
        fs_op_fail_errno(op, r, request->path);
    } else {
        done_with_entry(op, request->path, &st);
    }
}

static void
mkdir_start(struct fs_op *op, const struct fs_request *request)
{
    _cleanup_(fs_fd_close) int parent = -1;
    const char *name;
    struct stat st;
    int r;

    r = workspace_make_parents(op->root, request->path);
    if (r == 0) {
        r = fs_open_parent(&parent, &name, op->root, request->path);
    }
    if (r != 0) {
        fs_op_fail_errno(op, r, request->path);
        return;
    }
    if (mkdirat(parent, name, 0755) < 0) {
        r = -errno;
    }
    if ((r == 0 || r == -EEXIST) && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        r = -errno;
    }
    if (r == 0 || (r == -EEXIST && S_ISDIR(st.st_mode))) {
        done_with_entry(op, request->path, &st);
    } else {
        fs_op_fail_errno(op, r, request->path);
    }
}

/* What is there is kept unless it was asked to be replaced. */
static int
rename_it(int from, const char *from_name, int to, const char *to_name, bool overwrite)
{
    struct stat st;

    if (!overwrite) {
        if (syscall(SYS_renameat2, from, from_name, to, to_name, 1u /* RENAME_NOREPLACE */) == 0) {
            return 0;
        }
        if (errno != EINVAL && errno != ENOSYS) {
            return -errno;
        }
        /* A kernel without the flag; or a directory into itself, which is told below. Only the payload is in between. */
        if (fstatat(to, to_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            return -EEXIST;
        }
    }
    return renameat(from, from_name, to, to_name) < 0 ? -errno : 0;
}

static void
move_start(struct fs_op *op, const struct fs_request *request)
{
    _cleanup_(fs_fd_close) int from = -1;
    _cleanup_(fs_fd_close) int to = -1;
    const char *from_name, *to_name, *what = request->from;
    struct stat st;
    int r;

    r = fs_open_parent(&from, &from_name, op->root, request->from);
    if (r == 0 && fstatat(from, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        r = -errno;
    }
    if (r == 0) {
        what = request->to;
        r = workspace_make_parents(op->root, request->to);
    }
    if (r == 0) {
        r = fs_open_parent(&to, &to_name, op->root, request->to);
    }
    if (r == 0) {
        r = rename_it(from, from_name, to, to_name, request->overwrite);
    }
    if (r == 0 && fstatat(to, to_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        r = -errno;
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, what);
    } else {
        done_with_entry(op, request->to, &st);
    }
}

/* One line of JSON an entry, then how it ended. */
struct list_op {
    struct fs_op op;
    struct fs_walk *walk;
    int dir;
    uint64_t limit, n, unnamed;
    size_t prefix_len;
    char path[REQUEST_MAX_PATH + 2 + FS_WALK_PATH];
};

static void
list_end(struct fs_op *op)
{
    struct list_op *list = (struct list_op *)op;

    list->walk = fs_walk_free(list->walk);
    fs_fd_close(&list->dir);
}

/* `after` is a path of the workspace, as the entries' are. */
static const char *
list_after(const struct list_op *list, const struct fs_request *request)
{
    if (request->after == NULL || list->prefix_len == 0) {
        return request->after;
    }
    return strncmp(request->after, list->path, list->prefix_len) == 0 ? request->after + list->prefix_len
                                                                      : "";
}

static void
list_start(struct fs_op *op, const struct fs_request *request)
{
    struct list_op *list = (struct list_op *)op;
    const char *after;
    int r;

    list->dir = -1;
    list->limit = request->limit < 1 || request->limit > LIST_MAX ? LIST_MAX : request->limit;
    if (strcmp(request->path, ".") != 0) {
        list->prefix_len = strlen(request->path) + 1;
        memcpy(list->path, request->path, list->prefix_len - 1);
        list->path[list->prefix_len - 1] = '/';
    }
    after = list_after(list, request);
    if (after != NULL && *after == '\0') {
        fs_op_fail(op, FS_E_INVALID, "after must be below the path");
        return;
    }
    r = workspace_open(&list->dir, op->root, request->path, O_RDONLY | O_DIRECTORY);
    if (r == 0) {
        r = fs_walk_new(&list->walk, &(struct fs_walk_spec){
                                         .dir = list->dir,
                                         .after = after,
                                         .recursive = request->recursive,
                                         .max_depth = REQUEST_MAX_DEPTH,
                                     });
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, request->path);
        return;
    }
    fs_op_continue(op);
}

static void
list_done(struct list_op *list, bool more)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(META_JSON_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    sbx_jsonw_bool(&w, "more", more);
    sbx_jsonw_uint(&w, "entries", list->n);
    sbx_jsonw_uint(&w, "unnamed", list->unnamed);
    sbx_jsonw_object_end(&w);
    fs_op_done(&list->op, &json);
}

static bool
list_entry(struct list_op *list, const struct fs_entry *entry)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(META_JSON_MAX);
    struct sbx_jsonw w;
    size_t len = strlen(entry->path);

    if (fs_name_is_upload(entry->name)) {
        return true;
    }
    memcpy(list->path + list->prefix_len, entry->path, len + 1);
    /* What no path of a request can name is only counted. */
    if (!request_path_valid(list->path, list->prefix_len + len)) {
        list->unnamed++;
        return true;
    }
    if (list->n == list->limit) {
        list_done(list, true);
        return false;
    }
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    fs_write_entry(&w, list->path, &entry->st);
    sbx_jsonw_object_end(&w);
    sbx_buf_putc(&json, '\n');
    fs_op_send(&list->op, json.data, json.len);
    list->n++;
    return true;
}

static bool
list_turn(struct fs_op *op)
{
    struct list_op *list = (struct list_op *)op;
    unsigned budget = LIST_TURN;
    struct fs_entry entry;
    int r;

    do {
        r = fs_walk_next(list->walk, &entry, &budget);
    } while (r == FS_WALK_ENTRY && list_entry(list, &entry) && op->out.len < FS_CHUNK);
    if (r == FS_WALK_END) {
        list_done(list, false);
    } else if (r < 0) {
        fs_op_fail_errno(op, r, "the directory");
    }
    return true;
}

static void
glob_entry(struct fs_op *op, const struct collect_file *file)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(META_JSON_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "path", file->path);
    if (file->reason != NULL) {
        sbx_jsonw_str(&w, "reason", file->reason);
    } else {
        sbx_jsonw_uint(&w, "size", file->size);
    }
    sbx_jsonw_object_end(&w);
    sbx_buf_putc(&json, '\n');
    fs_op_send(op, json.data, json.len);
}

static void
glob_done(struct fs_op *op, unsigned n, unsigned n_skipped)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(META_JSON_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    sbx_jsonw_uint(&w, "files", n);
    sbx_jsonw_uint(&w, "skipped", n_skipped);
    sbx_jsonw_object_end(&w);
    fs_op_done(op, &json);
}

/* In one go: the walk ends after COLLECT_MAX_ENTRIES. */
static void
glob_start(struct fs_op *op, const struct fs_request *request)
{
    struct collection files;
    uint64_t max_files = request->max_files < GLOB_MAX_FILES ? request->max_files : GLOB_MAX_FILES;
    unsigned n = 0;
    int r;

    if (request->patterns == NULL) {
        fs_op_fail(op, FS_E_INVALID, "patterns are required");
        return;
    }
    op->out.max = 8u << 20; /* all of it, before the channel takes any */
    r = collect(&files, &(struct collect_spec){
                            .root = op->root,
                            .patterns = request->patterns,
                            .max_files = (unsigned)max_files,
                            .max_bytes = request->max_bytes,
                        });
    for (unsigned i = 0; r == 0 && i < files.n_files; i++) {
        glob_entry(op, &files.files[i]);
        n += files.files[i].reason == NULL;
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, "the workspace");
    } else {
        glob_done(op, n, files.n_skipped);
    }
    collection_deinit(&files);
}

static const char *const path_members[] = { "op", "path", NULL };
static const char *const move_members[] = { "op", "from", "to", "overwrite", NULL };
static const char *const list_members[] = { "op", "path", "recursive", "limit", "after", NULL };
static const char *const glob_members[] = { "op", "patterns", "max_files", "max_bytes", NULL };

const struct fs_kind fs_stat_kind = {
    .op = "fs.stat", .members = path_members, .root = true, .size = sizeof(struct fs_op), .start = stat_start
};
const struct fs_kind fs_mkdir_kind = {
    .op = "fs.mkdir", .members = path_members, .size = sizeof(struct fs_op), .start = mkdir_start
};
const struct fs_kind fs_move_kind = {
    .op = "fs.move", .members = move_members, .size = sizeof(struct fs_op), .start = move_start
};
const struct fs_kind fs_list_kind = { .op = "fs.list",
                                      .members = list_members,
                                      .root = true,
                                      .size = sizeof(struct list_op),
                                      .start = list_start,
                                      .turn = list_turn,
                                      .end = list_end };
const struct fs_kind fs_glob_kind = {
    .op = "fs.glob", .members = glob_members, .size = sizeof(struct fs_op), .start = glob_start
};
