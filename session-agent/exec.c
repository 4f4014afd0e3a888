#include "session-agent/exec.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/sbx_jsonw.h"
#include "lib/sbx_signal.h"
#include "session-agent/environ.h"
#include "session-agent/hub.h"
#include "session-agent/report.h"

#define PROGRAMS_MAX 16 /* directories of PATH that are looked into */

struct exec {
    struct sbx_channel *channel; /* NULL: it has ended */
    struct process *process;
    size_t pending; /* input not yet credited */
};

static bool
size_read(struct terminal_size *ret, const json_t *document, const char *path, struct sbx_field_error *err)
{
    static const char *const known[] = { "rows", "cols", NULL };
    int64_t rows = 24, cols = 80;

    if (!sbx_json_only(document, path, known, err) ||
        !sbx_json_get_int(document, path, "rows", 1, TERMINAL_MAX, &rows, err) ||
        !sbx_json_get_int(document, path, "cols", 1, TERMINAL_MAX, &cols, err)) {
        return false;
    }
    *ret = (struct terminal_size){ (unsigned)rows, (unsigned)cols };
    return true;
}

static bool
argv_check(const json_t *argv, struct sbx_field_error *err)
{
    size_t i, total = 0;
    const json_t *item;

    json_array_foreach (argv, i, item) {
        total += json_string_length(item);
        if (!json_is_string(item) || json_string_length(item) > EXEC_MAX_TEXT || total > EXEC_MAX_BYTES) {
            sbx_field_error_set(err, "/argv", "must be strings of %u bytes, %u together, at most",
                                EXEC_MAX_TEXT, EXEC_MAX_BYTES);
            return false;
        }
    }
    if (json_array_size(argv) == 0 || json_string_length(json_array_get(argv, 0)) == 0) {
        sbx_field_error_set(err, "/argv", "must begin with a program's name");
        return false;
    }
    return true;
}

static bool
program_read(struct exec_request *ret, const json_t *document, struct sbx_field_error *err)
{
    size_t len = 0;

    if (!sbx_json_get_array(document, "", "argv", EXEC_MAX_ARGS, &ret->argv, err) ||
        !sbx_json_get_str(document, "", "shell", EXEC_MAX_TEXT, &ret->shell, &len, err)) {
        return false;
    }
    if ((ret->argv == NULL) == (ret->shell == NULL)) {
        sbx_field_error_set(err, "/argv", "one of argv and shell must be given");
        return false;
    }
    return ret->argv == NULL || argv_check(ret->argv, err);
}

bool
exec_request_read(struct exec_request *ret, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "op",    "argv", "shell",      "cwd", "env",
                                         "stdin", "pty",  "timeout_ms", NULL };
    int64_t timeout_ms = 0;
    json_t *pty = NULL;
    size_t len = 0;

    *ret = (struct exec_request){ .cwd = "" };
    if (!sbx_json_only(document, "", known, err) || !program_read(ret, document, err) ||
        !sbx_json_get_str(document, "", "cwd", REQUEST_MAX_PATH, &ret->cwd, &len, err) ||
        !sbx_json_get_object(document, "", "env", &ret->env, err) ||
        !sbx_json_get_bool(document, "", "stdin", &ret->has_stdin, err) ||
        !sbx_json_get_object(document, "", "pty", &pty, err) ||
        !sbx_json_get_int(document, "", "timeout_ms", 0, REQUEST_MAX_TIMEOUT_MS, &timeout_ms, err)) {
        return false;
    }
    ret->timeout_ms = (uint64_t)timeout_ms;
    ret->has_terminal = pty != NULL;
    if (*ret->cwd != '\0' && !request_path_valid(ret->cwd, len)) {
        sbx_field_error_set(err, "/cwd", "must be a directory's path below the workspace");
        return false;
    }
    return request_env_check(ret->env, err) && (pty == NULL || size_read(&ret->size, pty, "/pty", err));
}

bool
exec_note_read(struct exec_note *ret, const char *json, size_t len)
{
    static const char *const known[] = { "signal", "resize", NULL };
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    struct sbx_field_error err;
    json_t *resize = NULL;
    const char *name = NULL;
    size_t name_len;

    *ret = (struct exec_note){ 0 };
    if (sbx_json_parse(&document, json, len, &err) != 0 || !json_is_object(document) ||
        !sbx_json_only(document, "", known, &err) ||
        !sbx_json_get_str(document, "", "signal", 16, &name, &name_len, &err) ||
        !sbx_json_get_object(document, "", "resize", &resize, &err)) {
        return false;
    }
    ret->signal = name != NULL ? sbx_signal_parse(name) : 0;
    ret->resize = resize != NULL;
    return (name == NULL || ret->signal != 0) &&
           (resize == NULL || size_read(&ret->size, resize, "/resize", &err));
}

static enum hub_error
error_code(int error)
{
    switch (error) {
    case ENOENT:
        return HUB_E_NOT_FOUND;
    case ENOTDIR:
        return HUB_E_NOT_A_DIRECTORY;
    case EACCES:
    case EPERM:
        return HUB_E_DENIED;
    case E2BIG:
        return HUB_E_TOO_LARGE;
    case EAGAIN: /* no more processes */
    case ENOSPC: /* no more terminals */
        return HUB_E_NO_SPACE;
    default:
        return HUB_E_FAILED;
    }
}

static void
end_write(struct sbx_buf *text, const struct process_end *end)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, text);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    if (WIFEXITED(end->wait_status)) {
        sbx_jsonw_int(&w, "exit_code", WEXITSTATUS(end->wait_status));
        sbx_jsonw_null(&w, "signal");
    } else {
        sbx_jsonw_null(&w, "exit_code");
        sbx_jsonw_str(&w, "signal", report_signal_name(WTERMSIG(end->wait_status)));
    }
    sbx_jsonw_bool(&w, "timed_out", end->timed_out);
    sbx_jsonw_uint(&w, "wall_ms", end->wall_ms);
    sbx_jsonw_uint(&w, "cpu_ms", end->usage.cpu_ms);
    sbx_jsonw_uint(&w, "peak_memory_bytes", end->usage.peak_memory_bytes);
    sbx_jsonw_object_end(&w);
}

static size_t
exec_room(void *arg)
{
    struct exec *exec = arg;
    size_t room = sbx_channel_window(exec->channel);

    if (room == 0) {
        (void)sbx_channel_write(exec->channel, 1, "", 1); /* is cut short: on_writable will follow */
    }
    return room;
}

static void
exec_on_output(void *arg, unsigned stream, const char *data, size_t len)
{
    struct exec *exec = arg;

    (void)sbx_channel_write(exec->channel, stream, data,
                            len); /* no more than the window, which was asked for */
}

static void
exec_on_input_taken(void *arg, size_t len)
{
    struct exec *exec = arg;

    len = len < exec->pending ? len : exec->pending; /* a terminal's ^D is ours */
    exec->pending -= len;
    sbx_channel_consumed(exec->channel, len);
}

static void
exec_on_process_end(void *arg, const struct process_end *end)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(1024);
    struct exec *exec = arg;
    char message[128];

    if (end->failed_stage != NULL) {
        (void)snprintf(message, sizeof(message), "%s: %s", end->failed_stage,
                       strerror(end->error)); /* may be cut */
        hub_refuse(exec->channel, error_code(end->error), message);
    } else {
        end_write(&text, end);
        exec->channel = sbx_channel_end(exec->channel, text.data, text.len);
    }
    process_free(exec->process);
    free(exec);
}

static const struct process_events process_events = {
    .on_output = exec_on_output,
    .room = exec_room,
    .on_input_taken = exec_on_input_taken,
    .on_end = exec_on_process_end,
};

static void
exec_on_note(void *arg, const char *json, size_t len)
{
    struct exec *exec = arg;
    struct exec_note note;

    if (!exec_note_read(&note, json, len)) {
        return; /* executord's own; it sends no other */
    }
    if (note.resize) {
        process_resize(exec->process, note.size);
    }
    if (note.signal != 0) {
        process_signal(exec->process, note.signal);
    }
}

static void
exec_on_data(void *arg, unsigned stream, const char *data, size_t len)
{
    struct exec *exec = arg;

    if (stream == 0 && process_input(exec->process, data, len)) {
        exec->pending += len;
    } else {
        sbx_channel_consumed(exec->channel, len);
    }
}

static void
exec_on_writable(void *arg)
{
    struct exec *exec = arg;

    process_resume(exec->process);
}

static void
exec_on_shut(void *arg)
{
    struct exec *exec = arg;

    process_input_end(exec->process);
}

/* Given up, or executord is gone: the end of the process ends the channel. */
static void
exec_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct exec *exec = arg;

    (void)rc; /* all the same */
    (void)json;
    (void)len;
    process_abandon(exec->process);
}

static const struct sbx_channel_events channel_events = {
    .on_note = exec_on_note,
    .on_data = exec_on_data,
    .on_writable = exec_on_writable,
    .on_shut = exec_on_shut,
    .on_end = exec_on_end,
};

/* argv as a vector whose texts are the document's. */
_must_check_ static int
vector_make(char ***ret, const struct exec_request *request)
{
    size_t n = request->argv != NULL ? json_array_size(request->argv) : 3;
    char **argv = calloc(n + 1, sizeof(*argv));

    if (argv == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n && request->argv != NULL; i++) {
        argv[i] =
            (char *)(uintptr_t)json_string_value(json_array_get(request->argv, i)); /* execve only reads */
    }
    if (request->argv == NULL) {
        argv[0] = (char *)(uintptr_t) "bash";
        argv[1] = (char *)(uintptr_t) "-c";
        argv[2] = (char *)(uintptr_t)request->shell;
    }
    *ret = argv;
    return 0;
}

static const char *
path_of(const struct strings *env)
{
    for (size_t i = 0; i < env->n; i++) {
        if (strncmp(env->items[i], "PATH=", 5) == 0) {
            return env->items[i] + 5;
        }
    }
    return "/usr/bin";
}

/* Where the program may be; a name with a slash in it is a path, from the working directory on. */
_must_check_ static int
programs_make(struct strings *ret, const struct exec_request *request, const char *name, const char *path)
{
    int r = 0;

    if (request->argv == NULL) {
        r = strings_add(ret, "/bin/bash");
        return r < 0 ? r : strings_add(ret, "/bin/sh");
    }
    if (strchr(name, '/') != NULL) {
        return strings_add(ret, name);
    }
    for (unsigned i = 0; i < PROGRAMS_MAX && r == 0; i++) {
        size_t len = strcspn(path, ":");
        char *text;

        if (asprintf(&text, "%.*s%s%s", (int)len, path, len > 0 ? "/" : "./", name) < 0) {
            return -ENOMEM;
        }
        r = strings_add(ret, text);
        free(text);
        if (path[len] == '\0') {
            break;
        }
        path += len + 1;
    }
    return r;
}

_must_check_ static int
env_make(struct strings *ret, const struct exec_host *host, const struct exec_request *request)
{
    const struct environ_spec spec = { .session = host->session, .more = request->env };
    bool has_term = json_object_get(request->env, "TERM") != NULL;
    int r = environ_env(ret, &spec);

    return r < 0 || !request->has_terminal || has_term ? r : strings_add(ret, "TERM=xterm-256color");
}

_must_check_ static int
exec_start(struct exec *exec, const struct exec_host *host, const struct exec_request *request)
{
    _cleanup_(strings_deinit) struct strings env = { 0 }, programs = { 0 };
    char cwd[sizeof(host->session->places.workspace) + REQUEST_MAX_PATH + 2];
    char **argv = NULL;
    struct process_spec spec = {
        .loop = host->loop,
        .init = host->init,
        .slot = host->slot,
        .terminals = host->terminals,
        .has_stdin = request->has_stdin,
        .has_terminal = request->has_terminal,
        .size = request->size,
        .timeout_ms = request->timeout_ms,
        .events = &process_events,
        .arg = exec,
    };
    int r = vector_make(&argv, request);

    (void)snprintf(cwd, sizeof(cwd), "%s/%s", host->session->places.workspace,
                   request->cwd); /* sized for it */
    r = r < 0 ? r : env_make(&env, host, request);
    r = r < 0 ? r : programs_make(&programs, request, argv[0], path_of(&env));
    if (r == 0) {
        spec.payload = (struct payload_spec){
            .argv = argv,
            .programs = programs.items,
            .env = env.items,
            .cwd = cwd,
            .identity = host->identity,
            .filter = host->filter,
            .processes = host->processes,
        };
        r = process_start(&exec->process, &spec);
    }
    free(argv);
    return r;
}

void
exec_open(const struct exec_host *host, struct sbx_channel *channel, const json_t *document)
{
    struct exec_request request;
    struct sbx_field_error err = { 0 };
    char text[sizeof(err.field) + sizeof(err.message) + 2];
    struct exec *exec;
    int r;

    if (!exec_request_read(&request, document, &err)) {
        (void)snprintf(text, sizeof(text), "%s %s", err.field, err.message); /* sized for it */
        hub_refuse(channel, err.too_large ? HUB_E_TOO_LARGE : HUB_E_INVALID, text);
        return;
    }
    exec = calloc(1, sizeof(*exec));
    if (exec == NULL) {
        hub_refuse(channel, HUB_E_FAILED, "out of memory");
        return;
    }
    exec->channel = channel;
    r = exec_start(exec, host, &request);
    if (r < 0) {
        free(exec);
        hub_refuse(channel, error_code(-r), strerror(-r));
        return;
    }
    sbx_channel_accept(channel, &channel_events, exec);
    (void)snprintf(text, sizeof(text), "{\"started\":{\"pid\":%d}}",
                   (int)process_pid(exec->process)); /* fits */
    (void)sbx_channel_note(channel, text,
                           strlen(text)); /* full: executord takes nothing, so is as good as gone */
}
