#include "executor/api/process_request.h"

#include <string.h>

#include "executor/api/body.h"
#include "lib/sbx_env.h"
#include "lib/sbx_limits.h"
#include "lib/sbx_signal.h"

#define MAX_SIDE 1000
#define MAX_PATH 1024
#define MAX_ENV_VALUE (32ul * 1024)
#define MAX_BYTES (512u << 10) /* of argv and env, each */

/* 422, with what is wrong. */
static int
fail(struct sbx_field_error *err, const char *field, const char *message)
{
    sbx_field_error_set(err, field, "%s", message);
    return 422;
}

_must_check_ static int
object_parse(json_t **ret, const char *text, size_t len, struct sbx_field_error *err)
{
    int r = sbx_json_parse(ret, text, len, err);

    if (r == SBX_JSON_E_SYNTAX) {
        return err->too_large ? 422 : 400;
    }
    if (r == 0 && !json_is_object(*ret)) {
        return fail(err, "", "must be an object");
    }
    return r;
}

_must_check_ static int
size_read(struct command_size *ret, const json_t *object, const char *path, struct sbx_field_error *err)
{
    static const char *const known[] = { "rows", "cols", NULL };
    int64_t rows = 24, cols = 80;

    if (!sbx_json_only(object, path, known, err) ||
        !sbx_json_get_int(object, path, "rows", 1, MAX_SIDE, &rows, err) ||
        !sbx_json_get_int(object, path, "cols", 1, MAX_SIDE, &cols, err)) {
        return 422;
    }
    *ret = (struct command_size){ (unsigned)rows, (unsigned)cols };
    return 0;
}

_must_check_ static int
argv_read(struct process_request *ret, const json_t *argv, struct sbx_field_error *err)
{
    size_t i, total = 0;
    const json_t *item;

    json_array_foreach (argv, i, item) {
        total += json_string_length(item);
        if (!json_is_string(item) || json_string_length(item) > COMMAND_MAX_TEXT || total > MAX_BYTES) {
            return fail(err, "/argv", "must be strings, 64 KiB each and 512 KiB together at most");
        }
        ret->argv[i] = json_string_value(item);
    }
    ret->ask.argv = ret->argv;
    ret->ask.n_argv = (unsigned)json_array_size(argv);
    if (ret->ask.n_argv == 0 || *ret->argv[0] == '\0') {
        return fail(err, "/argv", "must begin with a program's name");
    }
    return 0;
}

_must_check_ static int
env_read(struct process_request *ret, json_t *env, struct sbx_field_error *err)
{
    char field[sizeof(err->field)];
    size_t total = 0;
    const char *name;
    json_t *value;

    if (json_object_size(env) > PROCESS_MAX_ENV) {
        return fail(err, "/env", "has too many members");
    }
    json_object_foreach (env, name, value) {
        sbx_json_pointer(field, sizeof(field), "/env", name, 0);
        total += strlen(name) + json_string_length(value);
        if (!sbx_env_name_valid(name) || sbx_env_name_reserved(name)) {
            return fail(err, field, "is not a name that may be set");
        }
        if (!json_is_string(value) || json_string_length(value) > MAX_ENV_VALUE || total > MAX_BYTES / 2) {
            return fail(err, field, "must be a string of 32 KiB at most, all together of 256 KiB");
        }
        ret->env[ret->ask.n_env++] = (struct runtime_env){ name, json_string_value(value) };
    }
    ret->ask.env = ret->env;
    return 0;
}

_must_check_ static int
request_read(struct process_request *ret, struct sbx_field_error *err)
{
    static const char *const known[] = { "argv", "shell", "cwd", "env", "stdin", "pty", "timeout", NULL };
    json_t *argv = NULL, *env = NULL, *pty = NULL;
    size_t cwd_len = 0;
    int r;

    ret->ask.cwd = "";
    if (!sbx_json_only(ret->json, "", known, err) ||
        !sbx_json_get_array(ret->json, "", "argv", COMMAND_MAX_ARGS, &argv, err) ||
        !sbx_json_get_str(ret->json, "", "shell", COMMAND_MAX_TEXT, &ret->ask.shell, NULL, err) ||
        !sbx_json_get_str(ret->json, "", "cwd", MAX_PATH, &ret->ask.cwd, &cwd_len, err) ||
        !sbx_json_get_object(ret->json, "", "env", &env, err) ||
        !sbx_json_get_bool(ret->json, "", "stdin", &ret->ask.has_stdin, err) ||
        !sbx_json_get_object(ret->json, "", "pty", &pty, err) ||
        !sbx_json_get_duration(ret->json, "", "timeout", PROCESS_MAX_TIMEOUT_MS, &ret->ask.timeout_ms, err)) {
        return 422;
    }
    if ((argv == NULL) == (ret->ask.shell == NULL)) {
        return fail(err, "/argv", "one of argv and shell must be given");
    }
    if (*ret->ask.cwd != '\0' && !body_path_valid(ret->ask.cwd, MAX_PATH)) {
        return fail(err, "/cwd", "must be a directory's path below the workspace");
    }
    r = argv != NULL ? argv_read(ret, argv, err) : 0;
    r = r ? r : env_read(ret, env, err);
    ret->ask.has_terminal = pty != NULL;
    return r || pty == NULL ? r : size_read(&ret->ask.size, pty, "/pty", err);
}

int
process_request_parse(struct process_request *ret, const char *text, size_t len, struct sbx_field_error *err)
{
    int r;

    *ret = (struct process_request){ 0 };
    r = object_parse(&ret->json, text, len, err);
    return r ? r : request_read(ret, err);
}

void
process_request_deinit(struct process_request *request)
{
    json_decref(request->json);
    request->json = NULL;
}

_must_check_ static int
control_read(struct process_control *ret, const json_t *json, struct sbx_field_error *err)
{
    static const char *const known[] = { "signal", "resize", "eof", NULL };
    const char *name = NULL;
    json_t *resize = NULL;

    if (!sbx_json_only(json, "", known, err) || !sbx_json_get_str(json, "", "signal", 16, &name, NULL, err) ||
        !sbx_json_get_object(json, "", "resize", &resize, err) ||
        !sbx_json_get_bool(json, "", "eof", &ret->eof, err)) {
        return 422;
    }
    if ((name != NULL) + (resize != NULL) + ret->eof != 1) {
        return fail(err, "", "must have one of signal, resize and eof");
    }
    ret->signal = name == NULL ? NULL : sbx_signal_name(sbx_signal_parse(name));
    if (name != NULL && ret->signal == NULL) {
        return fail(err, "/signal", "is not a signal that may be sent");
    }
    ret->has_size = resize != NULL;
    return resize == NULL ? 0 : size_read(&ret->size, resize, "/resize", err);
}

int
process_control_parse(struct process_control *ret, const char *text, size_t len, struct sbx_field_error *err)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    int r = object_parse(&json, text, len, err);

    *ret = (struct process_control){ 0 };
    return r ? r : control_read(ret, json, err);
}

int
process_size_parse(struct command_size *ret, const char *text, size_t len, struct sbx_field_error *err)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    int r = object_parse(&json, text, len, err);

    return r ? r : size_read(ret, json, "", err);
}
