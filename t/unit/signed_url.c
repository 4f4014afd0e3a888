/* Signed URLs: what was signed is let through until it expires, and nothing else, however near to it. */
#include "lib/sbx_signed_url.h"

#include "lib/sbx_crypto.h"
#include "t/unit/tap.h"

#define NOW 1800000000u

static uint8_t key[SBX_SIGNED_URL_KEY_LEN];
static const struct sbx_signed_url url = { "acme", { "art_01m7yep0vh3nhv2pk7vh28r48r" }, NOW + 60 };

static int
verify(const char *method, const char *text, uint64_t now)
{
    const char *query = strchr(text, '?');
    const struct sbx_signed_url_request request = {
        .method = method,
        .method_len = strlen(method),
        .path = text,
        .path_len = query == NULL ? strlen(text) : (size_t)(query - text),
        .query = query == NULL ? "" : query + 1,
        .query_len = query == NULL ? 0 : strlen(query + 1),
    };
    struct sbx_signed_url got = { 0 };
    const int r = sbx_signed_url_verify(&got, &request, key, now);

    if (r == 0 &&
        (strcmp(got.tenant, url.tenant) != 0 || strcmp(got.artifact.text, url.artifact.text) != 0)) {
        return -ENOTRECOVERABLE;
    }
    if (r != 0 && got.tenant[0] != '\0') {
        return -ENOTRECOVERABLE;
    }
    return r;
}

/* The text with one part of it exchanged. */
static const char *
with(const char *text, const char *from, const char *to)
{
    static char out[1024];
    const char *at = strstr(text, from);

    if (at == NULL) {
        BAIL_OUT("%s is not in %s", from, text);
    }
    snprintf(out, sizeof(out), "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static void
test_bytes(const char *text)
{
    char changed[SBX_SIGNED_URL_MAX + 1];
    const size_t len = strlen(text);
    unsigned passed = 0;

    for (size_t i = 0; i < len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(changed, text, len + 1);
            changed[i] = (char)(changed[i] ^ (1 << bit));
            passed += verify("GET", changed, NOW) == 0;
        }
        memcpy(changed, text, i);
        memcpy(changed + i, text + i + 1, len - i);
        passed += verify("GET", changed, NOW) == 0;
        memcpy(changed, text, len);
        changed[i] = '\0';
        passed += verify("GET", changed, NOW) == 0;
        memcpy(changed, text, i);
        changed[i] = text[i];
        memcpy(changed + i + 1, text + i, len - i + 1);
        passed += verify("GET", changed, NOW) == 0;
    }
    is_uint(passed, 0, "no bit changed, byte dropped, byte doubled or end cut off of %zu bytes", len);
}

static void
test_forms(const char *text)
{
    const char *query = strchr(text, '?') + 1, *signature = strstr(text, "signature=");
    char swapped[1024], url_text[1024];

    is_int(verify("GET", with(text, "tenant=acme", "tenant=umbrella"), NOW), SBX_SIGNED_URL_E_MAC,
           "another tenant");
    is_int(verify("GET", with(text, "28r48r", "28r48s"), NOW), SBX_SIGNED_URL_E_MAC, "another artifact");
    is_int(verify("GET", with(text, "1800000060", "1800000061"), NOW), SBX_SIGNED_URL_E_MAC, "a second more");
    is_int(verify("GET", with(text, "1800000060", "01800000060"), NOW), SBX_SIGNED_URL_E_FORM,
           "another spelling of it");
    is_int(verify("GET", with(text, "tenant=acme", "tenant=%61cme"), NOW), SBX_SIGNED_URL_E_FORM,
           "an escape");
    is_int(verify("GET", with(text, "/content", ""), NOW), SBX_SIGNED_URL_E_FORM, "the artifact itself");
    is_int(verify("GET", with(text, "/content", "/url"), NOW), SBX_SIGNED_URL_E_FORM, "another of its paths");
    is_int(verify("GET", with(text, "/content", "/content/"), NOW), SBX_SIGNED_URL_E_FORM, "a path below it");
    is_int(verify("GET", with(text, "/v1/", "/v1//"), NOW), SBX_SIGNED_URL_E_FORM, "a slash twice");
    is_int(verify("GET", with(text, "/v1/", "/v1/x/../"), NOW), SBX_SIGNED_URL_E_FORM, "a way around");
    is_int(verify("GET", with(text, "art_", "job_"), NOW), SBX_SIGNED_URL_E_FORM, "no artifact");
    is_int(verify("GET", with(text, "?tenant", "?x=1&tenant"), NOW), SBX_SIGNED_URL_E_FORM,
           "a parameter before");
    is_int(verify("GET", with(text, "&signature", "&expires=9&signature"), NOW), SBX_SIGNED_URL_E_FORM,
           "one twice");
    snprintf(url_text, sizeof(url_text), "%s&x=1", text);
    is_int(verify("GET", url_text, NOW), SBX_SIGNED_URL_E_FORM, "one behind");
    snprintf(url_text, sizeof(url_text), "%s&", text);
    is_int(verify("GET", url_text, NOW), SBX_SIGNED_URL_E_FORM, "the end of one");
    snprintf(url_text, sizeof(url_text), "%s=", text);
    is_int(verify("GET", url_text, NOW), SBX_SIGNED_URL_E_FORM, "padding");
    snprintf(swapped, sizeof(swapped), "%.*s?%s&%.*s", (int)(query - 1 - text), text, signature,
             (int)(signature - 1 - query), query);
    is_int(verify("GET", swapped, NOW), SBX_SIGNED_URL_E_FORM, "another order");
    is_int(verify("GET", "/v1/artifacts/art_01m7yep0vh3nhv2pk7vh28r48r/content", NOW), SBX_SIGNED_URL_E_FORM,
           "no query");
    is_int(verify("GET", "", NOW), SBX_SIGNED_URL_E_FORM, "nothing");
}

int
main(void)
{
    static const char *const methods[] = { "",      "get",     "POST", "PUT", "DELETE",
                                           "PATCH", "OPTIONS", "GETX", "HEA", "HEAD " };
    struct sbx_signed_url bad = url;
    char text[SBX_SIGNED_URL_MAX];
    uint8_t other[SBX_SIGNED_URL_KEY_LEN];

    is_int(sbx_signed_url_key(key, "0123456789abcdef0123456789abcdef", 32), 0, "a key");
    is_int(sbx_signed_url_make(text, &url, key), 0, "a URL");
    note("%s", text);
    is_int(verify("GET", text, NOW), 0, "is let through");
    is_int(verify("HEAD", text, NOW), 0, "its head, too");
    is_int(verify("GET", text, NOW + 59), 0, "until its last second");
    is_int(verify("GET", text, NOW + 60), SBX_SIGNED_URL_E_TIME, "then no more");
    is_int(verify("GET", text, UINT64_MAX), SBX_SIGNED_URL_E_TIME, "nor ever");
    is_int(verify("GET", text, NOW - SBX_SIGNED_URL_LIFE_MAX_S), SBX_SIGNED_URL_E_TIME,
           "none lives longer than a week");
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        is_int(verify(methods[i], text, NOW), SBX_SIGNED_URL_E_FORM, "not to %s", methods[i]);
    }
    test_bytes(text);
    test_forms(text);

    is_int(sbx_signed_url_key(other, "0123456789abcdef0123456789abcdeg", 32), 0, "another key");
    is_int(sbx_signed_url_make(text, &url, other), 0, "signs");
    is_int(verify("GET", text, NOW), SBX_SIGNED_URL_E_MAC, "in vain");
    is_int(sbx_signed_url_make(text, &url, (const uint8_t *)"0123456789abcdef0123456789abcdef"), 0,
           "the context's own");
    is_int(verify("GET", text, NOW), SBX_SIGNED_URL_E_MAC, "is another");

    snprintf(bad.tenant, sizeof(bad.tenant), "a&b");
    is_int(sbx_signed_url_make(text, &bad, key), -EINVAL, "no tenant has such a name");
    bad = url;
    snprintf(bad.artifact.text, sizeof(bad.artifact.text), "job_01m7yep0vh3nhv2pk7vh28r48r");
    is_int(sbx_signed_url_make(text, &bad, key), -EINVAL, "jobs have none");

    ok(sbx_signed_url_wanted("signature=", 10) && sbx_signed_url_wanted("a=1&signature", 13),
       "a signature is seen");
    ok(sbx_signed_url_wanted("a&&signature=x&", 15), "wherever it is");
    ok(!sbx_signed_url_wanted("", 0) && !sbx_signed_url_wanted("signatures=1", 12) &&
           !sbx_signed_url_wanted("a=signature", 11),
       "but not where there is none");
    return done_testing();
}
