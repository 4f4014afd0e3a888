/* GET /tools/resource: the same things as resources of the protocol, whole or not at all. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/api/source.h"
#include "executor/api/tool_reply.h"
#include "lib/sbx_utf8.h"

#define RESOURCE_MAX (1u << 20)
#define REPLY_MAX (8u << 20)
/* JSON-RPC's invalid params; what the older revisions say of a resource that is not there. */
#define CODE_PARAMS (-32602)
#define CODE_UNKNOWN_LEGACY (-32002)

static void
resource_error(struct call *call, int code, const char *message)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    char uri[SANDBOX_URI_MAX + 1];
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_int(&w, "code", code);
    sbx_jsonw_str(&w, "message", message);
    sbx_jsonw_object(&w, "data");
    sbx_jsonw_str(&w, "uri", call_param(call, "uri", uri, sizeof(uri)) == CALL_PARAM_FINE ? uri : "");
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object_end(&w);
    call->refuse = NULL;
    tool_reply(call, "error", &body);
}

/* A link, a device, a path through a file: none of them is a resource, and nobody is told what it is instead. */
static bool
resource_refuse(struct call *call, const struct sbx_problem *problem)
{
    const char *message;

    if (problem->code == SBX_PROBLEM_GONE && problem->detail != NULL) {
        message = problem->detail; /* the tenant's own session is over: why */
    } else if (problem->code == SBX_PROBLEM_NOT_FOUND || problem->code == SBX_PROBLEM_GONE ||
               problem->code == SBX_PROBLEM_FILE_DENIED || problem->code == SBX_PROBLEM_INVALID_REQUEST) {
        message = "there is no such resource";
    } else {
        return false;
    }
    resource_error(call, tool_is_legacy(call) ? CODE_UNKNOWN_LEGACY : CODE_PARAMS, message);
    return true;
}

static bool
resource_on_found(struct call *call)
{
    const struct source *source = call->source;
    char message[128];

    if (source->size <= RESOURCE_MAX) {
        return true;
    }
    (void)snprintf(message, sizeof(message),
                   "the resource has %" PRIu64 " bytes, more than %u: read it in parts with read_file",
                   source->size, RESOURCE_MAX); /* fits */
    resource_error(call, CODE_PARAMS, message);
    return false;
}

static bool
resource_enough(struct call *call _unused_)
{
    return false;
}

static void
resource_reply(struct call *call, const char *mime, bool is_text)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX),
                                             blob = SBX_BUF_INIT(REPLY_MAX / 2);
    const struct sbx_buf *data = &call->source->data;
    char uri[SANDBOX_URI_MAX + 1];
    struct sbx_jsonw w;

    if (!is_text) {
        sbx_b64_encode(&blob, data->data, data->len);
    }
    body.failed = blob.failed || data->failed;
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "contents");
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "uri", call_param(call, "uri", uri, sizeof(uri)) == CALL_PARAM_FINE ? uri : "");
    sbx_jsonw_str(&w, "mimeType", mime);
    if (is_text) {
        sbx_jsonw_strn(&w, "text", data->len == 0 ? "" : data->data, data->len);
    } else {
        sbx_jsonw_strn(&w, "blob", blob.failed ? "" : blob.data, blob.failed ? 0 : blob.len);
    }
    sbx_jsonw_object_end(&w);
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    tool_reply(call, NULL, &body);
}

static void
resource_on_done(struct call *call)
{
    const struct source *source = call->source;
    const char *type = tool_image_type(source->data.data, source->data.len);
    bool is_text = source->data.len == 0 || (sbx_utf8_valid(source->data.data, source->data.len) &&
                                             memchr(source->data.data, '\0', source->data.len) == NULL);

    resource_reply(call, type != NULL ? type : source->mime, type == NULL && is_text);
}

static void
resource_on_listed(struct call *call)
{
    resource_reply(call, "text/plain", true);
}

void
handle_tool_resource(struct call *call)
{
    static const struct source_events events = {
        .found = resource_on_found,
        .enough = resource_enough,
        .done = resource_on_done,
        .listed = resource_on_listed,
    };
    char uri[SANDBOX_URI_MAX + 1];
    enum call_param has = call_param(call, "uri", uri, sizeof(uri));

    if (has == CALL_PARAM_ABSENT) {
        (void)listing_bad(call, "uri", "is required"); /* it answers */
        return;
    }
    call->refuse = resource_refuse;
    source_open(call, &(struct source_ask){
                          .uri = has == CALL_PARAM_FINE ? uri : "",
                          .events = &events,
                          .most = RESOURCE_MAX,
                          .max_entries = SOURCE_ENTRIES_MAX,
                      });
}
