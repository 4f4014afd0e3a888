/* The table of routes: path pattern, methods, scope, handler. */
#pragma once

#include "executor/api/call.h"

struct route_method {
    const char *method;
    const char *scope; /* held to it when the token names any of ours; NULL: none needed */
    void (*handle)(struct call *call);
    size_t max_body;
    bool takes_json;
    const char *params; /* names in the query, space separated; NULL: none is looked at */
};

#define ROUTE_MAX_METHODS 2

struct route {
    const char *name;    /* in logs and metrics */
    const char *pattern; /* "/v1/jobs/{id}/artifacts/{path}": {path} takes the rest */
    const char *allow;
    bool open; /* needs no identity */
    struct route_method methods[ROUTE_MAX_METHODS];
};

/* Fills call->route, id and rest; false when no pattern matches. */
_must_check_ bool route_match(struct call *call, const char *path);
/* NULL: not allowed here. HEAD is GET. */
const struct route_method *route_method(const struct route *route, const char *method);
/* False when the query has a name that the method does not know: a filter that was meant must not be dropped. */
bool route_takes_query(const struct route_method *method, const char *query);
/* A token that names scopes of ours is held to them. */
bool route_permits(const struct route_method *method, const char *scopes);
