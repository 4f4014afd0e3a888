#include "session-agent/face.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "session-agent/answer.h"
#include "session-agent/download.h"
#include "session-agent/hub.h"
#include "session-agent/slot.h"

#define MAX_HEAD 16384
#define MAX_SESSION_BODY ((size_t)96 << 20)
#define MAX_STEP_BODY (MAX_SESSION_BODY + ((size_t)32 << 20)) /* may have a session within */
#define MAX_SMALL_BODY 4096u
#define REPLY_MAX 65536

struct face {
    struct face_spec spec;
    struct sbx_http_server *server;
    struct session *sessions;
    unsigned n_sessions;
    struct step *step; /* NULL: none runs */
    bool is_over;      /* the last step has begun: what it started may still be on its way out */
    struct sbx_http_request *step_reply; /* NULL: the caller has left */
    struct session *doomed;              /* deleted while its step ran, or while it was attached */
    struct session *attached;            /* whose conversation the hub is, or is about to be */
    struct hub *hub;                     /* NULL: none yet, or no more */
    unsigned attached_processes;
    struct sbx_http_request *prepare_reply; /* NULL: nobody waits for it */
    bool closing;
};

static struct session *
session_find(struct face *face, const char *id)
{
    struct session *session;

    for (session = face->sessions; session != NULL; session = session->next) {
        if (strcmp(session->request.id, id) == 0) {
            return session;
        }
    }
    return NULL;
}

/* The session a request names, when it may; else answers and returns NULL. */
static struct session *
session_allowed(struct face *face, struct sbx_http_request *request, const char *id)
{
    static const struct sbx_http_header challenge = { "WWW-Authenticate", "X-Session-Token" };
    const struct sbx_problem unauthorized = { .code = SBX_PROBLEM_UNAUTHORIZED };
    struct session *session = session_find(face, id);
    const char *token = sbx_http_request_header(request, "x-session-token");
    bool one = sbx_http_request_header_count(request, "x-session-token") == 1;

    /* Who has no token for it does not learn whether a session exists. */
    if (!face->spec.auth_bypass && (session == NULL || !one || !session_token_ok(session, token))) {
        answer_problem(request, &unauthorized, &challenge);
        return NULL;
    }
    if (session == NULL) {
        answer_refusal(request, SBX_PROBLEM_NOT_FOUND, "there is no such session");
    }
    return session;
}

static void
session_unlink(struct face *face, struct session *session)
{
    struct session **link = &face->sessions;

    while (*link != session) {
        link = &(*link)->next;
    }
    *link = session->next;
    face->n_sessions--;
}

static void
on_health(struct face *face, struct sbx_http_request *request, const char *rest)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    struct runtime_entry entry;
    struct sbx_jsonw w;
    unsigned i;

    (void)rest; /* the route has none */
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "status", "ok");
    sbx_jsonw_uint(&w, "sessions", face->n_sessions);
    sbx_jsonw_bool(&w, "busy", face->step != NULL || face->attached != NULL);
    sbx_jsonw_array(&w, "runtimes");
    for (i = 0; i < runtimes_count(face->spec.runtimes); i++) {
        runtimes_at(face->spec.runtimes, i, &entry);
        sbx_jsonw_str(&w, NULL, entry.name);
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    answer(request, 200, "application/json", NULL, &body);
}

static void
reply_session(struct sbx_http_request *request, const struct session *session)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "sessionId", session->request.id);
    sbx_jsonw_str(&w, "runtime", session->runtime.name);
    sbx_jsonw_str(&w, "status", "ready");
    sbx_jsonw_object_end(&w);
    answer(request, 201, "application/json", NULL, &body);
}

/* True when a session may be made from the document; else answers. */
static bool
session_acceptable(struct face *face, struct sbx_http_request *request,
                   const struct session_request *document, struct runtime_entry *ret_runtime)
{
    struct sbx_field_error err;

    if (!runtimes_find(face->spec.runtimes, document->runtime, ret_runtime)) {
        sbx_field_error_set(&err, "/runtime", "is not a runtime of this agent");
        answer_field_error(request, &err);
    } else if (document->token == NULL && !face->spec.auth_bypass) {
        sbx_field_error_set(&err, "/token", "is missing: without it no later call could be allowed");
        answer_field_error(request, &err);
    } else if (session_find(face, document->id) != NULL) {
        answer_refusal(request, SBX_PROBLEM_CONFLICT, "the session exists already");
    } else if (face->n_sessions >= face->spec.max_sessions) {
        answer_refusal(request, SBX_PROBLEM_CONFLICT, "the agent has as many sessions as it takes");
    } else {
        return true;
    }
    return false;
}

/* A session of the document, or NULL after an answer. */
static struct session *
session_open(struct face *face, struct sbx_http_request *request, struct session_request *document)
{
    struct session_spec spec = { .root = face->spec.workspace_root, .identity = face->spec.host.identity };
    struct sbx_field_error err;
    struct session *session = NULL;
    int r;

    if (!session_acceptable(face, request, document, &spec.runtime)) {
        return NULL;
    }
    r = session_new(&session, document, &spec, &err);
    if (r == SESSION_E_EXISTS) {
        answer_refusal(request, SBX_PROBLEM_CONFLICT, "the session's directory exists already");
    } else if (r == SESSION_E_FILE) {
        answer_field_error(request, &err);
    } else if (r < 0) {
        answer_errno(request, r);
    } else {
        session->next = face->sessions;
        face->sessions = session;
        face->n_sessions++;
        return session;
    }
    return NULL;
}

static void
on_session_create(struct face *face, struct sbx_http_request *request, const char *rest)
{
    _cleanup_(session_request_deinit) struct session_request document = { 0 };
    struct sbx_field_error err;
    struct session *session;
    const char *body;
    size_t len;
    int r;

    (void)rest; /* the route has none */
    body = sbx_http_request_body(request, &len);
    r = session_request_parse(&document, body, len, &err);
    if (r) {
        answer_document_error(request, r, &err);
        return;
    }
    session = session_open(face, request, &document);
    if (session != NULL) {
        reply_session(request, session);
    }
}

static void
on_session_delete(struct face *face, struct sbx_http_request *request, const char *id)
{
    const struct sbx_buf empty = SBX_BUF_INIT(0);
    struct session *session = session_allowed(face, request, id);

    if (session == NULL) {
        return;
    }
    session_unlink(face, session);
    if (face->step != NULL && step_session(face->step) == session) {
        face->doomed = session;
        step_cancel(face->step);
    } else if (face->attached == session) {
        face->doomed = session;
        if (face->hub != NULL) {
            hub_end(face->hub);
        }
    } else {
        session_free(session, &face->spec.host.identity);
    }
    answer(request, 204, NULL, NULL, &empty);
}

static void
face_free(struct face *face)
{
    struct session *session;

    while ((session = face->sessions) != NULL) {
        session_unlink(face, session);
        session_free(session, &face->spec.host.identity);
    }
    free(face);
}

static void
face_on_closed(void *arg)
{
    struct face *face = arg;

    face->server = NULL;
    if (face->step == NULL && face->hub == NULL) {
        face_free(face);
    }
}

static void
face_on_step_done(void *arg, const struct step_outcome *outcome)
{
    struct face *face = arg;
    struct sbx_http_request *request = face->step_reply;
    const struct sbx_buf report = {
        .data = (char *)(uintptr_t)outcome->report, /* read only */
        .len = outcome->report_len,
    };

    face->step_reply = NULL;
    if (request != NULL && outcome->failure != NULL) {
        answer_refusal(request, SBX_PROBLEM_INTERNAL, outcome->failure);
    } else if (request != NULL) {
        answer(request, 200, "application/json", NULL, &report);
    }

    face->step = step_free(face->step);
    face->doomed = session_free(face->doomed, &face->spec.host.identity);
    if (face->server == NULL) {
        face_free(face);
    }
}

/* Nobody waits for the answer any more, so nobody pays for the work. */
static void
face_on_step_abort(struct sbx_http_request *request)
{
    struct face *face = sbx_http_request_user(request);

    face->step_reply = NULL;
    if (face->step != NULL) {
        step_cancel(face->step);
    }
}

static void
step_begin(struct face *face, struct sbx_http_request *request, struct session *session,
           struct step_request *document)
{
    struct step_spec spec = { .host = &face->spec.host, .session = session, .runtime = session->runtime };
    bool is_last = document->is_last;
    struct sbx_field_error err;
    int r;

    if (document->runtime != NULL && !runtimes_find(face->spec.runtimes, document->runtime, &spec.runtime)) {
        sbx_field_error_set(&err, "/runtime", "is not a runtime of this agent");
        answer_field_error(request, &err);
        return;
    }

    r = step_start(&face->step, &spec, document, &err);
    if (r == STEP_E_FIELD) {
        answer_field_error(request, &err);
    } else if (r < 0) {
        answer_errno(request, r);
    } else {
        face->is_over = is_last;
        step_on_done(face->step, face_on_step_done, face);
        face->step_reply = request;
        sbx_http_request_set_user(request, face);
        sbx_http_request_on_abort(request, face_on_step_abort);
    }
}

/* Nothing may be started. */
static bool
is_busy(const struct face *face)
{
    return face->step != NULL || face->attached != NULL || face->is_over;
}

static void
answer_busy(const struct face *face, struct sbx_http_request *request)
{
    answer_refusal(request, SBX_PROBLEM_CONFLICT,
                   face->is_over ? "the last step was begun" : "a step is running");
}

/* Who opens a session says its token, and so need not show it. NULL after an answer. */
static struct session *
session_within(struct face *face, struct sbx_http_request *request, const struct step_request *step)
{
    _cleanup_(session_request_deinit) struct session_request document = { 0 };
    struct sbx_field_error err;
    int r = session_request_read(&document, step->session, &err);

    if (r == 0 && strcmp(document.id, step->session_id) != 0) {
        sbx_field_error_set(&err, "/session/sessionId", "must be the step's");
        r = REQUEST_E_INVALID;
    }
    if (r) {
        answer_document_error(request, r, &err);
        return NULL;
    }
    return session_open(face, request, &document);
}

static void
on_step(struct face *face, struct sbx_http_request *request, const char *rest)
{
    _cleanup_(step_request_deinit) struct step_request document = { 0 };
    struct sbx_field_error err;
    struct session *session;
    const char *body;
    size_t len;
    int r;

    (void)rest; /* the route has none */
    body = sbx_http_request_body(request, &len);
    r = step_request_parse(&document, body, len, &err);
    if (r) {
        answer_document_error(request, r, &err);
        return;
    }
    sbx_http_request_drop_body(request); /* with its files, which are the payload's memory */
    session = document.session == NULL ? session_allowed(face, request, document.session_id) : NULL;
    if (document.session == NULL && session == NULL) {
        return;
    }
    if (is_busy(face)) {
        answer_busy(face, request);
        return;
    }
    session = session == NULL ? session_within(face, request, &document) : session;
    if (session == NULL) {
        return;
    }
    step_begin(face, request, session, &document);
}

/* Inside, its executor is all there is to talk to. */
static bool
is_inside(const struct face *face)
{
    return face->spec.workspace_root == NULL;
}

static void
face_release_attached(struct face *face)
{
    struct session *session = steal(&face->attached);

    if (is_inside(face) || session == face->doomed) {
        session_free(session, &face->spec.host.identity);
        face->doomed = session == face->doomed ? NULL : face->doomed;
    }
}

static void
face_on_hub_gone(void *arg)
{
    struct face *face = arg;

    face->hub = NULL;
    face_release_attached(face);
    if (face->server == NULL) {
        face_free(face);
    } else if (is_inside(face) && !face->closing) {
        face_close(face);
    }
}

static void
face_on_detached(void *arg, int fd)
{
    struct face *face = arg;
    const struct hub_spec spec = {
        .host = &face->spec.host,
        .runtimes = face->spec.runtimes,
        .session = face->attached,
        .processes = face->attached_processes,
        .fd = fd,
        .on_gone = face_on_hub_gone,
        .arg = face,
    };
    bool is_wanted = fd >= 0 && !face->closing && face->attached != face->doomed;

    if (fd >= 0 && !is_wanted) {
        (void)close(fd); /* nobody spoke on it yet */
    }
    if (!is_wanted || hub_new(&face->hub, &spec) < 0) {
        face->hub = NULL;
        face_release_attached(face);
    }
}

/* The session that is to be attached, or NULL after an answer. */
static struct session *
attach_session(struct face *face, struct sbx_http_request *request, const char *id)
{
    struct session *session = NULL;
    struct sbx_field_error err;

    if (is_busy(face)) {
        answer_busy(face, request);
    } else if (id != NULL) {
        session = session_allowed(face, request, id);
    } else if (!is_inside(face)) {
        sbx_field_error_set(&err, "/sessionId", "is missing");
        answer_field_error(request, &err);
    } else if (face->n_sessions > 0) {
        answer_refusal(request, SBX_PROBLEM_CONFLICT, "there is a session already");
    } else if (session_new_inside(&session) < 0) {
        answer_errno(request, -ENOMEM);
    }
    return session;
}

static void
on_attach(struct face *face, struct sbx_http_request *request, const char *rest)
{
    _cleanup_(attach_request_deinit) struct attach_request document = { 0 };
    struct sbx_http_header header = { .name = "X-Request-Id" };
    struct sbx_field_error err;
    struct session *session;
    struct request_id id;
    const char *body;
    size_t len;
    int r;

    (void)rest; /* the route has none */
    body = sbx_http_request_body(request, &len);
    r = attach_request_parse(&document, body, len, &err);
    if (r) {
        answer_document_error(request, r, &err);
        return;
    }
    session = attach_session(face, request, document.session_id);
    if (session == NULL) {
        return;
    }
    face->attached = session;
    face->attached_processes = document.processes;
    answer_request_id(request, &id);
    header.value = id.text;
    sbx_http_reply_detach(request, &header, 1, face_on_detached, face);
}

static void
face_on_prepared(void *arg, const char *origin)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    struct face *face = arg;
    struct sbx_http_request *request = steal(&face->prepare_reply);
    struct sbx_jsonw w;

    if (request == NULL) {
        return;
    }
    if (origin == NULL) {
        answer_refusal(request, SBX_PROBLEM_UNAVAILABLE, "no interpreter came to wait");
        return;
    }
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "status", "ok");
    sbx_jsonw_str(&w, "origin", origin);
    sbx_jsonw_object_end(&w);
    answer(request, 200, "application/json", NULL, &body);
}

/* It stays prepared: another may come for it. */
static void
face_on_prepare_abort(struct sbx_http_request *request)
{
    struct face *face = sbx_http_request_user(request);

    face->prepare_reply = NULL;
}

static void
prepare_begin(struct face *face, struct sbx_http_request *request, const struct runtime_entry *runtime,
              const struct prepare_request *document)
{
    struct sbx_field_error err;
    const struct slot_wish wish = {
        .runtime = runtime,
        .is_only_forked = document->is_forked,
        .ready = face_on_prepared,
        .arg = face,
    };
    int r = slot_prepare(face->spec.host.slot, &wish);

    if (r == SLOT_E_NONE) {
        sbx_field_error_set(&err, "/runtime", "is started when it is needed, and cannot be prepared");
        answer_field_error(request, &err);
    } else if (r == SLOT_E_UNFORKED) {
        answer_refusal(request, SBX_PROBLEM_UNAVAILABLE, "no interpreter was forked");
    } else if (r == SLOT_E_BUSY) {
        answer_refusal(request, SBX_PROBLEM_CONFLICT, "an interpreter is prepared already");
    } else if (r < 0) {
        answer_errno(request, r);
    } else {
        face->prepare_reply = request;
        sbx_http_request_set_user(request, face);
        sbx_http_request_on_abort(request, face_on_prepare_abort);
    }
}

static void
on_prepare(struct face *face, struct sbx_http_request *request, const char *rest)
{
    _cleanup_(prepare_request_deinit) struct prepare_request document = { 0 };
    struct runtime_entry runtime;
    struct sbx_field_error err;
    const char *body;
    size_t len;
    int r;

    (void)rest; /* the route has none */
    body = sbx_http_request_body(request, &len);
    r = prepare_request_parse(&document, body, len, &err);
    if (r) {
        answer_document_error(request, r, &err);
    } else if (is_busy(face)) {
        answer_busy(face, request);
    } else if (!runtimes_find(face->spec.runtimes, document.runtime, &runtime)) {
        sbx_field_error_set(&err, "/runtime", "is not a runtime of this agent");
        answer_field_error(request, &err);
    } else {
        prepare_begin(face, request, &runtime, &document);
    }
}

static void
on_file(struct face *face, struct sbx_http_request *request, const char *rest)
{
    struct download_spec spec = { .identity = &face->spec.host.identity };
    char id[65];
    size_t len = strcspn(rest, "/");
    struct session *session;
    int r;

    if (len >= sizeof(id)) {
        answer_refusal(request, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    memcpy(id, rest, len);
    id[len] = '\0';
    session = session_allowed(face, request, id);
    if (session == NULL) {
        return;
    }

    spec.root = session->places.workspace;
    spec.path = rest + len + strlen("/files/");
    r = download_reply(request, &spec);
    if (r == DOWNLOAD_E_NONE) {
        answer_refusal(request, SBX_PROBLEM_NOT_FOUND, "there is no such regular file");
    } else if (r < 0) {
        answer_errno(request, r);
    }
}

struct route {
    const char *method;
    const char *path;   /* exact, or up to where an id begins */
    const char *inside; /* what must follow the id; NULL: nothing; "" : no id at all */
    void (*handler)(struct face *face, struct sbx_http_request *request, const char *rest);
    size_t max_document; /* bytes of JSON; 0: takes none */
};

static const struct route routes[] = {
    { "GET", "/v1/health", "", on_health, 0 },
    { "POST", "/v1/health", "", on_health, 0 },
    { "POST", "/v1/sessions", "", on_session_create, MAX_SESSION_BODY },
    { "DELETE", "/v1/sessions/", NULL, on_session_delete, 0 },
    { "POST", "/v1/steps", "", on_step, MAX_STEP_BODY },
    { "POST", "/v1/attach", "", on_attach, MAX_SMALL_BODY },
    { "POST", "/v1/prepare", "", on_prepare, MAX_SMALL_BODY },
    { "GET", "/v1/sessions/", "/files/", on_file, 0 },
};

static bool
route_matches(const struct route *route, const char *path)
{
    size_t len = strlen(route->path);
    const char *rest = path + len;

    if (strncmp(path, route->path, len) != 0) {
        return false;
    }
    if (route->inside == NULL) {
        return *rest != '\0' && strchr(rest, '/') == NULL;
    }
    if (route->inside[0] == '\0') {
        return *rest == '\0';
    }
    rest += strcspn(rest, "/");
    return rest > path + len && strncmp(rest, route->inside, strlen(route->inside)) == 0 &&
           rest[strlen(route->inside)] != '\0';
}

static bool
method_matches(const struct route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

/* NULL: no such path, or not with this method; then *ret_allow lists those there are. */
static const struct route *
route_find(const struct sbx_http_request *request, struct sbx_buf *ret_allow)
{
    const char *path = sbx_http_request_path(request), *method = sbx_http_request_method(request);
    size_t i;

    for (i = 0; i < SBX_COUNT(routes); i++) {
        if (!route_matches(&routes[i], path)) {
            continue;
        }
        if (method_matches(&routes[i], method)) {
            return &routes[i];
        }
        sbx_buf_printf(ret_allow, "%s%s", ret_allow->len > 0 ? ", " : "", routes[i].method);
    }
    return NULL;
}

static bool
is_json(const struct sbx_http_request *request)
{
    const char *type = sbx_http_request_header(request, "content-type");
    size_t len = type == NULL ? 0 : strcspn(type, "; \t");

    return len == strlen("application/json") && strncasecmp(type, "application/json", len) == 0;
}

static void
face_on_head(struct sbx_http_request *request, void *arg)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf allow = SBX_BUF_INIT(64);
    const struct sbx_problem problem = { .code = SBX_PROBLEM_METHOD_NOT_ALLOWED };
    const struct route *route = route_find(request, &allow);

    (void)arg; /* routes are the same for every face */
    if (route == NULL && allow.len > 0) {
        const struct sbx_http_header header = { "Allow", allow.data };

        answer_problem(request, &problem, &header);
    } else if (route == NULL) {
        answer_refusal(request, SBX_PROBLEM_NOT_FOUND, NULL);
    } else if (route->max_document > 0 && !is_json(request)) {
        answer_refusal(request, SBX_PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL);
    } else if (route->max_document > 0) {
        sbx_http_request_set_max_body(request, route->max_document);
    }
}

static void
face_on_request(struct sbx_http_request *request, void *arg)
{
    struct face *face = arg;
    struct sbx_buf allow = SBX_BUF_INIT(64);
    const struct route *route = route_find(request, &allow);

    sbx_buf_deinit(&allow);
    if (route == NULL || face->closing) {
        answer_refusal(request, SBX_PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    route->handler(face, request, sbx_http_request_path(request) + strlen(route->path));
}

static void
face_on_error(struct sbx_http_error *error, void *arg)
{
    const struct sbx_problem problem = { .code = sbx_problem_by_status(error->status) };

    (void)arg; /* nothing of ours is in it */
    error->content_type = SBX_PROBLEM_TYPE;
    sbx_problem_write(&error->body, &problem);
}

int
face_new(struct face **ret, const struct face_spec *spec)
{
    struct face *face = calloc(1, sizeof(*face));
    int r;

    if (face == NULL) {
        return -ENOMEM;
    }
    face->spec = *spec;
    r = sbx_http_server_new(&face->server, &(struct sbx_http_server_spec){
                                               .loop = spec->loop,
                                               .max_head = MAX_HEAD,
                                               .max_body = 4096,
                                               .max_connections = spec->max_connections,
                                               .head_timeout_ms = 10000,
                                               .body_timeout_ms = 30000,
                                               .send_timeout_ms = 30000,
                                               .idle_timeout_ms = spec->idle_timeout_ms,
                                               .is_dateless = spec->workspace_root == NULL,
                                               .on_head = face_on_head,
                                               .on_request = face_on_request,
                                               .on_error = face_on_error,
                                               .arg = face,
                                           });
    if (r < 0) {
        free(face);
        return r;
    }
    *ret = face;
    return 0;
}

struct sbx_http_server *
face_server(struct face *face)
{
    return face->server;
}

void
face_close(struct face *face)
{
    face->closing = true;
    if (face->step != NULL) {
        step_cancel(face->step);
    }
    slot_drop(face->spec.host.slot);
    if (face->hub != NULL) {
        hub_end(face->hub);
    }
    sbx_http_server_close(face->server, face_on_closed, face);
}
