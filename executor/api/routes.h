/* The table of routes: path pattern, methods, scope, handler. */
#pragma once

#include "executor/api/call.h"

struct route_method {
    const char *method;
    const char *name; /* in logs and the audit: what the shipped gateway's sandbox_route says of the same request */
    const char *scope; /* held to it when the token names any of ours; NULL: none needed */
    void (*handle)(struct call *call);
    size_t max_body;
    bool takes_json;
    const char *params; /* names in the query, space separated; NULL: none is looked at */
    /*
     * NULL, or called when the head has come and the request may be made: makes the body a stream
     * (sbx_http_request_stream), which is then nowhere bounded but by it, or answers. `handle` comes when the body has ended.
     */
    void (*begin)(struct call *call);
};

#define ROUTE_MAX_METHODS 4

struct route {
    /* "/v1/jobs/{id}/artifacts/{path}": {id} has its form from its parent, {path} takes the rest, even an empty one. */
    const char *pattern;
    const char *allow;
    bool open; /* needs no identity */
    struct route_method methods[ROUTE_MAX_METHODS];
};

/* Fills call->route, id, sub and rest; false when no pattern matches. */
_must_check_ bool route_match(struct call *call, const char *path);
/* For gateways' own requests, which may make no other. */
bool route_is_internal(const struct route *route);
/* NULL: not allowed here. HEAD is GET, but of what has no size before it is made: archives, watches, sockets. */
const struct route_method *route_method(const struct route *route, const char *method);
/* The name of its route and method; "none" where there is no such path and of a method that is not allowed there. */
const char *route_name(const struct call *call);
/* False when the query has a name that the method does not know: a filter that was meant must not be dropped. */
bool route_takes_query(const struct route_method *method, const char *query);
/*
 * A token that names scopes of jobs, sessions or artifacts is held to them. Those of governance it must name in any case,
 * or "admin".
 */
bool scope_permits(const char *scope, const char *scopes);
/* By the method's own scope; what a request names may take others. */
bool route_permits(const struct route_method *method, const char *scopes);
