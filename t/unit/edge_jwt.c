/* Tokens and keys without a server: edges of time, selection of keys, scopes. */
#include "ngx_sandbox_module/ngx_sandbox_jwk.h"
#include "ngx_sandbox_module/ngx_sandbox_jwt.h"
#include "t/unit/tap.h"

#include <string.h>

#define NOW 1767323045u

static const char secret[] = "0123456789abcdef0123456789abcdef";
static const char other_secret[] = "another secret of thirty-two bytes";

static struct ngx_sandbox_jwt_rules rules = {
    .algs = (1u << NGX_SANDBOX_N_ALGS) - 1,
    .leeway_s = 10,
    .claim = { "tenant", "app", "agent", "sub", "scope" },
};

static struct ngx_sandbox_keys *
new_keys(void)
{
    struct ngx_sandbox_keys *keys;

    if (ngx_sandbox_keys_new(&keys) != 0) {
        BAIL_OUT("no memory");
    }
    return keys;
}

static int
add_secret(struct ngx_sandbox_keys *keys, const char *text, const char *kid, const char *alg)
{
    struct ngx_sandbox_key_spec spec = {
        .kid = kid, .kid_len = strlen(kid), .alg = alg, .alg_len = strlen(alg)
    };
    struct ngx_sandbox_bytes bytes = { (const uint8_t *)text, strlen(text) };
    struct sbx_field_error err;

    return ngx_sandbox_keys_add_secret(keys, bytes, &spec, &err);
}

static int
verify(const char *header, const char *claims, const char *key, struct ngx_sandbox_identity *ret,
       const char **why)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf token = SBX_BUF_INIT(1 << 16);
    uint8_t mac[SBX_SHA256_LEN];

    sbx_b64url_encode(&token, header, strlen(header));
    sbx_buf_putc(&token, '.');
    sbx_b64url_encode(&token, claims, strlen(claims));
    if (token.failed || sbx_hmac_sha256(key, strlen(key), token.data, token.len, mac) != 0) {
        BAIL_OUT("cannot sign");
    }
    sbx_buf_putc(&token, '.');
    sbx_b64url_encode(&token, mac, sizeof(mac));
    *why = "";
    return ngx_sandbox_jwt_verify(ret, token.data, token.len, &rules, NOW, why);
}

static void
test_times(void)
{
    static const struct {
        const char *times;
        uint64_t max_age_s;
        int r;
    } cases[] = {
        { "\"exp\":1767323036", 0, 0 },
        { "\"exp\":1767323035", 0, JWT_E_INVALID },
        { "\"exp\":9007199254740992", 0, 0 },
        { "\"exp\":9007199254740993", 0, JWT_E_INVALID },
        { "\"exp\":1767323100,\"nbf\":1767323055", 0, 0 },
        { "\"exp\":1767323100,\"nbf\":1767323056", 0, JWT_E_INVALID },
        { "\"exp\":1767323100,\"iat\":1767323055", 0, 0 },
        { "\"exp\":1767323100,\"iat\":1767323056", 0, JWT_E_INVALID },
        { "\"exp\":1767323100,\"iat\":1767323040", 60, 0 },
        { "\"exp\":1767323101,\"iat\":1767323040", 60, JWT_E_INVALID },
        { "\"exp\":1767323100,\"iat\":0", 60, JWT_E_INVALID },
        { "\"exp\":1767323040,\"iat\":1767323050", 60, JWT_E_INVALID },
        { "\"exp\":1767323100", 60, JWT_E_INVALID },
        { "\"nbf\":1", 0, JWT_E_INVALID },
        { "\"exp\":1767323100,\"nbf\":-1", 0, JWT_E_INVALID },
        { "\"exp\":-9223372036854775808", 0, JWT_E_INVALID },
    };
    struct ngx_sandbox_identity identity;
    const char *why;
    char claims[256];

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        (void)snprintf(claims, sizeof(claims), "{\"sub\":\"s\",\"tenant\":\"t\",%s}",
                       cases[i].times); /* fits */
        rules.max_age_s = cases[i].max_age_s;
        is_int(verify("{\"alg\":\"HS256\"}", claims, secret, &identity, &why), cases[i].r, "%s (%s)",
               cases[i].times, why);
    }
    rules.max_age_s = 0;
}

static void
test_selection(void)
{
    static const char claims[] = "{\"sub\":\"s\",\"tenant\":\"t\",\"exp\":1767329045}";
    struct ngx_sandbox_keys *keys = new_keys();
    const struct ngx_sandbox_keys *before = rules.keys;
    struct ngx_sandbox_identity identity;
    const char *why;

    is_int(add_secret(keys, secret, "a", "HS256"), 0, "a key with kid and algorithm");
    is_int(add_secret(keys, other_secret, "b", ""), 0, "and one of any");
    is_int(add_secret(keys, "short", "c", ""), KEYS_E_REFUSED, "a short secret is refused");
    is_int(add_secret(keys, secret, "a/b", ""), KEYS_E_REFUSED, "a kid with a slash too");
    is_int(add_secret(keys, secret, "c", "none"), KEYS_E_REFUSED, "the algorithm none too");
    is_int(add_secret(keys, secret, "c", "RS256"), KEYS_E_REFUSED, "and one of another type");
    rules.keys = keys;
    is_int(verify("{\"alg\":\"HS256\",\"kid\":\"a\"}", claims, secret, &identity, &why), 0,
           "the key the kid names");
    is_int(verify("{\"alg\":\"HS256\",\"kid\":\"b\"}", claims, secret, &identity, &why), JWT_E_INVALID,
           "not the other");
    is_int(verify("{\"alg\":\"HS256\"}", claims, other_secret, &identity, &why), 0, "without a kid, any");
    is_int(verify("{\"alg\":\"HS384\",\"kid\":\"a\"}", claims, secret, &identity, &why), JWT_E_INVALID,
           "a pinned algorithm holds");
    is_str(why, "no key for this alg and kid", "for that reason");
    rules.algs = 1u << NGX_SANDBOX_ALG_RS256;
    is_int(verify("{\"alg\":\"HS256\",\"kid\":\"a\"}", claims, secret, &identity, &why), JWT_E_INVALID,
           "an algorithm the rules leave out");
    rules.algs = (1u << NGX_SANDBOX_N_ALGS) - 1;
    rules.keys = before;
    ok(ngx_sandbox_keys_free(keys) == NULL, "the set goes");
    ok(ngx_sandbox_keys_free(NULL) == NULL, "and so does none");
}

static void
test_identity(void)
{
    struct ngx_sandbox_identity identity;
    const char *why;
    int r;

    r = verify("{\"alg\":\"HS256\"}",
               "{\"sub\":\"s\",\"tenant\":\"t\",\"app\":null,\"scope\":[\"a\",\"b:c\"],\"exp\":1767329045}",
               secret, &identity, &why);
    is_int(r, 0, "scopes as an array, app null");
    is_str(identity.scopes, "a b:c", "joined by a space");
    is_str(identity.app, "", "null is absent");
    ok(ngx_sandbox_scope_in(identity.scopes, "a", 1), "the first is in");
    ok(ngx_sandbox_scope_in(identity.scopes, "b:c", 3), "the last is in");
    ok(!ngx_sandbox_scope_in(identity.scopes, "b", 1), "a part is not");
    ok(!ngx_sandbox_scope_in(identity.scopes, "a b:c", 5), "nor two together");
    ok(!ngx_sandbox_scope_in("", "a", 1), "nothing is in none");
    ok(ngx_sandbox_identity_current(&identity, 10, 1767329054), "current to the last second of the leeway");
    ok(!ngx_sandbox_identity_current(&identity, 10, 1767329055), "and not after");
    identity.not_before_s = 100;
    ok(!ngx_sandbox_identity_current(&identity, 10, 89), "nor before its time");
    ok(!ngx_sandbox_identity_name_valid("", 0), "no name");
    ok(!ngx_sandbox_identity_name_valid("..", 2), "a name of dots");
    ok(ngx_sandbox_identity_name_valid("a.b", 3), "a dot within");
}

static void
test_more_keys(void)
{
    static const char claims[] = "{\"sub\":\"s\",\"tenant\":\"t\",\"exp\":1767329045,\"iat\":1767323000}";
    struct ngx_sandbox_keys *more = new_keys();
    const struct ngx_sandbox_keys *before = rules.keys;
    struct ngx_sandbox_identity identity;
    const char *why;

    is_int(add_secret(more, other_secret, "new", ""), 0, "a second set");
    is_int(verify("{\"alg\":\"HS256\",\"kid\":\"new\"}", claims, other_secret, &identity, &why), JWT_E_KEY,
           "a kid that is in no set: another key might help");
    is_int(verify("{\"alg\":\"HS256\"}", claims, other_secret, &identity, &why), JWT_E_KEY,
           "nor can one without a kid be told from one");
    rules.more = more;
    is_int(verify("{\"alg\":\"HS256\",\"kid\":\"new\"}", claims, other_secret, &identity, &why), 0,
           "the second set");
    is_int((int)identity.issued_s, 1767323000, "with its time");
    is_int(verify("{\"alg\":\"HS256\"}", claims, other_secret, &identity, &why), 0, "without a kid");
    is_int(verify("{\"alg\":\"HS256\"}", claims, secret, &identity, &why), 0, "the first set still");
    is_int(verify("{\"alg\":\"HS256\",\"kid\":\"new\"}", claims, secret, &identity, &why), JWT_E_INVALID,
           "a kid that is known, and another key: no key helps");
    rules.keys = NULL;
    is_int(verify("{\"alg\":\"HS256\"}", claims, other_secret, &identity, &why), 0, "a second set alone");
    rules.more = NULL;
    is_int(verify("{\"alg\":\"HS256\"}", claims, other_secret, &identity, &why), JWT_E_KEY, "no set at all");
    rules.keys = before;
    (void)ngx_sandbox_keys_free(more); /* always NULL */
}

static void
test_tenants(void)
{
    static const char *const tenants[] = { "acme", "beta", "zeta" };
    struct ngx_sandbox_identity identity;
    const char *why;

    rules.tenant = tenants;
    rules.n_tenants = 3;
    is_int(verify("{\"alg\":\"HS256\"}", "{\"sub\":\"s\",\"tenant\":\"zeta\",\"exp\":1767329045}", secret,
                  &identity, &why),
           0, "a tenant of the list");
    is_int(verify("{\"alg\":\"HS256\"}", "{\"sub\":\"s\",\"tenant\":\"zet\",\"exp\":1767329045}", secret,
                  &identity, &why),
           JWT_E_INVALID, "one that only begins like it");
    rules.n_tenants = 0;
    is_int(verify("{\"alg\":\"HS256\"}", "{\"sub\":\"s\",\"tenant\":\"acme\",\"exp\":1767329045}", secret,
                  &identity, &why),
           JWT_E_INVALID, "an empty list has none");
    rules.tenant = NULL;
}

static void
test_services(void)
{
    static const struct {
        const char *claims;
        int r;
        const char *client, *app;
    } cases[] = {
        { "\"sub\":\"svc\",\"client_id\":\"svc\"", 0, "svc", "svc" },
        { "\"sub\":\"svc\",\"client_id\":\"svc\",\"app\":\"web\"", 0, "svc", "web" },
        { "\"sub\":\"ann\",\"client_id\":\"svc\"", 0, "", "" },
        { "\"sub\":\"svc\",\"client_id\":\"SVC\"", 0, "", "" },
        { "\"sub\":\"svc\",\"client_id\":1", 0, "", "" },
        { "\"sub\":\"a b\",\"client_id\":\"a b\"", JWT_E_INVALID, "", "" },
        { "\"sub\":\"x@c\",\"gty\":\"cc\",\"azp\":\"x\"", 0, "x", "x" },
        { "\"sub\":\"svc\",\"gty\":\"cc\"", 0, "svc", "svc" },
        { "\"sub\":\"x@c\",\"gty\":\"cc\"", JWT_E_INVALID, "", "" },
        { "\"sub\":\"x\",\"gty\":\"cc\",\"client_id\":[]", JWT_E_INVALID, "", "" },
        { "\"sub\":\"x\",\"gty\":\"password\"", 0, "", "" },
        { "\"sub\":\"x\",\"gty\":[\"cc\"]", 0, "", "" },
    };
    struct ngx_sandbox_identity identity;
    const char *why;
    char claims[256];

    rules.has_services = true;
    rules.service_claim = "gty";
    rules.service_value = "cc";
    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        (void)snprintf(claims, sizeof(claims), "{\"tenant\":\"t\",\"exp\":1767329045,%s}",
                       cases[i].claims); /* fits */
        is_int(verify("{\"alg\":\"HS256\"}", claims, secret, &identity, &why), cases[i].r, "%s",
               cases[i].claims);
        if (cases[i].r == 0) {
            is_str(identity.client, cases[i].client, "its client");
            is_str(identity.app, cases[i].app, "its app");
        }
    }
    rules.has_services = false;
    is_int(verify("{\"alg\":\"HS256\"}",
                  "{\"tenant\":\"t\",\"exp\":1767329045,\"sub\":\"a\",\"client_id\":\"a\"}", secret,
                  &identity, &why),
           0, "where services are not told apart");
    is_str(identity.client, "", "there is none");
}

static void
test_governance_scopes(void)
{
    static const struct {
        const char *scopes, *plain;
    } cases[] = {
        { "", "" },
        { "admin", "" },
        { "jobs:read", "jobs:read" },
        { "admin jobs:read policies:write jobs:write", "jobs:read jobs:write" },
        { "policies:read revocations:read audit:read usage:read", "" },
        { "administrator policies x:policies:read", "administrator policies x:policies:read" },
        { "a  admin  b", "a b" },
    };
    char scopes[SBX_SCOPES_MAX + 1];

    ok(ngx_sandbox_scope_granted("a admin", "policies:read", 13), "admin stands for policies");
    ok(ngx_sandbox_scope_granted("usage:read", "usage:read", 10), "a scope stands for itself");
    ok(!ngx_sandbox_scope_granted("admin", "jobs:read", 9), "admin does not stand for jobs");
    ok(!ngx_sandbox_scope_granted("admin", "policies:", 9), "nor for what is none");
    ok(!ngx_sandbox_scope_granted("administrator", "audit:read", 10), "a longer word does not stand for it");
    ok(!ngx_sandbox_scope_granted("", "audit:read", 10), "nor does nothing");
    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        (void)snprintf(scopes, sizeof(scopes), "%s", cases[i].scopes); /* fits */
        ngx_sandbox_scopes_plain(scopes);
        is_str(scopes, cases[i].plain, "without administration: '%s'", cases[i].scopes);
    }
}

static void
test_sets(void)
{
    static const char *const refused[] = {
        "",
        "[]",
        "{}",
        "{\"keys\":null}",
        "{\"keys\":[]}",
        "{\"keys\":[{}]}",
        "{\"keys\":[{\"kty\":\"oct\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"}]}",
    };
    struct ngx_sandbox_keys *keys = new_keys();
    struct sbx_field_error err;

    for (size_t i = 0; i < SBX_COUNT(refused); i++) {
        is_int(ngx_sandbox_jwk_load(keys, refused[i], strlen(refused[i]), &err), KEYS_E_REFUSED,
               "refused: %s", refused[i]);
    }
    is_int((int)keys->n, 0, "no key came of them");
    (void)ngx_sandbox_keys_free(keys); /* always NULL */
}

int
main(void)
{
    struct ngx_sandbox_keys *keys = new_keys();

    if (add_secret(keys, secret, "", "") != 0) {
        BAIL_OUT("no key");
    }
    rules.keys = keys;
    test_times();
    test_selection();
    test_identity();
    test_sets();
    test_more_keys();
    test_tenants();
    test_services();
    test_governance_scopes();
    (void)ngx_sandbox_keys_free(keys); /* always NULL */
    return done_testing();
}
