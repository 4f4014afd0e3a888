#include "executor/denial_line.h"

#include <stdio.h>
#include <string.h>

#include "lib/sbx_context.h"
#include "lib/sbx_json.h"

#define DENIAL_BODY_MAX (4ul * DENIALS_LINE_MAX)
#define DENIAL_NOBODY "-"

static void
take_name(char out[SBX_NAME_MAX + 1], const json_t *object, const char *key, const char *without)
{
    const char *text = json_string_value(json_object_get(object, key));

    if (text == NULL || !sbx_name_valid(text, strlen(text))) {
        text = without;
    }
    memcpy(out, text, strlen(text) + 1);
}

/* How long the policy says; 0: as the configuration does. */
static uint64_t
take_keep(const json_t *object)
{
    const json_t *keep = json_object_get(object, "keep_ms");

    return json_is_integer(keep) && json_integer_value(keep) > 0 ? (uint64_t)json_integer_value(keep) : 0;
}

static int
take_body(struct denial *ret, struct sbx_buf *body)
{
    ret->body = sbx_buf_take(body, &ret->body_len);
    sbx_buf_deinit(body);
    return ret->body == NULL ? -ENOMEM : 0;
}

static int
denial_malformed(struct denial *ret, size_t len)
{
    struct sbx_buf body = SBX_BUF_INIT(128);

    memcpy(ret->tenant, DENIAL_NOBODY, sizeof(DENIAL_NOBODY));
    ret->request_id[0] = '\0';
    sbx_buf_printf(&body, "{\"source\":\"edge\",\"malformed\":true,\"bytes\":%zu}", len);
    return take_body(ret, &body);
}

int
denial_line_parse(struct denial *ret, const char *line, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *object = NULL;
    struct sbx_buf body = SBX_BUF_INIT(DENIAL_BODY_MAX);
    struct sbx_field_error err;
    int r;

    r = sbx_json_parse(&object, line, len, &err);
    if (r < 0) {
        return r;
    }
    if (r > 0 || !json_is_object(object)) {
        return denial_malformed(ret, len);
    }
    take_name(ret->tenant, object, "tenant", DENIAL_NOBODY);
    take_name(ret->request_id, object, "request_id", "");
    ret->keep_ms = take_keep(object);
    if (json_object_set_new(object, "source", json_string("edge")) != 0) {
        return -ENOMEM;
    }
    /* The event's own columns: a body that repeats them could contradict them. */
    (void)json_object_del(object, "tenant");     /* absent is as good */
    (void)json_object_del(object, "request_id"); /* so here */
    (void)json_object_del(object, "keep_ms");
    sbx_json_dump(&body, object, true);
    return take_body(ret, &body);
}
