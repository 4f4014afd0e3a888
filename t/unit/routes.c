/* What a path of the interface names, and which scopes let a token do what. */
#include "executor/api/routes.h"

#include <stdlib.h>

#include "t/unit/tap.h"

#define JOB "job_01m7yep0vh3nhv2pk7vh28r48r"

static const struct {
    const char *scopes;
    bool jobs_read, jobs_write, sessions_read, artifacts_read;
} tokens[] = {
    { "", true, true, true, true },
    { "openid profile", true, true, true, true },
    { "job: jobsread jobs sessions.read Jobs:read", true, true, true, true },
    { "jobs:", true, true, true, true },
    { "jobs:read", true, false, false, false },
    { "openid jobs:read", true, false, false, false },
    { "jobs:write", false, true, false, false },
    { "jobs:read jobs:write", true, true, false, false },
    { "sessions:read", false, false, true, false },
    { "sessions:write openid", false, false, false, false },
    { "artifacts:read", false, false, false, true },
    { "artifacts:none", false, false, false, false },
    { "jobs:*", false, false, false, false },
    { "jobs:readonly", false, false, false, false },
    { "xjobs:read artifacts:read", false, false, false, true },
    { "  jobs:read   sessions:read ", true, false, true, false },
};

static void
test_scopes(void)
{
    const struct route_method jobs_read = { .scope = "jobs:read" }, jobs_write = { .scope = "jobs:write" },
                              sessions_read = { .scope = "sessions:read" },
                              artifacts_read = { .scope = "artifacts:read" }, none = { 0 };

    for (size_t i = 0; i < SBX_COUNT(tokens); i++) {
        const char *scopes = tokens[i].scopes;

        is_int(route_permits(&jobs_read, scopes), tokens[i].jobs_read, "\"%s\" and jobs:read", scopes);
        is_int(route_permits(&jobs_write, scopes), tokens[i].jobs_write, "\"%s\" and jobs:write", scopes);
        is_int(route_permits(&sessions_read, scopes), tokens[i].sessions_read, "\"%s\" and sessions:read",
               scopes);
        is_int(route_permits(&artifacts_read, scopes), tokens[i].artifacts_read, "\"%s\" and artifacts:read",
               scopes);
        ok(route_permits(&none, scopes), "\"%s\" where none is needed", scopes);
    }
}

/* What governs a tenant is implied by nothing. */
static const struct {
    const char *scopes;
    bool policies_read, policies_write, audit_read;
} governors[] = {
    { "", false, false, false },
    { "openid profile", false, false, false },
    { "jobs:read jobs:write sessions:write", false, false, false },
    { "policies:read", true, false, false },
    { "policies:write", false, true, false },
    { "policies:read policies:write", true, true, false },
    { "policies:", false, false, false },
    { "policies:*", false, false, false },
    { "policies:readonly", false, false, false },
    { "Policies:read", false, false, false },
    { "audit:read", false, false, true },
    { "admin", true, true, true },
    { "openid admin", true, true, true },
    { "administrator", false, false, false },
    { "Admin", false, false, false },
    { "xadmin admin:read", false, false, false },
    { "admin:", false, false, false },
};

static void
test_governors(void)
{
    const struct route_method policies_read = { .scope = "policies:read" },
                              policies_write = { .scope = "policies:write" },
                              audit_read = { .scope = "audit:read" }, jobs_read = { .scope = "jobs:read" };

    for (size_t i = 0; i < SBX_COUNT(governors); i++) {
        const char *scopes = governors[i].scopes;

        is_int(route_permits(&policies_read, scopes), governors[i].policies_read, "\"%s\" and policies:read",
               scopes);
        is_int(route_permits(&policies_write, scopes), governors[i].policies_write,
               "\"%s\" and policies:write", scopes);
        is_int(route_permits(&audit_read, scopes), governors[i].audit_read, "\"%s\" and audit:read", scopes);
    }
    ok(route_permits(&jobs_read, "admin policies:read"), "naming them leaves the others as they are");
    ok(!route_permits(&jobs_read, "admin sessions:read"), "and admin is not of the others");
}

#define POLICY "pol_01m7yep0vh3nhv2pk7vh28r48r"

static const struct {
    const char *path, *pattern; /* NULL: none */
    const char *id, *rest;
} paths[] = {
    { "/healthz", "/healthz", "", NULL },
    { "/healthz/", NULL, "", NULL },
    { "/", NULL, "", NULL },
    { "", NULL, "", NULL },
    { "/v1/jobs", "/v1/jobs", "", NULL },
    { "/v1/jobs/", NULL, "", NULL },
    { "/v1/jobsx", NULL, "", NULL },
    { "/v1/jobs/" JOB, "/v1/jobs/{id}", JOB, NULL },
    { "/v1/jobs/" JOB "/", NULL, "", NULL },
    { "/v1/jobs/job_1", "/v1/jobs/{id}", "", NULL },
    { "/v1/jobs/ses_01m7yep0vh3nhv2pk7vh28r48r", "/v1/jobs/{id}", "", NULL },
    { "/v1/jobs//stdout", NULL, "", NULL },
    { "/v1/jobs/" JOB "/stdout", "/v1/jobs/{id}/stdout", JOB, NULL },
    { "/v1/jobs/" JOB "/artifacts", "/v1/jobs/{id}/artifacts", JOB, NULL },
    { "/v1/jobs/" JOB "/artifacts/", "/v1/jobs/{id}/artifacts/{path}", JOB, "" },
    { "/v1/jobs/" JOB "/artifacts/a/b", "/v1/jobs/{id}/artifacts/{path}", JOB, "a/b" },
    { "/v1/jobs/" JOB "/artifacts/a%2Fb%20%25", "/v1/jobs/{id}/artifacts/{path}", JOB, "a/b %" },
    { "/v1/jobs/" JOB "/artifacts/a%00b", "/v1/jobs/{id}/artifacts/{path}", JOB, NULL },
    { "/v1/jobs/" JOB "/artifacts/a%", "/v1/jobs/{id}/artifacts/{path}", JOB, NULL },
    { "/v1/jobs/" JOB "/artifacts/a%2", "/v1/jobs/{id}/artifacts/{path}", JOB, NULL },
    { "/v1/jobs/" JOB "/artifacts/a%zz", "/v1/jobs/{id}/artifacts/{path}", JOB, NULL },
    { "/v1/policies", "/v1/policies", "", NULL },
    { "/v1/policies/" POLICY, "/v1/policies/{id}", POLICY, NULL },
    { "/v1/policies/" JOB, "/v1/policies/{id}", "", NULL },
    { "/v1/policies/" POLICY "/versions/3", "/v1/policies/{id}/versions/{version}", POLICY, NULL },
    { "/v1/policies/" POLICY "/versions/3/diff", "/v1/policies/{id}/versions/{version}/diff", POLICY, NULL },
    { "/v1/policies/" POLICY "/versions//diff", NULL, "", NULL },
    { "/v1/revocations/" POLICY, "/v1/revocations/{id}", "", NULL },
    { "/v1/gateway", NULL, "", NULL },
    { "/v1/gateway/", NULL, "", NULL },
    { "/v1/gateway/changes", "/v1/gateway/changes", "", NULL },
    { "/v1/gateway/changes/", NULL, "", NULL },
};

static void
test_paths(void)
{
    for (size_t i = 0; i < SBX_COUNT(paths); i++) {
        struct call call = { 0 };
        bool found = route_match(&call, paths[i].path);

        is_str(found ? call.route->pattern : "none", paths[i].pattern == NULL ? "none" : paths[i].pattern,
               "%s", paths[i].path);
        if (found) {
            is_str(call.id, paths[i].id, "%s: id", paths[i].path);
            is_str(call.rest == NULL ? "(none)" : call.rest, paths[i].rest == NULL ? "(none)" : paths[i].rest,
                   "%s: rest", paths[i].path);
        }
        free(call.rest);
    }
}

/* A failure is told to the log also when the client has gone, and its request with it. */
static void
test_names(void)
{
    struct call call = { 0 };

    is_str(route_name(&call), "none", "no path has no name");
    ok(route_match(&call, "/v1/jobs/" JOB), "a path");
    is_str(route_name(&call), "none", "nor has one alone");
    call.method = route_method(call.route, "HEAD");
    is_str(route_name(&call), "jobs.get", "HEAD is GET");
    call.method = route_method(call.route, "DELETE");
    is_str(route_name(&call), "jobs.cancel", "each method has its own");
    call.method = route_method(call.route, "PUT");
    is_str(route_name(&call), "none", "but what is not allowed");
}

int
main(void)
{
    test_names();
    test_scopes();
    test_governors();
    test_paths();
    return done_testing();
}
