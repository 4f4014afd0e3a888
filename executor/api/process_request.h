/* The bodies of what is asked of commands in a session: shape here; nothing of a session is looked at. */
#pragma once

#include "executor/core/command.h"
#include "lib/sbx_json.h"

#define PROCESS_MAX_ENV 64
#define PROCESS_MAX_TIMEOUT_MS (UINT64_C(24) * 3600 * 1000)

struct process_request {
    json_t *json; /* owns the strings */
    const char *argv[COMMAND_MAX_ARGS];
    struct runtime_env env[PROCESS_MAX_ENV];
    struct command_ask ask;
};

/* 0, 400 when it is no JSON object, 422 (err is set) or a negative errno. The request needs the deinit in any case. */
_must_check_ int process_request_parse(struct process_request *ret, const char *text, size_t len,
                                       struct sbx_field_error *err);
void process_request_deinit(struct process_request *request);

/* {"signal"}, {"resize": {"rows", "cols"}} or {"eof": true}: one of them. What a WebSocket's text frame says. */
struct process_control {
    const char *signal; /* constant text; NULL: none */
    bool has_size, eof;
    struct command_size size;
};
_must_check_ int process_control_parse(struct process_control *ret, const char *text, size_t len,
                                       struct sbx_field_error *err);
/* {"rows", "cols"}: the body of …/resize. */
_must_check_ int process_size_parse(struct command_size *ret, const char *text, size_t len,
                                    struct sbx_field_error *err);
