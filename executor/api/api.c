#include "executor/api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/identity.h"
#include "executor/api/routes.h"
#include "executor/api/tool_keys.h"
#include "executor/log.h"

#define API_HEAD_TIMEOUT_MS 10000
#define API_BODY_TIMEOUT_MS 30000
#define API_SEND_TIMEOUT_MS 30000
#define API_IDLE_TIMEOUT_MS 120000

static void
api_on_abort(struct sbx_http_request *request)
{
    call_abort(sbx_http_request_user(request));
}

static bool
content_is_json(const struct sbx_http_request *request)
{
    const char *type = sbx_http_request_header(request, "Content-Type");
    size_t len;

    if (type == NULL || sbx_http_request_header_count(request, "Content-Type") != 1) {
        return false;
    }
    len = strcspn(type, "; \t");
    return len == strlen("application/json") && strncasecmp(type, "application/json", len) == 0;
}

/* A connection may bring up to max_body: all of them together must not be more than the memory meant for it. */
static bool
body_charge(struct call *call, const struct route_method *method)
{
    const char *length = sbx_http_request_header(call->request, "Content-Length");
    uint64_t bytes = method->max_body;

    if (length != NULL && strtoull(length, NULL, 10) < bytes) {
        bytes = strtoull(length, NULL, 10);
    }
    return !method->takes_json || call_charge(call, bytes);
}

/* Who, what, may it: all before a byte of the body is kept. */
static void
api_on_head(struct sbx_http_request *request, void *arg)
{
    static const struct sbx_field_error unknown_param = {
        .field = "query",
        .message = "has a parameter that is not known here",
    };
    struct api *api = arg;
    const struct route_method *method;
    struct call *call;
    bool known;

    if (call_new(&call, api, request) != 0) {
        sbx_http_reply(request, 503, NULL, NULL, 0, "", 0);
        return;
    }
    sbx_http_request_set_user(request, call);
    sbx_http_request_on_abort(request, api_on_abort);
    identity_anonymous(call);
    known = route_match(call, sbx_http_request_path(request));
    call->method = known ? route_method(call->route, sbx_http_request_method(request)) : NULL;
    if (!(known && call->route->open) && !identity_verify(call)) {
        call_problem(call, SBX_PROBLEM_UNAUTHORIZED, NULL);
        return;
    }
    if (!known || (route_is_internal(call->route) && !call->context.gateway)) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    method = call->method;
    if (sbx_http_request_header(request, "Upgrade") != NULL &&
        (method == NULL || method->handle != handle_process_ws)) {
        call_problem(call, SBX_PROBLEM_BAD_REQUEST, "there is no other protocol here");
    } else if (method == NULL) {
        call_problem(call, SBX_PROBLEM_METHOD_NOT_ALLOWED, NULL);
    } else if (!route_permits(method, call->context.scopes)) {
        call_problem(call, SBX_PROBLEM_FORBIDDEN, "the token's scopes do not allow this");
    } else if (method->takes_json && !content_is_json(request)) {
        call_problem(call, SBX_PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL);
    } else if (!route_takes_query(method, sbx_http_request_query(request))) {
        call_problem_field(call, &unknown_param);
    } else if (body_charge(call, method)) {
        sbx_http_request_set_max_body(request, method->max_body);
        if (method->begin != NULL) {
            method->begin(call);
        }
    }
}

static void
api_on_request(struct sbx_http_request *request, void *arg _unused_)
{
    struct call *call = sbx_http_request_user(request);

    call->method->handle(call);
}

static void
api_on_error(struct sbx_http_error *error, void *arg)
{
    struct api *api = arg;
    struct sbx_id id;
    bool named = sbx_id_new(&id, "req") == 0;

    api->requests[4]++;
    if (named) {
        memcpy(error->request_id, id.text, sizeof(id.text));
    }
    error->content_type = SBX_PROBLEM_TYPE;
    sbx_problem_write(&error->body, &(struct sbx_problem){
                                        .code = sbx_problem_by_status(error->status),
                                        .request_id = named ? id.text : NULL,
                                    });
}

/* A key of its own, so that a cursor is no oracle for the context's. */
static int
api_make_cursor_key(struct api *api)
{
    static const char label[] = "jobs cursor";

    return sbx_hmac_sha256(api->spec.context_key, api->spec.context_key_len, label, sizeof(label) - 1,
                           api->cursor_key);
}

int
api_new(struct api **ret, const struct api_spec *spec)
{
    const struct sbx_http_server_spec server = {
        .loop = spec->loop,
        .max_head = API_MAX_HEAD,
        .max_body = API_MAX_BODY,
        .max_connections = spec->max_connections,
        .upgrades = true,
        .head_timeout_ms = API_HEAD_TIMEOUT_MS,
        .body_timeout_ms = API_BODY_TIMEOUT_MS,
        .send_timeout_ms = API_SEND_TIMEOUT_MS,
        .idle_timeout_ms = API_IDLE_TIMEOUT_MS,
        .on_head = api_on_head,
        .on_request = api_on_request,
        .on_error = api_on_error,
    };
    struct sbx_http_server_spec with_arg = server;
    struct api *api;
    int r;

    api = calloc(1, sizeof(*api));
    if (api == NULL) {
        return -ENOMEM;
    }
    api->spec = *spec;
    list_init(&api->streams);
    list_init(&api->tool_keys);
    with_arg.arg = api;
    r = api_make_cursor_key(api);
    if (r == 0) {
        r = sbx_signed_url_key(api->url_key, spec->context_key, spec->context_key_len);
    }
    if (r == 0) {
        r = sbx_context_verifier_new(&api->verifier, spec->context_key, spec->context_key_len);
    }
    if (r == 0) {
        r = sbx_http_server_new(&api->server, &with_arg);
    }
    if (r) {
        sbx_context_verifier_free(api->verifier);
        free(api);
        return r;
    }
    *ret = api;
    return 0;
}

int
api_listen(struct api *api, const char *path, unsigned mode, int64_t group)
{
    int r;

    r = sbx_http_server_listen_unix(api->server, path, mode);
    if (r) {
        return r;
    }
    if (group >= 0 && chown(path, (uid_t)-1, (gid_t)group) != 0) {
        return -errno;
    }
    return 0;
}

void
api_drain(struct api *api, void (*done)(void *arg), void *arg)
{
    sbx_http_server_drain(api->server, done, arg);
}

static void
api_on_closed(void *arg)
{
    struct api *api = arg;
    void (*closed)(void *arg) = api->closed;
    void *closed_arg = api->closed_arg;

    tool_keys_drop(api);
    sbx_context_verifier_free(api->verifier);
    free(api);
    closed(closed_arg);
}

void
api_close(struct api *api, void (*done)(void *arg), void *arg)
{
    api->closed = done;
    api->closed_arg = arg;
    sbx_http_server_close(api->server, api_on_closed, api);
}
