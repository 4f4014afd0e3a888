/* What fs_*.c say about a path: where it is, what is there, which version, and how an errno is told. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "session-agent/fs_inside.h"

void
fs_fd_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* what was written has been checked */
        *fd = -1;
    }
}

enum fs_error
fs_error_of(int r)
{
    switch (-r) {
    case ENOENT:
        return FS_E_NOT_FOUND;
    case EEXIST:
        return FS_E_EXISTS;
    case ENOTDIR:
        return FS_E_NOT_A_DIRECTORY;
    case EISDIR:
        return FS_E_IS_A_DIRECTORY;
    case ENOTEMPTY:
        return FS_E_NOT_EMPTY;
    case ENOSPC:
    case EDQUOT:
        return FS_E_NO_SPACE;
    case EFBIG:
        return FS_E_TOO_LARGE;
    case EACCES:
    case EPERM:
    case ELOOP:
    case EXDEV:
    case EROFS:
    case ENXIO:
        return FS_E_DENIED;
    case ENAMETOOLONG:
    case EINVAL:
    case EILSEQ:
        return FS_E_INVALID;
    case EBUSY:
    case EAGAIN:
        return FS_E_BUSY;
    default:
        return FS_E_FAILED;
    }
}

void
fs_op_fail_errno(struct fs_op *op, int r, const char *what)
{
    const char *why = r == -ELOOP   ? "is or goes through a symbolic link"
                      : r == -EXDEV ? "is not of the workspace's file system"
                      : r == -ENXIO ? "is a device or a socket"
                                    : strerror(-r);

    fs_op_fail(op, fs_error_of(r), "%.180s: %s", what, why);
}

int
fs_open_parent(int *ret_fd, const char **ret_name, int root, const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[REQUEST_MAX_PATH + 1];
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    *ret_fd = -1;
    if (len >= sizeof(parent)) {
        return -ENAMETOOLONG;
    }
    memcpy(parent, path, len);
    parent[len] = '\0';
    *ret_name = slash == NULL ? path : slash + 1;
    return workspace_open(ret_fd, root, len == 0 ? "." : parent, O_PATH | O_DIRECTORY);
}

int
fs_stat_path(struct stat *ret, int root, const char *path)
{
    _cleanup_(fs_fd_close) int parent = -1;
    const char *name;
    int r;

    if (strcmp(path, ".") == 0) {
        return fstat(root, ret) < 0 ? -errno : 0;
    }
    r = fs_open_parent(&parent, &name, root, path);
    if (r < 0) {
        return r;
    }
    return fstatat(parent, name, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* The time of the last change of the inode cannot be set by who owns the file; the other one can. */
void
fs_etag(char out[FS_ETAG_MAX], const struct stat *st)
{
    (void)snprintf(out, FS_ETAG_MAX, "%" PRIx64 "-%" PRIx64 "%08lx-%" PRIx64 "%08lx-%" PRIx64,
                   (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec,
                   (uint64_t)st->st_ctim.tv_sec, (unsigned long)st->st_ctim.tv_nsec,
                   (uint64_t)st->st_ino); /* fits: 4 words of 16 digits and two of 8 */
}

static const char *
kind_name(mode_t mode)
{
    return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "symlink" : "other";
}

void
fs_write_entry(struct sbx_jsonw *w, const char *path, const struct stat *st)
{
    char etag[FS_ETAG_MAX], mode[8];

    (void)snprintf(mode, sizeof(mode), "%04o", (unsigned)st->st_mode & 07777u); /* fits */
    sbx_jsonw_str(w, "path", strcmp(path, ".") == 0 ? "" : path);
    sbx_jsonw_str(w, "kind", kind_name(st->st_mode));
    sbx_jsonw_int(w, "size", S_ISREG(st->st_mode) ? st->st_size : 0);
    sbx_jsonw_int(w, "mtime_ms", st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000);
    sbx_jsonw_str(w, "mode", mode);
    if (S_ISREG(st->st_mode)) {
        fs_etag(etag, st);
        sbx_jsonw_str(w, "etag", etag);
    }
}

static bool
tags_have(const json_t *tags, const struct stat *st)
{
    char etag[FS_ETAG_MAX];
    const json_t *tag;
    size_t i;

    if (st == NULL) {
        return false;
    }
    fs_etag(etag, st);
    json_array_foreach (tags, i, tag) {
        const char *text = json_string_value(tag);

        if (strcmp(text, "*") == 0 || (S_ISREG(st->st_mode) && strcmp(text, etag) == 0)) {
            return true;
        }
    }
    return false;
}

enum fs_error
fs_check_match(const struct fs_request *request, const struct stat *st)
{
    if (request->if_match != NULL && !tags_have(request->if_match, st)) {
        return FS_E_BUSY;
    }
    if (request->if_none_match != NULL && tags_have(request->if_none_match, st)) {
        return FS_E_BUSY;
    }
    return FS_NO_ERROR;
}

bool
fs_name_is_upload(const char *name)
{
    size_t len = sizeof(FS_NAME_UPLOAD) - 1;

    return strncmp(name, FS_NAME_UPLOAD, len) == 0 && strlen(name) == len + 16;
}
