#include "ngx_http_sandbox_mcp_access.h"
#include "ngx_http_sandbox_auth.h"
#include "ngx_http_sandbox_policy.h"
#include "ngx_http_sandbox_route.h"


/* As nginx finds a location by its whole name; prefixes that end before the name's end are only passed. */
static ngx_http_core_loc_conf_t *
ngx_http_sandbox_mcp_find_location(ngx_http_location_tree_node_t *node, const u_char *name, size_t len)
{
    ngx_int_t rc;
    size_t n;

    while (node != NULL) {
        n = ngx_min(len, node->len);
        rc = ngx_filename_cmp((u_char *) name, node->name, n);
        if (rc != 0) {
            node = rc < 0 ? node->left : node->right;

        } else if (len < node->len) {
            node = node->left;

        } else if (len > node->len) {
            name += node->inclusive != NULL ? n : 0;
            len -= node->inclusive != NULL ? n : 0;
            node = node->inclusive != NULL ? node->tree : node->right;

        } else {
            return node->exact != NULL ? node->exact : node->inclusive;
        }
    }
    return NULL;
}


/* The location that a backend names; NULL after saying that there is none. A client must not get past the message that leads there. */
static ngx_http_core_loc_conf_t *
ngx_http_sandbox_mcp_find_door(ngx_conf_t *cf, ngx_http_sandbox_mcp_place_t *place, const struct sbx_mcp_tool *tool,
    const char *location)
{
    ngx_http_core_loc_conf_t *server, *found;

    server = place->server->ctx->loc_conf[ngx_http_core_module.ctx_index];
    found = ngx_http_sandbox_mcp_find_location(server->static_locations, (const u_char *) location, ngx_strlen(location));
    if (found == NULL || !found->internal) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "tool \"%s\" of \"%V\" leads to \"%s\", which is no internal location here",
                      tool->name, &place->path, location);
        return NULL;
    }
    /* Else the list would go by one name and the call by another. */
    if (!ngx_http_sandbox_route_serves(found->loc_conf[ngx_http_sandbox_route_module.ctx_index], tool->tool)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "tool \"%s\" of \"%V\" leads to \"%s\", whose \"sandbox_tool\" is not \"%s\"", tool->name,
                      &place->path, location, tool->tool);
        return NULL;
    }
    return found;
}


ngx_int_t
ngx_http_sandbox_mcp_find_doors(ngx_conf_t *cf, ngx_http_sandbox_mcp_place_t *place)
{
    const struct sbx_mcp_catalogue *catalogue = place->conf->catalogue;
    ngx_http_sandbox_mcp_doors_t *doors;
    ngx_http_core_loc_conf_t *found;
    const char *location;
    unsigned i, k;

    doors = ngx_pcalloc(cf->pool, (catalogue->n_tools + 1) * sizeof(ngx_http_sandbox_mcp_doors_t));
    if (doors == NULL) {
        return NGX_ERROR;
    }
    for (i = 0; i < catalogue->n_tools; i++) {
        for (k = 0; (location = sbx_mcp_tool_location(&catalogue->tool[i], k)) != NULL; k++) {
            found = ngx_http_sandbox_mcp_find_door(cf, place, &catalogue->tool[i], location);
            if (found == NULL) {
                return NGX_ERROR;
            }
            if (k == NGX_HTTP_SANDBOX_MCP_DOORS_MAX) {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "tool \"%s\" of \"%V\" leads to too many locations",
                              catalogue->tool[i].name, &place->path);
                return NGX_ERROR;
            }
            doors[i].auth_conf[doors[i].n++] = found->loc_conf[ngx_http_sandbox_auth_module.ctx_index];
        }
    }
    place->conf->doors = doors;
    return NGX_OK;
}


static ngx_flag_t
ngx_http_sandbox_mcp_has_scopes(ngx_http_sandbox_ctx_t *ctx, const ngx_http_sandbox_mcp_doors_t *doors, const char *tool)
{
    ngx_uint_t i;

    for (i = 0; i < doors->n; i++) {
        if (ngx_http_sandbox_auth_may_use(ctx, doors->auth_conf[i], tool)) {
            return 1;
        }
    }
    return doors->n == 0;
}


static ngx_flag_t
ngx_http_sandbox_mcp_policy_allows(const struct sbx_policy_view *view, const char *tool)
{
    struct sbx_policy_input input = { .kind = SBX_POLICY_TOOL };
    struct sbx_decision decision;

    if (ngx_strlen(tool) >= sizeof(input.tool)) {
        return 0; /* no policy can name it */
    }
    ngx_memcpy(input.tool, tool, ngx_strlen(tool));
    sbx_policy_view_decide(view, &input, &decision);
    return decision.allowed;
}


ngx_int_t
ngx_http_sandbox_mcp_tools(ngx_http_request_t *r, const ngx_http_sandbox_mcp_t *mcp, uint64_t *ret)
{
    const struct sbx_mcp_catalogue *catalogue = mcp->conf->catalogue;
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);
    const struct sbx_policy_view *view = NULL;
    ngx_int_t rc;
    unsigned i;

    *ret = 0;
    if (ctx == NULL) {
        return NGX_ERROR;
    }
    /* Of a location without auth nobody is known whose policy it could be; the tools' own locations decide. */
    if (ctx->auth != NGX_HTTP_SANDBOX_AUTH_NONE) {
        rc = ngx_http_sandbox_policy(r, ctx, NULL, &view);
        if (rc != NGX_OK) {
            return rc;
        }
    }
    for (i = 0; i < catalogue->n_tools; i++) {
        if (ngx_http_sandbox_mcp_has_scopes(ctx, &mcp->conf->doors[i], catalogue->tool[i].tool)
            && (view == NULL || ngx_http_sandbox_mcp_policy_allows(view, catalogue->tool[i].tool)))
        {
            *ret |= 1ull << i;
        }
    }
    return NGX_OK;
}
