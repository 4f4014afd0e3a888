/* Names and media types that clients give: what is taken can stand in a header, a row and a line of a log. */
#include "executor/core/artifact.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sbx_utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);

    assert(text != NULL);
    if (artifact_name_valid(text)) {
        assert(*text != '\0' && strlen(text) <= ARTIFACT_NAME_MAX && sbx_utf8_valid(text, strlen(text)));
        assert(strpbrk(text, "\r\n\t\x1b\x7f") == NULL);
    }
    if (artifact_mime_valid(text)) {
        assert(strlen(text) <= ARTIFACT_MIME_MAX && strchr(text, '/') > text &&
               strpbrk(text, "\r\n\x7f") == NULL);
    }
    free(text);
    return 0;
}
