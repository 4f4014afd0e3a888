/*
 * fs.read: bytes of one regular file, as many as it had when it was opened. Who replaces it by a rename, as fs.write
 * does, does not disturb that; who writes in it meanwhile is read as he writes, and a file that became shorter
 * ends the operation as `busy`.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "session-agent/fs_inside.h"

struct read_op {
    struct fs_op op;
    int fd;
    uint64_t at, left, sent;
};

static void
read_end(struct fs_op *op)
{
    fs_fd_close(&((struct read_op *)op)->fd);
}

static void
read_done(struct read_op *reading)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(256);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    sbx_jsonw_uint(&w, "sent", reading->sent);
    sbx_jsonw_object_end(&w);
    fs_op_done(&reading->op, &json);
}

static void
read_tell(struct read_op *reading, const struct fs_request *request, const struct stat *st)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(16384);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    fs_write_entry(&w, request->path, st);
    sbx_jsonw_uint(&w, "offset", reading->at);
    sbx_jsonw_uint(&w, "length", reading->left);
    sbx_jsonw_object_end(&w);
    fs_op_note(&reading->op, &json);
}

static bool
read_turn(struct fs_op *op)
{
    static char chunk[FS_CHUNK]; /* one thread, and the bytes are copied at once */
    struct read_op *reading = (struct read_op *)op;
    size_t want = reading->left < sizeof(chunk) ? (size_t)reading->left : sizeof(chunk);
    ssize_t n;

    if (reading->left == 0) {
        read_done(reading);
        return false;
    }
    n = pread(reading->fd, chunk, want, (off_t)reading->at);
    if (n < 0) {
        fs_op_fail_errno(op, -errno, "the file");
        return false;
    }
    if (n == 0) {
        fs_op_fail(op, FS_E_BUSY, "the file became shorter while it was read");
        return false;
    }
    reading->at += (uint64_t)n;
    reading->left -= (uint64_t)n;
    reading->sent += (uint64_t)n;
    fs_op_send(op, chunk, (size_t)n);
    return true;
}

/* workspace_open_file says only that it is no file. */
static void
read_refuse(struct fs_op *op, const char *path, int r)
{
    struct stat st;
    int q;

    if (r != WORKSPACE_E_KIND) {
        fs_op_fail_errno(op, r, path);
        return;
    }
    q = fs_stat_path(&st, op->root, path);
    if (q < 0) {
        fs_op_fail_errno(op, q, path);
    } else if (S_ISDIR(st.st_mode)) {
        fs_op_fail_errno(op, -EISDIR, path);
    } else {
        fs_op_fail(op, FS_E_DENIED, "%.180s: %s", path,
                   S_ISLNK(st.st_mode)   ? "is a symbolic link"
                   : S_ISREG(st.st_mode) ? "has more than one hard link"
                                         : "is not a regular file");
    }
}

static void
read_start(struct fs_op *op, const struct fs_request *request)
{
    struct read_op *reading = (struct read_op *)op;
    char etag[FS_ETAG_MAX];
    struct stat st;
    int r;

    reading->fd = -1;
    r = workspace_open_file(&reading->fd, &st, op->root, request->path, INT64_MAX);
    if (r != 0) {
        read_refuse(op, request->path, r);
        return;
    }
    fs_etag(etag, &st);
    if (request->etag != NULL && strcmp(request->etag, etag) != 0) {
        fs_op_fail(op, FS_E_BUSY, "the file is another version");
        return;
    }
    if (request->offset > (uint64_t)st.st_size) {
        fs_op_fail(op, FS_E_INVALID, "the offset is past the end of the file");
        return;
    }
    reading->at = request->offset;
    reading->left = (uint64_t)st.st_size - request->offset;
    if (request->length < reading->left) {
        reading->left = request->length;
    }
    read_tell(reading, request, &st);
    fs_op_continue(op);
}

static const char *const members[] = { "op", "path", "offset", "length", "etag", NULL };

const struct fs_kind fs_read_kind = { .op = "fs.read",
                                      .members = members,
                                      .size = sizeof(struct read_op),
                                      .start = read_start,
                                      .turn = read_turn,
                                      .end = read_end };
