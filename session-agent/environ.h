/*
 * Argument and environment vectors of a payload. Later settings of a name
 * replace earlier ones: the agent's, the registry's, the session's, the step's.
 */
#pragma once

#include "session-agent/request.h"
#include "session-agent/session.h"

struct strings {
    char **items; /* NULL-ended */
    size_t n;
};

struct environ_spec {
    const struct session *session;
    const struct step_request *request; /* environ_env: NULL for what is no step; then `more` */
    const struct runtime_entry *runtime;
    json_t *more; /* NULL: none */
    const char *source_path;
    const char *event_path; /* NULL: no event */
    const char *result_path;
    const char *opt_dir;
};

_must_check_ int environ_argv(struct strings *ret, const struct environ_spec *spec);
/* Of the interpreter that waits for its work. */
_must_check_ int environ_slot(struct strings *ret, const struct environ_spec *spec);
/* Of the interpreter that keeps its state; no step is there yet. */
_must_check_ int environ_repl(struct strings *ret, const struct environ_spec *spec);
_must_check_ int environ_env(struct strings *ret, const struct environ_spec *spec);
_must_check_ int strings_add(struct strings *strings, const char *text); /* a copy */
void strings_deinit(struct strings *strings);
