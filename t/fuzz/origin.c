/*
 * An Origin header: what is taken is written again from its parts, and must be the same origin; what counts as this machine's says so in
 * the text itself.
 */
#include "ngx_sandbox_module/ngx_sandbox_origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ngx_sandbox_origin origin, again;
    char text[NGX_SANDBOX_ORIGIN_MAX + 16], input[NGX_SANDBOX_ORIGIN_MAX + 1];
    int n;

    if (!ngx_sandbox_origin_parse(&origin, (const char *)data, size)) {
        return 0;
    }
    if (origin.host_len == 0 || origin.host_len > size || origin.port == 0 ||
        memchr(data, '\0', size) != NULL || memchr(data, '@', size) != NULL) {
        abort();
    }
    n = snprintf(text, sizeof(text), "http%s://%.*s:%u", origin.secure ? "s" : "", (int)origin.host_len,
                 origin.host, origin.port);
    if (n < 0 || (size_t)n >= sizeof(text)) {
        abort();
    }
    /* With a port that was left out it may be too long. */
    if (n <= NGX_SANDBOX_ORIGIN_MAX &&
        (!ngx_sandbox_origin_parse(&again, text, (size_t)n) || !ngx_sandbox_origin_same(&origin, &again) ||
         ngx_sandbox_origin_is_loopback(&origin) != ngx_sandbox_origin_is_loopback(&again))) {
        abort();
    }
    memcpy(input, data, size);
    input[size] = '\0';
    if (ngx_sandbox_origin_is_loopback(&origin) && strcasestr(input, "://localhost") == NULL &&
        strstr(input, "://127.0.0.1") == NULL && strstr(input, "://[::1]") == NULL) {
        abort();
    }
    return 0;
}
