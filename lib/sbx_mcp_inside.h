/* What the parts of lib/sbx_mcp_message.h are to each other, and to nobody else. */
#pragma once

#include "sbx_mcp_message.h"

#pragma GCC visibility push(hidden)

/* Where a method takes the name from that it is about, and the header Mcp-Name repeats. */
enum sbx_mcp_naming { SBX_MCP_NAMES_NOTHING, SBX_MCP_NAMES_NAME, SBX_MCP_NAMES_URI, SBX_MCP_NAMES_TASK };

struct sbx_mcp_method_rule {
    const char *name;
    size_t len;
    enum sbx_mcp_method method;
    enum sbx_mcp_naming naming;
    bool modern, legacy; /* in which era it exists */
    bool notification;
};

/* NULL for a method of no revision. */
const struct sbx_mcp_method_rule *sbx_mcp_method_find(const char *name, size_t len);

/* The version that a legacy client named, as the constant it is; NULL when it is none of the legacy era's. */
const char *sbx_mcp_version_legacy(const char *text, size_t len);

/* Name and value of the member that a method names, into ret->name; stays NULL when there is no string of that name. */
void sbx_mcp_params_name(struct sbx_mcp_message *ret, const struct sbx_mcp_method_rule *rule);
/* What the method wants of its params: 0 or SBX_MCP_E_REFUSED. After sbx_mcp_params_name(). */
_must_check_ int sbx_mcp_params_check(struct sbx_mcp_message *ret, const struct sbx_mcp_method_rule *rule,
                                      struct sbx_mcp_error *err);
/* JSON text of a string or an integer; false when it is neither or longer than fits: *out is "" then. */
_must_check_ bool sbx_mcp_params_id(char *out, size_t size, size_t *ret_len, const json_t *value);

/* The header without the white space around its value (RFC 9110, 5.5). */
struct sbx_mcp_header sbx_mcp_header_trim(const struct sbx_mcp_header *header);
/* Whether headers, trimmed, of a modern message say what the body says; 0 or SBX_MCP_E_REFUSED. `version` is the body's, or NULL. */
_must_check_ int sbx_mcp_headers_check(const struct sbx_mcp_headers *headers,
                                       const struct sbx_mcp_message *message, const json_t *method,
                                       const json_t *version, const struct sbx_mcp_method_rule *rule,
                                       struct sbx_mcp_error *err);

/* The error of a version that is none of ours; `legacy`: to a client of that era, which is told of both. */
void sbx_mcp_error_version(struct sbx_mcp_error *err, const char *requested, size_t len, bool legacy);
/* Sets an error and returns SBX_MCP_E_REFUSED. */
#define sbx_mcp_refuse(err, status, code, ...)                                                               \
    (sbx_mcp_error_set((err), (status), (code), __VA_ARGS__), SBX_MCP_E_REFUSED)

#pragma GCC visibility pop
