#include <stdlib.h>
#include <string.h>

#include "ngx_sandbox_claims.h"

#define CLAIM_MAX 1024
#define CLAIM_DEPTH 8

static int
invalid(const char **ret_why, const char *why)
{
    *ret_why = why;
    return JWT_E_INVALID;
}

/* The member of that very name, else the dotted path. NULL when absent or null. */
static const json_t *
find_claim(const json_t *claims, const char *name)
{
    const json_t *value = json_object_get(claims, name);
    char part[CLAIM_MAX];

    if (value == NULL && strchr(name, '.') != NULL) {
        value = claims;
        for (unsigned depth = 0; value != NULL && name != NULL; depth++) {
            const char *dot = strchr(name, '.');
            size_t len = dot == NULL ? strlen(name) : (size_t)(dot - name);

            if (len >= sizeof(part) || depth == CLAIM_DEPTH) {
                return NULL;
            }
            memcpy(part, name, len);
            part[len] = '\0';
            value = json_object_get(value, part);
            name = dot == NULL ? NULL : dot + 1;
        }
    }
    return json_is_null(value) ? NULL : value;
}

bool
ngx_sandbox_identity_name_valid(const char *text, size_t len)
{
    return sbx_name_valid(text, len) && text[0] != '.';
}

static bool
subject_valid(const char *text, size_t len)
{
    if (len == 0 || len > SBX_SUBJECT_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"' || text[i] == '\\') {
            return false;
        }
    }
    return true;
}

static bool
scopes_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"' || text[i] == '\\') {
            return false;
        }
    }
    return true;
}

/* `ret` holds max + 1 bytes. True when absent or valid. */
static bool
read_text(char *ret, size_t max, const json_t *value, bool (*valid)(const char *text, size_t len))
{
    if (value == NULL) {
        return true;
    }
    if (!json_is_string(value) || json_string_length(value) > max ||
        !valid(json_string_value(value), json_string_length(value))) {
        return false;
    }
    memcpy(ret, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool
read_scopes(char *ret, const json_t *value)
{
    size_t len = 0, i;
    json_t *item;

    if (!json_is_array(value)) {
        return read_text(ret, SBX_SCOPES_MAX, value, scopes_valid);
    }
    json_array_foreach (value, i, item) {
        size_t item_len = json_string_length(item); /* 0 for what is no string */

        if (item_len == 0 || len + item_len + 1 > SBX_SCOPES_MAX ||
            !scopes_valid(json_string_value(item), item_len) ||
            strchr(json_string_value(item), ' ') != NULL) {
            return false;
        }
        if (len != 0) {
            ret[len++] = ' ';
        }
        memcpy(ret + len, json_string_value(item), item_len);
        len += item_len;
    }
    ret[len] = '\0';
    return true;
}

static int
compare_names(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

bool
ngx_sandbox_tenant_in(const char *const *tenants, unsigned n, const char *tenant)
{
    return tenants == NULL || bsearch(tenant, tenants, n, sizeof(*tenants), compare_names) != NULL;
}

/* The claim that marks a service is there, and has the value when one is configured. */
static bool
service_marked(const json_t *claims, const struct ngx_sandbox_jwt_rules *rules)
{
    const json_t *mark = rules->service_claim == NULL ? NULL : find_claim(claims, rules->service_claim);

    if (mark == NULL || json_is_false(mark)) {
        return false;
    }
    return rules->service_value == NULL ||
           (json_is_string(mark) && strcmp(json_string_value(mark), rules->service_value) == 0);
}

/*
 * A service got its token for itself: the subject is the client (RFC 9068, section 2.2), or the issuer's own mark
 * says so. Its client id becomes the app when the token names none, so it must be a name.
 */
static int
read_service(struct ngx_sandbox_identity *identity, const json_t *claims,
             const struct ngx_sandbox_jwt_rules *rules, const char **ret_why)
{
    const json_t *client = find_claim(claims, "client_id");
    bool is_service = json_is_string(client) && strcmp(json_string_value(client), identity->subject) == 0;

    if (!is_service && !service_marked(claims, rules)) {
        return 0;
    }
    if (client == NULL) {
        client = find_claim(claims, "azp");
    }
    if (client == NULL) {
        client = find_claim(claims, rules->claim[NGX_SANDBOX_CLAIM_SUBJECT]);
    }
    if (!read_text(identity->client, SBX_NAME_MAX, client, ngx_sandbox_identity_name_valid)) {
        return invalid(ret_why, "the service's client id is not a name");
    }
    if (identity->app[0] == '\0') {
        memcpy(identity->app, identity->client, sizeof(identity->app));
    }
    return 0;
}

int
ngx_sandbox_identity_read(struct ngx_sandbox_identity *identity, const json_t *claims,
                          const struct ngx_sandbox_jwt_rules *rules, const char **ret_why)
{
    const struct {
        enum ngx_sandbox_claim claim;
        char *ret;
    } names[] = {
        { NGX_SANDBOX_CLAIM_TENANT, identity->tenant },
        { NGX_SANDBOX_CLAIM_APP, identity->app },
        { NGX_SANDBOX_CLAIM_AGENT, identity->agent },
    };

    for (size_t i = 0; i < SBX_COUNT(names); i++) {
        if (!read_text(names[i].ret, SBX_NAME_MAX, find_claim(claims, rules->claim[names[i].claim]),
                       ngx_sandbox_identity_name_valid)) {
            return invalid(ret_why, "tenant, app or agent is not a name");
        }
    }
    if (!read_text(identity->subject, SBX_SUBJECT_MAX,
                   find_claim(claims, rules->claim[NGX_SANDBOX_CLAIM_SUBJECT]), subject_valid)) {
        return invalid(ret_why, "subject is malformed");
    }
    if (!read_text(identity->token_id, SBX_SUBJECT_MAX, find_claim(claims, "jti"), subject_valid)) {
        return invalid(ret_why, "jti is malformed");
    }
    if (!read_scopes(identity->scopes, find_claim(claims, rules->claim[NGX_SANDBOX_CLAIM_SCOPES]))) {
        return invalid(ret_why, "scopes are malformed");
    }
    if (identity->tenant[0] == '\0' || identity->subject[0] == '\0') {
        return invalid(ret_why, "tenant or subject is missing");
    }
    if (!ngx_sandbox_tenant_in(rules->tenant, rules->n_tenants, identity->tenant)) {
        return invalid(ret_why, "tenant is not one of this issuer's");
    }
    return rules->has_services ? read_service(identity, claims, rules, ret_why) : 0;
}

bool
ngx_sandbox_identity_current(const struct ngx_sandbox_identity *identity, uint64_t leeway_s, uint64_t now_s)
{
    return identity->expires_s + leeway_s > now_s && identity->not_before_s <= now_s + leeway_s;
}

bool
ngx_sandbox_scope_in(const char *scopes, const char *scope, size_t len)
{
    while (*scopes != '\0') {
        size_t n = strcspn(scopes, " ");

        if (n == len && memcmp(scopes, scope, len) == 0) {
            return true;
        }
        scopes += n;
        scopes += *scopes == ' ';
    }
    return false;
}

/* Of administration: never implied by anything but `admin`, and never at work in another's name. */
static bool
scope_is_governance(const char *scope, size_t len)
{
    static const char *const families[] = { "policies:", "revocations:", "audit:", "usage:" };

    for (size_t i = 0; i < SBX_COUNT(families); i++) {
        size_t n = strlen(families[i]);

        if (len > n && memcmp(scope, families[i], n) == 0) {
            return true;
        }
    }
    return false;
}

bool
ngx_sandbox_scope_granted(const char *scopes, const char *scope, size_t len)
{
    return ngx_sandbox_scope_in(scopes, scope, len) ||
           (scope_is_governance(scope, len) && ngx_sandbox_scope_in(scopes, "admin", strlen("admin")));
}

void
ngx_sandbox_scopes_plain(char *scopes)
{
    char *to = scopes;
    const char *from = scopes;

    while (*from != '\0') {
        size_t n = strcspn(from, " ");
        bool is_kept = n != 0 && !scope_is_governance(from, n) &&
                       (n != strlen("admin") || memcmp(from, "admin", n) != 0);

        if (is_kept) {
            if (to != scopes) {
                *to++ = ' ';
            }
            memmove(to, from, n);
            to += n;
        }
        from += n;
        from += *from == ' ';
    }
    *to = '\0';
}
