#include "executor/api/cursor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sbx_crypto.h"

#define CURSOR_MAC_LEN 16
#define CURSOR_PLAIN_MAX 64

static int
cursor_mac(uint8_t out[SBX_SHA256_LEN], const char *plain, size_t len, const char *scope, const void *key,
           size_t key_len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(4096);

    sbx_buf_append(&text, plain, len);
    sbx_buf_putc(&text, '\0');
    sbx_buf_puts(&text, scope);
    if (text.failed) {
        return -ENOMEM;
    }
    return sbx_hmac_sha256(key, key_len, text.data, text.len, out);
}

int
cursor_write(struct sbx_buf *out, const struct cursor *cursor, const char *scope, const void *key,
             size_t key_len)
{
    uint8_t mac[SBX_SHA256_LEN];
    char plain[CURSOR_PLAIN_MAX + CURSOR_MAC_LEN];
    size_t len;
    int r;

    len = (size_t)snprintf(plain, CURSOR_PLAIN_MAX, "%llu.%s", (unsigned long long)cursor->created_ms,
                           cursor->id.text);
    r = cursor_mac(mac, plain, len, scope, key, key_len);
    if (r) {
        return r;
    }
    memcpy(plain + len, mac, CURSOR_MAC_LEN);
    sbx_b64url_encode(out, plain, len + CURSOR_MAC_LEN);
    return 0;
}

/* The MAC was right: what is inside is ours, and is still read with care. */
static bool
cursor_parse(struct cursor *ret, const char *plain, size_t len)
{
    char text[CURSOR_PLAIN_MAX];
    char prefix[4] = "";
    char *dot;

    memcpy(text, plain, len);
    text[len] = '\0';
    dot = strchr(text, '.');
    if (dot != NULL) {
        (void)snprintf(prefix, sizeof(prefix), "%s", dot + 1); /* cut: of which kind, the scope says */
    }
    if (dot == NULL || strspn(prefix, "abcdefghijklmnopqrstuvwxyz") != sizeof(prefix) - 1 ||
        !sbx_id_valid(dot + 1, strlen(dot + 1), prefix)) {
        return false;
    }
    errno = 0;
    ret->created_ms = strtoull(text, NULL, 10);
    memcpy(ret->id.text, dot + 1, SBX_ID_LEN + 1);
    return errno == 0 && ret->created_ms <= INT64_MAX;
}

bool
cursor_read(struct cursor *ret, const char *text, const char *scope, const void *key, size_t key_len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf raw = SBX_BUF_INIT(CURSOR_MAX);
    uint8_t mac[SBX_SHA256_LEN];
    size_t len;

    if (strlen(text) > CURSOR_MAX || !sbx_b64url_decode(&raw, text, strlen(text)) ||
        raw.len <= CURSOR_MAC_LEN) {
        return false;
    }
    len = raw.len - CURSOR_MAC_LEN;
    if (len >= CURSOR_PLAIN_MAX || cursor_mac(mac, raw.data, len, scope, key, key_len) != 0 ||
        !sbx_equal_const_time(mac, raw.data + len, CURSOR_MAC_LEN)) {
        return false;
    }
    return cursor_parse(ret, raw.data, len);
}
