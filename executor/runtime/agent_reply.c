#include "executor/runtime/agent_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sbx_utf8.h"

enum {
    MAX_COMPONENT = 255,
    MAX_DEPTH = 64,
    MAX_REASON = 128,
    MAX_SKIPPED_PATH = 4096,
    MAX_SKIPPED_JSON = 8 * 1024 * 1024,
};

enum path_kind {
    PATH_GOOD,
    PATH_ODD,     /* a tenant may name a file so, and an honest agent list it: we leave it out */
    PATH_HOSTILE, /* no honest agent says this */
};

static const char *const signal_names[] = {
    "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",  "SIGFPE",
    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT",
    "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",  "SIGXCPU",
    "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS",
};

static bool
signal_is_known(const char *name)
{
    for (size_t i = 0; i < SBX_COUNT(signal_names); i++) {
        if (strcmp(name, signal_names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* C0, DEL, C1 and the line separators: what could break a line of log, a header or a terminal. */
static bool
text_is_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = sbx_utf8_sequence(text + i, len - i);
        unsigned char c = (unsigned char)text[i];

        if (n == 0 || c < 0x20 || c == 0x7f) {
            return false;
        }
        if (n == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0) {
            return false;
        }
        if (n == 3 &&
            (memcmp(text + i, "\xe2\x80\xa8", 3) == 0 || memcmp(text + i, "\xe2\x80\xa9", 3) == 0)) {
            return false;
        }
        i += n;
    }
    return true;
}

static enum path_kind
component_kind(const char *name, size_t len)
{
    if (len == 0 || (len == 1 && name[0] == '.') || (len == 2 && memcmp(name, "..", 2) == 0)) {
        return PATH_HOSTILE;
    }
    return len > MAX_COMPONENT ? PATH_HOSTILE : PATH_GOOD;
}

static enum path_kind
path_kind(const char *path, size_t len)
{
    unsigned depth = 0;
    size_t start = 0;

    for (size_t i = 0; i <= len; i++) {
        if (i < len && path[i] != '/') {
            continue;
        }
        if (component_kind(path + start, i - start) != PATH_GOOD || ++depth > MAX_DEPTH) {
            return PATH_HOSTILE;
        }
        start = i + 1;
    }
    return len > AGENT_REPLY_MAX_PATH || !text_is_printable(path, len) ? PATH_ODD : PATH_GOOD;
}

bool
agent_reply_path_valid(const char *path, size_t len)
{
    return path_kind(path, len) == PATH_GOOD;
}

static bool
read_status(struct runtime_outcome *ret, const json_t *reply, struct sbx_field_error *err)
{
    int64_t exit_code = -1;
    const char *name = NULL;

    if (!sbx_json_get_int(reply, "", "exit_code", 0, 255, &exit_code, err) ||
        !sbx_json_get_str(reply, "", "signal", sizeof(ret->signal) - 1, &name, NULL, err) ||
        !sbx_json_get_bool(reply, "", "too_many_processes", &ret->crowded, err)) {
        return false;
    }
    if ((exit_code >= 0) == (name != NULL)) {
        sbx_field_error_set(err, "/exit_code", "must be given exactly when signal is not");
        return false;
    }
    if (name != NULL && !signal_is_known(name)) {
        sbx_field_error_set(err, "/signal", "is no signal's name");
        return false;
    }
    ret->exited = name == NULL;
    ret->exit_code = ret->exited ? (int)exit_code : 0;
    (void)snprintf(ret->signal, sizeof(ret->signal), "%s", name == NULL ? "" : name); /* length was checked */
    return true;
}

/* The agent's own measurements: the kernel's word is asked for elsewhere, these need only be sane. */
static bool
read_claims(const json_t *reply, const struct agent_reply_rules *rules, struct sbx_field_error *err)
{
    static const char *const numbers[] = { "wall_ms", "cpu_ms", "peak_memory_bytes" };
    const char *step_id = "";
    bool timed_out = false;
    int64_t number = 0;

    for (size_t i = 0; i < SBX_COUNT(numbers); i++) {
        if (!sbx_json_get_int(reply, "", numbers[i], 0, INT64_MAX, &number, err)) {
            return false;
        }
    }
    if (!sbx_json_get_bool(reply, "", "timed_out", &timed_out, err) ||
        !sbx_json_get_str(reply, "", "stepId", 64, &step_id, NULL, err)) {
        return false;
    }
    if (strcmp(step_id, rules->step_id) != 0) {
        sbx_field_error_set(err, "/stepId", "is not the step that was asked for");
        return false;
    }
    return true;
}

/* End of the string that begins at the quote `i`. The document is known to be JSON. */
static size_t
string_end(const char *text, size_t i)
{
    for (i++; text[i] != '"'; i++) {
        i += text[i] == '\\';
    }
    return i;
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Where the document goes on with `c`, which it does. No function of string.h: there is no NUL at its end. */
static size_t
find(const char *text, size_t i, char c)
{
    while (text[i] != c) {
        i++;
    }
    return i;
}

/* Appends the value that begins at `i`, without white space between tokens, and returns where it ends. */
static size_t
value_copy(struct sbx_buf *out, const char *text, size_t i)
{
    unsigned depth = 0;

    for (;; i++) {
        size_t end = i;

        if (text[i] == '"') {
            end = string_end(text, i);
        } else if (depth == 0 && (text[i] == ',' || text[i] == '}')) {
            return i;
        } else if (text[i] == '{' || text[i] == '[') {
            depth++;
        } else if (text[i] == '}' || text[i] == ']') {
            depth--;
        }
        if (!is_space(text[i])) {
            sbx_buf_append(out, text + i, end - i + 1);
        }
        i = end;
    }
}

/*
 * Copies the text of a member of the document: jansson would write numbers in its own way
 * (0.1 as 0.10000000000000001), and a result belongs to the tenant as it was written. False when no member
 * has literally that name. The document is known to be one JSON object.
 */
static bool
member_copy(struct sbx_buf *out, const char *text, const char *name)
{
    size_t i = find(text, 0, '{') + 1;
    struct sbx_buf skipped = SBX_BUF_INIT(0); /* takes nothing, fails without harm */

    for (;;) {
        size_t key, end;
        bool found;

        while (is_space(text[i]) || text[i] == ',') {
            i++;
        }
        if (text[i] != '"') {
            return false;
        }
        key = i + 1;
        end = string_end(text, i);
        found = end - key == strlen(name) && memcmp(text + key, name, end - key) == 0;
        i = find(text, end + 1, ':') + 1;
        i = value_copy(found ? out : &skipped, text, i);
        if (found) {
            return true;
        }
    }
}

static int
read_result(struct runtime_outcome *ret, const json_t *reply, const char *body, struct sbx_field_error *err)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(AGENT_REPLY_MAX_RESULT);
    const char *error = NULL;
    size_t error_len = 0;

    if (!sbx_json_get_str(reply, "", "result_error", sizeof(ret->result_error) - 1, &error, &error_len,
                          err)) {
        return AGENT_REPLY_E_INVALID;
    }
    if (error != NULL && (json_object_get(reply, "result") != NULL || !text_is_printable(error, error_len))) {
        sbx_field_error_set(err, "/result_error", "must be printable and come without a result");
        return AGENT_REPLY_E_INVALID;
    }
    (void)snprintf(ret->result_error, sizeof(ret->result_error), "%s",
                   error == NULL ? "" : error); /* checked */
    if (json_object_get(reply, "result") == NULL) {
        return 0;
    }
    if (!member_copy(&out, body, "result") || out.failed) {
        sbx_field_error_set(err, "/result", "must be plainly named and at most %lu bytes",
                            AGENT_REPLY_MAX_RESULT);
        return AGENT_REPLY_E_INVALID;
    }
    ret->result_json = sbx_buf_take(&out, &ret->result_len);
    return ret->result_json == NULL ? -ENOMEM : 0;
}

/* The list of skipped files as it is handed on. */
struct skipped {
    struct sbx_jsonw w;
    unsigned n; /* all */
    unsigned n_told;
};

static void
skipped_write(struct skipped *skipped, const char *path, size_t path_len, const char *reason,
              size_t reason_len)
{
    sbx_jsonw_object(&skipped->w, NULL);
    sbx_jsonw_strn(&skipped->w, "path", path, path_len);
    sbx_jsonw_strn(&skipped->w, "reason", reason, reason_len);
    sbx_jsonw_object_end(&skipped->w);
}

static void
skipped_add(struct skipped *skipped, const char *path, size_t path_len, const char *reason, size_t reason_len)
{
    skipped->n++;
    if (skipped->n_told < AGENT_REPLY_MAX_SKIPPED) {
        skipped->n_told++;
        skipped_write(skipped, path, path_len, reason, reason_len);
    }
}

static void
skipped_end(struct skipped *skipped)
{
    char reason[64];

    if (skipped->n > skipped->n_told) {
        (void)snprintf(reason, sizeof(reason), "%u more were skipped",
                       skipped->n - skipped->n_told); /* fits */
        skipped_write(skipped, ".", 1, reason, strlen(reason));
    }
    sbx_jsonw_array_end(&skipped->w);
}

static bool
files_have(const struct runtime_outcome *outcome, const char *path)
{
    for (unsigned i = 0; i < outcome->n_artifacts; i++) {
        if (strcmp(outcome->artifacts[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

static int
read_file(struct runtime_outcome *ret, const json_t *file, uint64_t *left, struct skipped *skipped,
          struct sbx_field_error *err)
{
    static const char *const known[] = { "path", "size", NULL };
    static const char odd[] = "the name is not printable or too long";
    const char *path = NULL;
    int64_t size = -1;
    size_t len = 0;
    enum path_kind kind;

    if (!json_is_object(file)) {
        sbx_field_error_set(err, "/files", "must hold objects");
        return AGENT_REPLY_E_INVALID;
    }
    if (!sbx_json_only(file, "/files", known, err) ||
        !sbx_json_get_str(file, "/files", "path", MAX_SKIPPED_PATH, &path, &len, err) ||
        !sbx_json_get_int(file, "/files", "size", 0, INT64_MAX, &size, err)) {
        return AGENT_REPLY_E_INVALID;
    }
    kind = path == NULL ? PATH_HOSTILE : path_kind(path, len);
    if (kind == PATH_HOSTILE || size < 0 || (uint64_t)size > *left || files_have(ret, path)) {
        sbx_field_error_set(err, "/files", "has an entry that breaks the rules for artifacts");
        return AGENT_REPLY_E_INVALID;
    }
    *left -= (uint64_t)size;
    if (kind == PATH_ODD) {
        skipped_add(skipped, path, len, odd, sizeof(odd) - 1);
        return 0;
    }
    ret->artifacts[ret->n_artifacts].path = strdup(path);
    if (ret->artifacts[ret->n_artifacts].path == NULL) {
        return -ENOMEM;
    }
    ret->artifacts[ret->n_artifacts++].size = (uint64_t)size;
    return 0;
}

static int
read_files(struct runtime_outcome *ret, const json_t *reply, const struct agent_reply_rules *rules,
           struct skipped *skipped, struct sbx_field_error *err)
{
    uint64_t left = rules->max_artifact_bytes;
    json_t *files = NULL, *file;
    size_t i;

    if (!sbx_json_get_array(reply, "", "files", rules->max_artifacts, &files, err)) {
        return AGENT_REPLY_E_INVALID;
    }
    if (json_array_size(files) == 0) {
        return 0;
    }
    ret->artifacts = calloc(json_array_size(files), sizeof(*ret->artifacts));
    if (ret->artifacts == NULL) {
        return -ENOMEM;
    }
    json_array_foreach (files, i, file) {
        int r = read_file(ret, file, &left, skipped, err);

        if (r) {
            return r;
        }
    }
    return 0;
}

static bool
read_skipped(const json_t *reply, struct skipped *skipped, struct sbx_field_error *err)
{
    static const char *const known[] = { "path", "reason", NULL };
    json_t *entries = NULL, *entry;
    int64_t count = 0;
    size_t i;

    if (!sbx_json_get_array(reply, "", "files_skipped", AGENT_REPLY_MAX_SKIPPED, &entries, err)) {
        return false;
    }
    json_array_foreach (entries, i, entry) {
        const char *path = NULL, *reason = NULL;
        size_t path_len = 0, reason_len = 0;

        if (!json_is_object(entry) || !sbx_json_only(entry, "/files_skipped", known, err) ||
            !sbx_json_get_str(entry, "/files_skipped", "path", MAX_SKIPPED_PATH, &path, &path_len, err) ||
            !sbx_json_get_str(entry, "/files_skipped", "reason", MAX_REASON, &reason, &reason_len, err) ||
            path == NULL || reason == NULL) {
            sbx_field_error_set(err, "/files_skipped", "must hold objects with a path and a reason");
            return false;
        }
        skipped_add(skipped, path, path_len, reason, reason_len);
    }
    count = (int64_t)json_array_size(entries);
    if (!sbx_json_get_int(reply, "", "files_skipped_count", count, AGENT_REPLY_MAX_SKIPPED_COUNT, &count,
                          err)) {
        return false;
    }
    skipped->n += (unsigned)count - (unsigned)json_array_size(entries);
    return true;
}

static int
read_artifacts(struct runtime_outcome *ret, const json_t *reply, const struct agent_reply_rules *rules,
               struct sbx_field_error *err)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(MAX_SKIPPED_JSON);
    struct skipped skipped = { 0 };
    int r;

    sbx_jsonw_init(&skipped.w, &text);
    sbx_jsonw_array(&skipped.w, NULL);
    r = read_files(ret, reply, rules, &skipped, err);
    if (r) {
        return r;
    }
    if (!read_skipped(reply, &skipped, err)) {
        return AGENT_REPLY_E_INVALID;
    }
    skipped_end(&skipped);
    if (text.failed) {
        sbx_field_error_set(err, "/files_skipped", "is too large");
        return AGENT_REPLY_E_INVALID;
    }
    if (text.len > strlen("[]")) {
        ret->skipped_json = sbx_buf_take(&text, NULL);
        return ret->skipped_json == NULL ? -ENOMEM : 0;
    }
    return 0;
}

int
agent_reply_step(struct runtime_outcome *ret, const char *body, size_t len,
                 const struct agent_reply_rules *rules, struct sbx_field_error *err)
{
    static const char *const known[] = { "stepId",
                                         "exit_code",
                                         "signal",
                                         "timed_out",
                                         "wall_ms",
                                         "cpu_ms",
                                         "peak_memory_bytes",
                                         "result",
                                         "result_error",
                                         "files",
                                         "files_skipped",
                                         "files_skipped_count",
                                         "too_many_processes",
                                         NULL };
    _cleanup_(sbx_json_decrefp) json_t *reply = NULL;
    int r;

    if (len > AGENT_REPLY_MAX_BODY) {
        sbx_field_error_set(err, "", "is too large");
        return AGENT_REPLY_E_INVALID;
    }
    r = sbx_json_parse(&reply, body, len, err);
    if (r) {
        return r < 0 ? r : AGENT_REPLY_E_INVALID;
    }
    if (!json_is_object(reply)) {
        sbx_field_error_set(err, "", "must be an object");
        return AGENT_REPLY_E_INVALID;
    }
    if (!sbx_json_only(reply, "", known, err) || !read_claims(reply, rules, err) ||
        !read_status(ret, reply, err)) {
        return AGENT_REPLY_E_INVALID;
    }
    r = read_result(ret, reply, body, err);
    return r ? r : read_artifacts(ret, reply, rules, err);
}

void
agent_reply_refusal(char *message, size_t size, const char *body, size_t len)
{
    static const char *const members[] = { "detail", "message", "title" };
    _cleanup_(sbx_json_decrefp) json_t *problem = NULL;
    struct sbx_field_error err;

    (void)snprintf(message, size, "the agent refused the step"); /* fits the 32 bytes asked for */
    if (len > AGENT_REPLY_MAX_BODY || sbx_json_parse(&problem, body, len, &err) != 0) {
        return;
    }
    for (size_t i = 0; i < SBX_COUNT(members); i++) {
        const json_t *text = json_object_get(problem, members[i]);
        size_t text_len = json_string_length(text);

        if (text_len > 0 && text_len < size && text_is_printable(json_string_value(text), text_len)) {
            memcpy(message, json_string_value(text), text_len + 1);
            return;
        }
    }
}

bool
agent_reply_health(const char *body, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *health = NULL;
    struct sbx_field_error err;
    const char *status;

    if (len > AGENT_REPLY_MAX_BODY || sbx_json_parse(&health, body, len, &err) != 0) {
        return false;
    }
    status = json_string_value(json_object_get(health, "status"));
    return status != NULL && strcmp(status, "ok") == 0;
}

void
runtime_outcome_deinit(struct runtime_outcome *outcome)
{
    for (unsigned i = 0; i < outcome->n_artifacts; i++) {
        free(outcome->artifacts[i].path);
    }
    free(outcome->artifacts);
    free(outcome->result_json);
    free(outcome->skipped_json);
    memset(outcome, 0, sizeof(*outcome));
}
