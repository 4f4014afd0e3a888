#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jwt.h>

#include "ngx_sandbox_claims.h"

#define HEADER_MAX 2048
#define AUDIENCES_MAX 64
#define DATE_MAX (1ll << 53) /* what survives a double */

/* A token in its parts; `text` is a NUL-terminated copy, cut nowhere. */
struct jwt_parts {
    const char *text;
    size_t len;
    struct ngx_sandbox_bytes signed_part; /* header.claims */
    const char *claims;
    size_t claims_len;
    const char *signature;
    size_t signature_len;
};

struct jwt_header {
    enum ngx_sandbox_alg alg;
    bool libjwt_takes_typ;
    bool has_kid;
    char kid[NGX_SANDBOX_KID_MAX + 1];
};

static void
jwt_freep(jwt_t **jwt)
{
    jwt_free(*jwt);
}

static int
invalid(const char **ret_why, const char *why)
{
    *ret_why = why;
    return JWT_E_INVALID;
}

static bool
token_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Exactly three segments of base64url; what is inside them is checked when decoded. */
static bool
split(struct jwt_parts *parts, const char *token, size_t len)
{
    size_t dot[2] = { 0 }, n = 0;

    for (size_t i = 0; i < len; i++) {
        if (token[i] == '.') {
            if (n == 2) {
                return false;
            }
            dot[n++] = i;
        } else if (!token_char(token[i])) {
            return false;
        }
    }
    if (n != 2 || dot[0] == 0 || dot[1] == dot[0] + 1 || dot[1] + 1 == len) {
        return false;
    }
    parts->text = token;
    parts->len = len;
    parts->signed_part.data = (const uint8_t *)token;
    parts->signed_part.len = dot[1];
    parts->claims = token + dot[0] + 1;
    parts->claims_len = dot[1] - dot[0] - 1;
    parts->signature = token + dot[1] + 1;
    parts->signature_len = len - dot[1] - 1;
    return true;
}

static int
parse_segment(json_t **ret, const char *text, size_t len, size_t max)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf buf = SBX_BUF_INIT(max);
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;
    int r;

    if (!sbx_b64url_decode(&buf, text, len) || buf.failed || buf.len == 0) {
        return JWT_E_INVALID;
    }
    r = sbx_json_parse(&json, buf.data, buf.len, &err);
    if (r) {
        return r < 0 ? r : JWT_E_INVALID;
    }
    if (!json_is_object(json)) {
        return JWT_E_INVALID;
    }
    *ret = steal(&json);
    return 0;
}

/*
 * Members that would make the token choose its own key (jku, jwk, x5u, x5c), demand a
 * processing we do not do (crit, b64, zip, enc) or nest another token (cty).
 */
static bool
header_has_refused(const json_t *header)
{
    static const char *const refused[] = { "jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty" };

    for (size_t i = 0; i < SBX_COUNT(refused); i++) {
        if (json_object_get(header, refused[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* typ absent, JWT or at+jwt (RFC 9068), without case. */
static bool
header_typ(const json_t *header, bool *ret_libjwt_takes)
{
    const json_t *typ = json_object_get(header, "typ");

    *ret_libjwt_takes = true;
    if (typ == NULL) {
        return true;
    }
    if (!json_is_string(typ)) {
        return false;
    }
    if (strcasecmp(json_string_value(typ), "JWT") == 0) {
        return true;
    }
    *ret_libjwt_takes = false;
    return strcasecmp(json_string_value(typ), "at+jwt") == 0;
}

static int
read_header(struct jwt_header *ret, const struct jwt_parts *parts, const char **ret_why)
{
    _cleanup_(sbx_json_decrefp) json_t *header = NULL;
    const json_t *alg, *kid;
    size_t header_len = (size_t)(parts->claims - parts->text) - 1;
    int r;

    r = parse_segment(&header, parts->text, header_len, HEADER_MAX);
    if (r) {
        return r < 0 ? r : invalid(ret_why, "header is not strict JSON in strict base64url");
    }
    if (header_has_refused(header)) {
        return invalid(ret_why, "header has a member that is refused");
    }
    if (!header_typ(header, &ret->libjwt_takes_typ)) {
        return invalid(ret_why, "typ is not JWT or at+jwt");
    }
    alg = json_object_get(header, "alg");
    if (!json_is_string(alg) ||
        !ngx_sandbox_alg_by_name(&ret->alg, json_string_value(alg), json_string_length(alg))) {
        return invalid(ret_why, "alg is not one of ours");
    }
    kid = json_object_get(header, "kid");
    ret->has_kid = kid != NULL;
    if (kid == NULL) {
        return 0;
    }
    if (!json_is_string(kid) || !ngx_sandbox_kid_valid(json_string_value(kid), json_string_length(kid))) {
        return invalid(ret_why, "kid is malformed");
    }
    memcpy(ret->kid, json_string_value(kid), json_string_length(kid) + 1);
    return 0;
}

/*
 * Secrets only: of a public key libjwt takes PEM, which OpenSSL reads anew for each token, in ten times what the signature takes.
 * It compares alg with nothing but its own header parse, so it may only be called with
 * a key whose type that alg belongs to, and its view is checked again after.
 */
static int
libjwt_verify(const struct ngx_sandbox_key *key, const struct jwt_header *header,
              const struct jwt_parts *parts)
{
    _cleanup_(jwt_freep) jwt_t *jwt = NULL;
    int r;

    r = jwt_decode(&jwt, parts->text, key->secret, (int)key->secret_len);
    if (r == ENOMEM) {
        return -ENOMEM;
    }
    if (r != 0 || jwt == NULL || jwt_get_alg(jwt) != jwt_str_alg(ngx_sandbox_alg_name(header->alg))) {
        return JWT_E_INVALID;
    }
    return 0;
}

static int
verify_with(const struct ngx_sandbox_key *key, const struct jwt_header *header, const struct jwt_parts *parts,
            struct ngx_sandbox_bytes signature)
{
    struct ngx_sandbox_bytes secret = { key->secret, key->secret_len };
    int r;

    if (signature.len != ngx_sandbox_signature_len(header->alg, key->pkey)) {
        return JWT_E_INVALID;
    }
    if (key->pkey != NULL) {
        r = ngx_sandbox_pkey_verify(key->pkey, header->alg, parts->signed_part, signature);
    } else if (header->libjwt_takes_typ) {
        return libjwt_verify(key, header, parts);
    } else {
        r = ngx_sandbox_secret_verify(secret, header->alg, parts->signed_part, signature);
    }
    return r > 0 ? JWT_E_INVALID : r;
}

/* Tries the keys of a set that the header fits; *ret_tried when one had its kid and algorithm, *ret_known when one had its kid. */
static int
verify_with_set(const struct ngx_sandbox_keys *keys, const struct jwt_header *header,
                const struct jwt_parts *parts, struct ngx_sandbox_bytes signature, bool *ret_tried,
                bool *ret_known)
{
    unsigned bit = 1u << header->alg;

    for (unsigned i = 0; keys != NULL && i < keys->n; i++) {
        const struct ngx_sandbox_key *key = &keys->key[i];
        int r;

        if (header->has_kid && strcmp(key->kid, header->kid) != 0) {
            continue;
        }
        *ret_known = *ret_known || header->has_kid;
        if ((key->algs & bit) == 0) {
            continue;
        }
        *ret_tried = true;
        r = verify_with(key, header, parts, signature);
        if (r != JWT_E_INVALID) {
            return r;
        }
    }
    return JWT_E_INVALID;
}

/* A token with a kid is for the keys of that kid; one without, for any key of the algorithm. */
static int
verify_signature(const struct jwt_header *header, const struct jwt_parts *parts,
                 const struct ngx_sandbox_jwt_rules *rules, const char **ret_why)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf raw = SBX_BUF_INIT(NGX_SANDBOX_SIGNATURE_MAX);
    struct ngx_sandbox_bytes signature;
    bool tried = false, known = false;
    int r;

    if ((rules->algs & (1u << header->alg)) == 0) {
        return invalid(ret_why, "alg is not allowed here");
    }
    if (!sbx_b64url_decode(&raw, parts->signature, parts->signature_len) || raw.failed) {
        return invalid(ret_why, "signature is not strict base64url");
    }
    signature.data = (const uint8_t *)raw.data;
    signature.len = raw.len;
    r = verify_with_set(rules->keys, header, parts, signature, &tried, &known);
    if (r == JWT_E_INVALID) {
        r = verify_with_set(rules->more, header, parts, signature, &tried, &known);
    }
    if (r != JWT_E_INVALID) {
        return r;
    }
    (void)invalid(ret_why, tried ? "signature does not verify" : "no key for this alg and kid");
    return known ? JWT_E_INVALID : JWT_E_KEY;
}

static bool
read_date(const json_t *claims, const char *name, bool *ret_given, uint64_t *ret)
{
    const json_t *value = json_object_get(claims, name);

    *ret_given = value != NULL;
    if (value == NULL) {
        return true;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > DATE_MAX) {
        return false;
    }
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

static int
check_times(struct ngx_sandbox_identity *identity, const json_t *claims,
            const struct ngx_sandbox_jwt_rules *rules, uint64_t now_s, const char **ret_why)
{
    bool has_exp, has_nbf, has_iat;
    uint64_t exp = 0, nbf = 0, iat = 0;

    if (!read_date(claims, "exp", &has_exp, &exp) || !read_date(claims, "nbf", &has_nbf, &nbf) ||
        !read_date(claims, "iat", &has_iat, &iat)) {
        return invalid(ret_why, "exp, nbf or iat is not an integer date");
    }
    if (!has_exp) {
        return invalid(ret_why, "exp is missing");
    }
    if (exp + rules->leeway_s <= now_s) {
        return invalid(ret_why, "expired");
    }
    if (nbf > now_s + rules->leeway_s || iat > now_s + rules->leeway_s) {
        return invalid(ret_why, "not valid yet");
    }
    if (rules->max_age_s != 0 && (!has_iat || exp < iat || exp - iat > rules->max_age_s)) {
        return invalid(ret_why, "lives longer than allowed, or iat is missing");
    }
    identity->expires_s = exp;
    identity->not_before_s = nbf;
    identity->issued_s = iat;
    return 0;
}

static bool
in_names(const json_t *value, const char *const *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (strlen(names[i]) == json_string_length(value) &&
            strcmp(names[i], json_string_value(value)) == 0) {
            return true;
        }
    }
    return false;
}

static bool
issuer_ok(const json_t *claims, const struct ngx_sandbox_jwt_rules *rules)
{
    const json_t *iss = json_object_get(claims, "iss");

    if (iss != NULL && !json_is_string(iss)) {
        return false;
    }
    return rules->n_issuers == 0 || (iss != NULL && in_names(iss, rules->issuer, rules->n_issuers));
}

static bool
audience_ok(const json_t *claims, const struct ngx_sandbox_jwt_rules *rules)
{
    const json_t *aud = json_object_get(claims, "aud");
    bool found = rules->n_audiences == 0;
    json_t *item;
    size_t i;

    if (aud == NULL) {
        return found;
    }
    if (json_is_string(aud)) {
        return found || in_names(aud, rules->audience, rules->n_audiences);
    }
    if (!json_is_array(aud) || json_array_size(aud) > AUDIENCES_MAX) {
        return false;
    }
    json_array_foreach (aud, i, item) {
        if (!json_is_string(item)) {
            return false;
        }
        found = found || in_names(item, rules->audience, rules->n_audiences);
    }
    return found;
}

static int
read_claims(struct ngx_sandbox_identity *identity, const struct jwt_parts *parts,
            const struct ngx_sandbox_jwt_rules *rules, uint64_t now_s, const char **ret_why)
{
    _cleanup_(sbx_json_decrefp) json_t *claims = NULL;
    int r;

    r = parse_segment(&claims, parts->claims, parts->claims_len, NGX_SANDBOX_TOKEN_MAX);
    if (r) {
        return r < 0 ? r : invalid(ret_why, "claims are not strict JSON in strict base64url");
    }
    r = check_times(identity, claims, rules, now_s, ret_why);
    if (r) {
        return r;
    }
    if (!issuer_ok(claims, rules)) {
        return invalid(ret_why, "issuer is another");
    }
    if (!audience_ok(claims, rules)) {
        return invalid(ret_why, "audience is another");
    }
    return ngx_sandbox_identity_read(identity, claims, rules, ret_why);
}

int
ngx_sandbox_jwt_verify(struct ngx_sandbox_identity *ret, const char *token, size_t len,
                       const struct ngx_sandbox_jwt_rules *rules, uint64_t now_s, const char **ret_why)
{
    struct ngx_sandbox_identity identity = { .tenant = "" };
    struct jwt_header header = { .has_kid = false };
    struct jwt_parts parts;
    char text[NGX_SANDBOX_TOKEN_MAX + 1];
    int r;

    if (len > NGX_SANDBOX_TOKEN_MAX) {
        return invalid(ret_why, "token is too long");
    }
    memcpy(text, token, len);
    text[len] = '\0';
    if (!split(&parts, text, len)) {
        return invalid(ret_why, "token is not three base64url segments");
    }
    r = read_header(&header, &parts, ret_why);
    if (r == 0) {
        r = verify_signature(&header, &parts, rules, ret_why);
    }
    if (r == 0) {
        r = read_claims(&identity, &parts, rules, now_s, ret_why);
    }
    if (r) {
        return r < 0 || r == JWT_E_KEY ? r : JWT_E_INVALID;
    }
    *ret = identity;
    return 0;
}

int
ngx_sandbox_jwt_issuer(char ret[NGX_SANDBOX_ISSUER_MAX + 1], const char *token, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *claims = NULL;
    struct jwt_parts parts;
    const json_t *iss;
    int r;

    ret[0] = '\0';
    if (len > NGX_SANDBOX_TOKEN_MAX || !split(&parts, token, len)) {
        return JWT_E_INVALID;
    }
    r = parse_segment(&claims, parts.claims, parts.claims_len, NGX_SANDBOX_TOKEN_MAX);
    if (r) {
        return r < 0 ? r : JWT_E_INVALID;
    }
    iss = json_object_get(claims, "iss");
    if (iss != NULL && !json_is_string(iss)) {
        return JWT_E_INVALID;
    }
    if (iss != NULL && json_string_length(iss) <= NGX_SANDBOX_ISSUER_MAX) {
        memcpy(ret, json_string_value(iss), json_string_length(iss) + 1);
    }
    return 0;
}
