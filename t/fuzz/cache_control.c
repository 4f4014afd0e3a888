/* Cache-Control of a server: whatever it says, the time until the next fetch stays within the bounds. */
#include "ngx_sandbox_module/ngx_sandbox_refresh.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t refresh_ms[] = { 1000, NGX_SANDBOX_REFRESH_MIN_MS, 300000, 86400000 };
    char *text = malloc(size + 1);

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < SBX_COUNT(refresh_ms); i++) {
        uint64_t ms = ngx_sandbox_refresh_after(text, refresh_ms[i]);

        if (ms > refresh_ms[i] || (ms < NGX_SANDBOX_REFRESH_MIN_MS && ms != refresh_ms[i])) {
            abort();
        }
    }
    free(text);
    return 0;
}
