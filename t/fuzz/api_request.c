/*
 * What a client puts into the path and the query of the executor's interface: by byte 0 a path, a query, a
 * cursor as a client sends it, or the inside of a cursor with its MAC made right.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/cursor.h"
#include "executor/api/routes.h"
#include "executor/core/idempotency.h"
#include "lib/sbx_crypto.h"

#define TEXT_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key[] = "0123456789abcdef0123456789abcdef";
static const char scope[] = "jobs\nacme";

static void
check_path(const char *path)
{
    struct call call = { 0 };

    if (route_match(&call, path)) {
        assert(call.route != NULL && route_method(call.route, "TRACE") == NULL);
        assert(call.id[0] == '\0' || sbx_id_valid(call.id, strlen(call.id), "job") ||
               sbx_id_valid(call.id, strlen(call.id), "ses") ||
               sbx_id_valid(call.id, strlen(call.id), "art"));
        assert(strlen(call.sub) <= SBX_NAME_MAX);
        assert(call.rest == NULL || strlen(call.rest) <= strlen(path));
    } else {
        assert(call.route == NULL);
    }
    free(call.rest);
}

static void
check_query(const char *query)
{
    struct call call = { 0 };
    bool takes;

    if (!route_match(&call, "/v1/jobs")) {
        abort();
    }
    takes = route_takes_query(route_method(call.route, "GET"), query);
    /* A method without parameters takes what is empty only. */
    if (route_takes_query(route_method(call.route, "POST"), query)) {
        assert(takes && strspn(query, "&") == strlen(query));
    }
    (void)route_permits(route_method(call.route, "GET"), query); /* scopes are a text of the token */
    if (idempotency_key_valid(query)) {
        assert(query[0] != '\0' && strpbrk(query, "\n\r") == NULL);
    }
}

static void
check_cursor(const char *text)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf again = SBX_BUF_INIT(2 * CURSOR_MAX);
    struct cursor cursor;
    char prefix[4];

    if (!cursor_read(&cursor, text, scope, key, sizeof(key) - 1)) {
        return;
    }
    /* Of which kind it is, the scope says. */
    memcpy(prefix, cursor.id.text, sizeof(prefix) - 1);
    prefix[sizeof(prefix) - 1] = '\0';
    assert(cursor.created_ms <= INT64_MAX && strspn(prefix, "abcdefghijklmnopqrstuvwxyz") == strlen(prefix));
    assert(sbx_id_valid(cursor.id.text, strlen(cursor.id.text), prefix));
    assert(cursor_write(&again, &cursor, scope, key, sizeof(key) - 1) == 0 && !again.failed);
}

static void
check_signed(const uint8_t *data, size_t size)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(4 * TEXT_MAX);
    _cleanup_(sbx_buf_deinit) struct sbx_buf plain = SBX_BUF_INIT(2 * TEXT_MAX);
    uint8_t mac[SBX_SHA256_LEN];

    sbx_buf_append(&plain, data, size);
    sbx_buf_putc(&plain, '\0');
    sbx_buf_puts(&plain, scope);
    if (sbx_hmac_sha256(key, sizeof(key) - 1, plain.data, plain.len, mac) != 0) {
        abort();
    }
    plain.len = size;
    sbx_buf_append(&plain, mac, 16);
    sbx_b64url_encode(&text, plain.data, plain.len);
    assert(!text.failed);
    check_cursor(text.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX];

    if (size < 1 || size > sizeof(text)) {
        return 0;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0]) {
    case 'p':
        check_path(text);
        break;
    case 'q':
        check_query(text);
        break;
    case 'c':
        check_cursor(text);
        break;
    default:
        check_signed(data + 1, size - 1);
    }
    return 0;
}
