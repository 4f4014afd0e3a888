/*
 * fs.watch: what changes below a directory, as lines of JSON. By looking again and again: inotify is not for sandboxes
 * (executor/launcher/seccomp.c), and gVisor's gofer would not tell of all. Two looks are compared entry by entry, in the
 * one order that walks have; a reader that takes nothing holds up the looking, so that nothing piles up.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session-agent/fs_inside.h"
#include "session-agent/fs_walk.h"

#define WATCH_MAX 10000u           /* entries looked at */
#define WATCH_PATHS_MAX (4u << 20) /* bytes of their paths */
#define WATCH_TURN 512u

struct seen {
    char *path;
    uint64_t inode, size;
    struct timespec mtime;
    mode_t kind;         /* S_IFMT */
    const char *other;   /* of a comparison: where it went, or came from */
    bool fresh, changed; /* likewise: in one look only; another size or time than before */
};

struct look {
    struct seen *seen;
    unsigned n, room;
    size_t bytes;
    bool cut; /* there was more than is looked at */
};

struct watch_op {
    struct fs_op op;
    struct fs_walk *walk; /* NULL: between two looks */
    int dir;
    bool recursive;
    bool first; /* the look under way is compared with nothing */
    bool cut_told;
    bool telling; /* of what two looks differ in */
    struct look before, now;
    unsigned before_at, now_at; /* told so far */
    size_t prefix_len;
    char path[REQUEST_MAX_PATH + 2 + FS_WALK_PATH];
};

static void
look_clear(struct look *look)
{
    for (unsigned i = 0; i < look->n; i++) {
        free(look->seen[i].path);
    }
    free(look->seen);
    *look = (struct look){ 0 };
}

static void
watch_end(struct fs_op *op)
{
    struct watch_op *watch = (struct watch_op *)op;

    watch->walk = fs_walk_free(watch->walk);
    fs_fd_close(&watch->dir);
    look_clear(&watch->before);
    look_clear(&watch->now);
}

static int
look_begin(struct watch_op *watch)
{
    return fs_walk_new(&watch->walk, &(struct fs_walk_spec){
                                         .dir = watch->dir,
                                         .recursive = watch->recursive,
                                         .max_depth = REQUEST_MAX_DEPTH,
                                     });
}

static int
look_add(struct look *look, const char *path, const struct stat *st)
{
    size_t len = strlen(path) + 1;
    struct seen *seen;

    if (look->n == WATCH_MAX || look->bytes + len > WATCH_PATHS_MAX) {
        look->cut = true;
        return 0;
    }
    if (look->n == look->room) {
        unsigned room = look->room == 0 ? 64 : 2 * look->room;

        seen = reallocarray(look->seen, room, sizeof(*seen));
        if (seen == NULL) {
            return -ENOMEM;
        }
        look->seen = seen;
        look->room = room;
    }
    seen = &look->seen[look->n];
    *seen = (struct seen){ .path = strdup(path),
                           .inode = st->st_ino,
                           .size = (uint64_t)st->st_size,
                           .mtime = st->st_mtim,
                           .kind = st->st_mode & S_IFMT };
    if (seen->path == NULL) {
        return -ENOMEM;
    }
    look->n++;
    look->bytes += len;
    return 0;
}

static int
watch_entry(struct watch_op *watch, const struct fs_entry *entry)
{
    size_t len = strlen(entry->path);

    if (fs_name_is_upload(entry->name)) {
        return 0;
    }
    memcpy(watch->path + watch->prefix_len, entry->path, len + 1);
    if (!request_path_valid(watch->path, watch->prefix_len + len)) {
        return 0;
    }
    return look_add(&watch->now, watch->path, &entry->st);
}

static void
watch_say(struct watch_op *watch, const char *event, const char *path, const char *to, mode_t kind)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(32768);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "event", event);
    if (path != NULL) {
        sbx_jsonw_str(&w, "path", path);
        sbx_jsonw_str(&w, "kind",
                      kind == S_IFREG   ? "file"
                      : kind == S_IFDIR ? "directory"
                      : kind == S_IFLNK ? "symlink"
                                        : "other");
    }
    if (to != NULL) {
        sbx_jsonw_str(&w, "to", to);
    }
    sbx_jsonw_object_end(&w);
    sbx_buf_putc(&json, '\n');
    fs_op_send(&watch->op, json.data, json.len);
}

static int
by_inode(const void *a, const void *b)
{
    const struct seen *x = *(struct seen *const *)a, *y = *(struct seen *const *)b;

    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static bool
same_thing(const struct seen *a, const struct seen *b)
{
    if (a->kind != b->kind || a->inode != b->inode) {
        return false;
    }
    /* A number is given again; not with the same time to the nanosecond. */
    return a->kind == S_IFDIR ||
           (a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec);
}

/* What went and what came, where it is the same thing, is one move. Without memory: it is told as two. */
static void
looks_pair(struct look *before, struct look *now)
{
    struct seen **came = calloc(now->n + 1, sizeof(struct seen *));
    unsigned n = 0;

    for (unsigned i = 0; came != NULL && i < now->n; i++) {
        if (now->seen[i].fresh) {
            came[n++] = &now->seen[i];
        }
    }
    if (n > 0) {
        qsort(came, n, sizeof(struct seen *), by_inode);
    }
    for (unsigned i = 0; n > 0 && i < before->n; i++) {
        struct seen *gone = &before->seen[i], **found;

        if (!gone->fresh) {
            continue;
        }
        found = bsearch(&gone, came, n, sizeof(struct seen *), by_inode);
        if (found != NULL && (*found)->other == NULL && same_thing(gone, *found)) {
            (*found)->other = gone->path;
            gone->other = (*found)->path;
        }
    }
    free(came);
}

static void
looks_compare(struct look *before, struct look *now)
{
    unsigned i = 0, j = 0;

    assert((before->n == 0 || before->seen != NULL) && (now->n == 0 || now->seen != NULL));
    while (i < before->n || j < now->n) {
        int order = i == before->n ? 1
                    : j == now->n  ? -1
                                   : fs_path_order(before->seen[i].path, now->seen[j].path);

        if (order == 0 && before->seen[i].kind == now->seen[j].kind) {
            now->seen[j].changed =
                now->seen[j].kind != S_IFDIR && !same_thing(&before->seen[i], &now->seen[j]);
        } else {
            if (order <= 0) {
                before->seen[i].fresh = true;
            }
            if (order >= 0) {
                now->seen[j].fresh = true;
            }
        }
        i += order <= 0;
        j += order >= 0;
    }
    looks_pair(before, now);
}

/* As much as goes out in one turn. True: all is told. */
static bool
watch_tell(struct watch_op *watch)
{
    for (; watch->before_at < watch->before.n; watch->before_at++) {
        const struct seen *seen = &watch->before.seen[watch->before_at];

        if (watch->op.out.len >= FS_CHUNK) {
            return false;
        }
        if (seen->fresh) {
            watch_say(watch, seen->other != NULL ? "moved" : "deleted", seen->path, seen->other, seen->kind);
        }
    }
    for (; watch->now_at < watch->now.n; watch->now_at++) {
        const struct seen *seen = &watch->now.seen[watch->now_at];

        if (watch->op.out.len >= FS_CHUNK) {
            return false;
        }
        if (seen->changed || (seen->fresh && seen->other == NULL)) {
            watch_say(watch, seen->changed ? "modified" : "created", seen->path, NULL, seen->kind);
        }
    }
    if (watch->now.cut && !watch->cut_told) {
        watch_say(watch, "overflow", NULL, NULL, 0);
    }
    watch->cut_told = watch->now.cut;
    return true;
}

static void
watch_note(struct watch_op *watch)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(256);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_uint(&w, "watching", watch->now.n);
    sbx_jsonw_uint(&w, "interval_ms", FS_TICK_MS);
    sbx_jsonw_object_end(&w);
    fs_op_note(&watch->op, &json);
}

/* The look is over: from now on the next one is compared with it. */
static void
watch_keep(struct watch_op *watch)
{
    look_clear(&watch->before);
    watch->before = watch->now;
    watch->now = (struct look){ 0 };
    for (unsigned i = 0; i < watch->before.n; i++) {
        watch->before.seen[i].fresh = watch->before.seen[i].changed = false;
        watch->before.seen[i].other = NULL;
    }
    watch->telling = false;
}

static void
watch_looked(struct watch_op *watch)
{
    watch->walk = fs_walk_free(watch->walk);
    if (watch->first) {
        watch->first = false;
        watch_note(watch);
        if (watch->now.cut) {
            watch_say(watch, "overflow", NULL, NULL, 0);
            watch->cut_told = true;
        }
        watch_keep(watch);
        return;
    }
    looks_compare(&watch->before, &watch->now);
    watch->before_at = watch->now_at = 0;
    watch->telling = true;
}

static bool
watch_turn(struct fs_op *op)
{
    struct watch_op *watch = (struct watch_op *)op;
    unsigned budget = WATCH_TURN;
    struct fs_entry entry;
    int r = FS_WALK_ENTRY;

    if (watch->telling) {
        if (watch_tell(watch)) {
            watch_keep(watch);
        }
        return watch->telling;
    }
    if (watch->walk == NULL) {
        r = look_begin(watch);
        if (r < 0) {
            fs_op_fail_errno(op, r, "the directory");
            return false;
        }
        r = FS_WALK_ENTRY;
    }
    while (r == FS_WALK_ENTRY && !watch->now.cut) {
        r = fs_walk_next(watch->walk, &entry, &budget);
        if (r == FS_WALK_ENTRY) {
            int q = watch_entry(watch, &entry);

            r = q < 0 ? q : r;
        }
    }
    if (r == FS_WALK_END || watch->now.cut) {
        watch_looked(watch);
        return watch->telling;
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, "the directory");
    }
    return r == FS_WALK_PAUSE;
}

/* A look that takes longer than the time between two is not begun again before it is over and told. */
static void
watch_tick(struct fs_op *op)
{
    struct watch_op *watch = (struct watch_op *)op;
    struct stat st;

    if (watch->walk != NULL || watch->telling || op->out.len > 0) {
        return;
    }
    if (fstat(watch->dir, &st) < 0 || st.st_nlink == 0) {
        fs_op_fail(op, FS_E_NOT_FOUND, "the directory is gone");
    } else {
        fs_op_continue(op);
    }
}

static void
watch_start(struct fs_op *op, const struct fs_request *request)
{
    struct watch_op *watch = (struct watch_op *)op;
    int r;

    watch->dir = -1;
    watch->first = true;
    watch->recursive = request->recursive;
    if (strcmp(request->path, ".") != 0) {
        watch->prefix_len = strlen(request->path) + 1;
        memcpy(watch->path, request->path, watch->prefix_len - 1);
        watch->path[watch->prefix_len - 1] = '/';
    }
    r = workspace_open(&watch->dir, op->root, request->path, O_RDONLY | O_DIRECTORY);
    if (r == 0) {
        r = look_begin(watch);
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, request->path);
        return;
    }
    fs_op_tick(op);
    fs_op_continue(op);
}

static const char *const members[] = { "op", "path", "recursive", NULL };

const struct fs_kind fs_watch_kind = { .op = "fs.watch",
                                       .members = members,
                                       .root = true,
                                       .size = sizeof(struct watch_op),
                                       .start = watch_start,
                                       .turn = watch_turn,
                                       .tick = watch_tick,
                                       .end = watch_end };
