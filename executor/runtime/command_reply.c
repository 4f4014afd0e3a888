#include "executor/runtime/command_reply.h"

#include <stdio.h>
#include <string.h>

#include "lib/sbx_agent_error.h"
#include "lib/sbx_json.h"

#define MAX_DOCUMENT 65536
#define MAX_NUMBER (INT64_C(1) << 53)

_must_check_ static int
document_parse(json_t **ret, const char *json, size_t len)
{
    struct sbx_field_error err;
    int r = len > MAX_DOCUMENT ? COMMAND_REPLY_E_INVALID : sbx_json_parse(ret, json, len, &err);

    if (r < 0) {
        return r;
    }
    return r > 0 || !json_is_object(*ret) ? COMMAND_REPLY_E_INVALID : 0;
}

static bool
is_one_of(const char *text, const char *const *all)
{
    for (; *all != NULL; all++) {
        if (strcmp(text, *all) == 0) {
            return true;
        }
    }
    return false;
}

static bool
failure_read(struct command_reply_end *ret, const json_t *document)
{
    static const char *const known[] = { "ok", "error", "message", NULL };
    static const char *const errors[] = {
#define X(name, code) code,
        SBX_AGENT_ERRORS(X)
#undef X
            NULL
    };
    const char *error = NULL, *message = "";
    struct sbx_field_error err;
    size_t n = 0;

    if (!sbx_json_only(document, "", known, &err) ||
        !sbx_json_get_str(document, "", "error", sizeof(ret->error) - 1, &error, &n, &err) ||
        !sbx_json_get_str(document, "", "message", COMMAND_REPLY_MAX_MESSAGE, &message, &n, &err) ||
        error == NULL || !is_one_of(error, errors)) {
        return false;
    }
    for (const char *p = message; *p != '\0'; p++) {
        if (*p < ' ' || *p > '~') {
            return false;
        }
    }
    (void)snprintf(ret->error, sizeof(ret->error), "%s", error);       /* its length was checked */
    (void)snprintf(ret->message, sizeof(ret->message), "%s", message); /* likewise */
    return true;
}

static bool
signal_read(struct command_reply_end *ret, const char *name)
{
    size_t len = strlen(name);

    if (len < 4 || strncmp(name, "SIG", 3) != 0 ||
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != len) {
        return false;
    }
    (void)snprintf(ret->signal, sizeof(ret->signal), "%s", name); /* its length was checked */
    return true;
}

static bool
number_read(uint64_t *ret, const json_t *document, const char *key)
{
    struct sbx_field_error err;
    int64_t value = -1;

    if (!sbx_json_get_int(document, "", key, 0, MAX_NUMBER, &value, &err) || value < 0) {
        return false;
    }
    *ret = (uint64_t)value;
    return true;
}

static bool
success_read(struct command_reply_end *ret, const json_t *document)
{
    static const char *const known[] = { "ok",     "exit_code",         "signal", "timed_out", "wall_ms",
                                         "cpu_ms", "peak_memory_bytes", NULL };
    const char *name = NULL;
    struct sbx_field_error err;
    int64_t code = -1;
    size_t n = 0;

    if (!sbx_json_only(document, "", known, &err) ||
        !sbx_json_get_int(document, "", "exit_code", 0, 255, &code, &err) ||
        !sbx_json_get_str(document, "", "signal", sizeof(ret->signal) - 1, &name, &n, &err) ||
        !sbx_json_get_bool(document, "", "timed_out", &ret->timed_out, &err) ||
        (code < 0) != (name != NULL)) {
        return false;
    }
    ret->has_exit_code = code >= 0;
    ret->exit_code = code < 0 ? 0 : (int)code;
    return (name == NULL || signal_read(ret, name)) && number_read(&ret->wall_ms, document, "wall_ms") &&
           number_read(&ret->cpu_ms, document, "cpu_ms") &&
           number_read(&ret->peak_memory_bytes, document, "peak_memory_bytes");
}

int
command_reply_end(struct command_reply_end *ret, const char *json, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    const json_t *ok;
    int r = document_parse(&document, json, len);

    *ret = (struct command_reply_end){ 0 };
    if (r) {
        return r;
    }
    ok = json_object_get(document, "ok");
    if (!json_is_boolean(ok)) {
        return COMMAND_REPLY_E_INVALID;
    }
    ret->ok = json_is_true(ok);
    return (ret->ok ? success_read(ret, document) : failure_read(ret, document)) ? 0
                                                                                 : COMMAND_REPLY_E_INVALID;
}

int
command_reply_started(unsigned *ret_pid, const char *json, size_t len)
{
    static const char *const note[] = { "started", NULL }, *const started[] = { "pid", NULL };
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    struct sbx_field_error err;
    json_t *inner = NULL;
    int64_t pid = 0;
    int r = document_parse(&document, json, len);

    if (r) {
        return r;
    }
    if (!sbx_json_only(document, "", note, &err) ||
        !sbx_json_get_object(document, "", "started", &inner, &err) || inner == NULL ||
        !sbx_json_only(inner, "/started", started, &err) ||
        !sbx_json_get_int(inner, "/started", "pid", 1, INT32_MAX, &pid, &err) || pid == 0) {
        return COMMAND_REPLY_E_INVALID;
    }
    *ret_pid = (unsigned)pid;
    return 0;
}
