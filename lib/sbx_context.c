/* What a context is made of. Writing one is lib/sbx_context_sign.c's, reading one lib/sbx_context_verify.c's. */
#include "sbx_context.h"

#include <string.h>

#include "sbx_context_members.h"
#include "sbx_crypto.h"

#define TRACEPARENT_LEN 55
#define CLIENT_MAX 47

/* What a client's identity and policy say comes first: many requests have it in common (lib/sbx_context_sign.c). */
const struct sbx_context_text sbx_context_texts[SBX_CONTEXT_TEXTS] = {
#define AT(field) offsetof(struct sbx_context, field)
    { "tenant", AT(tenant), SBX_NAME_MAX, SBX_TEXT_NAME },
    { "app", AT(app), SBX_NAME_MAX, SBX_TEXT_NAME_OR_NONE },
    { "agent", AT(agent), SBX_NAME_MAX, SBX_TEXT_NAME_OR_NONE },
    { "sub", AT(subject), SBX_SUBJECT_MAX, SBX_TEXT_PRINTABLE },
    { "jti", AT(token_id), SBX_SUBJECT_MAX, SBX_TEXT_PRINTABLE },
    { "scopes", AT(scopes), SBX_SCOPES_MAX, SBX_TEXT_PRINTABLE },
    { "policy", AT(policy_id), SBX_NAME_MAX, SBX_TEXT_NAME },
    { "rid", AT(request_id), SBX_NAME_MAX, SBX_TEXT_NAME },
    { "trace", AT(traceparent), TRACEPARENT_LEN, SBX_TEXT_TRACE },
    { "client", AT(client), CLIENT_MAX, SBX_TEXT_ADDRESS },
    { "tool", AT(tool), SBX_NAME_MAX, SBX_TEXT_NAME_OR_NONE },
#undef AT
};

const struct sbx_context_number sbx_context_numbers[SBX_CONTEXT_NUMBERS] = {
#define NUMBER(field) offsetof(struct sbx_context, field), sizeof(((struct sbx_context *)NULL)->field)
    { "policy_v", NUMBER(policy_version) },
    { "policy_r", NUMBER(policy_revision) },
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
    { "keep_audit", NUMBER(retention_audit_ms) },
    { "cpu_tenant", NUMBER(budget_cpu_ms[SBX_SCOPE_TENANT]) },
    { "cpu_app", NUMBER(budget_cpu_ms[SBX_SCOPE_APP]) },
    { "cpu_agent", NUMBER(budget_cpu_ms[SBX_SCOPE_AGENT]) },
    { "iat", NUMBER(issued_ms) },
#undef NUMBER
};

/* By tables: each request's names are looked through several times on their way. */
static bool
is_name_char(char c)
{
    static const bool name[256] = { ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true,
                                    ['_'] = true,         ['.'] = true,         ['-'] = true };

    return name[(uint8_t)c];
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
    static const bool digit[256] = { ['0' ... '9'] = true, ['a' ... 'f'] = true };
    size_t i;

    for (i = 0; i < len; i++) {
        if (!digit[(uint8_t)text[i]]) {
            return false;
        }
    }
    return true;
}

/* Not longer than an id. */
static bool
is_zeros(const char *text, size_t len)
{
    return memcmp(text, "00000000000000000000000000000000", len) == 0;
}

bool
sbx_traceparent_valid(const char *text, size_t len)
{
    return len == TRACEPARENT_LEN && memcmp(text, "00-", 3) == 0 && is_lower_hex(text + 3, 32) &&
           !is_zeros(text + 3, 32) && text[35] == '-' && is_lower_hex(text + 36, 16) &&
           !is_zeros(text + 36, 16) && text[52] == '-' && is_lower_hex(text + 53, 2);
}

/* Hex that is never all zeros, the value that W3C reserves. */
static void
write_id(char *out, const uint8_t *random, size_t n_bytes)
{
    uint8_t bytes[16];

    memcpy(bytes, random, n_bytes);
    bytes[0] |= 1;
    sbx_hex(out, bytes, n_bytes);
}

void
sbx_traceparent_from(char out[56], const char *in, size_t in_len, const uint8_t random[SBX_TRACE_RANDOM])
{
    char trace[33], parent[17];
    const char *flags = "01";

    write_id(parent, random, 8);
    if (in != NULL && sbx_traceparent_valid(in, in_len)) {
        memcpy(trace, in + 3, 32);
        trace[32] = '\0';
        flags = in + 53;
    } else {
        write_id(trace, random + 8, 16);
    }

    memcpy(out, "00-", 3);
    memcpy(out + 3, trace, 32);
    out[35] = '-';
    memcpy(out + 36, parent, 16);
    out[52] = '-';
    memcpy(out + 53, flags, 2);
    out[TRACEPARENT_LEN] = '\0';
}

int
sbx_traceparent_child(char out[56], const char *in, size_t in_len)
{
    uint8_t random[SBX_TRACE_RANDOM];
    int r;

    r = sbx_random(random, sizeof(random));
    if (r != 0) {
        return r;
    }
    sbx_traceparent_from(out, in, in_len, random);
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

bool
sbx_context_text_fits(const struct sbx_context_text *member, const char *text, size_t len)
{
    if (len > member->max) {
        return false;
    }
    switch (member->kind) {
    case SBX_TEXT_NAME:
        return sbx_name_valid(text, len);
    case SBX_TEXT_NAME_OR_NONE:
        return len == 0 || sbx_name_valid(text, len);
    case SBX_TEXT_PRINTABLE:
        return is_printable(text, len);
    case SBX_TEXT_ADDRESS:
        return is_address(text, len);
    case SBX_TEXT_TRACE:
        return sbx_traceparent_valid(text, len);
    }
    return false;
}

bool
sbx_context_limits_complete(const struct sbx_limits *limits)
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
