/* Makes lines; reads them back by making them again and comparing. */
#include "audit_chain.h"

#include <string.h>

#include "lib/sbx_json.h"
#include "lib/sbx_jsonw.h"

void
audit_chain_init(struct audit_chain *chain)
{
    chain->seq = 0;
    memset(chain->hash, '0', SBX_SHA256_HEX - 1);
    chain->hash[SBX_SHA256_HEX - 1] = '\0';
}

int
audit_event_seal(const struct audit_event *event, struct sbx_buf *out, char hash[SBX_SHA256_HEX])
{
    const size_t start = out->len;
    uint8_t digest[SBX_SHA256_LEN];
    struct sbx_jsonw w;
    int r;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_uint(&w, "seq", event->seq);
    sbx_jsonw_str(&w, "ts", event->ts);
    sbx_jsonw_str(&w, "tenant", event->tenant);
    sbx_jsonw_str(&w, "kind", event->kind);
    sbx_jsonw_str(&w, "object", event->object);
    sbx_jsonw_str(&w, "request_id", event->request_id);
    sbx_jsonw_str(&w, "decision", event->decision);
    sbx_jsonw_raw(&w, "body", event->body, event->body_len);
    sbx_jsonw_str(&w, "prev", event->prev);
    sbx_jsonw_object_end(&w);
    if (out->failed) {
        return -ENOMEM;
    }

    r = sbx_sha256(out->data + start, out->len - start, digest);
    if (r) {
        return r;
    }
    sbx_hex(hash, digest, sizeof(digest));
    out->len--; /* reopens the object */
    sbx_buf_puts(out, ",\"hash\":\"");
    sbx_buf_append(out, hash, SBX_SHA256_HEX - 1);
    sbx_buf_puts(out, "\"}\n");
    return out->failed ? -ENOMEM : 0;
}

static bool
line_hash(const json_t *json, const char *key, char ret[SBX_SHA256_HEX])
{
    const char *text = json_string_value(json_object_get(json, key));

    if (text == NULL || strlen(text) != SBX_SHA256_HEX - 1 ||
        strspn(text, "0123456789abcdef") != SBX_SHA256_HEX - 1) {
        return false;
    }
    memcpy(ret, text, SBX_SHA256_HEX);
    return true;
}

static bool
line_text(const json_t *json, const char *key, bool required, const char **ret)
{
    const json_t *value = json_object_get(json, key);

    *ret = json_string_value(value);
    return *ret != NULL || (!required && json_is_null(value));
}

static bool
line_ts(const json_t *json, char ret[SBX_RFC3339_LEN])
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    const char *text = json_string_value(json_object_get(json, "ts"));

    if (text == NULL || strlen(text) != sizeof(form) - 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i]) {
            return false;
        }
    }
    memcpy(ret, text, SBX_RFC3339_LEN);
    return true;
}

static bool
line_members(const json_t *json, struct audit_event *event, struct audit_line *ret)
{
    const json_t *seq = json_object_get(json, "seq");

    if (!json_is_integer(seq) || json_integer_value(seq) <= 0) {
        return false;
    }
    event->seq = (uint64_t)json_integer_value(seq);
    ret->seq = event->seq;
    event->prev = ret->prev;
    return line_ts(json, event->ts) && line_text(json, "tenant", true, &event->tenant) &&
           line_text(json, "kind", true, &event->kind) && line_text(json, "object", false, &event->object) &&
           line_text(json, "request_id", false, &event->request_id) &&
           line_text(json, "decision", false, &event->decision) && line_hash(json, "prev", ret->prev) &&
           line_hash(json, "hash", ret->hash) && json_is_object(json_object_get(json, "body"));
}

int
audit_line_parse(struct audit_line *ret, const char *line, size_t len)
{
    static const size_t tail = sizeof("\"}") - 1 + SBX_SHA256_HEX - 1;
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(AUDIT_LINE_MAX);
    _cleanup_(sbx_buf_deinit) struct sbx_buf again = SBX_BUF_INIT(AUDIT_LINE_BUF);
    struct audit_event event = { 0 };
    struct sbx_field_error err;
    char hash[SBX_SHA256_HEX];
    int r;

    if (len > AUDIT_LINE_MAX) {
        return AUDIT_E_FORM;
    }
    r = sbx_json_parse(&json, line, len, &err);
    if (r) {
        return r < 0 ? r : AUDIT_E_FORM;
    }
    if (!json_is_object(json) || !line_members(json, &event, ret)) {
        return AUDIT_E_FORM;
    }

    sbx_json_dump(&body, json_object_get(json, "body"), true);
    if (body.failed) {
        return AUDIT_E_FORM;
    }
    event.body = body.data;
    event.body_len = body.len;
    r = audit_event_seal(&event, &again, hash);
    if (r) {
        return r;
    }

    /* Unknown members, other order, white space and other escapes all end here: the bytes differ. */
    if (again.len != len + 1 || memcmp(again.data, line, len - tail) != 0) {
        return AUDIT_E_FORM;
    }
    return memcmp(again.data, line, len) == 0 ? 0 : AUDIT_E_HASH;
}
