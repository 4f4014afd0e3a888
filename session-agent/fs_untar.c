/*
 * fs.untar: a tar archive into a directory. Each file is there as a whole or not at all; what was made before an
 * archive is refused stays.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "session-agent/fs_writer.h"
#include "session-agent/tar_reader.h"

struct untar_op {
    struct fs_op op;
    struct tar_reader *reader;
    struct fs_writer writer;
    int dir;
    uint64_t bytes, max_bytes, n, max_files, directories;
    bool too_many, too_big;      /* why an event said -ECANCELED */
    char path[TAR_PATH_MAX + 1]; /* of the entry at hand, for what is said about it */
};

static void
untar_end(struct fs_op *op)
{
    struct untar_op *untar = (struct untar_op *)op;

    fs_writer_deinit(&untar->writer);
    untar->reader = tar_reader_free(untar->reader);
    fs_fd_close(&untar->dir);
}

static int
untar_directory(struct untar_op *untar, const struct tar_entry *entry)
{
    _cleanup_(fs_fd_close) int parent = -1;
    const char *name;
    struct stat st;
    int r;

    if (strcmp(entry->path, ".") == 0) {
        return 0;
    }
    r = workspace_make_parents(untar->dir, entry->path);
    if (r == 0) {
        r = fs_open_parent(&parent, &name, untar->dir, entry->path);
    }
    /* Its owner must be able to fill it. */
    if (r == 0 && mkdirat(parent, name, entry->mode | 0700) < 0) {
        r = errno == EEXIST && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)
                ? 0
                : -errno;
    }
    untar->directories++;
    return r;
}

static int
untar_on_entry(void *arg, const struct tar_entry *entry)
{
    struct untar_op *untar = arg;

    memcpy(untar->path, entry->path, strlen(entry->path) + 1);
    if (untar->n + untar->directories >= untar->max_files) {
        untar->too_many = true;
        return -ECANCELED;
    }
    if (entry->directory) {
        return untar_directory(untar, entry);
    }
    if (entry->size > untar->max_bytes - untar->bytes) {
        untar->too_big = true;
        return -ECANCELED;
    }
    untar->bytes += entry->size;
    untar->n++;
    return fs_writer_replace(&untar->writer, untar->dir, entry->path, entry->mode | 0600);
}

static int
untar_on_data(void *arg, const char *data, size_t len)
{
    struct untar_op *untar = arg;

    return fs_writer_write(&untar->writer, data, len);
}

static int
untar_on_file(void *arg)
{
    struct untar_op *untar = arg;
    struct stat st;
    int r = fs_writer_commit(&untar->writer, &st);

    fs_writer_deinit(&untar->writer);
    return r;
}

static const struct tar_events tar_events = {
    .entry = untar_on_entry,
    .data = untar_on_data,
    .end = untar_on_file,
};

static void
untar_start(struct fs_op *op, const struct fs_request *request)
{
    struct untar_op *untar = (struct untar_op *)op;
    int r = 0;

    untar->dir = -1;
    untar->writer = (struct fs_writer)FS_WRITER_NULL;
    untar->max_bytes = request->max_bytes < INT64_MAX ? request->max_bytes : INT64_MAX;
    untar->max_files = request->max_files < INT64_MAX ? request->max_files : INT64_MAX;
    if (strcmp(request->path, ".") != 0) {
        r = workspace_make_parents(op->root, request->path);
        if (r == 0) {
            _cleanup_(fs_fd_close) int parent = -1;
            const char *name;

            r = fs_open_parent(&parent, &name, op->root, request->path);
            if (r == 0 && mkdirat(parent, name, 0755) < 0 && errno != EEXIST) {
                r = -errno;
            }
        }
    }
    if (r == 0) {
        r = workspace_open(&untar->dir, op->root, request->path, O_RDONLY | O_DIRECTORY);
    }
    if (r == 0) {
        r = tar_reader_new(&untar->reader, &tar_events, untar);
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, request->path);
    }
}

static void
untar_fail(struct untar_op *untar, int r)
{
    char why[256];

    if (r == TAR_E_REFUSED) {
        (void)snprintf(why, sizeof(why), "%s", tar_reader_why(untar->reader)); /* fits; the reader goes */
        fs_op_fail(&untar->op, FS_E_INVALID, "%s", why);
    } else if (untar->too_many) {
        fs_op_fail(&untar->op, FS_E_TOO_LARGE, "the archive may have %llu entries",
                   (unsigned long long)untar->max_files);
    } else if (untar->too_big) {
        fs_op_fail(&untar->op, FS_E_TOO_LARGE, "the archive's files may have %llu bytes",
                   (unsigned long long)untar->max_bytes);
    } else {
        fs_op_fail_errno(&untar->op, r, untar->path);
    }
}

static void
untar_data(struct fs_op *op, const char *data, size_t len)
{
    struct untar_op *untar = (struct untar_op *)op;
    int r = tar_reader_feed(untar->reader, data, len);

    if (r != 0) {
        untar_fail(untar, r);
    }
    fs_op_consumed(op, len);
}

static void
untar_shut(struct fs_op *op)
{
    struct untar_op *untar = (struct untar_op *)op;
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(256);
    struct sbx_jsonw w;

    if (tar_reader_finish(untar->reader) != 0) {
        untar_fail(untar, TAR_E_REFUSED);
        return;
    }
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    sbx_jsonw_uint(&w, "files", untar->n);
    sbx_jsonw_uint(&w, "directories", untar->directories);
    sbx_jsonw_uint(&w, "bytes", untar->bytes);
    sbx_jsonw_object_end(&w);
    fs_op_done(op, &json);
}

static const char *const members[] = { "op", "path", "max_bytes", "max_files", NULL };

const struct fs_kind fs_untar_kind = { .op = "fs.untar",
                                       .members = members,
                                       .root = true,
                                       .size = sizeof(struct untar_op),
                                       .start = untar_start,
                                       .data = untar_data,
                                       .shut = untar_shut,
                                       .end = untar_end };
