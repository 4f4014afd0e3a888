#include "sbx_problem.h"

static const struct {
    int status;
    const char *name;
    const char *title;
} problem_table[SBX_N_PROBLEMS] = {
#define X(name, status, code, title) [SBX_PROBLEM_##name] = { status, code, title },
    SBX_PROBLEMS(X)
#undef X
};

int
sbx_problem_status(enum sbx_problem_code code)
{
    return problem_table[code].status;
}

const char *
sbx_problem_name(enum sbx_problem_code code)
{
    return problem_table[code].name;
}

const char *
sbx_problem_title(enum sbx_problem_code code)
{
    return problem_table[code].title;
}

/* The table lists the general problem of a status before the particular ones. */
enum sbx_problem_code
sbx_problem_by_status(int status)
{
    unsigned i;

    for (i = 0; i < SBX_N_PROBLEMS; i++) {
        if (problem_table[i].status == status) {
            return (enum sbx_problem_code)i;
        }
    }
    return SBX_PROBLEM_INTERNAL;
}

static void
write_field_error(struct sbx_jsonw *w, const struct sbx_field_error *field)
{
    sbx_jsonw_array(w, "errors");
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "field", field->field);
    sbx_jsonw_str(w, "message", field->message);
    sbx_jsonw_object_end(w);
    sbx_jsonw_array_end(w);
}

void
sbx_problem_write(struct sbx_buf *out, const struct sbx_problem *problem)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_buf_printf(out, "\"type\":\"urn:ngx-sandbox:problem:%s\",", problem_table[problem->code].name);
    sbx_jsonw_str(&w, "title", problem_table[problem->code].title);
    sbx_jsonw_int(&w, "status", problem_table[problem->code].status);
    sbx_jsonw_str(&w, "code", problem_table[problem->code].name);
    if (problem->detail != NULL) {
        sbx_jsonw_str(&w, "detail", problem->detail);
    }
    if (problem->request_id != NULL) {
        sbx_jsonw_str(&w, "request_id", problem->request_id);
    }
    if (problem->reason != NULL) {
        sbx_jsonw_str(&w, "reason", problem->reason);
    }
    if (problem->field != NULL) {
        write_field_error(&w, problem->field);
    }
    if (problem->n_violations > 0) {
        sbx_violations_write(&w, problem->violation, problem->n_violations);
    }
    if (problem->retry_after_s > 0) {
        sbx_jsonw_uint(&w, "retry_after_seconds", problem->retry_after_s);
    }
    sbx_jsonw_object_end(&w);
}
