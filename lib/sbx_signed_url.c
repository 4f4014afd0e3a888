#include "sbx_signed_url.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sbx_buf.h"
#include "sbx_crypto.h"

#define URL_BEFORE "/v1/artifacts/"
#define URL_AFTER "/content"
#define URL_PATH_LEN (sizeof(URL_BEFORE) - 1 + SBX_ID_LEN + sizeof(URL_AFTER) - 1)
#define URL_MAC_LEN 43 /* base64url of 32 bytes */
#define URL_EXPIRES_DIGITS 11

static const char label[] = "sandbox artifact url v1";

int
sbx_signed_url_key(uint8_t out[SBX_SIGNED_URL_KEY_LEN], const void *context_key, size_t len)
{
    return sbx_hmac_sha256(context_key, len, label, sizeof(label) - 1, out);
}

/* Lines, and none of the values can have the end of one. */
static int
url_mac(uint8_t out[SBX_SHA256_LEN], const struct sbx_signed_url *url,
        const uint8_t key[SBX_SIGNED_URL_KEY_LEN])
{
    char text[2 * SBX_SIGNED_URL_MAX];
    const int n =
        snprintf(text, sizeof(text), "%s\nread\n" URL_BEFORE "%s" URL_AFTER "\n%s\n%s\n%" PRIu64 "\n", label,
                 url->artifact.text, url->tenant, url->artifact.text, url->expires_s);

    if (n < 0 || (size_t)n >= sizeof(text)) {
        return -EINVAL;
    }
    return sbx_hmac_sha256(key, SBX_SIGNED_URL_KEY_LEN, text, (size_t)n, out);
}

int
sbx_signed_url_make(char out[SBX_SIGNED_URL_MAX], const struct sbx_signed_url *url,
                    const uint8_t key[SBX_SIGNED_URL_KEY_LEN])
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(SBX_SIGNED_URL_MAX - 1);
    uint8_t mac[SBX_SHA256_LEN];
    int r;

    if (!sbx_name_valid(url->tenant, strlen(url->tenant)) ||
        !sbx_id_valid(url->artifact.text, strlen(url->artifact.text), "art")) {
        return -EINVAL;
    }
    r = url_mac(mac, url, key);
    if (r) {
        return r;
    }
    sbx_buf_printf(&text,
                   URL_BEFORE "%s" URL_AFTER "?tenant=%s&expires=%" PRIu64 "&signature=", url->artifact.text,
                   url->tenant, url->expires_s);
    sbx_b64url_encode(&text, mac, sizeof(mac));
    if (text.failed) {
        return -ENOMEM;
    }
    memcpy(out, text.data, text.len + 1);
    return 0;
}

bool
sbx_signed_url_wanted(const char *query, size_t len)
{
    static const char name[] = "signature";
    const size_t name_len = sizeof(name) - 1;

    for (size_t at = 0; at < len;) {
        const char *end = memchr(query + at, '&', len - at);
        const size_t n = end == NULL ? len - at : (size_t)(end - query) - at;

        if (n >= name_len && memcmp(query + at, name, name_len) == 0 &&
            (n == name_len || query[at + name_len] == '=')) {
            return true;
        }
        at += n + 1;
    }
    return false;
}

static bool
method_reads(const char *method, size_t len)
{
    return (len == 3 && memcmp(method, "GET", 3) == 0) || (len == 4 && memcmp(method, "HEAD", 4) == 0);
}

static bool
path_take(struct sbx_signed_url *ret, const char *path, size_t len)
{
    const char *id = path + sizeof(URL_BEFORE) - 1;

    if (len != URL_PATH_LEN || memcmp(path, URL_BEFORE, sizeof(URL_BEFORE) - 1) != 0 ||
        memcmp(id + SBX_ID_LEN, URL_AFTER, sizeof(URL_AFTER) - 1) != 0 ||
        !sbx_id_valid(id, SBX_ID_LEN, "art")) {
        return false;
    }
    memcpy(ret->artifact.text, id, SBX_ID_LEN);
    ret->artifact.text[SBX_ID_LEN] = '\0';
    return true;
}

/* The value of the parameter that comes now; *p moves behind it and its '&'. NULL: it is another one. */
static const char *
value_take(const char **p, const char *end, const char *name, size_t *ret_len)
{
    const size_t name_len = strlen(name);
    const char *value = *p + name_len, *amp;

    if ((size_t)(end - *p) < name_len || memcmp(*p, name, name_len) != 0) {
        return NULL;
    }
    amp = memchr(value, '&', (size_t)(end - value));
    *ret_len = (size_t)((amp == NULL ? end : amp) - value);
    *p = amp == NULL ? end : amp + 1;
    return value;
}

static bool
expires_take(uint64_t *ret, const char *text, size_t len)
{
    uint64_t value = 0;

    if (len == 0 || len > URL_EXPIRES_DIGITS || text[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *ret = value;
    return true;
}

/* The MAC as it was sent is in mac. */
static bool
query_take(struct sbx_signed_url *ret, struct sbx_buf *mac, const char *query, size_t query_len)
{
    const char *p = query, *end = query + query_len;
    const char *value;
    size_t len;

    value = value_take(&p, end, "tenant=", &len);
    if (value == NULL || !sbx_name_valid(value, len)) {
        return false;
    }
    memcpy(ret->tenant, value, len);
    ret->tenant[len] = '\0';
    value = value_take(&p, end, "expires=", &len);
    if (value == NULL || !expires_take(&ret->expires_s, value, len)) {
        return false;
    }
    value = value_take(&p, end, "signature=", &len);
    return value != NULL && value + len == end && len == URL_MAC_LEN && sbx_b64url_decode(mac, value, len) &&
           mac->len == SBX_SHA256_LEN;
}

int
sbx_signed_url_verify(struct sbx_signed_url *ret, const struct sbx_signed_url_request *request,
                      const uint8_t key[SBX_SIGNED_URL_KEY_LEN], uint64_t now_s)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf sent = SBX_BUF_INIT(SBX_SHA256_LEN);
    uint8_t mac[SBX_SHA256_LEN];
    struct sbx_signed_url url = { 0 };
    int r;

    if (request->query_len >= SBX_SIGNED_URL_MAX || !method_reads(request->method, request->method_len) ||
        !path_take(&url, request->path, request->path_len) ||
        !query_take(&url, &sent, request->query, request->query_len)) {
        return SBX_SIGNED_URL_E_FORM;
    }
    r = url_mac(mac, &url, key);
    if (r) {
        return r;
    }
    if (!sbx_equal_const_time(mac, sent.data, sizeof(mac))) {
        return SBX_SIGNED_URL_E_MAC;
    }
    if (url.expires_s <= now_s || url.expires_s - now_s > SBX_SIGNED_URL_LIFE_MAX_S) {
        return SBX_SIGNED_URL_E_TIME;
    }
    *ret = url;
    return 0;
}
