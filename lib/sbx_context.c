/*
 * Nothing of a header is parsed before its MAC is right, and nothing is signed
 * that verify would refuse.
 */
#include "sbx_context.h"

#include <string.h>

#include "sbx_crypto.h"
#include "sbx_json.h"

#define VERSION_PREFIX "v1."
#define MAC_TEXT 43 /* 32 bytes in base64url */
#define TRACEPARENT_LEN 55
#define CLIENT_MAX 47

/* The members that are plain text: where they live, how long, and what they may hold. */
enum text_class { TEXT_NAME, TEXT_NAME_OR_NONE, TEXT_PRINTABLE, TEXT_ADDRESS, TEXT_TRACE };

static const struct text_member {
    const char *key;
    size_t offset;
    size_t max;
    enum text_class class;
} text_members[] = {
#define AT(field) offsetof(struct sbx_context, field)
    { "rid", AT(request_id), SBX_NAME_MAX, TEXT_NAME },
    { "trace", AT(traceparent), TRACEPARENT_LEN, TEXT_TRACE },
    { "tenant", AT(tenant), SBX_NAME_MAX, TEXT_NAME },
    { "app", AT(app), SBX_NAME_MAX, TEXT_NAME_OR_NONE },
    { "agent", AT(agent), SBX_NAME_MAX, TEXT_NAME_OR_NONE },
    { "sub", AT(subject), SBX_SUBJECT_MAX, TEXT_PRINTABLE },
    { "jti", AT(token_id), SBX_SUBJECT_MAX, TEXT_PRINTABLE },
    { "scopes", AT(scopes), SBX_SCOPES_MAX, TEXT_PRINTABLE },
    { "client", AT(client), CLIENT_MAX, TEXT_ADDRESS },
    { "policy", AT(policy_id), SBX_NAME_MAX, TEXT_NAME },
#undef AT
};

/* The members that are numbers, of 32 or 64 bits. */
static const struct number_member {
    const char *key;
    size_t offset;
    size_t size;
} number_members[] = {
#define NUMBER(field) offsetof(struct sbx_context, field), sizeof(((struct sbx_context *)NULL)->field)
    { "policy_v", NUMBER(policy_version) },
    { "artifacts", NUMBER(max_artifacts) },
    { "art_bytes", NUMBER(max_artifact_bytes) },
    { "wait_ms", NUMBER(max_wait_ms) },
    { "concurrency", NUMBER(tenant_concurrency) },
    { "sessions", NUMBER(max_sessions) },
    { "ttl_ms", NUMBER(ttl_ms) },
    { "ttl_max", NUMBER(max_ttl_ms) },
    { "idle_ms", NUMBER(idle_ms) },
    { "idle_max", NUMBER(max_idle_ms) },
    { "step_ms", NUMBER(step_timeout_ms) },
    { "step_max", NUMBER(max_step_timeout_ms) },
    { "life_ms", NUMBER(max_lifetime_ms) },
    { "up_bytes", NUMBER(max_upload_bytes) },
    { "art_total", NUMBER(max_stored_bytes) },
    { "keep_rec", NUMBER(retention_records_ms) },
    { "keep_art", NUMBER(retention_artifacts_ms) },
    { "iat", NUMBER(issued_ms) },
#undef NUMBER
};

static const char *const other_keys[] = { "bypass", "limits", "iso", "iso_min" };

static bool
is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

bool
sbx_name_valid(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (!is_name_char(text[i])) {
            return false;
        }
    }
    return len > 0 && len <= SBX_NAME_MAX;
}

static bool
is_lower_hex(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

static bool
is_zeros(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] != '0') {
            return false;
        }
    }
    return true;
}

bool
sbx_traceparent_valid(const char *text, size_t len)
{
    return len == TRACEPARENT_LEN && memcmp(text, "00-", 3) == 0 && is_lower_hex(text + 3, 32) &&
           !is_zeros(text + 3, 32) && text[35] == '-' && is_lower_hex(text + 36, 16) &&
           !is_zeros(text + 36, 16) && text[52] == '-' && is_lower_hex(text + 53, 2);
}

/* Random hex that is never all zeros, the value that W3C reserves. */
static int
random_id(char *out, size_t n_bytes)
{
    uint8_t bytes[16];
    int r;

    r = sbx_random(bytes, n_bytes);
    if (r != 0) {
        return r;
    }
    bytes[0] |= 1;
    sbx_hex(out, bytes, n_bytes);
    return 0;
}

int
sbx_traceparent_child(char out[56], const char *in, size_t in_len)
{
    char trace[33], parent[17];
    const char *flags = "01";
    int r;

    r = random_id(parent, 8);
    if (r != 0) {
        return r;
    }
    if (in != NULL && sbx_traceparent_valid(in, in_len)) {
        memcpy(trace, in + 3, 32);
        trace[32] = '\0';
        flags = in + 53;
    } else {
        r = random_id(trace, 16);
        if (r != 0) {
            return r;
        }
    }

    memcpy(out, "00-", 3);
    memcpy(out + 3, trace, 32);
    out[35] = '-';
    memcpy(out + 36, parent, 16);
    out[52] = '-';
    memcpy(out + 53, flags, 2);
    out[TRACEPARENT_LEN] = '\0';
    return 0;
}

static bool
is_printable(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"' || text[i] == '\\') {
            return false;
        }
    }
    return true;
}

/* IPv4, IPv6 with a zone, or "unix:". */
static bool
is_address(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (!is_name_char(text[i]) && text[i] != ':' && text[i] != '%') {
            return false;
        }
    }
    return true;
}

static bool
text_fits(const struct text_member *member, const char *text, size_t len)
{
    if (len > member->max) {
        return false;
    }
    switch (member->class) {
    case TEXT_NAME:
        return sbx_name_valid(text, len);
    case TEXT_NAME_OR_NONE:
        return len == 0 || sbx_name_valid(text, len);
    case TEXT_PRINTABLE:
        return is_printable(text, len);
    case TEXT_ADDRESS:
        return is_address(text, len);
    case TEXT_TRACE:
        return sbx_traceparent_valid(text, len);
    }
    return false;
}

static bool
limits_complete(const struct sbx_limits *limits)
{
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        if (limits->value[i] < sbx_limit_floor((enum sbx_limit)i) ||
            limits->value[i] > sbx_limit_ceiling((enum sbx_limit)i)) {
            return false;
        }
    }
    return true;
}

static uint64_t
number_get(const struct sbx_context *context, const struct number_member *member)
{
    const char *at = (const char *)context + member->offset;
    uint64_t large;
    uint32_t small;

    if (member->size == sizeof(small)) {
        memcpy(&small, at, sizeof(small));
        return small;
    }
    memcpy(&large, at, sizeof(large));
    return large;
}

static bool
context_signable(const struct sbx_context *context)
{
    const char *text;
    size_t i, len;

    for (i = 0; i < SBX_COUNT(text_members); i++) {
        text = (const char *)context + text_members[i].offset;
        len = strnlen(text, text_members[i].max + 1);
        if (!text_fits(&text_members[i], text, len)) {
            return false;
        }
    }
    for (i = 0; i < SBX_COUNT(number_members); i++) {
        if (number_get(context, &number_members[i]) > INT64_MAX) {
            return false;
        }
    }
    return (!context->has_limits || limits_complete(&context->limits)) &&
           (unsigned)context->isolation < SBX_N_ISOLATIONS &&
           (unsigned)context->min_isolation < SBX_N_ISOLATIONS;
}

/* Absent means that nothing is demanded; the MAC sees to it that nobody took it out. */
static void
write_tier(struct sbx_jsonw *w, const char *key, enum sbx_isolation tier)
{
    if (tier != SBX_ISOLATION_NONE) {
        sbx_jsonw_str(w, key, sbx_isolation_name(tier));
    }
}

static void
write_members(struct sbx_buf *out, const struct sbx_context *context)
{
    struct sbx_jsonw w;
    size_t i;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    for (i = 0; i < SBX_COUNT(text_members); i++) {
        sbx_jsonw_str(&w, text_members[i].key, (const char *)context + text_members[i].offset);
    }
    for (i = 0; i < SBX_COUNT(number_members); i++) {
        sbx_jsonw_uint(&w, number_members[i].key, number_get(context, &number_members[i]));
    }
    sbx_jsonw_bool(&w, "bypass", context->bypass);
    if (context->has_limits) {
        sbx_limits_write(&w, "limits", &context->limits);
    }
    write_tier(&w, "iso", context->isolation);
    write_tier(&w, "iso_min", context->min_isolation);
    sbx_jsonw_object_end(&w);
}

int
sbx_context_sign(struct sbx_buf *out, const struct sbx_context *context, const void *key, size_t key_len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(SBX_CONTEXT_MAX);
    uint8_t mac[SBX_SHA256_LEN];
    size_t start = out->len;
    int r;

    if (key_len < SBX_CONTEXT_KEY_MIN || !context_signable(context)) {
        return -EINVAL;
    }

    write_members(&json, context);
    if (json.failed) {
        return -ENOMEM;
    }
    sbx_buf_puts(out, VERSION_PREFIX);
    sbx_b64url_encode(out, json.data, json.len);
    if (out->failed) {
        return -ENOMEM;
    }

    r = sbx_hmac_sha256(key, key_len, out->data + start, out->len - start, mac);
    if (r != 0) {
        return r;
    }
    sbx_buf_putc(out, '.');
    sbx_b64url_encode(out, mac, sizeof(mac));
    return out->failed ? -ENOMEM : 0;
}

static int
check_mac(const char *value, size_t signed_len, const void *key, size_t key_len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf given = SBX_BUF_INIT(SBX_SHA256_LEN);
    uint8_t mac[SBX_SHA256_LEN];
    int r;

    if (!sbx_b64url_decode(&given, value + signed_len + 1, MAC_TEXT) || given.len != sizeof(mac)) {
        return SBX_CONTEXT_E_FORM;
    }
    r = sbx_hmac_sha256(key, key_len, value, signed_len, mac);
    if (r != 0) {
        return r;
    }
    return sbx_equal_const_time(mac, given.data, sizeof(mac)) ? 0 : SBX_CONTEXT_E_MAC;
}

static bool
read_text(struct sbx_context *context, const json_t *object, const struct text_member *member)
{
    const json_t *value = json_object_get(object, member->key);
    size_t len;

    if (!json_is_string(value)) {
        return false;
    }
    len = json_string_length(value);
    if (!text_fits(member, json_string_value(value), len)) {
        return false;
    }
    memcpy((char *)context + member->offset, json_string_value(value), len + 1);
    return true;
}

static bool
read_number(struct sbx_context *context, const json_t *object, const struct number_member *member)
{
    const json_t *value = json_object_get(object, member->key);
    char *at = (char *)context + member->offset;
    uint64_t large;
    uint32_t small;

    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    large = (uint64_t)json_integer_value(value);
    if (member->size != sizeof(small)) {
        memcpy(at, &large, sizeof(large));
        return true;
    }
    if (large > UINT32_MAX) {
        return false;
    }
    small = (uint32_t)large;
    memcpy(at, &small, sizeof(small));
    return true;
}

/* Text and number members must be there, the others may, nothing else is. */
static bool
known_only(const json_t *object)
{
    size_t i, n = SBX_COUNT(text_members) + SBX_COUNT(number_members);

    for (i = 0; i < SBX_COUNT(other_keys); i++) {
        n += json_object_get(object, other_keys[i]) != NULL ? 1 : 0;
    }
    return json_object_size(object) == n;
}

static bool
read_limits(struct sbx_context *context, const json_t *object)
{
    const json_t *limits = json_object_get(object, "limits");
    struct sbx_field_error err;

    context->has_limits = limits != NULL;
    return limits == NULL || (sbx_limits_from_json(&context->limits, limits, "/limits", &err) &&
                              limits_complete(&context->limits));
}

static bool
read_tier(const json_t *object, const char *key, enum sbx_isolation *ret)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL) {
        return true;
    }
    *ret = json_is_string(value) ? sbx_isolation_parse(json_string_value(value)) : SBX_ISOLATION_NONE;
    return *ret != SBX_ISOLATION_NONE;
}

static bool
read_members(struct sbx_context *context, const json_t *object)
{
    const json_t *bypass = json_object_get(object, "bypass");
    size_t i;

    if (!json_is_object(object) || !known_only(object) || !json_is_boolean(bypass)) {
        return false;
    }
    context->bypass = json_is_true(bypass);
    for (i = 0; i < SBX_COUNT(text_members); i++) {
        if (!read_text(context, object, &text_members[i])) {
            return false;
        }
    }
    for (i = 0; i < SBX_COUNT(number_members); i++) {
        if (!read_number(context, object, &number_members[i])) {
            return false;
        }
    }
    return read_limits(context, object) && read_tier(object, "iso", &context->isolation) &&
           read_tier(object, "iso_min", &context->min_isolation);
}

static int
read_payload(struct sbx_context *context, const char *text, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(SBX_CONTEXT_MAX);
    _cleanup_(sbx_json_decrefp) json_t *object = NULL;
    struct sbx_field_error err;
    int r;

    if (!sbx_b64url_decode(&json, text, len)) {
        return json.failed ? -ENOMEM : SBX_CONTEXT_E_FORM;
    }
    r = sbx_json_parse(&object, json.data, json.len, &err);
    if (r != 0) {
        return r < 0 ? r : SBX_CONTEXT_E_FORM;
    }
    return read_members(context, object) ? 0 : SBX_CONTEXT_E_FORM;
}

int
sbx_context_verify(struct sbx_context *ret, const char *value, size_t len, const void *key, size_t key_len,
                   uint64_t now_ms)
{
    struct sbx_context context;
    size_t prefix = strlen(VERSION_PREFIX), signed_len;
    int r;

    if (key_len < SBX_CONTEXT_KEY_MIN) {
        return -EINVAL;
    }
    if (len > SBX_CONTEXT_MAX || len < prefix + 1 + MAC_TEXT || memcmp(value, VERSION_PREFIX, prefix) != 0) {
        return SBX_CONTEXT_E_FORM;
    }
    signed_len = len - MAC_TEXT - 1;
    if (value[signed_len] != '.') {
        return SBX_CONTEXT_E_FORM;
    }

    r = check_mac(value, signed_len, key, key_len);
    if (r != 0) {
        return r;
    }
    memset(&context, 0, sizeof(context));
    r = read_payload(&context, value + prefix, signed_len - prefix);
    if (r != 0) {
        return r;
    }
    if (context.issued_ms > now_ms ? context.issued_ms - now_ms > SBX_CONTEXT_SKEW_MS
                                   : now_ms - context.issued_ms > SBX_CONTEXT_LIFE_MS) {
        return SBX_CONTEXT_E_TIME;
    }

    *ret = context;
    return 0;
}
