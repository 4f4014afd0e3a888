/*
 *   inputs_load -> inputs_find -> inputs_on_found ... -> inputs_note -> inputs_fetch -> inputs_on_fetched ... -> then
 *
 * All are found before one is read: what is refused is refused for nothing.
 */
#include "executor/api/inputs.h"

#include <stdio.h>
#include <stdlib.h>

#include "executor/api/api_inside.h"
#include "executor/api/body.h"
#include "executor/api/fetch.h"
#include "executor/api/routes.h"
#include "executor/core/artifacts.h"

struct inputs {
    void (*then)(struct call *call);
    unsigned next;
    struct artifact *artifacts; /* one for each file of the spec */
    unsigned n_artifacts;
    struct sbx_buf data; /* of the one that is read */
};

static void inputs_find(struct call *call);
static void inputs_fetch(struct call *call);

struct inputs *
inputs_free(struct inputs *inputs)
{
    if (inputs == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < inputs->n_artifacts; i++) {
        artifact_deinit(&inputs->artifacts[i]);
    }
    free(inputs->artifacts);
    sbx_buf_deinit(&inputs->data);
    free(inputs);
    return NULL;
}

static void
inputs_refuse(struct call *call, const char *member, const char *message, bool too_large)
{
    struct sbx_field_error err = { 0 };
    char field[48];

    if (member == NULL) {
        (void)snprintf(field, sizeof(field), "/files"); /* fits, as does the other */
    } else {
        (void)snprintf(field, sizeof(field), "/files/%u/%s", call->inputs->next, member);
    }
    sbx_field_error_set(&err, field, "%s", message);
    err.too_large = too_large;
    call_problem_field(call, &err);
}

/* The next that is named by a URI, from inputs->next on; false: there is none. */
static bool
inputs_next(struct call *call)
{
    const struct job_spec *spec = call->spec;
    struct inputs *inputs = call->inputs;

    while (inputs->next < spec->n_files && spec->file_uris[inputs->next] == NULL) {
        inputs->next++;
    }
    return inputs->next < spec->n_files;
}

static void
inputs_on_found(struct call *call, int rc, const struct db_result *result)
{
    struct inputs *inputs = call->inputs;
    struct artifact *artifact = &inputs->artifacts[inputs->next];
    int r = fetch_take(artifact, call, rc, result);

    if (r == FETCH_E_UNKNOWN) {
        inputs_refuse(call, "uri", "names nothing that there is", false);
        return;
    }
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    if (artifact->size > JOB_MAX_FILE_BYTES - call->spec->file_bytes) {
        inputs_refuse(call, NULL, "must not hold more than 8388608 bytes together", true);
        return;
    }
    call->spec->file_bytes += artifact->size;
    inputs->next++;
    inputs_find(call);
}

static void
inputs_on_noted(struct call *call, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    call->inputs->next = 0;
    inputs_fetch(call);
}

static void
inputs_note(struct call *call)
{
    const struct inputs *inputs = call->inputs;
    struct db_tx *tx;
    uint64_t bytes = 0;
    int r;

    for (unsigned i = 0; i < inputs->n_artifacts; i++) {
        bytes += inputs->artifacts[i].size;
    }
    if (!call_charge(call, bytes)) {
        return;
    }
    r = db_tx_new(&tx, artifacts_db(call->api->spec.artifacts));
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    for (unsigned i = 0; i < inputs->n_artifacts; i++) {
        if (call->spec->file_uris[i] != NULL) {
            artifacts_audit(tx, &inputs->artifacts[i], "artifact.read", &call->context);
        }
    }
    call_submit(call, tx, inputs_on_noted);
}

static void
inputs_find(struct call *call)
{
    struct inputs *inputs = call->inputs;
    struct sandbox_uri uri;

    if (!inputs_next(call)) {
        inputs_note(call);
        return;
    }
    if (!sandbox_uri_parse(&uri, call->spec->file_uris[inputs->next])) {
        inputs_refuse(call, "uri", "names nothing that there is", false);
    } else if (uri.kind == SANDBOX_URI_SESSION || uri.kind == SANDBOX_URI_STEP) {
        inputs_refuse(call, "uri",
                      "must be of an artifact, or of a file that a job left: collect a session's file first",
                      false);
    } else if (!scope_permits(sandbox_uri_scope(uri.kind), call->context.scopes)) {
        call_problem(call, SBX_PROBLEM_FORBIDDEN, "the token's scopes do not allow this");
    } else {
        fetch_find(call, &uri, inputs_on_found);
    }
}

static void
inputs_on_fetched(struct call *call)
{
    struct inputs *inputs = call->inputs;
    struct runtime_file *file = &call->spec->files[inputs->next];
    size_t len;
    void *data = sbx_buf_take(&inputs->data, &len);

    if (data == NULL || !body_own(call->spec, data, len)) {
        free(data);
        call_problem_internal(call, -ENOMEM);
        return;
    }
    file->data = data;
    file->len = len;
    inputs->next++;
    inputs_fetch(call);
}

static void
inputs_fetch(struct call *call)
{
    struct inputs *inputs = call->inputs;
    const struct artifact *artifact;
    void (*then)(struct call * call) = inputs->then;

    if (!inputs_next(call)) {
        call->inputs = inputs_free(inputs);
        then(call);
        return;
    }
    artifact = &inputs->artifacts[inputs->next];
    inputs->data = (struct sbx_buf)SBX_BUF_INIT((size_t)artifact->size + 1);
    fetch_read(call, &(struct fetch_spec){
                         .artifact = artifact,
                         .length = artifact->size,
                         .out = &inputs->data,
                         .done = inputs_on_fetched,
                     });
}

void
inputs_load(struct call *call, void (*then)(struct call *call))
{
    struct inputs *inputs;

    if (call->spec->file_uris == NULL) {
        then(call);
        return;
    }
    inputs = calloc(1, sizeof(*inputs));
    if (inputs == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    call->inputs = inputs;
    inputs->then = then;
    inputs->n_artifacts = call->spec->n_files;
    inputs->artifacts = calloc(inputs->n_artifacts, sizeof(*inputs->artifacts));
    if (inputs->artifacts == NULL) {
        inputs->n_artifacts = 0;
        call_problem_internal(call, -ENOMEM);
        return;
    }
    inputs_find(call);
}
