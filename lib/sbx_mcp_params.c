/* What each method wants of its params; what is about a tool's own arguments is the catalogue's. */
#include "sbx_mcp_inside.h"

#include <string.h>

#include "sbx_context.h"
#include "sbx_jsonw.h"
#include "sbx_mcp_state.h"

bool
sbx_mcp_params_id(char *out, size_t size, size_t *ret_len, const json_t *value)
{
    struct sbx_buf text = { .data = out, .cap = size, .max = size - 1 };
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &text);
    if (json_is_string(value)) {
        sbx_jsonw_strn(&w, NULL, json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) {
        sbx_jsonw_int(&w, NULL, json_integer_value(value));
    } else {
        text.failed = true;
    }
    if (text.failed) {
        text.len = 0;
        out[0] = '\0';
    }
    *ret_len = text.len;
    return !text.failed;
}

static int
invalid(struct sbx_mcp_error *err, const char *what)
{
    return sbx_mcp_refuse(err, 200, SBX_MCP_INVALID_PARAMS, "Invalid params: %s", what);
}

void
sbx_mcp_params_name(struct sbx_mcp_message *ret, const struct sbx_mcp_method_rule *rule)
{
    static const char *const keys[] = {
        [SBX_MCP_NAMES_NAME] = "name",
        [SBX_MCP_NAMES_URI] = "uri",
        [SBX_MCP_NAMES_TASK] = "taskId",
    };
    const json_t *name;

    if (rule->naming == SBX_MCP_NAMES_NOTHING) {
        return;
    }
    name = json_object_get(ret->params, keys[rule->naming]);
    ret->name = json_string_value(name);
    ret->name_len = json_string_length(name);
}

static int
check_name(const struct sbx_mcp_message *ret, enum sbx_mcp_naming naming, struct sbx_mcp_error *err)
{
    if (naming == SBX_MCP_NAMES_NOTHING) {
        return 0;
    }
    if (naming == SBX_MCP_NAMES_URI) {
        return ret->name_len > 0 && ret->name_len <= SBX_MCP_URI_MAX
                   ? 0
                   : invalid(err, "uri must be a string of 1 to 2048 bytes");
    }
    if (ret->name_len > 0 && ret->name_len <= SBX_MCP_NAME_MAX) {
        return 0;
    }
    return invalid(err, naming == SBX_MCP_NAMES_TASK ? "taskId must be a string of 1 to 128 bytes"
                                                     : "name must be a string of 1 to 128 bytes");
}

/* An object or nothing; null is nothing. */
static bool
take_object(const json_t *params, const char *key, const json_t **ret)
{
    const json_t *value = json_object_get(params, key);

    if (value == NULL || json_is_null(value)) {
        return true;
    }
    *ret = value;
    return json_is_object(value);
}

static int
check_meta(struct sbx_mcp_message *ret, struct sbx_mcp_error *err)
{
    const json_t *meta = NULL, *value;
    size_t len;

    if (!take_object(ret->params, "_meta", &meta)) {
        return invalid(err, "_meta must be an object");
    }
    value = json_object_get(meta, "progressToken");
    if (value != NULL && !sbx_mcp_params_id(ret->progress, sizeof(ret->progress), &len, value)) {
        return invalid(err, "_meta.progressToken must be an integer or a short string");
    }

    /* Invalid ones are as none: W3C Trace Context, 3.2.2.3. */
    value = json_object_get(meta, "traceparent");
    len = json_string_length(value);
    if (json_is_string(value) && len < sizeof(ret->traceparent) &&
        sbx_traceparent_valid(json_string_value(value), len)) {
        memcpy(ret->traceparent, json_string_value(value), len + 1);
    }
    return 0;
}

/* Answers to what an earlier reply asked (2026-07-28, "Multi round-trip requests"). */
static int
check_round_trip(struct sbx_mcp_message *ret, struct sbx_mcp_error *err)
{
    const json_t *state = json_object_get(ret->params, "requestState");

    if (!take_object(ret->params, "inputResponses", &ret->input_responses)) {
        return invalid(err, "inputResponses must be an object");
    }
    if (state != NULL && (!json_is_string(state) || json_string_length(state) > SBX_MCP_STATE_MAX)) {
        return invalid(err, "requestState must be a string that this server gave");
    }
    ret->request_state = json_string_value(state);
    return 0;
}

static int
check_initialize(struct sbx_mcp_message *ret, struct sbx_mcp_error *err)
{
    const json_t *version = json_object_get(ret->params, "protocolVersion"), *unused = NULL;
    const char *ours;

    if (!json_is_string(version)) {
        return invalid(err, "protocolVersion must be a string");
    }
    if (!take_object(ret->params, "capabilities", &unused) ||
        !take_object(ret->params, "clientInfo", &unused)) {
        return invalid(err, "capabilities and clientInfo must be objects");
    }
    ours = sbx_mcp_version_legacy(json_string_value(version), json_string_length(version));
    ret->version = ours != NULL ? ours : SBX_MCP_LEGACY_VERSION;
    return 0;
}

static bool
watches_strings(const json_t *uris)
{
    const json_t *uri;
    size_t i;

    if (!json_is_array(uris) || json_array_size(uris) > SBX_MCP_WATCHED_MAX) {
        return false;
    }
    for (i = 0; i < json_array_size(uris); i++) {
        uri = json_array_get(uris, i);
        if (!json_is_string(uri) || json_string_length(uri) > SBX_MCP_URI_MAX) {
            return false;
        }
    }
    return true;
}

static int
check_listen(struct sbx_mcp_message *ret, struct sbx_mcp_error *err)
{
    static const char *const flags[] = { "toolsListChanged", "promptsListChanged", "resourcesListChanged" };
    const json_t *filter = json_object_get(ret->params, "notifications"), *value;
    size_t i;

    if (!json_is_object(filter)) {
        return invalid(err, "notifications must be an object");
    }
    for (i = 0; i < SBX_COUNT(flags); i++) {
        value = json_object_get(filter, flags[i]);
        if (value != NULL && !json_is_boolean(value)) {
            return sbx_mcp_refuse(err, 200, SBX_MCP_INVALID_PARAMS,
                                  "Invalid params: notifications.%s must be true or false", flags[i]);
        }
    }
    value = json_object_get(filter, "resourceSubscriptions");
    if (value != NULL && !watches_strings(value)) {
        return invalid(err, "notifications.resourceSubscriptions must be at most 64 URIs");
    }
    ret->notifications = filter;
    return 0;
}

static int
check_level(const struct sbx_mcp_message *ret, struct sbx_mcp_error *err)
{
    static const char *const levels[] = { "debug", "info",     "notice", "warning",
                                          "error", "critical", "alert",  "emergency" };
    const char *level = json_string_value(json_object_get(ret->params, "level"));
    size_t i;

    for (i = 0; level != NULL && i < SBX_COUNT(levels); i++) {
        if (strcmp(level, levels[i]) == 0) {
            return 0;
        }
    }
    return invalid(err, "level must be debug, info, notice, warning, error, critical, alert or emergency");
}

/* Every list is one page: whatever a client brings as the next page's cursor, it has not from us. */
static int
check_list(const struct sbx_mcp_message *ret, struct sbx_mcp_error *err)
{
    return json_object_get(ret->params, "cursor") == NULL ? 0 : invalid(err, "there is no such cursor");
}

/* What is wrong with a cancellation is passed over (2026-07-28, "Cancellation"): it is a notification like any other then. */
static int
take_cancelled(struct sbx_mcp_message *ret)
{
    size_t len;

    if (!sbx_mcp_params_id(ret->cancels, sizeof(ret->cancels), &len,
                           json_object_get(ret->params, "requestId"))) {
        ret->method = SBX_MCP_NOTIFICATION;
    }
    return 0;
}

static int
check_method(struct sbx_mcp_message *ret, struct sbx_mcp_error *err)
{
    switch (ret->method) {
    case SBX_MCP_INITIALIZE:
        return check_initialize(ret, err);
    case SBX_MCP_TOOLS_LIST:
    case SBX_MCP_RESOURCES_LIST:
    case SBX_MCP_RESOURCE_TEMPLATES_LIST:
    case SBX_MCP_PROMPTS_LIST:
        return check_list(ret, err);
    case SBX_MCP_TOOLS_CALL:
    case SBX_MCP_PROMPTS_GET:
        return take_object(ret->params, "arguments", &ret->arguments)
                   ? 0
                   : invalid(err, "arguments must be an object");
    case SBX_MCP_LISTEN:
        return check_listen(ret, err);
    case SBX_MCP_LOGGING_SET_LEVEL:
        return check_level(ret, err);
    case SBX_MCP_CANCELLED:
        return take_cancelled(ret);
    case SBX_MCP_UNKNOWN:
    case SBX_MCP_DISCOVER:
    case SBX_MCP_PING:
    case SBX_MCP_RESOURCES_READ:
    case SBX_MCP_RESOURCES_SUBSCRIBE:
    case SBX_MCP_RESOURCES_UNSUBSCRIBE:
    case SBX_MCP_COMPLETE:
    case SBX_MCP_TASKS_GET:
    case SBX_MCP_TASKS_UPDATE:
    case SBX_MCP_TASKS_CANCEL:
    case SBX_MCP_INITIALIZED:
    case SBX_MCP_NOTIFICATION:
        return 0;
    }
    return 0;
}

int
sbx_mcp_params_check(struct sbx_mcp_message *ret, const struct sbx_mcp_method_rule *rule,
                     struct sbx_mcp_error *err)
{
    int r;

    if (!ret->is_request) {
        return check_method(ret, err);
    }
    r = check_meta(ret, err);
    if (r == 0 && ret->era == SBX_MCP_MODERN) {
        r = check_round_trip(ret, err);
    }
    if (r == 0) {
        r = check_name(ret, rule->naming, err);
    }
    return r != 0 ? r : check_method(ret, err);
}
