/* One message: which era it speaks, and all that is wrong with it but a tool's own arguments, in the order of lib/sbx_mcp_message.h. */
#include "sbx_mcp_inside.h"

#include <string.h>

#define META "io.modelcontextprotocol/"
#define METHOD_MAX 128

static const struct sbx_mcp_method_rule rules[] = {
#define RULE(text, method, naming, ...)                                                                      \
    {                                                                                                        \
        text, sizeof(text) - 1, SBX_MCP_##method, SBX_MCP_NAMES_##naming, __VA_ARGS__                        \
    }
    RULE("tools/call", TOOLS_CALL, NAME, .modern = true, .legacy = true),
    RULE("tools/list", TOOLS_LIST, NOTHING, .modern = true, .legacy = true),
    RULE("server/discover", DISCOVER, NOTHING, .modern = true),
    RULE("resources/list", RESOURCES_LIST, NOTHING, .modern = true, .legacy = true),
    RULE("resources/templates/list", RESOURCE_TEMPLATES_LIST, NOTHING, .modern = true, .legacy = true),
    RULE("resources/read", RESOURCES_READ, URI, .modern = true, .legacy = true),
    RULE("prompts/list", PROMPTS_LIST, NOTHING, .modern = true, .legacy = true),
    RULE("prompts/get", PROMPTS_GET, NAME, .modern = true, .legacy = true),
    RULE("completion/complete", COMPLETE, NOTHING, .modern = true, .legacy = true),
    RULE("subscriptions/listen", LISTEN, NOTHING, .modern = true),
    RULE("tasks/get", TASKS_GET, TASK, .modern = true),
    RULE("tasks/update", TASKS_UPDATE, TASK, .modern = true),
    RULE("tasks/cancel", TASKS_CANCEL, TASK, .modern = true),
    RULE("initialize", INITIALIZE, NOTHING, .legacy = true),
    RULE("ping", PING, NOTHING, .legacy = true),
    RULE("resources/subscribe", RESOURCES_SUBSCRIBE, URI, .legacy = true),
    RULE("resources/unsubscribe", RESOURCES_UNSUBSCRIBE, URI, .legacy = true),
    RULE("logging/setLevel", LOGGING_SET_LEVEL, NOTHING, .legacy = true),
    RULE("notifications/initialized", INITIALIZED, NOTHING, .legacy = true, .notification = true),
    RULE("notifications/cancelled", CANCELLED, NOTHING, .modern = true, .legacy = true, .notification = true),
#undef RULE
};

const struct sbx_mcp_method_rule *
sbx_mcp_method_find(const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < SBX_COUNT(rules); i++) {
        if (rules[i].len == len && memcmp(rules[i].name, name, len) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

const char *
sbx_mcp_method_name(enum sbx_mcp_method method)
{
    size_t i;

    for (i = 0; i < SBX_COUNT(rules); i++) {
        if (rules[i].method == method) {
            return rules[i].name;
        }
    }
    return method == SBX_MCP_NOTIFICATION ? "notification" : "unknown";
}

const char *
sbx_mcp_version_legacy(const char *text, size_t len)
{
    static const char *const versions[] = { SBX_MCP_LEGACY_VERSION, "2025-06-18",
                                            SBX_MCP_LEGACY_VERSION_OLDEST };
    size_t i;

    for (i = 0; i < SBX_COUNT(versions); i++) {
        if (strlen(versions[i]) == len && memcmp(versions[i], text, len) == 0) {
            return versions[i];
        }
    }
    return NULL;
}

/* What is right in a message that is refused is told again nevertheless: its id first. */
static int
take_id(struct sbx_mcp_message *ret, struct sbx_mcp_error *err)
{
    const json_t *id = json_object_get(ret->json, "id");

    if (id == NULL) {
        return 0;
    }
    ret->is_request = true;
    if (!sbx_mcp_params_id(ret->id, sizeof(ret->id), &ret->id_len, id)) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_REQUEST,
                              "Invalid request: id must be an integer or a string of at most %d bytes",
                              SBX_MCP_ID_MAX - 2);
    }
    memcpy(err->id, ret->id, ret->id_len + 1);
    err->id_len = ret->id_len;
    return 0;
}

/* JSON-RPC 2.0, 4: *ret_method is a string then, ret->params an object or NULL. */
static int
check_shape(struct sbx_mcp_message *ret, const json_t **ret_method, struct sbx_mcp_error *err)
{
    const json_t *method, *version;
    int r;

    if (json_is_array(ret->json)) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_REQUEST, "Invalid request: batches are not taken");
    }
    if (!json_is_object(ret->json)) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_REQUEST, "Invalid request: not an object");
    }
    r = take_id(ret, err);
    if (r != 0) {
        return r;
    }

    version = json_object_get(ret->json, "jsonrpc");
    if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_REQUEST, "Invalid request: jsonrpc must be \"2.0\"");
    }
    if (json_object_get(ret->json, "result") != NULL || json_object_get(ret->json, "error") != NULL) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_REQUEST,
                              "Invalid request: responses are not taken, this server asks nothing");
    }
    method = json_object_get(ret->json, "method");
    if (!json_is_string(method) || json_string_length(method) == 0 ||
        json_string_length(method) > METHOD_MAX) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_REQUEST,
                              "Invalid request: method must be a string of 1 to %d bytes", METHOD_MAX);
    }
    ret->params = json_object_get(ret->json, "params");
    if (ret->params != NULL && !json_is_object(ret->params)) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_REQUEST, "Invalid request: params must be an object");
    }
    *ret_method = method;
    return 0;
}

/*
 * Versions are dates, so that they compare as text; what is no date is newer than any by that, and refused as what it says or does not
 * say in its _meta.
 */
static enum sbx_mcp_era
find_era(const struct sbx_mcp_message *ret, const struct sbx_mcp_headers *headers)
{
    const struct sbx_mcp_header *header = &headers->version;
    const size_t len = sizeof(SBX_MCP_VERSION) - 1, both = header->len < len ? header->len : len;
    int order;

    if (json_object_get(json_object_get(ret->params, "_meta"), META "protocolVersion") != NULL) {
        return SBX_MCP_MODERN;
    }
    if (header->n == 0 || header->len == 0) {
        return SBX_MCP_LEGACY;
    }
    order = memcmp(header->value, SBX_MCP_VERSION, both);
    return order > 0 || (order == 0 && header->len >= len) ? SBX_MCP_MODERN : SBX_MCP_LEGACY;
}

static unsigned
read_capabilities(const json_t *declared)
{
    const json_t *elicitation;
    unsigned can = 0;
    bool form, url;

    if (json_object_size(declared) == 0) {
        return 0; /* said with each message, and most often empty */
    }
    elicitation = json_object_get(declared, "elicitation");
    form = json_is_object(json_object_get(elicitation, "form"));
    url = json_is_object(json_object_get(elicitation, "url"));

    /* Said without a mode, it is the form. */
    if (form || (json_is_object(elicitation) && !url)) {
        can |= SBX_MCP_CAN_ELICIT;
    }
    if (url) {
        can |= SBX_MCP_CAN_ELICIT_URL;
    }
    if (json_is_object(json_object_get(declared, "sampling"))) {
        can |= SBX_MCP_CAN_SAMPLE;
    }
    if (json_is_object(json_object_get(declared, "roots"))) {
        can |= SBX_MCP_CAN_ROOTS;
    }
    if (json_is_object(json_object_get(json_object_get(declared, "extensions"), META "tasks"))) {
        can |= SBX_MCP_CAN_TASKS;
    }
    return can;
}

static int
check_modern_meta(struct sbx_mcp_message *ret, const json_t **ret_version, struct sbx_mcp_error *err)
{
    const json_t *meta = json_object_get(ret->params, "_meta"), *version, *declared;

    version = json_object_get(meta, META "protocolVersion");
    declared = json_object_get(meta, META "clientCapabilities");
    if (version != NULL && !json_is_string(version)) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_PARAMS,
                              "Invalid params: _meta." META "protocolVersion must be a string");
    }
    *ret_version = version;
    if (!ret->is_request) {
        return 0;
    }
    if (!json_is_object(meta)) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_PARAMS, "Invalid params: _meta must be an object");
    }
    if (version == NULL) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_PARAMS,
                              "Invalid params: _meta." META "protocolVersion is required");
    }
    if (!json_is_object(declared)) {
        return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_PARAMS,
                              "Invalid params: _meta." META "clientCapabilities must be an object");
    }
    ret->can = read_capabilities(declared);
    return 0;
}

static int
check_modern(struct sbx_mcp_message *ret, const struct sbx_mcp_headers *headers, const json_t *method,
             const struct sbx_mcp_method_rule *rule, struct sbx_mcp_error *err)
{
    const json_t *version;
    const char *text = headers->version.value;
    size_t len = headers->version.len;
    int r;

    r = check_modern_meta(ret, &version, err);
    if (r == 0) {
        r = sbx_mcp_headers_check(headers, ret, method, version, rule, err);
    }
    if (r != 0) {
        return r;
    }
    if (version != NULL) {
        text = json_string_value(version);
        len = json_string_length(version);
    }
    if (len != sizeof(SBX_MCP_VERSION) - 1 || memcmp(text, SBX_MCP_VERSION, len) != 0) {
        sbx_mcp_error_version(err, text, len, false);
        return SBX_MCP_E_REFUSED;
    }
    ret->version = SBX_MCP_VERSION;
    return 0;
}

static int
check_legacy(struct sbx_mcp_message *ret, const struct sbx_mcp_headers *headers,
             const struct sbx_mcp_method_rule *rule, struct sbx_mcp_error *err)
{
    const struct sbx_mcp_header *header = &headers->version;

    /* Before initialize there is no version yet that both know: what its header says counts for nothing. */
    if (header->n == 0 || (rule != NULL && rule->method == SBX_MCP_INITIALIZE)) {
        ret->version = SBX_MCP_LEGACY_VERSION_OLDEST;
        return 0;
    }
    if (header->n == 1) {
        ret->version = sbx_mcp_version_legacy(header->value, header->len);
    }
    if (ret->version == NULL) {
        sbx_mcp_error_version(err, header->value, header->len, true);
        return SBX_MCP_E_REFUSED;
    }
    return 0;
}

/* Takes the method if it is one of this era and of this kind. */
static int
check_method(struct sbx_mcp_message *ret, const json_t *method, const struct sbx_mcp_method_rule *rule,
             struct sbx_mcp_error *err)
{
    static const char prefix[] = "notifications/";
    const bool known = rule != NULL && (ret->era == SBX_MCP_MODERN ? rule->modern : rule->legacy);

    if (!ret->is_request) {
        if (strncmp(json_string_value(method), prefix, sizeof(prefix) - 1) != 0) {
            return sbx_mcp_refuse(err, 400, SBX_MCP_INVALID_REQUEST, "Invalid request: id is required");
        }
        ret->method = known ? rule->method : SBX_MCP_NOTIFICATION;
        return 0;
    }
    if (!known || rule->notification) {
        return sbx_mcp_refuse(err, ret->era == SBX_MCP_MODERN ? 404 : 200, SBX_MCP_METHOD_NOT_FOUND,
                              "Method not found");
    }
    ret->method = rule->method;
    if (rule->naming == SBX_MCP_NAMES_TASK && (ret->can & SBX_MCP_CAN_TASKS) == 0) {
        sbx_mcp_error_capability(err, SBX_MCP_CAN_TASKS);
        return SBX_MCP_E_REFUSED;
    }
    return 0;
}

static int
check(struct sbx_mcp_message *ret, const struct sbx_mcp_headers *headers, struct sbx_mcp_error *err)
{
    const struct sbx_mcp_method_rule *rule;
    const json_t *method;
    int r;

    r = check_shape(ret, &method, err);
    if (r != 0) {
        return r;
    }
    rule = sbx_mcp_method_find(json_string_value(method), json_string_length(method));
    ret->era = find_era(ret, headers);
    if (rule != NULL) {
        sbx_mcp_params_name(ret, rule);
    }

    r = ret->era == SBX_MCP_MODERN ? check_modern(ret, headers, method, rule, err)
                                   : check_legacy(ret, headers, rule, err);
    if (r == 0) {
        r = check_method(ret, method, rule, err);
    }
    return r != 0 ? r : sbx_mcp_params_check(ret, rule, err);
}

int
sbx_mcp_message_parse(struct sbx_mcp_message *ret, const char *body, size_t len,
                      const struct sbx_mcp_headers *headers, struct sbx_mcp_error *err)
{
    const struct sbx_mcp_headers trimmed = {
        .version = sbx_mcp_header_trim(&headers->version),
        .method = sbx_mcp_header_trim(&headers->method),
        .name = sbx_mcp_header_trim(&headers->name),
    };
    struct sbx_field_error why;
    int r;

    memset(ret, 0, sizeof(*ret));
    err->id[0] = '\0';
    err->id_len = 0;

    r = sbx_json_parse(&ret->json, body, len, &why);
    if (r == SBX_JSON_E_SYNTAX) {
        return sbx_mcp_refuse(err, 400, why.too_large ? SBX_MCP_INVALID_REQUEST : SBX_MCP_PARSE_ERROR,
                              "%s: %s", why.too_large ? "Invalid request" : "Parse error", why.message);
    }
    if (r != 0) {
        return r;
    }

    r = check(ret, &trimmed, err);
    if (r != 0) {
        sbx_mcp_message_deinit(ret);
    }
    return r;
}

void
sbx_mcp_message_deinit(struct sbx_mcp_message *message)
{
    json_decref(message->json);
    memset(message, 0, sizeof(*message));
}
