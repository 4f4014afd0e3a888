/* Method, path and query, a NUL between each: none of them was signed, so none is let through. */
#include "lib/sbx_signed_url.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
take(const char **p, const char *end, const char **ret)
{
    const char *nul = *p == end ? NULL : memchr(*p, '\0', (size_t)(end - *p));
    const size_t len = (size_t)((nul == NULL ? end : nul) - *p);

    *ret = *p;
    *p = nul == NULL ? end : nul + 1;
    return len;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[SBX_SIGNED_URL_KEY_LEN] = "0123456789abcdef0123456789abcde";
    const char *p = (const char *)data, *end = p + size;
    struct sbx_signed_url_request request = { 0 };
    struct sbx_signed_url url;

    if (size == 0) {
        return 0;
    }
    request.method_len = take(&p, end, &request.method);
    request.path_len = take(&p, end, &request.path);
    request.query_len = take(&p, end, &request.query);
    if (sbx_signed_url_verify(&url, &request, key, 1800000000) == 0) {
        abort();
    }
    (void)sbx_signed_url_wanted(request.query, request.query_len); /* only that it reads within its bounds */
    return 0;
}
