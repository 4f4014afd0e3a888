#include "executor/api/revocation_request.h"

#include <string.h>

#include "lib/sbx_time.h"

#define SYNTAX 400
#define FIELD 422
#define TIME_TEXT_MAX 64

/* As contexts and tokens have them: what no token can say is not worth a place. */
static bool
text_of_token(char out[SBX_SUBJECT_MAX + 1], const json_t *body, const char *key, struct sbx_field_error *err)
{
    const char *text = NULL;
    char field[32] = "/";
    size_t len = 0;

    if (!sbx_json_get_str(body, "", key, SBX_SUBJECT_MAX, &text, &len, err)) {
        return false;
    }
    if (text == NULL) {
        return true;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"' || text[i] == '\\') {
            len = 0;
        }
    }
    if (len == 0) {
        memcpy(field + 1, key, strlen(key) + 1);
        sbx_field_error_set(err, field, "must be 1 to %d printable characters as a token has them",
                            SBX_SUBJECT_MAX);
        return false;
    }
    memcpy(out, text, len + 1);
    return true;
}

/* Exactly one of them. */
static bool
request_whom(struct revocation *ret, const json_t *body, struct sbx_field_error *err)
{
    bool all = false;
    unsigned n;

    if (!text_of_token(ret->token_id, body, "token_id", err) ||
        !text_of_token(ret->revoked_subject, body, "subject", err) ||
        !sbx_json_get_bool(body, "", "all", &all, err)) {
        return false;
    }
    n = (ret->token_id[0] != '\0' ? 1u : 0) + (ret->revoked_subject[0] != '\0' ? 1u : 0) + (all ? 1u : 0);
    if (n != 1) {
        sbx_field_error_set(err,
                            n == 0 ? ""
                            : all  ? "/all"
                                   : "/subject",
                            "must have one of token_id, subject and all: true");
    }
    return n == 1;
}

/* 0: absent. */
static bool
request_time(uint64_t *ret_ms, const json_t *body, const char *key, const char *field,
             struct sbx_field_error *err)
{
    const char *text = NULL;
    size_t len = 0;

    *ret_ms = 0;
    if (!sbx_json_get_str(body, "", key, TIME_TEXT_MAX, &text, &len, err)) {
        return false;
    }
    if (text != NULL && (!sbx_rfc3339_parse(text, len, ret_ms) || *ret_ms == 0)) {
        sbx_field_error_set(err, field, "must be a time such as 2026-01-02T03:04:05Z");
        return false;
    }
    return true;
}

/* Tokens are stamped in whole seconds: those of the second that has begun are of before it is over. */
static bool
request_before(struct revocation *ret, const json_t *body, uint64_t now_ms, struct sbx_field_error *err)
{
    uint64_t before_ms;

    if (!request_time(&before_ms, body, "issued_before", "/issued_before", err)) {
        return false;
    }
    if (before_ms != 0 && ret->token_id[0] != '\0') {
        sbx_field_error_set(err, "/issued_before", "one token is revoked whenever it was issued");
        return false;
    }
    if (before_ms > now_ms + REVOCATION_SKEW_MS) {
        sbx_field_error_set(err, "/issued_before", "must not be in the future");
        return false;
    }
    ret->issued_before_s = before_ms == 0 ? now_ms / 1000 + 1 : (before_ms + 999) / 1000;
    return true;
}

/* Unsaid it is as long as may be: a token that nobody counted with must not come back. */
static bool
request_expiry(struct revocation *ret, const json_t *body, uint64_t now_ms, struct sbx_field_error *err)
{
    const uint64_t latest = now_ms + REVOCATION_LIFE_MAX_MS;

    if (!request_time(&ret->expires_ms, body, "expires_at", "/expires_at", err)) {
        return false;
    }
    if (ret->expires_ms == 0) {
        ret->expires_ms = latest;
    }
    if (ret->expires_ms <= now_ms || ret->expires_ms > latest) {
        sbx_field_error_set(err, "/expires_at", "must be after now and within 365 days");
        return false;
    }
    return true;
}

int
revocation_request_parse(struct revocation *ret, const char *text, size_t len, uint64_t now_ms,
                         struct sbx_field_error *err)
{
    static const char *const known[] = { "token_id",   "subject", "all", "issued_before",
                                         "expires_at", "reason",  NULL };
    _cleanup_(sbx_json_decrefp) json_t *body = NULL;
    const char *reason = NULL;
    size_t reason_len = 0;
    int r;

    *err = (struct sbx_field_error){ 0 };
    r = sbx_json_parse(&body, text, len, err);
    if (r) {
        return r < 0 ? r : err->too_large ? FIELD : SYNTAX;
    }
    if (!json_is_object(body)) {
        sbx_field_error_set(err, "", "must be an object");
        return FIELD;
    }
    if (!sbx_json_only(body, "", known, err) || !request_whom(ret, body, err) ||
        !request_before(ret, body, now_ms, err) || !request_expiry(ret, body, now_ms, err) ||
        !sbx_json_get_str(body, "", "reason", REVOCATION_REASON_MAX, &reason, &reason_len, err)) {
        return FIELD;
    }
    if (reason != NULL) {
        memcpy(ret->reason, reason, reason_len + 1);
    }
    return 0;
}
