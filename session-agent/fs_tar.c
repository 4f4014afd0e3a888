/*
 * fs.tar: a directory as a tar archive (ustar, with pax headers where that is not enough): directories and regular
 * files of one name, in the order of names, owned by nobody in particular. Links, pipes and the like are left out and counted.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "session-agent/fs_inside.h"
#include "session-agent/fs_walk.h"
#include "session-agent/tar_reader.h"

#define TAR_TURN 128u
#define TAR_OCTAL_MAX UINT64_C(077777777777)

struct tar_op {
    struct fs_op op;
    struct fs_walk *walk;
    int dir, fd;
    uint64_t at, size; /* of the file that goes out */
    uint64_t n, skipped;
};

static void
tar_end(struct fs_op *op)
{
    struct tar_op *tar = (struct tar_op *)op;

    tar->walk = fs_walk_free(tar->walk);
    fs_fd_close(&tar->dir);
    fs_fd_close(&tar->fd);
}

static void
tar_start(struct fs_op *op, const struct fs_request *request)
{
    struct tar_op *tar = (struct tar_op *)op;
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(16384);
    struct sbx_jsonw w;
    struct stat st;
    int r;

    tar->dir = tar->fd = -1;
    r = workspace_open(&tar->dir, op->root, request->path, O_RDONLY | O_DIRECTORY);
    if (r == 0) {
        r = fs_walk_new(&tar->walk, &(struct fs_walk_spec){ .dir = tar->dir, .recursive = true });
    }
    if (r == 0 && fstat(tar->dir, &st) < 0) {
        r = -errno;
    }
    if (r < 0) {
        fs_op_fail_errno(op, r, request->path);
        return;
    }
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    fs_write_entry(&w, request->path, &st);
    sbx_jsonw_object_end(&w);
    fs_op_note(op, &json);
    fs_op_continue(op);
}

static void
tar_header(struct fs_op *op, const char *name, char type, const struct stat *st, uint64_t size)
{
    static const char magic[8] = { 'u', 's', 't', 'a', 'r', 0, '0', '0' };
    char block[TAR_BLOCK] = { 0 };
    unsigned sum = 0;
    size_t len = strlen(name);
    uint64_t mtime = st->st_mtim.tv_sec < 0 ? 0 : (uint64_t)st->st_mtim.tv_sec;

    memcpy(block, name, len < 100 ? len : 100);
    (void)snprintf(block + 100, 8, "%07o", (unsigned)st->st_mode & 0777u); /* these fit: so many digits */
    (void)snprintf(block + 108, 8, "%07o", 0u);
    (void)snprintf(block + 116, 8, "%07o", 0u);
    (void)snprintf(block + 124, 12, "%011" PRIo64, size > TAR_OCTAL_MAX ? 0 : size);
    (void)snprintf(block + 136, 12, "%011" PRIo64, mtime > TAR_OCTAL_MAX ? 0 : mtime);
    memset(block + 148, ' ', 8);
    block[156] = type;
    memcpy(block + 257, magic, sizeof(magic));
    for (size_t i = 0; i < sizeof(block); i++) {
        sum += (unsigned char)block[i];
    }
    (void)snprintf(block + 148, 7, "%06o", sum); /* at most 512 times 255 */
    fs_op_send(op, block, sizeof(block));
}

static void
tar_pad(struct fs_op *op, uint64_t size)
{
    static const char zeroes[TAR_BLOCK];

    fs_op_send(op, zeroes, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

/* "LEN key=value\n", where LEN counts itself. */
static void
pax_add(struct sbx_buf *out, const char *key, const char *value)
{
    size_t len = strlen(key) + strlen(value) + 3, all = len, before;

    do {
        before = all;
        all = len + (size_t)snprintf(NULL, 0, "%zu", before); /* never fails */
    } while (all != before);
    sbx_buf_printf(out, "%zu %s=%s\n", all, key, value);
}

static void
tar_entry_head(struct fs_op *op, const char *path, char type, const struct stat *st, uint64_t size)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf pax = SBX_BUF_INIT(8192);
    char digits[24];

    if (strlen(path) > 100) {
        pax_add(&pax, "path", path);
    }
    if (size > TAR_OCTAL_MAX) {
        (void)snprintf(digits, sizeof(digits), "%" PRIu64, size); /* fits */
        pax_add(&pax, "size", digits);
    }
    if (pax.len > 0) {
        tar_header(op, "pax", 'x', st, pax.len);
        fs_op_send(op, pax.data, pax.len);
        tar_pad(op, pax.len);
    }
    tar_header(op, path, type, st, size);
}

static bool
path_is_text(const char *path)
{
    size_t len = strlen(path);

    return request_path_valid(path, len);
}

static void
tar_entry(struct tar_op *tar, const struct fs_entry *entry)
{
    char path[REQUEST_MAX_PATH + 2];
    struct stat st;

    if (fs_name_is_upload(entry->name)) {
        return;
    }
    if (!path_is_text(entry->path) || (S_ISDIR(entry->st.st_mode) && entry->why != 0)) {
        tar->skipped++;
        return;
    }
    if (S_ISDIR(entry->st.st_mode)) {
        (void)snprintf(path, sizeof(path), "%s/", entry->path); /* fits: it is a valid path */
        tar_entry_head(&tar->op, path, '5', &entry->st, 0);
        tar->n++;
        return;
    }
    if (!S_ISREG(entry->st.st_mode) ||
        workspace_open_file(&tar->fd, &st, entry->dir, entry->name, INT64_MAX) != 0) {
        tar->fd = -1;
        tar->skipped++;
        return;
    }
    tar->n++;
    tar->at = 0;
    tar->size = (uint64_t)st.st_size;
    tar_entry_head(&tar->op, entry->path, '0', &st, tar->size);
}

/* Some of the file that goes out. Its size was told: shorter would shift all that follows. */
static void
tar_content(struct tar_op *tar)
{
    static char chunk[FS_CHUNK]; /* one thread, and the bytes are copied at once */
    uint64_t left = tar->size - tar->at;
    ssize_t n = 0;

    if (left > 0) {
        n = pread(tar->fd, chunk, left < sizeof(chunk) ? (size_t)left : sizeof(chunk), (off_t)tar->at);
        if (n <= 0) {
            fs_op_fail(&tar->op, n < 0 ? fs_error_of(-errno) : FS_E_BUSY,
                       "a file became shorter while it was read");
            return;
        }
        fs_op_send(&tar->op, chunk, (size_t)n);
        tar->at += (uint64_t)n;
    }
    if (tar->at == tar->size) {
        tar_pad(&tar->op, tar->size);
        fs_fd_close(&tar->fd);
    }
}

static void
tar_done(struct tar_op *tar)
{
    static const char zeroes[2 * TAR_BLOCK];
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(256);
    struct sbx_jsonw w;

    fs_op_send(&tar->op, zeroes, sizeof(zeroes));
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    sbx_jsonw_uint(&w, "entries", tar->n);
    sbx_jsonw_uint(&w, "skipped", tar->skipped);
    sbx_jsonw_object_end(&w);
    fs_op_done(&tar->op, &json);
}

static bool
tar_turn(struct fs_op *op)
{
    struct tar_op *tar = (struct tar_op *)op;
    unsigned budget = TAR_TURN;
    struct fs_entry entry;
    int r = FS_WALK_ENTRY;

    while (r == FS_WALK_ENTRY && op->out.len < FS_CHUNK && !op->answered) {
        if (tar->fd >= 0) {
            tar_content(tar);
            continue;
        }
        r = fs_walk_next(tar->walk, &entry, &budget);
        if (r == FS_WALK_ENTRY) {
            tar_entry(tar, &entry);
        }
    }
    if (r == FS_WALK_END) {
        tar_done(tar);
    } else if (r < 0) {
        fs_op_fail_errno(op, r, "the directory");
    }
    return true;
}

static const char *const members[] = { "op", "path", NULL };

const struct fs_kind fs_tar_kind = { .op = "fs.tar",
                                     .members = members,
                                     .root = true,
                                     .size = sizeof(struct tar_op),
                                     .start = tar_start,
                                     .turn = tar_turn,
                                     .end = tar_end };
