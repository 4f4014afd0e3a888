/*
 * The Model Context Protocol at the edge: the location that takes its messages, what HTTP asks of them, and the state of one from its POST to the
 * end of its answer.
 */
#include "ngx_http_sandbox_mcp.h"
#include "ngx_http_sandbox_body.h"
#include "ngx_http_sandbox_mcp_access.h"
#include "ngx_http_sandbox_mcp_edge.h"
#include "ngx_http_sandbox_mcp_origin.h"


static ngx_int_t ngx_http_sandbox_mcp_handler(ngx_http_request_t *r);
static void ngx_http_sandbox_mcp_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_mcp_message_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_mcp_tool_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_mcp_add_variables(ngx_conf_t *cf);
static void *ngx_http_sandbox_mcp_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_sandbox_mcp_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_sandbox_mcp_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_sandbox_mcp_init(ngx_conf_t *cf);
static char *ngx_http_sandbox_mcp_catalogue(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_conf_num_bounds_t ngx_http_sandbox_mcp_listeners_bounds = { ngx_conf_check_num_bounds, 1, 1000000 };


static ngx_command_t ngx_http_sandbox_mcp_commands[] = {

    { ngx_string("sandbox_mcp"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_sandbox_mcp_catalogue,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_mcp_origin"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_sandbox_mcp_origins,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_mcp_loc_conf_t, origins),
      NULL },

    { ngx_string("sandbox_mcp_listeners"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_mcp_loc_conf_t, listeners),
      &ngx_http_sandbox_mcp_listeners_bounds },

      ngx_null_command
};


static ngx_http_module_t ngx_http_sandbox_mcp_module_ctx = {
    .preconfiguration = ngx_http_sandbox_mcp_add_variables,
    .postconfiguration = ngx_http_sandbox_mcp_init,
    .create_main_conf = ngx_http_sandbox_mcp_create_main_conf,
    .create_loc_conf = ngx_http_sandbox_mcp_create_loc_conf,
    .merge_loc_conf = ngx_http_sandbox_mcp_merge_loc_conf,
};


ngx_module_t ngx_http_sandbox_mcp_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_mcp_module_ctx,
    ngx_http_sandbox_mcp_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};


static ngx_http_variable_t ngx_http_sandbox_mcp_variables[] = {

    { ngx_string("sandbox_mcp_message"), NULL, ngx_http_sandbox_mcp_message_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_mcp_tool"), NULL, ngx_http_sandbox_mcp_tool_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_http_sandbox_mcp_t *
ngx_http_sandbox_mcp(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);

    return ctx == NULL ? NULL : ctx->mcp;
}


void
ngx_http_sandbox_mcp_forget_json(ngx_http_sandbox_mcp_t *mcp)
{
    struct sbx_mcp_message *message = &mcp->message;

    json_decref(message->json);
    message->json = NULL;
    message->params = NULL;
    message->arguments = NULL;
    message->input_responses = NULL;
    message->notifications = NULL;
    message->request_state = NULL;
    message->name = NULL;
    message->name_len = 0;
}


static void
ngx_http_sandbox_mcp_cleanup(void *data)
{
    ngx_http_sandbox_mcp_t *mcp = data;

    if (mcp->called) {
        sbx_mcp_call_deinit(&mcp->call);
    }
    if (mcp->parsed) {
        sbx_mcp_message_deinit(&mcp->message);
    }
}


static ngx_http_sandbox_mcp_t *
ngx_http_sandbox_mcp_create(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);
    ngx_http_sandbox_mcp_t *mcp;
    ngx_pool_cleanup_t *cln;

    if (ctx == NULL) {
        return NULL;
    }
    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_mcp_t));
    if (cln == NULL) {
        return NULL;
    }
    mcp = cln->data;
    ngx_memzero(mcp, sizeof(ngx_http_sandbox_mcp_t));
    mcp->conf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_mcp_module);
    mcp->loc_conf = r->loc_conf;
    cln->handler = ngx_http_sandbox_mcp_cleanup;
    ctx->mcp = mcp;
    return mcp;
}


/* What HTTP says of the request is wrong: a problem document, as everywhere. */
static ngx_int_t
ngx_http_sandbox_mcp_refuse(ngx_http_request_t *r, const char *why, enum sbx_problem_code code, const char *detail)
{
    struct sbx_problem problem = { .code = code, .detail = detail };
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);

    if (ctx != NULL) {
        ctx->denied = why;
    }
    return ngx_http_sandbox_send_problem(r, &problem);
}


static ngx_int_t
ngx_http_sandbox_mcp_handler(ngx_http_request_t *r)
{
    static ngx_str_t allow = ngx_string("Allow");
    static ngx_str_t methods = ngx_string("POST");
    const ngx_http_sandbox_mcp_loc_conf_t *mlcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_mcp_module);
    ngx_int_t rc;

    /* A page may not even learn which methods there are. */
    if (!ngx_http_sandbox_mcp_origin_is_ours(r, mlcf->origins)) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "sandbox mcp: a message from a web page of another origin");
        return ngx_http_sandbox_mcp_refuse(r, "origin", SBX_PROBLEM_FORBIDDEN,
                                           "Web pages of this Origin may not send messages here.");
    }
    if (r->method != NGX_HTTP_POST) {
        if (ngx_http_sandbox_add_header(r, &allow, &methods) != NGX_OK) {
            return NGX_ERROR;
        }
        return ngx_http_sandbox_mcp_refuse(r, "method", SBX_PROBLEM_METHOD_NOT_ALLOWED,
                                           "Messages are sent by POST; there are no sessions and no stream to GET.");
    }
    if (!ngx_http_sandbox_body_is_json(r)) {
        return ngx_http_sandbox_mcp_refuse(r, "body", SBX_PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL);
    }

    r->request_body_in_single_buf = 1;
    rc = ngx_http_read_client_request_body(r, ngx_http_sandbox_mcp_body_handler);
    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}


/* The headers that repeat something of the body, in one walk along all of them. */
static void
ngx_http_sandbox_mcp_headers(ngx_http_request_t *r, struct sbx_mcp_headers *ret)
{
    const struct {
        ngx_str_t name;
        struct sbx_mcp_header *header;
    } wanted[] = {
        { ngx_string("mcp-protocol-version"), &ret->version },
        { ngx_string("mcp-method"), &ret->method },
        { ngx_string("mcp-name"), &ret->name }
    };
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_uint_t i, k;

    ngx_memzero(ret, sizeof(*ret));
    for (part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            for (k = 0; k < sizeof(wanted) / sizeof(wanted[0]); k++) {
                if (h[i].key.len == wanted[k].name.len
                    && ngx_strncasecmp(h[i].key.data, wanted[k].name.data, wanted[k].name.len) == 0)
                {
                    wanted[k].header->value = (const char *) h[i].value.data;
                    wanted[k].header->len = h[i].value.len;
                    wanted[k].header->n++;
                }
            }
        }
    }
}


/* NGX_OK: the message is in mcp; NGX_DECLINED: *err is the answer; else what the content handler returns. */
static ngx_int_t
ngx_http_sandbox_mcp_read(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, struct sbx_mcp_error *err)
{
    struct sbx_mcp_headers headers;
    ngx_str_t body;
    u_char *copy;
    ngx_int_t rc;
    int parsed = 0;

    ngx_http_sandbox_mcp_headers(r, &headers);
    rc = ngx_http_sandbox_body(r, &body, &copy);
    if (rc == NGX_OK) {
        parsed = sbx_mcp_message_parse(&mcp->message, (const char *) body.data, body.len, &headers, err);
    }
    if (copy != NULL) {
        ngx_free(copy);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_sandbox_mcp_refuse(r, "body", SBX_PROBLEM_PAYLOAD_TOO_LARGE, NULL);
    }
    if (rc != NGX_OK || parsed < 0) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    mcp->parsed = parsed == 0;
    return parsed == 0 ? NGX_OK : NGX_DECLINED;
}


/* The message knows whose call it is part of; a header may be that of whatever stands in between. */
static ngx_int_t
ngx_http_sandbox_mcp_trace(ngx_http_request_t *r, const struct sbx_mcp_message *message)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);

    if (ctx == NULL || message->traceparent[0] == '\0') {
        return ctx == NULL ? NGX_ERROR : NGX_OK;
    }
    return ngx_http_sandbox_ctx_trace(ctx, message->traceparent, ngx_strlen(message->traceparent));
}


/* When the body is there: from here on the answer is the protocol's. */
static void
ngx_http_sandbox_mcp_body_handler(ngx_http_request_t *r)
{
    struct sbx_mcp_error err = { 0 };
    ngx_http_sandbox_mcp_t *mcp;
    ngx_int_t rc;

    mcp = ngx_http_sandbox_mcp_create(r);
    if (mcp == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    rc = ngx_http_sandbox_mcp_read(r, mcp, &err);
    if (rc == NGX_OK && ngx_http_sandbox_mcp_trace(r, &mcp->message) != NGX_OK) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    } else if (rc == NGX_OK) {
        rc = ngx_http_sandbox_mcp_dispatch(r, mcp);

    } else if (rc == NGX_DECLINED) {
        rc = ngx_http_sandbox_mcp_send_error(r, mcp, &err);
    }
    ngx_http_finalize_request(r, rc);
}


static void
ngx_http_sandbox_mcp_set_variable(ngx_http_variable_value_t *v, const char *text)
{
    if (text == NULL) {
        v->not_found = 1;
        return;
    }
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = (u_char *) text;
    v->len = (unsigned) ngx_strlen(text);
}


/* One of the methods there are: nothing of the client's spelling gets into a log. */
static ngx_int_t
ngx_http_sandbox_mcp_message_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const ngx_http_sandbox_mcp_t *mcp = ngx_http_sandbox_mcp(r);

    ngx_http_sandbox_mcp_set_variable(v, mcp != NULL && mcp->parsed ? sbx_mcp_method_name(mcp->message.method) : NULL);
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_mcp_tool_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const ngx_http_sandbox_mcp_t *mcp = ngx_http_sandbox_mcp(r);

    ngx_http_sandbox_mcp_set_variable(v, mcp != NULL && mcp->tool != NULL ? mcp->tool->name : NULL);
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_mcp_add_variables(ngx_conf_t *cf)
{
    ngx_int_t rc = ngx_http_sandbox_add_variables(cf, ngx_http_sandbox_mcp_variables);

    return rc == NGX_OK ? ngx_http_sandbox_mcp_call_add_variables(cf) : rc;
}


static void *
ngx_http_sandbox_mcp_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_mcp_main_conf_t *mmcf;

    mmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_mcp_main_conf_t));
    if (mmcf == NULL || ngx_array_init(&mmcf->places, cf->pool, 2, sizeof(ngx_http_sandbox_mcp_place_t)) != NGX_OK) {
        return NULL;
    }
    return mmcf;
}


static void *
ngx_http_sandbox_mcp_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_mcp_loc_conf_t *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_mcp_loc_conf_t));
    if (conf != NULL) {
        conf->origins = NGX_CONF_UNSET_PTR;
        conf->listeners = NGX_CONF_UNSET;
    }
    return conf;
}


static char *
ngx_http_sandbox_mcp_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_sandbox_mcp_loc_conf_t *prev = parent;
    ngx_http_sandbox_mcp_loc_conf_t *conf = child;

    ngx_conf_merge_ptr_value(conf->origins, prev->origins, NULL);
    ngx_conf_merge_value(conf->listeners, prev->listeners, 1024);
    return NGX_CONF_OK;
}


/* All locations are known now. */
static ngx_int_t
ngx_http_sandbox_mcp_init(ngx_conf_t *cf)
{
    ngx_http_sandbox_mcp_main_conf_t *mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_mcp_module);
    ngx_http_sandbox_mcp_place_t *place = mmcf->places.elts;
    ngx_uint_t i;

    for (i = 0; i < mmcf->places.nelts; i++) {
        if (ngx_http_sandbox_mcp_find_doors(cf, &place[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return ngx_http_sandbox_mcp_filter_init(cf);
}


static void
ngx_http_sandbox_mcp_catalogue_cleanup(void *data)
{
    sbx_mcp_catalogue_free(data);
}


/* The catalogue of a file; each is read once however many locations name it. */
static struct sbx_mcp_catalogue *
ngx_http_sandbox_mcp_load(ngx_conf_t *cf, ngx_http_sandbox_mcp_main_conf_t *mmcf, ngx_str_t *path)
{
    ngx_http_sandbox_mcp_place_t *place = mmcf->places.elts;
    struct sbx_mcp_catalogue *catalogue;
    struct sbx_field_error err = { 0 };
    ngx_pool_cleanup_t *cln;
    ngx_str_t text;
    ngx_uint_t i;
    int rc;

    for (i = 0; i < mmcf->places.nelts; i++) {
        if (place[i].path.len == path->len && ngx_strncmp(place[i].path.data, path->data, path->len) == 0) {
            return place[i].conf->catalogue;
        }
    }
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL || ngx_http_sandbox_read_file(cf, path, SBX_MCP_CATALOGUE_MAX, &text) != NGX_OK) {
        return NULL;
    }
    rc = sbx_mcp_catalogue_load(&catalogue, (const char *) text.data, text.len, &err);
    if (rc != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" is no catalogue: %s%s%s", path, err.field,
                           err.field[0] == '\0' ? "" : ": ", rc < 0 ? "out of memory" : err.message);
        return NULL;
    }
    cln->handler = ngx_http_sandbox_mcp_catalogue_cleanup;
    cln->data = catalogue;
    return catalogue;
}


/* sandbox_mcp file; */
static char *
ngx_http_sandbox_mcp_catalogue(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_mcp_main_conf_t *mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_mcp_module);
    ngx_http_sandbox_mcp_loc_conf_t *mlcf = conf;
    ngx_str_t *value = cf->args->elts, path = value[1];
    ngx_http_sandbox_mcp_place_t *place;
    ngx_http_core_loc_conf_t *clcf;
    ngx_http_conf_ctx_t *ctx = cf->ctx;

    if (mlcf->catalogue != NULL) {
        return "is duplicate";
    }
    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    mlcf->catalogue = ngx_http_sandbox_mcp_load(cf, mmcf, &path);
    if (mlcf->catalogue == NULL) {
        return NGX_CONF_ERROR;
    }

    place = ngx_array_push(&mmcf->places);
    if (place == NULL) {
        return NGX_CONF_ERROR;
    }
    place->path = path;
    place->conf = mlcf;
    place->server = ctx->srv_conf[ngx_http_core_module.ctx_index];

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_sandbox_mcp_handler;
    return NGX_CONF_OK;
}
