/* What the files fs_*.c share: an operation, its answer, its output and its turns. */
#pragma once

#include <limits.h>

#include "lib/sbx_agent_error.h"
#include "lib/sbx_jsonw.h"
#include "session-agent/fs.h"
#include "session-agent/request.h"

#define FS_CHUNK 65536u
#define FS_NAME_UPLOAD ".sbx-upload-" /* and 16 hexadecimal digits: a file that is not complete */
#define FS_ETAG_MAX 80
#define FS_TICK_MS 500u

enum fs_error {
    FS_NO_ERROR,
#define X(name, code) FS_E_##name,
    SBX_FILE_ERRORS(X)
#undef X
        FS_N_ERRORS
};

struct fs_request {
    const char *path; /* "." is the workspace */
    const char *from, *to, *after, *mode, *etag;
    const json_t *if_match, *if_none_match; /* NULL, or arrays of strings */
    const json_t *patterns;
    bool recursive, overwrite;
    uint64_t offset, length, total, max_bytes, max_files, limit;
};

struct fs_op;

struct fs_kind {
    const char *op;
    const char *const *members; /* that its OPEN may have, NULL-ended */
    bool root;                  /* the path may be the workspace itself */
    size_t size;                /* of its struct, which begins with a struct fs_op */
    /* Under the payload's identity, as all below. Answers, or goes on later. */
    void (*start)(struct fs_op *op, const struct fs_request *request);
    /* Some work; only when everything sent before is on its way. True: there is more. */
    bool (*turn)(struct fs_op *op);
    void (*data)(struct fs_op *op, const char *data, size_t len);
    void (*shut)(struct fs_op *op);
    void (*tick)(struct fs_op *op); /* each FS_TICK_MS; not under the identity */
    void (*end)(struct fs_op *op);  /* lets go of what the operation holds */
};

struct fs_op {
    struct fs *fs;
    const struct fs_kind *kind;
    struct sbx_channel *channel; /* NULL: answered */
    struct fs_op *next;
    int root;           /* the workspace; -1 */
    bool wants_turn;    /* when `out` is empty */
    bool answered;      /* `answer` follows `out` */
    struct sbx_buf out; /* not yet taken by the channel */
    struct sbx_buf answer;
};

extern const struct fs_kind fs_stat_kind, fs_list_kind, fs_read_kind, fs_write_kind, fs_mkdir_kind,
    fs_move_kind, fs_remove_kind, fs_tar_kind, fs_untar_kind, fs_watch_kind, fs_glob_kind;

/* Appends to what goes out on stream 1; at most a few times FS_CHUNK a turn. */
void fs_op_send(struct fs_op *op, const void *data, size_t len);
void fs_op_note(struct fs_op *op, const struct sbx_buf *json);
/* So many bytes of `data` are done with. */
void fs_op_consumed(struct fs_op *op, size_t len);
/* There is work: turn is called from the loop. */
void fs_op_continue(struct fs_op *op);
/* From now on there are ticks. */
void fs_op_tick(struct fs_op *op);
/* The outcome, after everything that was sent. Each ends the operation: nothing of it is called again. */
void fs_op_done(struct fs_op *op, const struct sbx_buf *json);
void fs_op_fail(struct fs_op *op, enum fs_error error, const char *fmt, ...) _printf_(3, 4);
/* The same for -errno; `what` says what it is about, a path of the request or a constant. */
void fs_op_fail_errno(struct fs_op *op, int r, const char *what);
enum fs_error fs_error_of(int r);

/* The directory that holds `path`, and the name in it; never the workspace itself. */
_must_check_ int fs_open_parent(int *ret_fd, const char **ret_name, int root, const char *path);
/* What is there, without following: 0 or -errno. */
_must_check_ int fs_stat_path(struct stat *ret, int root, const char *path);
void fs_etag(char out[FS_ETAG_MAX], const struct stat *st);
/* Members of an entry, into an open object. */
void fs_write_entry(struct sbx_jsonw *w, const char *path, const struct stat *st);
/* Preconditions: 0, FS_E_BUSY when one is not met. `st` NULL: there is nothing. */
enum fs_error fs_check_match(const struct fs_request *request, const struct stat *st);
bool fs_name_is_upload(const char *name);
void fs_fd_close(int *fd);
