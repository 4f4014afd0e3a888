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

static int
text_digest(const char *text, size_t len, char hex[SBX_SHA256_HEX])
{
    uint8_t digest[SBX_SHA256_LEN];
    int r;

    r = sbx_sha256(text, len, digest);
    if (r == 0) {
        sbx_hex(hex, digest, sizeof(digest));
    }
    return r;
}

int
audit_event_digest(struct audit_event *event)
{
    return text_digest(event->body, event->body_len, event->body_sha256);
}

static void
event_write_body(struct sbx_jsonw *w, const struct audit_event *event)
{
    if (event->body == NULL) {
        sbx_jsonw_null(w, "body");
    } else {
        sbx_jsonw_raw(w, "body", event->body, event->body_len);
    }
}

int
audit_event_seal(const struct audit_event *event, struct sbx_buf *out, char hash[SBX_SHA256_HEX])
{
    const size_t start = out->len;
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
    if (event->form == AUDIT_FORM_DIGEST) {
        sbx_jsonw_str(&w, "keep_until", event->keep_until[0] == '\0' ? NULL : event->keep_until);
        sbx_jsonw_str(&w, "body_sha256", event->body_sha256);
    } else {
        event_write_body(&w, event);
    }
    sbx_jsonw_str(&w, "prev", event->prev);
    sbx_jsonw_object_end(&w);
    if (out->failed) {
        return -ENOMEM;
    }

    r = text_digest(out->data + start, out->len - start, hash);
    if (r) {
        return r;
    }
    out->len--; /* reopens the object */
    w.depth = 1;
    sbx_jsonw_str(&w, "hash", hash);
    if (event->form == AUDIT_FORM_DIGEST) {
        event_write_body(&w, event);
    }
    sbx_jsonw_object_end(&w);
    sbx_buf_putc(out, '\n');
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
ts_valid(const char *text)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";

    if (text == NULL || strlen(text) != sizeof(form) - 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i]) {
            return false;
        }
    }
    return true;
}

static bool
line_ts(const json_t *json, const char *key, char ret[SBX_RFC3339_LEN])
{
    const char *text = json_string_value(json_object_get(json, key));

    if (!ts_valid(text)) {
        return false;
    }
    memcpy(ret, text, SBX_RFC3339_LEN);
    return true;
}

/* What form 2 has and form 1 has not. */
static bool
line_form(const json_t *json, struct audit_event *event, struct audit_line *ret)
{
    const json_t *body = json_object_get(json, "body"), *keep = json_object_get(json, "keep_until");

    if (keep == NULL) {
        event->form = ret->form = AUDIT_FORM_WHOLE;
        return json_is_object(body);
    }
    event->form = ret->form = AUDIT_FORM_DIGEST;
    ret->erased = json_is_null(body);
    return (json_is_null(keep) || line_ts(json, "keep_until", event->keep_until)) &&
           line_hash(json, "body_sha256", event->body_sha256) && (ret->erased || json_is_object(body));
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
    return line_ts(json, "ts", event->ts) && line_text(json, "tenant", true, &event->tenant) &&
           line_text(json, "kind", true, &event->kind) && line_text(json, "object", false, &event->object) &&
           line_text(json, "request_id", false, &event->request_id) &&
           line_text(json, "decision", false, &event->decision) && line_hash(json, "prev", ret->prev) &&
           line_hash(json, "hash", ret->hash) && line_form(json, event, ret);
}

/* Makes the line again out of what was read; *ret_bad: a digest in it is not that of its bytes. */
static int
line_again(const json_t *json, struct audit_event *event, struct sbx_buf *body, struct sbx_buf *out,
           char hash[SBX_SHA256_HEX], bool *ret_bad)
{
    char said[SBX_SHA256_HEX];
    int r = 0;

    *ret_bad = false;
    if (json_is_object(json_object_get(json, "body"))) {
        sbx_json_dump(body, json_object_get(json, "body"), true);
        if (body->failed) {
            return AUDIT_E_FORM;
        }
        event->body = body->data;
        event->body_len = body->len;
    }
    if (event->form == AUDIT_FORM_DIGEST && event->body != NULL) {
        memcpy(said, event->body_sha256, sizeof(said));
        r = audit_event_digest(event);
        *ret_bad = strcmp(said, event->body_sha256) != 0;
        memcpy(event->body_sha256, said, sizeof(said));
    }
    return r ? r : audit_event_seal(event, out, hash);
}

/* Where the value of "hash" stands in a line that was made: before the body, or at the end. */
static size_t
hash_place(const struct audit_event *event, size_t len)
{
    size_t body = 0;

    if (event->form == AUDIT_FORM_DIGEST) {
        body = strlen(",\"body\":") + (event->body == NULL ? strlen("null") : event->body_len);
    }
    return len - strlen("}\n") - body - 1 - (SBX_SHA256_HEX - 1);
}

static void
line_fill(struct audit_line *ret, const struct audit_event *event)
{
    size_t len = strlen(event->tenant);

    len = len > AUDIT_NAME_MAX ? AUDIT_NAME_MAX : len;
    memcpy(ret->tenant, event->tenant, len);
    ret->tenant[len] = '\0';
    memcpy(ret->ts, event->ts, sizeof(ret->ts));
    memcpy(ret->keep_until, event->keep_until, sizeof(ret->keep_until));
}

int
audit_line_parse(struct audit_line *ret, const char *line, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(AUDIT_LINE_MAX);
    _cleanup_(sbx_buf_deinit) struct sbx_buf again = SBX_BUF_INIT(AUDIT_LINE_BUF);
    struct audit_event event = { 0 };
    struct sbx_field_error err;
    char hash[SBX_SHA256_HEX];
    size_t place;
    bool bad;
    int r;

    *ret = (struct audit_line){ 0 };
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
    r = line_again(json, &event, &body, &again, hash, &bad);
    if (r) {
        return r;
    }
    line_fill(ret, &event);

    /* Unknown members, other order, white space and other escapes all end here: the bytes differ. */
    place = hash_place(&event, again.len);
    if (again.len != len + 1 || memcmp(again.data, line, place) != 0 ||
        memcmp(again.data + place + SBX_SHA256_HEX - 1, line + place + SBX_SHA256_HEX - 1,
               len - place - (SBX_SHA256_HEX - 1)) != 0) {
        return AUDIT_E_FORM;
    }
    return bad || memcmp(again.data + place, line + place, SBX_SHA256_HEX - 1) != 0 ? AUDIT_E_HASH : 0;
}

bool
audit_erasure_parse(struct audit_erasure *ret, const char *line, size_t len)
{
    static const char kind[] = "\"kind\":\"" AUDIT_ERASED_KIND "\"";
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    const json_t *body, *from, *to;
    struct sbx_field_error err;
    const char *tenant, *until, *what;

    /* Few lines are: the others cost no parsing. */
    if (memmem(line, len, kind, sizeof(kind) - 1) == NULL || sbx_json_parse(&json, line, len, &err) != 0 ||
        !json_is_object(json)) {
        return false;
    }
    body = json_object_get(json, "body");
    what = json_string_value(json_object_get(json, "kind"));
    tenant = json_string_value(json_object_get(json, "tenant"));
    until = json_string_value(json_object_get(body, "until"));
    from = json_object_get(body, "from");
    to = json_object_get(body, "to");
    if (what == NULL || strcmp(what, AUDIT_ERASED_KIND) != 0 || tenant == NULL ||
        strlen(tenant) > AUDIT_NAME_MAX || !ts_valid(until) || !json_is_integer(from) ||
        !json_is_integer(to) || json_integer_value(from) <= 0 ||
        json_integer_value(to) < json_integer_value(from)) {
        return false;
    }
    memcpy(ret->tenant, tenant, strlen(tenant) + 1);
    memcpy(ret->until, until, sizeof(ret->until));
    ret->from = (uint64_t)json_integer_value(from);
    ret->to = (uint64_t)json_integer_value(to);
    return true;
}

bool
audit_erasure_covers(const struct audit_erasure *erasure, const struct audit_line *line)
{
    return line->seq >= erasure->from && line->seq <= erasure->to && line->keep_until[0] != '\0' &&
           strcmp(line->keep_until, erasure->until) <= 0 && strcmp(line->tenant, erasure->tenant) == 0;
}
