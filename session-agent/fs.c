#include "session-agent/fs.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session-agent/fs_inside.h"
#include "session-agent/glob.h"

#define FS_OUT_MAX (1u << 20)
#define FS_TOTAL_MAX INT64_MAX

struct fs {
    struct fs_spec spec;
    struct fs_op *ops;
    uv_idle_t idle;   /* active while an operation wants a turn */
    uv_timer_t timer; /* active while an operation has a tick */
    unsigned n_handles;
};

static const struct fs_kind *const kinds[] = { &fs_stat_kind,   &fs_list_kind,  &fs_read_kind,
                                               &fs_write_kind,  &fs_mkdir_kind, &fs_move_kind,
                                               &fs_remove_kind, &fs_tar_kind,   &fs_untar_kind,
                                               &fs_watch_kind,  &fs_glob_kind };

static const char *const error_codes[] = { [FS_NO_ERROR] = "",
#define X(name, code) [FS_E_##name] = (code),
                                           SBX_FILE_ERRORS(X)
#undef X
};

static const struct fs_kind *
kind_find(const char *op)
{
    for (size_t i = 0; i < SBX_COUNT(kinds); i++) {
        if (strcmp(kinds[i]->op, op) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

bool
fs_takes(const char *op)
{
    return kind_find(op) != NULL;
}

int
fs_new(struct fs **ret, const struct fs_spec *spec)
{
    struct fs *fs = calloc(1, sizeof(*fs));
    int r;

    if (fs == NULL) {
        return -ENOMEM;
    }
    fs->spec = *spec;
    r = uv_idle_init(spec->loop, &fs->idle);
    if (r < 0) {
        free(fs);
        return r;
    }
    (void)uv_timer_init(spec->loop, &fs->timer); /* always 0 */
    fs->idle.data = fs->timer.data = fs;
    fs->n_handles = 2;
    *ret = fs;
    return 0;
}

static struct fs_op *
op_free(struct fs_op *op)
{
    struct fs_op **at = &op->fs->ops;

    while (*at != op) {
        at = &(*at)->next;
    }
    *at = op->next;
    if (op->root >= 0) {
        (void)close(op->root); /* a directory */
    }
    sbx_buf_deinit(&op->out);
    sbx_buf_deinit(&op->answer);
    free(op);
    return NULL;
}

/* What an operation does, it does as the payload. False: it could not become so, and was told. */
static bool
op_enter(struct fs_op *op)
{
    if (identity_enter(op->fs->spec.identity) == 0) {
        return true;
    }
    fs_op_fail(op, FS_E_FAILED, "the agent could not take the payload's identity");
    return false;
}

static void
op_leave(const struct fs_op *op)
{
    identity_leave(op->fs->spec.identity);
}

/* Lets go of files and memory of the operation's own; its channel may still have output to take. */
static void
op_end(struct fs_op *op)
{
    op->answered = true;
    op->wants_turn = false;
    if (op->kind->end != NULL) {
        op->kind->end(op);
    }
}

/* Frees the operation when its answer is out. */
static void
op_flush(struct fs_op *op)
{
    if (op->out.len > 0) {
        sbx_buf_consume(&op->out, sbx_channel_write(op->channel, 1, op->out.data, op->out.len));
    }
    if (op->out.len > 0 || !op->answered) {
        return;
    }
    op->channel = sbx_channel_end(op->channel, op->answer.data, op->answer.len);
    (void)op_free(op); /* always NULL */
}

static bool
op_is_due(const struct fs_op *op)
{
    return op->wants_turn && op->out.len == 0 && !op->answered;
}

static void
fs_on_idle(uv_idle_t *idle)
{
    struct fs *fs = idle->data;
    struct fs_op *op, *next;
    bool more = false;

    for (op = fs->ops; op != NULL; op = next) {
        next = op->next;
        if (op_is_due(op) && op_enter(op)) {
            op->wants_turn = op->kind->turn(op) && !op->answered;
            op_leave(op);
        }
        op_flush(op);
    }
    for (op = fs->ops; op != NULL; op = op->next) {
        more = more || op_is_due(op);
    }
    if (!more) {
        (void)uv_idle_stop(idle); /* always 0 */
    }
}

void
fs_op_continue(struct fs_op *op)
{
    op->wants_turn = true;
    (void)uv_idle_start(&op->fs->idle, fs_on_idle); /* always 0: the callback is set */
}

static void
fs_on_timer(uv_timer_t *timer)
{
    struct fs *fs = timer->data;
    struct fs_op *op, *next;
    bool any = false;

    for (op = fs->ops; op != NULL; op = next) {
        next = op->next;
        if (op->kind->tick != NULL && !op->answered) {
            any = true;
            op->kind->tick(op);
            op_flush(op);
        }
    }
    if (!any) {
        (void)uv_timer_stop(timer); /* always 0 */
    }
}

void
fs_op_tick(struct fs_op *op)
{
    if (!uv_is_active((uv_handle_t *)&op->fs->timer)) {
        (void)uv_timer_start(&op->fs->timer, fs_on_timer, FS_TICK_MS, FS_TICK_MS); /* always 0: likewise */
    }
}

static void
op_on_data(void *arg, unsigned stream, const char *data, size_t len)
{
    struct fs_op *op = arg;

    if (op->answered || stream != 0 || op->kind->data == NULL) {
        sbx_channel_consumed(op->channel, len);
        return;
    }
    if (op_enter(op)) {
        op->kind->data(op, data, len);
        op_leave(op);
    }
    op_flush(op);
}

static void
op_on_shut(void *arg)
{
    struct fs_op *op = arg;

    if (op->answered || op->kind->shut == NULL) {
        return;
    }
    if (op_enter(op)) {
        op->kind->shut(op);
        op_leave(op);
    }
    op_flush(op);
}

static void
op_on_writable(void *arg)
{
    struct fs_op *op = arg;
    bool goes_on = op->wants_turn;

    op_flush(op); /* frees it when that was all, and then it wanted no turn */
    if (goes_on) {
        fs_op_continue(op);
    }
}

static void
op_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct fs_op *op = arg;

    (void)rc, (void)json, (void)len; /* who waited is gone, one way or the other */
    sbx_buf_reset(&op->out);
    if (!op->answered) {
        if (op_enter(op)) {
            fs_op_fail(op, FS_E_FAILED, "given up");
            op_leave(op);
        }
    }
    op_flush(op);
}

static const struct sbx_channel_events op_events = {
    .on_data = op_on_data,
    .on_shut = op_on_shut,
    .on_writable = op_on_writable,
    .on_end = op_on_end,
};

/* "" and "." are the workspace itself. */
static bool
path_take(const json_t *object, const char *key, bool required, bool root, const char **ret,
          struct sbx_field_error *err)
{
    const char *path = NULL;
    size_t len = 0;

    if (!sbx_json_get_str(object, "", key, REQUEST_MAX_PATH, &path, &len, err)) {
        return false;
    }
    if (path == NULL) {
        if (required) {
            sbx_field_error_set(err, key, "is required");
        }
        return !required;
    }
    if (root && (len == 0 || (len == 1 && path[0] == '.'))) {
        *ret = ".";
        return true;
    }
    if (!request_path_valid(path, len)) {
        sbx_field_error_set(err, key, "must be relative, of UTF-8, without empty, . and .. components");
        return false;
    }
    *ret = path;
    return true;
}

static bool
size_take(const json_t *object, const char *key, uint64_t *ret, struct sbx_field_error *err)
{
    int64_t value = -1;

    if (!sbx_json_get_int(object, "", key, 0, FS_TOTAL_MAX, &value, err)) {
        return false;
    }
    *ret = value < 0 ? *ret : (uint64_t)value;
    return true;
}

static bool
tags_take(const json_t *object, const char *key, const json_t **ret, struct sbx_field_error *err)
{
    json_t *tags = NULL;
    const json_t *tag;
    size_t i;

    if (!sbx_json_get_array(object, "", key, 32, &tags, err)) {
        return false;
    }
    json_array_foreach (tags, i, tag) {
        if (!json_is_string(tag) || json_string_length(tag) > FS_ETAG_MAX) {
            sbx_field_error_set(err, key, "must be an array of strings");
            return false;
        }
    }
    *ret = tags;
    return true;
}

static bool
patterns_take(const json_t *object, const json_t **ret, struct sbx_field_error *err)
{
    json_t *patterns = NULL;
    const json_t *pattern;
    size_t i;

    if (!sbx_json_get_array(object, "", "patterns", REQUEST_MAX_ARTIFACTS, &patterns, err)) {
        return false;
    }
    json_array_foreach (patterns, i, pattern) {
        const char *refusal = json_is_string(pattern)
                                  ? glob_refusal(json_string_value(pattern), json_string_length(pattern))
                                  : "must be a string";

        if (refusal != NULL) {
            sbx_field_error_set(err, "patterns", "%s", refusal);
            return false;
        }
    }
    *ret = patterns;
    return true;
}

static bool
request_take(struct fs_request *ret, const struct fs_kind *kind, const json_t *object,
             struct sbx_field_error *err)
{
    bool is_move = kind == &fs_move_kind, is_glob = kind == &fs_glob_kind;
    size_t mode_len, etag_len;

    *ret = (struct fs_request){ .length = UINT64_MAX,
                                .total = UINT64_MAX,
                                .max_bytes = UINT64_MAX,
                                .max_files = UINT64_MAX,
                                .limit = 1000 };
    return sbx_json_only(object, "", kind->members, err) &&
           path_take(object, "path", !is_move && !is_glob, kind->root, &ret->path, err) &&
           path_take(object, "from", is_move, false, &ret->from, err) &&
           path_take(object, "to", is_move, false, &ret->to, err) &&
           path_take(object, "after", false, false, &ret->after, err) &&
           sbx_json_get_str(object, "", "mode", 16, &ret->mode, &mode_len, err) &&
           sbx_json_get_str(object, "", "etag", FS_ETAG_MAX, &ret->etag, &etag_len, err) &&
           sbx_json_get_bool(object, "", "recursive", &ret->recursive, err) &&
           sbx_json_get_bool(object, "", "overwrite", &ret->overwrite, err) &&
           size_take(object, "offset", &ret->offset, err) && size_take(object, "length", &ret->length, err) &&
           size_take(object, "total", &ret->total, err) &&
           size_take(object, "max_bytes", &ret->max_bytes, err) &&
           size_take(object, "max_files", &ret->max_files, err) &&
           size_take(object, "limit", &ret->limit, err) &&
           tags_take(object, "if_match", &ret->if_match, err) &&
           tags_take(object, "if_none_match", &ret->if_none_match, err) &&
           patterns_take(object, &ret->patterns, err);
}

static void
refuse(struct sbx_channel *channel, enum fs_error error, const char *message)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(2048);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", false);
    sbx_jsonw_str(&w, "error", error_codes[error]);
    sbx_jsonw_str(&w, "message", message);
    sbx_jsonw_object_end(&w);
    (void)sbx_channel_end(channel, json.failed ? "{\"ok\":false,\"error\":\"failed\"}" : json.data,
                          json.failed ? 29 : json.len); /* always NULL */
}

static void
op_start(struct fs_op *op, const struct fs_request *request)
{
    int r;

    if (!op_enter(op)) {
        op_flush(op);
        return;
    }
    r = workspace_open_root(&op->root, op->fs->spec.workspace);
    if (r < 0) {
        op->root = -1;
        fs_op_fail_errno(op, r, "the workspace");
    } else {
        op->kind->start(op, request);
    }
    op_leave(op);
    op_flush(op);
}

void
fs_open(struct fs *fs, struct sbx_channel *channel, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "op"));
    const struct fs_kind *kind = name == NULL ? NULL : kind_find(name);
    struct sbx_field_error err = { 0 };
    struct fs_request parsed;
    struct fs_op *op;
    char message[sizeof(err.field) + sizeof(err.message) + 2];

    if (kind == NULL) {
        refuse(channel, FS_E_INVALID, "there is no such operation");
        return;
    }
    if (!request_take(&parsed, kind, request, &err)) {
        (void)snprintf(message, sizeof(message), "%s %s", err.field, err.message); /* cut at worst */
        message[255] = '\0';
        refuse(channel, FS_E_INVALID, message);
        return;
    }
    op = calloc(1, kind->size);
    if (op == NULL) {
        refuse(channel, FS_E_FAILED, "there is not enough memory");
        return;
    }
    op->fs = fs;
    op->kind = kind;
    op->channel = channel;
    op->root = -1;
    op->out.max = FS_OUT_MAX;
    op->answer.max = SBX_MUX_NOTE_MAX;
    op->next = fs->ops;
    fs->ops = op;
    sbx_channel_accept(channel, &op_events, op);
    op_start(op, &parsed);
}

static void
fs_on_closed(uv_handle_t *handle)
{
    struct fs *fs = handle->data;

    if (--fs->n_handles == 0) {
        free(fs);
    }
}

struct fs *
fs_close(struct fs *fs)
{
    if (fs == NULL) {
        return NULL;
    }
    while (fs->ops != NULL) {
        struct fs_op *op = fs->ops;

        if (!op->answered && op_enter(op)) {
            op_end(op);
            op_leave(op);
        }
        (void)op_free(op); /* always NULL */
    }
    uv_close((uv_handle_t *)&fs->idle, fs_on_closed);
    uv_close((uv_handle_t *)&fs->timer, fs_on_closed);
    return NULL;
}

void
fs_op_send(struct fs_op *op, const void *data, size_t len)
{
    sbx_buf_append(&op->out, data, len);
}

void
fs_op_note(struct fs_op *op, const struct sbx_buf *json)
{
    /* It would overtake output otherwise. A full peer is lost in a moment. */
    if (op->out.len == 0 && !json->failed) {
        (void)sbx_channel_note(op->channel, json->data, json->len);
    }
}

void
fs_op_consumed(struct fs_op *op, size_t len)
{
    sbx_channel_consumed(op->channel, len);
}

void
fs_op_done(struct fs_op *op, const struct sbx_buf *json)
{
    if (op->answered) {
        return;
    }
    if (op->out.failed || json->failed) {
        fs_op_fail(op, FS_E_FAILED, "there is not enough memory");
        return;
    }
    sbx_buf_append(&op->answer, json->data, json->len);
    op_end(op);
}

static const char no_memory[] =
    "{\"ok\":false,\"error\":\"failed\",\"message\":\"there is not enough memory\"}";

void
fs_op_fail(struct fs_op *op, enum fs_error error, const char *fmt, ...)
{
    char message[256];
    struct sbx_jsonw w;
    va_list args;

    if (op->answered) {
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args); /* cut at worst; the writer mends a cut character */
    va_end(args);

    sbx_jsonw_init(&w, &op->answer);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", false);
    sbx_jsonw_str(&w, "error", error_codes[error]);
    sbx_jsonw_str(&w, "message", message);
    sbx_jsonw_object_end(&w);
    if (op->answer.failed) {
        sbx_buf_deinit(&op->answer);
        op->answer = (struct sbx_buf)SBX_BUF_INIT(sizeof(no_memory));
        sbx_buf_puts(&op->answer, no_memory);
    }
    op_end(op);
}
