/* fs.write: a whole file, or a part of one from an offset on. */
#include <string.h>
#include <unistd.h>

#include "session-agent/fs_writer.h"

struct write_op {
    struct fs_op op;
    struct fs_writer writer;
    struct fs_request request; /* its strings are gone after start, but for the copies below */
    json_t *if_match, *if_none_match;
    uint64_t end; /* no byte is taken at or behind it */
    bool range;
    char path[REQUEST_MAX_PATH + 1];
};

static void
write_end(struct fs_op *op)
{
    struct write_op *writing = (struct write_op *)op;

    fs_writer_deinit(&writing->writer);
    json_decref(steal(&writing->if_match));
    json_decref(steal(&writing->if_none_match));
}

static bool
write_matches(struct write_op *writing)
{
    struct stat st;
    int r = fs_stat_path(&st, writing->op.root, writing->path);

    if (fs_check_match(&writing->request, r == 0 ? &st : NULL) == FS_NO_ERROR) {
        return true;
    }
    fs_op_fail(&writing->op, FS_E_BUSY, "the file is not in the expected version");
    return false;
}

static uint64_t
write_limit(const struct fs_request *request)
{
    uint64_t end = request->total < request->max_bytes ? request->total : request->max_bytes;

    return end < INT64_MAX ? end : INT64_MAX;
}

static void
write_start(struct fs_op *op, const struct fs_request *request)
{
    struct write_op *writing = (struct write_op *)op;
    bool replace = request->mode == NULL || strcmp(request->mode, "replace") == 0;
    int r;

    writing->writer = (struct fs_writer)FS_WRITER_NULL;
    writing->request = *request;
    writing->range = !replace;
    writing->end = write_limit(request);
    memcpy(writing->path, request->path, strlen(request->path) + 1);
    writing->request.if_match = writing->if_match = json_deep_copy(request->if_match);
    writing->request.if_none_match = writing->if_none_match = json_deep_copy(request->if_none_match);
    if ((request->if_match != NULL && writing->if_match == NULL) ||
        (request->if_none_match != NULL && writing->if_none_match == NULL)) {
        fs_op_fail_errno(op, -ENOMEM, writing->path);
        return;
    }
    if ((!replace && strcmp(request->mode, "range") != 0) || (replace && request->offset > 0)) {
        fs_op_fail(op, FS_E_INVALID, "the mode is replace, from offset 0, or range");
        return;
    }
    if (request->total != UINT64_MAX && request->total > request->max_bytes) {
        fs_op_fail(op, FS_E_TOO_LARGE, "the file may have %llu bytes",
                   (unsigned long long)request->max_bytes);
        return;
    }
    if (!write_matches(writing)) {
        return;
    }
    r = replace ? fs_writer_replace(&writing->writer, op->root, writing->path, 0644)
                : fs_writer_range(&writing->writer, op->root, writing->path, request->offset);
    if (r == -EINVAL && !replace) {
        fs_op_fail(op, FS_E_INVALID, "the range begins past the end of the file");
    } else if (r < 0) {
        fs_op_fail_errno(op, r, writing->path);
    }
}

static void
write_data(struct fs_op *op, const char *data, size_t len)
{
    struct write_op *writing = (struct write_op *)op;
    int r = 0;

    if (len > writing->end - writing->writer.at) {
        fs_op_fail(op, FS_E_TOO_LARGE, "the file may have %llu bytes", (unsigned long long)writing->end);
    } else {
        r = fs_writer_write(&writing->writer, data, len);
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, writing->path);
    }
    fs_op_consumed(op, len);
}

static void
write_done(struct write_op *writing, const struct stat *st)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(16384);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    fs_write_entry(&w, writing->path, st);
    sbx_jsonw_uint(&w, "offset", writing->writer.at);
    sbx_jsonw_bool(&w, "created", writing->writer.created);
    sbx_jsonw_object_end(&w);
    fs_op_done(&writing->op, &json);
}

/* All has come. A part that reaches the announced end also ends the file, whatever was behind. */
static void
write_shut(struct fs_op *op)
{
    struct write_op *writing = (struct write_op *)op;
    uint64_t total = writing->request.total;
    struct stat st;
    int r = 0;

    if (!writing->range) {
        if (total != UINT64_MAX && writing->writer.at != total) {
            fs_op_fail(op, FS_E_INVALID, "the file was announced larger than it came");
            return;
        }
        if (!write_matches(writing)) {
            return;
        }
    } else if (writing->writer.at == total && ftruncate(writing->writer.fd, (off_t)total) < 0) {
        r = -errno;
    }
    if (r == 0) {
        r = fs_writer_commit(&writing->writer, &st);
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, writing->path);
    } else {
        write_done(writing, &st);
    }
}

static const char *const members[] = { "op",       "path",          "mode",      "offset", "total",
                                       "if_match", "if_none_match", "max_bytes", NULL };

const struct fs_kind fs_write_kind = { .op = "fs.write",
                                       .members = members,
                                       .size = sizeof(struct write_op),
                                       .start = write_start,
                                       .data = write_data,
                                       .shut = write_shut,
                                       .end = write_end };
