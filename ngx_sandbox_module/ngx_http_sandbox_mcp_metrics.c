#include "ngx_http_sandbox_mcp_metrics.h"
#include "ngx_http_sandbox_mcp_access.h"


static const char *const ngx_http_sandbox_mcp_eras[] = { [SBX_MCP_LEGACY] = "legacy", [SBX_MCP_MODERN] = "modern" };

static const char *const ngx_http_sandbox_mcp_outcomes[] = {
    [NGX_HTTP_SANDBOX_MCP_REFUSED] = "refused",
    [NGX_HTTP_SANDBOX_MCP_RESULT] = "result",
    [NGX_HTTP_SANDBOX_MCP_TOOL_ERROR] = "tool_error",
    [NGX_HTTP_SANDBOX_MCP_ERROR] = "error",
    [NGX_HTTP_SANDBOX_MCP_INPUT] = "input_required",
    [NGX_HTTP_SANDBOX_MCP_TASK] = "task",
    [NGX_HTTP_SANDBOX_MCP_ACCEPTED] = "accepted",
};


static ngx_http_sandbox_mcp_tool_count_t *
ngx_http_sandbox_mcp_count_of(ngx_http_sandbox_mcp_counts_t *counts, const char *name)
{
    ngx_uint_t i;

    for (i = 0; i < counts->n_tools; i++) {
        if (ngx_strcmp(counts->tool[i].name, name) == 0) {
            return &counts->tool[i];
        }
    }
    return NULL;
}


static void
ngx_http_sandbox_mcp_count_tool(ngx_http_sandbox_mcp_counts_t *counts, const char *name, ngx_log_t *log)
{
    if (ngx_http_sandbox_mcp_count_of(counts, name) != NULL) {
        return;
    }
    if (counts->n_tools == NGX_HTTP_SANDBOX_MCP_COUNTED_TOOLS) {
        ngx_log_error(NGX_LOG_WARN, log, 0, "no counters left for tool \"%s\"", name);
        return;
    }
    (void) ngx_cpystrn(counts->tool[counts->n_tools].name, (u_char *) name, SBX_MCP_NAME_MAX + 1); /* its end is not needed */
    /* Its name before its number: workers of the old configuration are reading. */
    ngx_memory_barrier();
    counts->n_tools++;
}


const ngx_array_t *
ngx_http_sandbox_mcp_places(ngx_conf_t *cf)
{
    ngx_http_sandbox_mcp_main_conf_t *mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_mcp_module);

    return &mmcf->places;
}


void
ngx_http_sandbox_mcp_count_tools(ngx_http_sandbox_mcp_counts_t *counts, const ngx_array_t *places, ngx_log_t *log)
{
    const ngx_http_sandbox_mcp_place_t *place = places->elts;
    ngx_uint_t i;
    unsigned k;

    for (i = 0; i < places->nelts; i++) {
        for (k = 0; k < place[i].conf->catalogue->n_tools; k++) {
            ngx_http_sandbox_mcp_count_tool(counts, place[i].conf->catalogue->tool[k].name, log);
        }
    }
}


void
ngx_http_sandbox_mcp_count(ngx_http_sandbox_mcp_counts_t *counts, ngx_http_request_t *r)
{
    const ngx_http_sandbox_mcp_t *mcp = ngx_http_sandbox_mcp(r);
    ngx_http_sandbox_mcp_tool_count_t *tool;
    enum sbx_mcp_method method;

    if (mcp == NULL) {
        return;
    }
    method = mcp->parsed ? mcp->message.method : SBX_MCP_UNKNOWN;
    /* The old values are nothing to us. */
    (void) ngx_atomic_fetch_add(&counts->message[method][mcp->parsed ? mcp->message.era : SBX_MCP_LEGACY][mcp->outcome], 1);
    tool = mcp->tool == NULL ? NULL : ngx_http_sandbox_mcp_count_of(counts, mcp->tool->name);
    if (tool != NULL) {
        (void) ngx_atomic_fetch_add(&tool->n[mcp->outcome], 1);
    }
}


static void
ngx_http_sandbox_mcp_metric_head(struct sbx_buf *out, const char *name, const char *help)
{
    sbx_buf_printf(out, "# HELP sandbox_gateway_%s %s\n# TYPE sandbox_gateway_%s counter\n", name, help, name);
}


static void
ngx_http_sandbox_mcp_write_messages(struct sbx_buf *out, const ngx_http_sandbox_mcp_counts_t *counts)
{
    ngx_uint_t method, era, outcome;

    ngx_http_sandbox_mcp_metric_head(out, "mcp_messages_total", "MCP messages by method, era and what came of them.");
    for (method = 0; method < NGX_HTTP_SANDBOX_MCP_METHODS; method++) {
        for (era = 0; era < 2; era++) {
            for (outcome = 0; outcome < NGX_HTTP_SANDBOX_MCP_N_OUTCOMES; outcome++) {
                if (counts->message[method][era][outcome] != 0) {
                    sbx_buf_printf(out, "sandbox_gateway_mcp_messages_total{method=\"%s\",era=\"%s\",outcome=\"%s\"} %lu\n",
                                   sbx_mcp_method_name((enum sbx_mcp_method) method), ngx_http_sandbox_mcp_eras[era],
                                   ngx_http_sandbox_mcp_outcomes[outcome],
                                   (unsigned long) counts->message[method][era][outcome]);
                }
            }
        }
    }
}


void
ngx_http_sandbox_mcp_write_counts(struct sbx_buf *out, const ngx_http_sandbox_mcp_counts_t *counts)
{
    ngx_uint_t i, outcome;

    ngx_http_sandbox_mcp_write_messages(out, counts);
    ngx_http_sandbox_mcp_metric_head(out, "mcp_tool_calls_total", "Calls of MCP tools by tool and what came of them.");
    for (i = 0; i < counts->n_tools; i++) {
        for (outcome = 0; outcome < NGX_HTTP_SANDBOX_MCP_N_OUTCOMES; outcome++) {
            if (counts->tool[i].n[outcome] != 0) {
                sbx_buf_printf(out, "sandbox_gateway_mcp_tool_calls_total{tool=\"%s\",outcome=\"%s\"} %lu\n",
                               counts->tool[i].name, ngx_http_sandbox_mcp_outcomes[outcome],
                               (unsigned long) counts->tool[i].n[outcome]);
            }
        }
    }
}
