#include "executor/api/file.h"

#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/session_call.h"
#include "executor/core/feed.h"
#include "executor/core/timer.h"
#include "executor/log.h"

/* What was broken off has been read, or written in place, as far as it came. */
static void
file_audit_rest(struct file *file)
{
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX];

    if (file->audited || file->feed != NULL) {
        return;
    }
    if (file->sent > 0) {
        file_audit(file->call, file->archive ? "file.archived" : "file.read", file->path, NULL, file->sent,
                   NULL);
    } else if (file->sha256 != NULL && file->partial && file->received > 0 &&
               sbx_sha256_final(file->sha256, digest) == 0) {
        sbx_hex(hex, digest, sizeof(digest));
        file_audit(file->call, "file.uploaded", file->path, NULL, file->received, hex);
    }
}

struct file *
file_free(struct file *file)
{
    if (file == NULL) {
        return NULL;
    }
    file_audit_rest(file);
    file->channel = sbx_channel_reset(file->channel);
    if (file->session != NULL) {
        session_hook_remove(&file->hook);
        if (file->held) {
            session_release(file->session);
        }
    }
    file->timer = timer_free(file->timer);
    file->sha256 = sbx_sha256_free(file->sha256);
    if (file->feed != NULL) {
        feed_close(file->feed);
        file->feed = feed_unref(file->feed);
    }
    sbx_buf_deinit(&file->line);
    sbx_buf_deinit(&file->list);
    sbx_buf_deinit(&file->rest);
    free(file);
    return NULL;
}

/* The session is over: whom it served learns why, or by a body that is cut short that there is no more. */
static void
file_on_session_end(struct session_hook *hook, struct session *session)
{
    struct file *file = list_entry(hook, struct file, hook);
    struct call *call = file->call;

    file->channel = sbx_channel_reset(file->channel);
    file->session = NULL;
    if (file->feed != NULL && file->streaming) {
        static const char text[] = "{\"reason\":\"session_ended\"}";

        file->timer = timer_free(file->timer); /* the client may read on when there are no timers any more */
        feed_event(file->feed, "end", text, sizeof(text) - 1);
        feed_close(file->feed);
    } else if (file->streaming) {
        call_break_stream(call);
    } else {
        session_call_gone(call, &session->record);
    }
}

static void
file_on_time(void *arg)
{
    struct file *file = arg;
    struct call *call = file->call;

    /* The client's own time is bounded by the server; a paused session's agent may be silent. */
    if (file->session == NULL || file->client_slow || file->client_silent ||
        session_mux(file->session) == NULL) {
        timer_start(file->timer, FILE_AGENT_MS);
        return;
    }
    log_warn("file.agent_silent", LOG_STR("request_id", call->request_id),
             LOG_STR("session", file->session->record.id.text));
    if (file->streaming) {
        call_break_stream(call);
    } else {
        call_problem(call, SBX_PROBLEM_GATEWAY_TIMEOUT, "the session's agent does not answer");
    }
}

void
file_progress(struct file *file)
{
    if (file->patient && file->streaming) {
        timer_stop(file->timer);
    } else {
        timer_start(file->timer, FILE_AGENT_MS);
    }
}

bool
file_begin(struct call *call, const char *path, bool may_be_root)
{
    struct session *session = session_call(call, SESSION_CALL_RUNNING);
    struct file *file;
    int r;

    if (session == NULL || !file_path_fine(call, "path", path, may_be_root)) {
        return false;
    }
    file = calloc(1, sizeof(*file));
    if (file == NULL) {
        call_problem_internal(call, -ENOMEM);
        return false;
    }
    file->call = call;
    r = timer_new(&file->timer, sessions_timers(call_sessions(call)), file_on_time, file);
    if (r) {
        free(file);
        call_problem_internal(call, r);
        return false;
    }
    memcpy(file->path, path, strlen(path) + 1); /* checked to fit */
    file->line.max = FILE_JSON_MAX;
    file->list.max = 16u << 20;
    file->rest.max = SBX_MUX_WINDOW;
    file->session = session;
    session_hook_add(session, &file->hook, file_on_session_end);
    session_touch(session);
    call->file = file;
    return true;
}

void
file_nonsense(struct file *file, const char *what)
{
    file->channel = sbx_channel_reset(file->channel);
    if (file->session != NULL) {
        session_nonsense(file->session, what); /* the hook answers */
    }
}

static void
file_on_note(void *arg, const char *json, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *note = NULL;
    struct file *file = arg;
    struct sbx_field_error err;

    file_progress(file);
    if (file->events->note == NULL || sbx_json_parse(&note, json, len, &err) != 0 || !json_is_object(note)) {
        file_nonsense(file, "a note about a file");
        return;
    }
    file->events->note(file->call, note);
}

static void
file_on_data(void *arg, unsigned stream, const char *data, size_t len)
{
    struct file *file = arg;

    file_progress(file);
    if (stream != 1 || file->events->data == NULL) {
        file_nonsense(file, "bytes that nobody asked for");
        return;
    }
    file->events->data(file->call, data, len);
}

static void
file_on_writable(void *arg)
{
    struct file *file = arg;

    file_progress(file);
    if (file->events->writable != NULL) {
        file->events->writable(file->call);
    }
}

static bool
error_parse(const char *code, enum file_error *ret)
{
    static const char *const codes[] = {
#define X(name, text) [FILE_E_##name] = (text),
        SBX_FILE_ERRORS(X)
#undef X
    };

    for (unsigned i = 0; code != NULL && i < FILE_N_ERRORS; i++) {
        if (strcmp(codes[i], code) == 0) {
            *ret = (enum file_error)i;
            return true;
        }
    }
    return false;
}

static void
file_on_failed(struct file *file, const json_t *end)
{
    const json_t *message = json_object_get(end, "message");
    const char *text = json_string_value(message);
    enum file_error error;

    if (!error_parse(json_string_value(json_object_get(end, "error")), &error) ||
        (message != NULL && (text == NULL || json_string_length(message) > 1024))) {
        file_nonsense(file, "how an operation on files ended");
    } else if (file->events->failed != NULL) {
        file->events->failed(file->call, error, text);
    } else {
        file_refuse(file->call, error, text);
    }
}

static void
file_on_end(void *arg, int rc, const char *json, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *end = NULL;
    struct file *file = arg;
    struct sbx_field_error err;
    const json_t *ok;

    file->channel = NULL;
    if (rc != 0) {
        return; /* the session is about to end: its hook says why */
    }
    file_progress(file);
    ok = sbx_json_parse(&end, json, len, &err) == 0 ? json_object_get(end, "ok") : NULL;
    if (!json_is_boolean(ok)) {
        file_nonsense(file, "how an operation on files ended");
    } else if (json_is_true(ok)) {
        file->events->done(file->call, end);
    } else {
        file_on_failed(file, end);
    }
}

bool
file_ask(struct call *call, const struct sbx_buf *json, const struct file_events *events)
{
    static const struct sbx_channel_events channel_events = {
        .on_note = file_on_note,
        .on_data = file_on_data,
        .on_writable = file_on_writable,
        .on_end = file_on_end,
    };
    struct file *file = call->file;
    struct sbx_mux *mux = file->session == NULL ? NULL : session_mux(file->session);
    int r;

    if (!file->held && !file->patient && mux != NULL) {
        session_hold(file->session);
        file->held = true;
    }
    file->events = events;
    r = json->failed  ? -ENOMEM
        : mux == NULL ? SBX_MUX_E_LOST
                      : sbx_channel_open(&file->channel, mux, json->data, json->len, &channel_events, file);
    if (r == 0) {
        file_progress(file);
        return true;
    }
    file->channel = NULL;
    if (r == SBX_MUX_E_FULL) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_UNAVAILABLE,
                                     .detail = "the session does as much at a time as it can",
                                     .retry_after_s = 1,
                                 });
    } else if (r > 0) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "the session does not run now");
    } else {
        call_problem_internal(call, r);
    }
    return false;
}

void
file_consumed(struct file *file, size_t len)
{
    if (file->channel != NULL && len > 0) {
        sbx_channel_consumed(file->channel, len);
    }
}

void
file_lines(struct file *file, const char *data, size_t len,
           bool (*take)(struct call *call, const char *line, size_t len))
{
    const char *end = data + len, *newline;

    for (; (newline = memchr(data, '\n', (size_t)(end - data))) != NULL; data = newline + 1) {
        sbx_buf_append(&file->line, data, (size_t)(newline - data));
        if (file->line.failed || !take(file->call, file->line.data, file->line.len)) {
            file_nonsense(file, "a list of files");
            return;
        }
        sbx_buf_reset(&file->line);
    }
    sbx_buf_append(&file->line, data, (size_t)(end - data));
    file_consumed(file, len);
}

static void
audit_on_stored(void *arg _unused_, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        log_error("audit.file_failed", LOG_INT("code", rc));
    }
}

void
file_audit(struct call *call, const char *kind, const char *path, const char *to, uint64_t size,
           const char *sha256)
{
    struct db_tx *tx;

    call->file->audited = true;
    if (db_tx_new(&tx, sessions_db(call_sessions(call))) != 0) {
        log_error("audit.file_failed", LOG_INT("code", -ENOMEM));
        return;
    }
    audit_file(tx, &(struct audit_file){
                       .context = &call->context,
                       .session = call->id,
                       .kind = kind,
                       .path = path,
                       .to = to,
                       .size = size,
                       .sha256 = sha256,
                   });
    db_tx_submit(tx, audit_on_stored, NULL);
}
