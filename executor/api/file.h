/*
 * One request for the files of a session: the operations on a channel that it takes, one after the other, and what it
 * keeps between them. The agent's words are checked here: a stranger to docs/agent.md ends the session.
 *
 *   file_begin -> file_ask -> events ... done | failed -> (file_ask ...) -> the call's answer
 */
#pragma once

#include "executor/api/call.h"
#include "executor/core/session.h"
#include "lib/sbx_agent_error.h"
#include "lib/sbx_json.h"

#define FILE_PATH_MAX 1024
#define FILE_DEPTH_MAX 16
#define FILE_ETAG_MAX 96
#define FILE_JSON_MAX 32768
#define FILE_AGENT_MS 60000u /* an agent that says and takes nothing for so long is not waited for */

enum file_error {
#define X(name, code) FILE_E_##name,
    SBX_FILE_ERRORS(X)
#undef X
        FILE_N_ERRORS
};

/* One thing of the workspace as the agent describes it, checked. Borrows from the document. */
struct file_entry {
    const char *path, *kind, *mode;
    const char *etag; /* of a file, without quotes; else NULL */
    uint64_t size, mtime_ms;
};

struct file_events {
    void (*note)(struct call *call, const json_t *note);
    /* Given back by file_consumed. */
    void (*data)(struct call *call, const char *data, size_t len);
    void (*writable)(struct call *call);
    void (*done)(struct call *call, const json_t *end);
    /* NULL: file_refuse. */
    void (*failed)(struct call *call, enum file_error error, const char *message);
};

struct file {
    struct call *call;
    struct session *session; /* NULL once it has ended */
    struct session_hook hook;
    struct timer *timer;
    struct sbx_channel *channel; /* NULL: no operation is under way */
    const struct file_events *events;
    bool held;
    bool archive;   /* it is read as one */
    bool patient;   /* a watch: silence is fine */
    bool streaming; /* the head of the answer is out */
    bool audited;
    /* Whether the client is who is waited for. */
    bool client_slow, client_silent;

    char path[FILE_PATH_MAX + 1]; /* "" is the workspace */
    char etag[FILE_ETAG_MAX];     /* quoted */
    /* Out: */
    uint64_t first, length, sent, owed;
    bool partial;
    unsigned tries;
    struct sbx_buf line, list; /* of a listing */
    unsigned n_entries;
    struct feed *feed; /* of a watch */
    /* In: */
    struct sbx_sha256 *sha256;
    struct sbx_buf rest; /* that the channel had no window for */
    uint64_t received, max_bytes;
    bool complete, conditional;
};

/*
 * Makes call->file for a session that runs, and keeps it from being idle. False: the call was or will be answered.
 * `path` is checked; NULL did not decode.
 */
_must_check_ bool file_begin(struct call *call, const char *path, bool may_be_root);
/* What a path is refused for; NULL: fine. */
const char *file_path_refusal(const char *path, bool may_be_root);
/* The same for a member of a body or a parameter. */
_must_check_ bool file_path_fine(struct call *call, const char *field, const char *path, bool may_be_root);
/* Opens the next operation; false: answered, for it could not. `json` is its OPEN. */
bool file_ask(struct call *call, const struct sbx_buf *json, const struct file_events *events);
void file_consumed(struct file *file, size_t len);
/* For `data` of a list: each whole line to `take`, which is false for nonsense; what is no line yet stays in file->line. */
void file_lines(struct file *file, const char *data, size_t len,
                bool (*take)(struct call *call, const char *line, size_t len));
/* Time begins anew: something moved. */
void file_progress(struct file *file);
/* The agent said what it must not: the session ends, and with it the call. */
void file_nonsense(struct file *file, const char *what);
/* The problem for how an operation ended. Ends the call. */
void file_refuse(struct call *call, enum file_error error, const char *message);
/* False when it is no entry of docs/agent.md. */
_must_check_ bool file_entry_take(struct file_entry *ret, const json_t *object);
void file_entry_write(struct sbx_jsonw *w, const struct file_entry *entry);
/* `"etag"` into file->etag; "" when it has none. */
void file_etag_set(struct file *file, const struct file_entry *entry);
/* Answers with one entry as JSON. */
void file_reply_entry(struct call *call, int status, const struct file_entry *entry);
/* A number of an outcome; false when it is none. */
_must_check_ bool file_count_take(const json_t *object, const char *key, uint64_t *ret);
/* One audit event; the answer does not wait for it. sha256 may be NULL. */
void file_audit(struct call *call, const char *kind, const char *path, const char *to, uint64_t size,
                const char *sha256);
/* The call is over. Accepts NULL, returns NULL. */
struct file *file_free(struct file *file);
