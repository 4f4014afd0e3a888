/* Catalogues: a document. What is taken has lists that are JSON, and tools that are found by their names. */
#include "lib/sbx_mcp_catalogue.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Members of a result are an object when they have braces. */
static void
check_members(struct sbx_buf *out)
{
    struct sbx_field_error err;
    json_t *json = NULL;
    char end = '}';

    sbx_buf_append(out, &end, 1);
    if (out->failed || sbx_json_parse(&json, out->data, out->len, &err) != 0 || !json_is_object(json)) {
        abort();
    }
    json_decref(json);
    sbx_buf_reset(out);
    sbx_buf_puts(out, "{");
}

static void
check(const struct sbx_mcp_catalogue *catalogue)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 24);
    unsigned i, k;

    sbx_buf_puts(&out, "{");
    sbx_mcp_catalogue_discover(catalogue, &out);
    check_members(&out);
    sbx_mcp_catalogue_initialize(catalogue, &out, SBX_MCP_LEGACY_VERSION);
    check_members(&out);
    for (i = 0; i < 2; i++) {
        sbx_mcp_catalogue_tools(catalogue, &out, (enum sbx_mcp_era)i, UINT64_MAX);
        check_members(&out);
        sbx_mcp_catalogue_tools(catalogue, &out, (enum sbx_mcp_era)i, 0x5555555555555555);
        check_members(&out);
        sbx_mcp_catalogue_resources(catalogue, &out, (enum sbx_mcp_era)i);
        check_members(&out);
        sbx_mcp_catalogue_templates(catalogue, &out, (enum sbx_mcp_era)i);
        check_members(&out);
        sbx_mcp_catalogue_prompts(catalogue, &out, (enum sbx_mcp_era)i);
        check_members(&out);
    }
    sbx_buf_deinit(&out);
    for (i = 0; i < catalogue->n_tools; i++) {
        const char *name = catalogue->tool[i].name;

        if (sbx_mcp_catalogue_tool(catalogue, name, strlen(name)) != &catalogue->tool[i]) {
            abort();
        }
        for (k = 0; sbx_mcp_tool_location(&catalogue->tool[i], k) != NULL; k++) {
        }
        if (k == 0) {
            abort();
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_mcp_catalogue *catalogue = NULL;
    struct sbx_field_error err = { .message = "" };
    int r = sbx_mcp_catalogue_load(&catalogue, (const char *)data, size, &err);

    if (r == 0) {
        check(catalogue);
    } else if (r < 0 || catalogue != NULL || err.message[0] == '\0') {
        abort();
    }
    catalogue = sbx_mcp_catalogue_free(catalogue);
    return 0;
}
