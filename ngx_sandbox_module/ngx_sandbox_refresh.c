#include "ngx_sandbox_refresh.h"

#include <string.h>
#include <strings.h>

#define MAX_AGE_DIGITS 9

/* One directive, `len` bytes without the spaces around it. False when it says nothing of time. */
static bool
directive_seconds(const char *text, size_t len, uint64_t *ret)
{
    static const char name[] = "max-age=";
    size_t i = strlen(name), digits = 0;

    if ((len == strlen("no-store") && strncasecmp(text, "no-store", len) == 0) ||
        (len == strlen("no-cache") && strncasecmp(text, "no-cache", len) == 0)) {
        *ret = 0;
        return true;
    }
    if (len <= i || strncasecmp(text, name, i) != 0) {
        return false;
    }
    *ret = 0;
    for (; i < len && text[i] >= '0' && text[i] <= '9' && digits < MAX_AGE_DIGITS; i++, digits++) {
        *ret = *ret * 10 + (uint64_t)(text[i] - '0');
    }
    return digits != 0 && i == len;
}

uint64_t
ngx_sandbox_refresh_after(const char *cache_control, uint64_t refresh_ms)
{
    uint64_t least = refresh_ms;

    while (cache_control != NULL && *cache_control != '\0') {
        size_t len = strcspn(cache_control, ","), skip = strspn(cache_control, " \t"), end = len;
        uint64_t seconds;

        while (end > skip && (cache_control[end - 1] == ' ' || cache_control[end - 1] == '\t')) {
            end--;
        }
        if (skip < end && directive_seconds(cache_control + skip, end - skip, &seconds) &&
            seconds * 1000 < least) {
            least = seconds * 1000;
        }
        cache_control += len;
        cache_control += *cache_control == ',';
    }
    if (least < NGX_SANDBOX_REFRESH_MIN_MS) {
        least = NGX_SANDBOX_REFRESH_MIN_MS;
    }
    return least < refresh_ms ? least : refresh_ms;
}

uint64_t
ngx_sandbox_backoff(unsigned failures, uint32_t chance)
{
    uint64_t ms = NGX_SANDBOX_BACKOFF_FIRST_MS;

    while (failures > 1 && ms < NGX_SANDBOX_BACKOFF_MAX_MS) {
        ms *= 2;
        failures--;
    }
    if (ms > NGX_SANDBOX_BACKOFF_MAX_MS) {
        ms = NGX_SANDBOX_BACKOFF_MAX_MS;
    }
    return ms / 2 + chance % (ms / 2 + 1);
}
