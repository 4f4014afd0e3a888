/*
 * The documents a caller sends, read and checked whole before anything is done.
 * Pure: no file, no process. Ceilings are the agent's own; the policy's are
 * smaller and enforced by the executor.
 */
#pragma once

#include "lib/sbx_json.h"

enum {
    REQUEST_MAX_ENV = 128,
    REQUEST_MAX_ENV_VALUE = 32 * 1024,
    REQUEST_MAX_ENV_TOTAL = 256 * 1024,
    REQUEST_MAX_FILES = 1024,
    REQUEST_MAX_FILE = 64 * 1024 * 1024,
    REQUEST_MAX_CODE = 1024 * 1024,
    REQUEST_MAX_STDIN = 16 * 1024 * 1024,
    REQUEST_MAX_ARGS = 256,
    REQUEST_MAX_ARG = 4096,
    REQUEST_MAX_ARTIFACTS = 64,
    REQUEST_MAX_ARTIFACT_FILES = 1000,
    REQUEST_MAX_DEPTH = 16,
    REQUEST_MAX_PATH = 1024,
    REQUEST_MAX_TIMEOUT_MS = 25 * 3600 * 1000,
    REQUEST_DEFAULT_TIMEOUT_MS = 30000,
};

enum {
    REQUEST_E_SYNTAX = 1, /* no JSON document */
    REQUEST_E_INVALID,    /* *err names the field */
};

/* All pointers borrow from root. */
struct session_request {
    json_t *root;
    const char *id;
    const char *runtime;
    const char *token; /* NULL: none */
    json_t *env;       /* NULL or an object of strings with allowed names */
    json_t *files;     /* NULL or an array of {path, content, encoding} */
};

struct step_request {
    json_t *root;
    const char *session_id;
    const char *step_id;
    const char *code;
    size_t code_len;
    const char *runtime; /* NULL: the session's */
    json_t *args;
    const json_t *event; /* NULL: none; JSON null is an event */
    json_t *env;
    const char *stdin_text; /* NULL: none */
    size_t stdin_len;
    bool stdin_base64;
    uint64_t timeout_ms;
    json_t *artifacts;
    unsigned max_artifacts;
    uint64_t max_artifact_bytes;
    unsigned processes; /* 0: no limit given */
    json_t *session;    /* NULL, or the document of a session of that id, to be opened first */
    bool is_last;       /* nothing else will be started by this agent */
};

struct prepare_request {
    json_t *root;
    const char *runtime;
    bool is_forked; /* "origin": none but one that was forked outside */
};

struct attach_request {
    json_t *root;
    const char *session_id; /* NULL: none */
    unsigned processes;     /* 0: no limit given */
};

/* Fill *ret, which needs the matching deinit also after a failure. */
_must_check_ int session_request_parse(struct session_request *ret, const char *body, size_t len,
                                       struct sbx_field_error *err);
/* The same of a document that is within another; takes a reference of its own. */
_must_check_ int session_request_read(struct session_request *ret, json_t *document,
                                      struct sbx_field_error *err);
_must_check_ int step_request_parse(struct step_request *ret, const char *body, size_t len,
                                    struct sbx_field_error *err);
_must_check_ int attach_request_parse(struct attach_request *ret, const char *body, size_t len,
                                      struct sbx_field_error *err);
_must_check_ int prepare_request_parse(struct prepare_request *ret, const char *body, size_t len,
                                       struct sbx_field_error *err);
void prepare_request_deinit(struct prepare_request *request);
void attach_request_deinit(struct attach_request *request);
/* NULL, or an object of names that may be set and strings, within bounds. */
bool request_env_check(json_t *env, struct sbx_field_error *err);
void session_request_deinit(struct session_request *request);
void step_request_deinit(struct step_request *request);

/* [A-Za-z0-9_.-]{1,64}, not beginning with a period: it becomes a directory's name. */
bool request_id_valid(const char *id, size_t len);
/* Relative, UTF-8, no empty, "." or ".." component, bounded in depth and length. */
bool request_path_valid(const char *path, size_t len);
