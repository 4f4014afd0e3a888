/*
 * What a job is to run, as asked and validated. The strings borrow from the
 * request's body, which the spec owns as an opaque pointer: megabytes of code and
 * input are kept once. Freed when the run has ended.
 */
#pragma once

#include "executor/runtime/runtime.h"

struct job_spec {
    const char *language; /* canonical */
    const char *template_name;
    enum sbx_isolation isolation; /* asked for; NONE: not said */
    const char *code;
    size_t code_len;
    const char **args;
    unsigned n_args;
    struct runtime_env *env;
    unsigned n_env;
    struct runtime_file *files;
    unsigned n_files;
    const char **
        file_uris; /* NULL: no file is named so; else one for each, NULL of those whose data came with the request */
    uint64_t file_bytes; /* decoded, together */
    const void *stdin_data;
    size_t stdin_len;
    char *event_json; /* NULL: none */
    size_t event_len;
    const char **artifacts;
    unsigned n_artifacts;
    char *metadata_json;      /* NULL: none */
    struct sbx_limits limits; /* asked for; 0: not said */
    bool has_wait;
    uint64_t wait_ms;
    size_t weight; /* bytes this holds, for the queue's budget */

    void **owned; /* decoded base64 */
    unsigned n_owned;
    void *body;
    void (*release_body)(void *body);
};

struct job_spec *job_spec_free(struct job_spec *spec);
static inline void
job_spec_freep(struct job_spec **spec)
{
    job_spec_free(*spec);
}
