#include "executor/api/routes.h"

#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/artifact_upload.h"
#include "executor/api/handlers.h"

/* clang-format off */
static const struct route routes[] = {
    { "/healthz", "GET, HEAD", true, { { "GET", "health.live", NULL, handle_healthz, 0, false, NULL, NULL } } },
    { "/readyz", "GET, HEAD", true, { { "GET", "health.ready", NULL, handle_readyz, 0, false, NULL, NULL } } },
    { "/metrics", "GET, HEAD", true, { { "GET", "metrics", NULL, handle_metrics, 0, false, NULL, NULL } } },
    { "/v1/jobs", "GET, HEAD, POST", false,
      { { "GET", "jobs.list", "jobs:read", handle_job_list, API_MAX_BODY, false, "status language agent app isolation limit cursor", NULL },
        { "POST", "jobs.create", "jobs:write", handle_job_create, API_MAX_JOB_BODY, true, "", NULL } } },
    { "/v1/jobs/{id}", "GET, HEAD, DELETE", false,
      { { "GET", "jobs.get", "jobs:read", handle_job_get, API_MAX_BODY, false, "wait cursor", NULL },
        { "DELETE", "jobs.cancel", "jobs:write", handle_job_cancel, API_MAX_BODY, false, "", NULL } } },
    { "/v1/jobs/{id}/stdout", "GET, HEAD", false,
      { { "GET", "jobs.get", "jobs:read", handle_job_stdout, API_MAX_BODY, false, "", NULL } } },
    { "/v1/jobs/{id}/stderr", "GET, HEAD", false,
      { { "GET", "jobs.get", "jobs:read", handle_job_stderr, API_MAX_BODY, false, "", NULL } } },
    { "/v1/jobs/{id}/artifacts", "GET, HEAD", false,
      { { "GET", "jobs.artifacts", "jobs:read", handle_artifact_list, API_MAX_BODY, false, "", NULL } } },
    { "/v1/jobs/{id}/artifacts/{path}", "GET, HEAD", false,
      { { "GET", "jobs.artifacts", "jobs:read", handle_artifact_get, API_MAX_BODY, false, "", NULL } } },
    { "/v1/sessions/{id}/artifacts", "POST", false,
      { { "POST", "artifacts.collect", "sessions:write", handle_session_artifacts, API_MAX_META_BODY, true, "", NULL } } },
    { "/v1/artifacts", "GET, HEAD, POST", false,
      { { "GET", "artifacts.list", "artifacts:read", handle_artifacts_list, API_MAX_BODY, false, "job session name limit cursor", NULL },
        { "POST", "artifacts.create", "artifacts:write", handle_artifacts_create, 0, false, "name", artifact_upload_begin } } },
    { "/v1/artifacts/{id}", "GET, HEAD, PATCH, DELETE", false,
      { { "GET", "artifacts.get", "artifacts:read", handle_artifacts_get, API_MAX_BODY, false, "", NULL },
        { "PATCH", "artifacts.update", "artifacts:write", handle_artifacts_patch, API_MAX_META_BODY, true, "", NULL },
        { "DELETE", "artifacts.remove", "artifacts:write", handle_artifacts_delete, API_MAX_BODY, false, "", NULL } } },
    { "/v1/artifacts/{id}/content", "GET, HEAD", false,
      { { "GET", "artifacts.read", "artifacts:read", handle_artifacts_content, API_MAX_BODY, false, "tenant expires signature", NULL } } },
    { "/v1/artifacts/{id}/url", "POST", false,
      { { "POST", "artifacts.sign", "artifacts:write", handle_artifacts_url, API_MAX_BODY, true, "", NULL } } },
    { "/v1/sessions", "GET, HEAD, POST", false,
      { { "GET", "sessions.list", "sessions:read", handle_session_list, API_MAX_BODY, false,
          "status language template agent app metadata. limit cursor", NULL },
        { "POST", "sessions.create", "sessions:write", handle_session_create, API_MAX_JOB_BODY, true, "", NULL } } },
    { "/v1/sessions/{id}", "GET, HEAD, PATCH, DELETE", false,
      { { "GET", "sessions.get", "sessions:read", handle_session_get, API_MAX_BODY, false, "", NULL },
        { "PATCH", "sessions.extend", "sessions:write", handle_session_extend, API_MAX_PATCH, true, "", NULL },
        { "DELETE", "sessions.end", "sessions:write", handle_session_delete, API_MAX_BODY, false, "", NULL } } },
    { "/v1/sessions/{id}/pause", "POST", false,
      { { "POST", "sessions.pause", "sessions:write", handle_session_pause, API_MAX_BODY, false, "", NULL } } },
    { "/v1/sessions/{id}/resume", "POST", false,
      { { "POST", "sessions.resume", "sessions:write", handle_session_resume, API_MAX_BODY, false, "", NULL } } },
    { "/v1/sessions/{id}/contexts", "GET, HEAD, POST", false,
      { { "GET", "contexts.list", "sessions:read", handle_context_list, API_MAX_BODY, false, "", NULL },
        { "POST", "contexts.create", "sessions:write", handle_context_create, API_MAX_BODY, true, "", NULL } } },
    { "/v1/sessions/{id}/contexts/{name}", "DELETE", false,
      { { "DELETE", "contexts.end", "sessions:write", handle_context_delete, API_MAX_BODY, false, "", NULL } } },
    { "/v1/sessions/{id}/steps", "GET, HEAD, POST", false,
      { { "GET", "steps.list", "sessions:read", handle_step_list, API_MAX_BODY, false, "status context limit cursor", NULL },
        { "POST", "steps.create", "sessions:write", handle_step_create, API_MAX_STEP_BODY, true, "", NULL } } },
    { "/v1/sessions/{id}/steps/{step}", "GET, HEAD, DELETE", false,
      { { "GET", "steps.get", "sessions:read", handle_step_get, API_MAX_BODY, false, "wait cursor", NULL },
        { "DELETE", "steps.cancel", "sessions:write", handle_step_cancel, API_MAX_BODY, false, "", NULL } } },
    { "/v1/sessions/{id}/steps/{step}/stdout", "GET, HEAD", false,
      { { "GET", "steps.get", "sessions:read", handle_step_stdout, API_MAX_BODY, false, "", NULL } } },
    { "/v1/sessions/{id}/steps/{step}/stderr", "GET, HEAD", false,
      { { "GET", "steps.get", "sessions:read", handle_step_stderr, API_MAX_BODY, false, "", NULL } } },
    { "/v1/policies", "GET, HEAD, POST", false,
      { { "GET", "policies.list", "policies:read", handle_policy_list, API_MAX_BODY, false, "name applies_to limit cursor", NULL },
        { "POST", "policies.create", "policies:write", handle_policy_create, API_MAX_POLICY_BODY, true, "", NULL } } },
    { "/v1/policies:check", "POST", false,
      { { "POST", "policies.check", "policies:read", handle_policy_check, API_MAX_POLICY_BODY, true, "", NULL } } },
    { "/v1/policies/{id}", "GET, HEAD, PUT, DELETE", false,
      { { "GET", "policies.get", "policies:read", handle_policy_get, API_MAX_BODY, false, "", NULL },
        { "PUT", "policies.update", "policies:write", handle_policy_put, API_MAX_POLICY_BODY, true, "", NULL },
        { "DELETE", "policies.remove", "policies:write", handle_policy_delete, API_MAX_BODY, false, "", NULL } } },
    { "/v1/policies/{id}/targets", "PUT", false,
      { { "PUT", "policies.apply", "policies:write", handle_policy_targets, API_MAX_META_BODY, true, "", NULL } } },
    { "/v1/policies/{id}/rollback", "POST", false,
      { { "POST", "policies.rollback", "policies:write", handle_policy_rollback, API_MAX_META_BODY, true, "", NULL } } },
    { "/v1/policies/{id}/versions", "GET, HEAD", false,
      { { "GET", "policies.versions", "policies:read", handle_policy_versions, API_MAX_BODY, false, "limit cursor", NULL } } },
    { "/v1/policies/{id}/versions/{version}", "GET, HEAD", false,
      { { "GET", "policies.versions", "policies:read", handle_policy_version, API_MAX_BODY, false, "", NULL } } },
    { "/v1/policies/{id}/versions/{version}/diff", "GET, HEAD", false,
      { { "GET", "policies.versions", "policies:read", handle_policy_diff, API_MAX_BODY, false, "to", NULL } } },
    { "/v1/revocations", "GET, HEAD, POST", false,
      { { "GET", "revocations.list", "revocations:read", handle_revocation_list, API_MAX_BODY, false, "limit cursor", NULL },
        { "POST", "revocations.create", "revocations:write", handle_revocation_create, API_MAX_META_BODY, true, "", NULL } } },
    { "/v1/revocations/{id}", "GET, HEAD, DELETE", false,
      { { "GET", "revocations.get", "revocations:read", handle_revocation_get, API_MAX_BODY, false, "", NULL },
        { "DELETE", "revocations.remove", "revocations:write", handle_revocation_delete, API_MAX_BODY, false, "", NULL } } },
    { "/v1/audit", "GET, HEAD", false,
      { { "GET", "audit.list", "audit:read", handle_audit_list, API_MAX_BODY, false,
          "kind object request_id app agent subject decision rule policy from to order limit cursor", NULL } } },
    { "/v1/audit/head", "GET, HEAD", false,
      { { "GET", "audit.get", "audit:read", handle_audit_head, API_MAX_BODY, false, "", NULL } } },
    { "/v1/audit/{seq}", "GET, HEAD", false,
      { { "GET", "audit.get", "audit:read", handle_audit_get, API_MAX_BODY, false, "", NULL } } },
    { "/v1/gateway/changes", "GET, HEAD", false,
      { { "GET", "gateway.changes", NULL, handle_gateway_changes, API_MAX_BODY, false, "after instance wait", NULL } } },
    { "/v1/usage", "GET, HEAD", false,
      { { "GET", "usage.get", "usage:read", handle_usage, API_MAX_BODY, false, "from to group_by app agent limit cursor", NULL } } },
    /* The older forms: document_shapes.h. */
    { "/sessions", "POST", false,
      { { "POST", "sessions.create", "sessions:write", handle_session_create, API_MAX_JOB_BODY, true, "", NULL } } },
    { "/sessions/{id}", "GET, HEAD, DELETE", false,
      { { "GET", "sessions.get", "sessions:read", handle_session_get, API_MAX_BODY, false, "", NULL },
        { "DELETE", "sessions.end", "sessions:write", handle_session_delete, API_MAX_BODY, false, "", NULL } } },
    { "/sessions/{id}/steps", "POST", false,
      { { "POST", "steps.create", "sessions:write", handle_step_create, API_MAX_STEP_BODY, true, "", NULL } } },
    { "/api/v1/sessions", "POST", false,
      { { "POST", "sessions.create", "sessions:write", handle_session_create, API_MAX_JOB_BODY, true, "", NULL } } },
    { "/api/v1/sessions/{id}", "GET, HEAD, DELETE", false,
      { { "GET", "sessions.get", "sessions:read", handle_session_get, API_MAX_BODY, false, "", NULL },
        { "DELETE", "sessions.end", "sessions:write", handle_session_delete, API_MAX_BODY, false, "", NULL } } },
    { "/api/v1/sessions/{id}/execute", "POST", false,
      { { "POST", "steps.create", "sessions:write", handle_step_create, API_MAX_STEP_BODY, true, "", NULL } } },
    /* As what agents call them; the edge knows them as tools. */
    { "/tools/jobs", "POST", false,
      { { "POST", "jobs.create", "jobs:write", handle_tool_job_create, API_MAX_JOB_BODY, true, "", NULL } } },
    { "/tools/jobs/{id}", "GET, HEAD, DELETE", false,
      { { "GET", "jobs.get", "jobs:read", handle_job_get, API_MAX_BODY, false, "wait cursor", NULL },
        { "DELETE", "jobs.cancel", "jobs:write", handle_job_cancel, API_MAX_BODY, false, "", NULL } } },
    { "/tools/runs/{id}.{step}", "GET, HEAD, DELETE", false,
      { { "GET", "steps.get", "sessions:read", handle_run_step_get, API_MAX_BODY, false, "wait stdout_offset stderr_offset", NULL },
        { "DELETE", "steps.cancel", "sessions:write", handle_run_step_cancel, API_MAX_BODY, false, "", NULL } } },
    { "/tools/runs/{id}", "GET, HEAD, DELETE", false,
      { { "GET", "jobs.get", "jobs:read", handle_run_job_get, API_MAX_BODY, false, "wait stdout_offset stderr_offset", NULL },
        { "DELETE", "jobs.cancel", "jobs:write", handle_run_job_cancel, API_MAX_BODY, false, "", NULL } } },
    { "/tools/tasks/{id}.{step}", "GET, HEAD, DELETE", false,
      { { "GET", "steps.get", "sessions:read", handle_task_step_get, API_MAX_BODY, false, "", NULL },
        { "DELETE", "steps.cancel", "sessions:write", handle_task_step_cancel, API_MAX_BODY, false, "", NULL } } },
    { "/tools/tasks/{id}", "GET, HEAD, DELETE", false,
      { { "GET", "jobs.get", "jobs:read", handle_task_job_get, API_MAX_BODY, false, "", NULL },
        { "DELETE", "jobs.cancel", "jobs:write", handle_task_job_cancel, API_MAX_BODY, false, "", NULL } } },
    { "/tools/sessions", "POST", false,
      { { "POST", "sessions.create", "sessions:write", handle_tool_session_create, API_MAX_JOB_BODY, true, "", NULL } } },
    { "/tools/sessions/{id}", "DELETE", false,
      { { "DELETE", "sessions.end", "sessions:write", handle_tool_session_delete, API_MAX_BODY, false, "", NULL } } },
    { "/tools/sessions/{id}/steps", "POST", false,
      { { "POST", "steps.create", "sessions:write", handle_tool_step_create, API_MAX_STEP_BODY, true, "", NULL } } },
    { "/tools/artifacts/upload", "POST", false,
      { { "POST", "artifacts.create", "artifacts:write", handle_artifacts_create, 0, false, "name", artifact_upload_begin } } },
    { "/tools/artifacts/{id}/download", "GET, HEAD", false,
      { { "GET", "artifacts.read", "artifacts:read", handle_artifacts_content, API_MAX_BODY, false, "", NULL } } },
    { "/tools/sessions/{id}/files", "POST", false,
      { { "POST", "files.write", "sessions:write", handle_files_write, API_MAX_JOB_BODY, true, "", NULL } } },
    { "/tools/files", "GET", false,
      { { "GET", "files.read", NULL, handle_tool_read, API_MAX_BODY, false, "uri session path offset limit as", NULL } } },
    { "/tools/resource", "GET", false,
      { { "GET", "files.read", NULL, handle_tool_resource, API_MAX_BODY, false, "uri", NULL } } },
    { "/tools/status", "GET", false,
      { { "GET", "status.get", NULL, handle_status, API_MAX_BODY, false, "", NULL } } },
    { "/tools/complete", "GET", false,
      { { "GET", "status.get", NULL, handle_tool_complete, API_MAX_BODY, false, "kind value", NULL } } },
    { "/tools/cancellations", "POST", false,
      { { "POST", "jobs.cancel", NULL, handle_tool_cancel, API_MAX_BODY, true, "", NULL } } },
    { "/v1/status", "GET", false, { { "GET", "status.get", NULL, handle_status, API_MAX_BODY, false, "", NULL } } },
    { "/v1/sessions/{id}/files", "GET, HEAD, POST", false,
      { { "GET", "files.read", "sessions:read", handle_file_root, API_MAX_BODY, false, "recursive limit after", NULL },
        { "POST", "files.write", "sessions:write", handle_files_write, API_MAX_JOB_BODY, true, "", NULL } } },
    { "/v1/sessions/{id}/files/{path}", "GET, HEAD, PUT, DELETE", false,
      { { "GET", "files.read", "sessions:read", handle_file_get, API_MAX_BODY, false, "recursive limit after", NULL },
        { "PUT", "files.write", "sessions:write", handle_file_put, 0, false, "", begin_file_put },
        { "DELETE", "files.remove", "sessions:write", handle_file_delete, API_MAX_BODY, false, "recursive", NULL } } },
    { "/v1/sessions/{id}/stat", "GET, HEAD", false,
      { { "GET", "files.stat", "sessions:read", handle_file_stat, API_MAX_BODY, false, "path", NULL } } },
    { "/v1/sessions/{id}/mkdir", "POST", false,
      { { "POST", "files.change", "sessions:write", handle_file_mkdir, API_MAX_BODY, true, "", NULL } } },
    { "/v1/sessions/{id}/move", "POST", false,
      { { "POST", "files.change", "sessions:write", handle_file_move, API_MAX_BODY, true, "", NULL } } },
    { "/v1/sessions/{id}/archive", "GET, PUT", false,
      { { "GET", "files.archive", "sessions:read", handle_archive_get, API_MAX_BODY, false, "path", NULL },
        { "PUT", "files.unpack", "sessions:write", handle_file_put, 0, false, "path", begin_archive_put } } },
    { "/v1/sessions/{id}/watch", "GET", false,
      { { "GET", "files.watch", "sessions:read", handle_file_watch, API_MAX_BODY, false, "path recursive", NULL } } },
    { "/v1/sessions/{id}/processes", "GET, HEAD, POST", false,
      { { "GET", "processes.list", "sessions:read", handle_process_list, API_MAX_BODY, false, "", NULL },
        { "POST", "processes.create", "sessions:write", handle_process_create, API_MAX_STEP_BODY, true, "", NULL } } },
    { "/v1/sessions/{id}/processes/{process}", "GET, HEAD, DELETE", false,
      { { "GET", "processes.get", "sessions:read", handle_process_get, API_MAX_BODY, false, "wait cursor", NULL },
        { "DELETE", "processes.end", "sessions:write", handle_process_end, API_MAX_BODY, false, "wait", NULL } } },
    { "/v1/sessions/{id}/processes/{process}/stdin", "POST", false,
      { { "POST", "processes.stdin", "sessions:write", handle_process_stdin, API_MAX_BODY, false, "eof", handle_process_stdin_begin } } },
    { "/v1/sessions/{id}/processes/{process}/signal", "POST", false,
      { { "POST", "processes.signal", "sessions:write", handle_process_signal, API_MAX_BODY, true, "", NULL } } },
    { "/v1/sessions/{id}/processes/{process}/ws", "GET", false,
      { { "GET", "processes.ws", "sessions:write", handle_process_ws, API_MAX_BODY, false, "cursor", NULL } } },
    { "/v1/sessions/{id}/processes/{process}/resize", "POST", false,
      { { "POST", "processes.signal", "sessions:write", handle_process_resize, API_MAX_BODY, true, "", NULL } } },
};
/* clang-format on */

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* NULL when malformed, with a NUL inside, or out of memory: no artifact has such a name. */
static char *
path_decode(const char *text)
{
    char *out = malloc(strlen(text) + 1);
    size_t n = 0;

    if (out == NULL) {
        return NULL;
    }
    for (; *text != '\0'; text++) {
        int high = *text == '%' ? hex_value(text[1]) : 0;
        int low = *text == '%' && high >= 0 ? hex_value(text[2]) : 0;

        if (high < 0 || low < 0 || (*text == '%' && high == 0 && low == 0)) {
            free(out);
            return NULL;
        }
        out[n++] = *text == '%' ? (char)(high * 16 + low) : *text;
        text += *text == '%' ? 2 : 0;
    }
    out[n] = '\0';
    return out;
}

/* Of the ids that a pattern's {id} stands for. */
static const char *
id_prefix(const char *pattern)
{
    static const struct {
        const char *under, *prefix;
    } kinds[] = {
        { "/v1/jobs/", "job" },          { "/v1/sessions/", "ses" },     { "/v1/artifacts/", "art" },
        { "/sessions/", "ses" },         { "/api/v1/sessions/", "ses" }, { "/v1/policies/", "pol" },
        { "/v1/revocations/", "rev" },   { "/tools/jobs/", "job" },      { "/tools/sessions/", "ses" },
        { "/tools/artifacts/", "art" },  { "/tools/runs/{id}.", "ses" }, { "/tools/runs/", "job" },
        { "/tools/tasks/{id}.", "ses" }, { "/tools/tasks/", "job" },
    };

    for (size_t i = 0; i < SBX_COUNT(kinds); i++) {
        if (strncmp(pattern, kinds[i].under, strlen(kinds[i].under)) == 0) {
            return kinds[i].prefix;
        }
    }
    return "";
}

/*
 * One segment of a path for one placeholder of a pattern; prefix is that of the ids that {id} stands for. What has no
 * such form leaves "", so the handler finds nothing and says what it says of any other that is not there. Returns the
 * placeholder's length.
 */
static size_t
take_segment(struct call *call, const char *placeholder, const char *prefix, const char *text, size_t len)
{
    const struct {
        const char *name, *prefix; /* NULL: a name */
        char *to;
    } kinds[] = {
        { "{id}", prefix, call->id },  { "{step}", "stp", call->sub },   { "{process}", "prc", call->sub },
        { "{name}", NULL, call->sub }, { "{version}", NULL, call->sub }, { "{seq}", NULL, call->sub },
    };

    for (size_t i = 0; i < SBX_COUNT(kinds); i++) {
        const size_t n = strlen(kinds[i].name);

        if (strncmp(placeholder, kinds[i].name, n) == 0) {
            const bool fine = kinds[i].prefix == NULL ? sbx_name_valid(text, len)
                                                      : sbx_id_valid(text, len, kinds[i].prefix);

            memcpy(kinds[i].to, text, fine ? len : 0);
            kinds[i].to[fine ? len : 0] = '\0';
            return n;
        }
    }
    return 0;
}

/* Literal characters match themselves, a placeholder one non-empty segment, {path} the rest after its slash. */
static bool
pattern_match(struct call *call, const char *pattern, const char *path)
{
    const char *prefix = id_prefix(pattern);

    while (*pattern != '\0') {
        if (strcmp(pattern, "{path}") == 0) {
            free(call->rest);
            call->rest = path_decode(path);
            return true;
        }
        if (*pattern == '{') {
            /* A dot ends a segment where the pattern has one: no id has any. */
            const size_t len = strcspn(path, pattern[strcspn(pattern, "}") + 1] == '.' ? "/." : "/");

            if (len == 0) {
                return false;
            }
            pattern += take_segment(call, pattern, prefix, path, len);
            path += len;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

bool
route_match(struct call *call, const char *path)
{
    for (size_t i = 0; i < SBX_COUNT(routes); i++) {
        if (pattern_match(call, routes[i].pattern, path)) {
            call->route = &routes[i];
            return true;
        }
    }
    return false;
}

bool
route_is_internal(const struct route *route)
{
    static const char under[] = "/v1/gateway/";

    return strncmp(route->pattern, under, sizeof(under) - 1) == 0;
}

const struct route_method *
route_method(const struct route *route, const char *method)
{
    if (strcmp(method, "HEAD") == 0 && strstr(route->allow, "HEAD") != NULL) {
        method = "GET";
    }
    for (unsigned i = 0; i < ROUTE_MAX_METHODS && route->methods[i].method != NULL; i++) {
        if (strcmp(route->methods[i].method, method) == 0) {
            return &route->methods[i];
        }
    }
    return NULL;
}

const char *
route_name(const struct call *call)
{
    return call->method == NULL ? "none" : call->method->name;
}

static bool
word_in(const char *words, const char *word, size_t len)
{
    while (*words != '\0') {
        size_t n = strcspn(words, " ");

        if (n == len && strncmp(words, word, len) == 0) {
            return true;
        }
        words += n;
        words += strspn(words, " ");
    }
    return false;
}

/* "metadata." stands for all that begin so: the rest names a member. */
static bool
param_known(const char *params, const char *name, size_t len)
{
    const char *dot = memchr(name, '.', len);

    return word_in(params, name, len) || (dot != NULL && word_in(params, name, (size_t)(dot - name) + 1));
}

bool
route_takes_query(const struct route_method *method, const char *query)
{
    while (method->params != NULL && *query != '\0') {
        size_t len = strcspn(query, "&");

        if (len > 0 && !param_known(method->params, query, strcspn(query, "=&"))) {
            return false;
        }
        query += len;
        query += *query == '&' ? 1 : 0;
    }
    return true;
}

static bool
in_family(const char *scope, size_t len)
{
    static const char *const families[] = { "jobs:", "sessions:", "artifacts:" };

    for (size_t i = 0; i < SBX_COUNT(families); i++) {
        const size_t n = strlen(families[i]);

        if (len > n && strncmp(scope, families[i], n) == 0) {
            return true;
        }
    }
    return false;
}

/* What a token must name to have it, however few others it names; `admin` names them all. */
static bool
never_implied(const char *scope)
{
    static const char *const families[] = { "policies:", "revocations:", "audit:", "usage:" };

    for (size_t i = 0; i < SBX_COUNT(families); i++) {
        if (strncmp(scope, families[i], strlen(families[i])) == 0) {
            return true;
        }
    }
    return false;
}

bool
scope_permits(const char *scope, const char *scopes)
{
    bool any = false;

    if (word_in(scopes, scope, strlen(scope))) {
        return true;
    }
    if (never_implied(scope)) {
        return word_in(scopes, "admin", strlen("admin"));
    }
    for (const char *p = scopes; *p != '\0';) {
        size_t len = strcspn(p, " ");

        any = any || in_family(p, len);
        p += len;
        p += strspn(p, " ");
    }
    return !any;
}

bool
route_permits(const struct route_method *method, const char *scopes)
{
    return method->scope == NULL || scope_permits(method->scope, scopes);
}
