/*
 * Patterns: an expression, a NUL, a text. What is taken matches the same twice, anywhere in the text what it matches in a part that
 * ends the text, and costs no more than it says.
 */
#include "lib/sbx_pattern.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = memchr(data, '\0', size), *why = NULL;
    size_t pattern_len = text == NULL ? size : (size_t)(text - (const char *)data);
    size_t len = text == NULL ? 0 : size - pattern_len - 1;
    struct sbx_pattern *pattern = NULL;
    bool matches;
    int r;

    text = text == NULL ? "" : text + 1;
    len = len > 4096 ? 4096 : len;
    r = sbx_pattern_compile(&pattern, (const char *)data, pattern_len, &why);
    if (r != 0) {
        if (r < 0 || why == NULL || pattern != NULL) {
            abort();
        }
        return 0;
    }
    matches = sbx_pattern_match(pattern, text, len);
    if (sbx_pattern_match(pattern, text, len) != matches) {
        abort();
    }
    /* Without anchors a match in a part is one in the whole. */
    if (memchr(data, '^', pattern_len) == NULL && memchr(data, '$', pattern_len) == NULL && !matches &&
        len > 1 && (uint8_t)text[len - 1] < 0x80 && sbx_pattern_match(pattern, text, len - 1)) {
        abort();
    }
    if (sbx_pattern_cost(pattern, len) == 0) {
        abort();
    }
    pattern = sbx_pattern_free(pattern);
    return 0;
}
