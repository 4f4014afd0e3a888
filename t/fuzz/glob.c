/* A pattern and a path, a NUL between: matching ends, and a directory is walked whenever something below it matches. */
#include "session-agent/glob.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PATH 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As a walk of a directory makes them. */
static bool
is_path(const char *path, size_t len)
{
    if (len == 0 || len > MAX_PATH || path[0] == '/' || path[len - 1] == '/' || strstr(path, "//") != NULL) {
        return false;
    }
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (strcspn(part, "/") <= 2 && strspn(part, ".") == strcspn(part, "/")) {
            return false;
        }
    }
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2 * MAX_PATH + 2], *path, *slash;
    size_t len;

    if (size >= sizeof(text)) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    len = strlen(text);
    if (glob_refusal(text, len) != NULL) {
        return 0;
    }
    assert(len <= GLOB_MAX_LEN);
    path = text + (len < size ? len + 1 : len);
    if (!is_path(path, strlen(path))) {
        return 0;
    }
    if (glob_is_literal(text)) {
        assert(glob_match(text, path) == (strcmp(text, path) == 0));
    }
    if (!glob_match(text, path)) {
        return 0;
    }
    while ((slash = strrchr(path, '/')) != NULL) {
        *slash = '\0';
        assert(glob_may_descend(text, path));
    }
    return 0;
}
