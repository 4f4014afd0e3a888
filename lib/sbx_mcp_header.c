/*
 * Headers that repeat the body (2026-07-28, "Request metadata"): who routes or limits by them must not be told another thing than who
 * executes the body.
 */
#include "sbx_mcp_inside.h"

#include <string.h>

#include "sbx_crypto.h"

#define SENTINEL "=?base64?"
#define SENTINEL_END "?="

struct sbx_mcp_header
sbx_mcp_header_trim(const struct sbx_mcp_header *header)
{
    struct sbx_mcp_header trimmed = *header;

    while (trimmed.len > 0 && (trimmed.value[0] == ' ' || trimmed.value[0] == '\t')) {
        trimmed.value++;
        trimmed.len--;
    }
    while (trimmed.len > 0 &&
           (trimmed.value[trimmed.len - 1] == ' ' || trimmed.value[trimmed.len - 1] == '\t')) {
        trimmed.len--;
    }
    return trimmed;
}

static bool
is_printable(const char *value, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if ((value[i] < 0x20 || value[i] > 0x7e) && value[i] != '\t') {
            return false;
        }
    }
    return true;
}

/* The value as it was meant. `scratch` keeps what had to be decoded. False when it was not sent once, or is not well-formed. */
static bool
decode(const struct sbx_mcp_header *header, struct sbx_buf *scratch, const char **ret, size_t *ret_len)
{
    const size_t begin = sizeof(SENTINEL) - 1, end = sizeof(SENTINEL_END) - 1;
    const struct sbx_mcp_header trimmed = sbx_mcp_header_trim(header);
    const char *value = trimmed.value;
    const size_t len = trimmed.len;

    if (header->n != 1 || len > SBX_MCP_HEADER_MAX || !is_printable(value, len)) {
        return false;
    }
    if (len < begin + end || memcmp(value, SENTINEL, begin) != 0 ||
        memcmp(value + len - end, SENTINEL_END, end) != 0) {
        *ret = value;
        *ret_len = len;
        return true;
    }
    if (!sbx_b64_decode(scratch, value + begin, len - begin - end) || scratch->failed) {
        return false;
    }
    *ret = scratch->len > 0 ? scratch->data : "";
    *ret_len = scratch->len;
    return true;
}

bool
sbx_mcp_header_is(const struct sbx_mcp_header *header, const char *text, size_t len)
{
    struct sbx_buf scratch = SBX_BUF_INIT(SBX_MCP_HEADER_MAX);
    const char *value;
    size_t value_len;
    bool same;

    same = decode(header, &scratch, &value, &value_len) && value_len == len && memcmp(value, text, len) == 0;
    sbx_buf_deinit(&scratch);
    return same;
}

static bool
is_number(const char *text, size_t len, const json_t *value)
{
    struct sbx_field_error unused;
    json_t *number = NULL;
    bool same;

    if (sbx_json_parse(&number, text, len, &unused) != 0) {
        return false;
    }
    if (json_is_integer(number) && json_is_integer(value)) {
        same = json_integer_value(number) == json_integer_value(value);
    } else {
        same = json_is_number(number) && json_number_value(number) == json_number_value(value);
    }
    json_decref(number);
    return same;
}

bool
sbx_mcp_header_agrees(const struct sbx_mcp_header *header, const json_t *value)
{
    struct sbx_buf scratch = SBX_BUF_INIT(SBX_MCP_HEADER_MAX);
    const char *text;
    size_t len;
    bool same = false;

    if (value == NULL || json_is_null(value)) {
        return header->n == 0;
    }
    if (json_is_string(value)) {
        return sbx_mcp_header_is(header, json_string_value(value), json_string_length(value));
    }
    if (json_is_boolean(value)) {
        text = json_is_true(value) ? "true" : "false";
        return sbx_mcp_header_is(header, text, strlen(text));
    }
    if (json_is_number(value) && decode(header, &scratch, &text, &len)) {
        same = is_number(text, len, value);
    }
    sbx_buf_deinit(&scratch);
    return same;
}

/* A header whose values are not encoded: versions and methods. */
static int
check_plain(const struct sbx_mcp_header *header, const char *name, const json_t *body, bool required,
            struct sbx_mcp_error *err)
{
    if (header->n == 0) {
        return required ? sbx_mcp_refuse(err, 400, SBX_MCP_HEADER_MISMATCH, "Header mismatch: %s is required",
                                         name)
                        : 0;
    }
    if (header->n > 1) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_HEADER_MISMATCH,
                              "Header mismatch: %s was sent more than once", name);
    }
    if (body != NULL && (header->len != json_string_length(body) ||
                         memcmp(header->value, json_string_value(body), header->len) != 0)) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_HEADER_MISMATCH,
                              "Header mismatch: %s is not what the body says", name);
    }
    return 0;
}

static int
check_name(const struct sbx_mcp_header *header, const struct sbx_mcp_message *message,
           struct sbx_mcp_error *err)
{
    if (message->name == NULL) {
        /* Of both missing, the params are told of. */
        return header->n == 0 ? 0
                              : sbx_mcp_refuse(err, 400, SBX_MCP_HEADER_MISMATCH,
                                               "Header mismatch: Mcp-Name is not what the body says");
    }
    if (header->n == 0) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_HEADER_MISMATCH, "Header mismatch: Mcp-Name is required");
    }
    if (!sbx_mcp_header_is(header, message->name, message->name_len)) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_HEADER_MISMATCH,
                              "Header mismatch: Mcp-Name is not what the body says");
    }
    return 0;
}

int
sbx_mcp_headers_check(const struct sbx_mcp_headers *headers, const struct sbx_mcp_message *message,
                      const json_t *method, const json_t *version, const struct sbx_mcp_method_rule *rule,
                      struct sbx_mcp_error *err)
{
    int r;

    /* Which headers come with a notification, the revision leaves open: those that come must be right. */
    r = check_plain(&headers->version, "MCP-Protocol-Version", version, message->is_request, err);
    if (r == 0) {
        r = check_plain(&headers->method, "Mcp-Method", method, message->is_request, err);
    }
    if (r == 0 && rule != NULL && rule->naming != SBX_MCP_NAMES_NOTHING) {
        r = check_name(&headers->name, message, err);
    }
    return r;
}
