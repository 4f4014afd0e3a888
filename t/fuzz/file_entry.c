/*
 * What an agent says of a file, and the paths of clients: whatever is taken stays inside its bounds and can be said again.
 */
#include "executor/api/file.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sbx_utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_path(const char *path)
{
    size_t len = strlen(path);

    if (file_path_refusal(path, false) != NULL) {
        return;
    }
    assert(len > 0 && len <= FILE_PATH_MAX && sbx_utf8_valid(path, len));
    assert(path[0] != '/' && path[len - 1] != '/' && strstr(path, "//") == NULL);
    for (const char *p = path; p != NULL; p = strchr(p, '/') == NULL ? NULL : strchr(p, '/') + 1) {
        size_t n = strcspn(p, "/");

        assert(n > 0 && n <= 255 && !(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.'));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(FILE_JSON_MAX);
    _cleanup_(sbx_json_decrefp) json_t *object = NULL;
    struct sbx_field_error err;
    struct file_entry entry;
    struct sbx_jsonw w;
    char *text = malloc(size + 1);

    assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    check_path(text);
    free(text);

    if (sbx_json_parse(&object, (const char *)data, size, &err) != 0 || !file_entry_take(&entry, object)) {
        return 0;
    }
    if (entry.path[0] != '\0') {
        assert(file_path_refusal(entry.path, false) == NULL);
    }
    assert(strlen(entry.mode) == 4 && entry.size <= INT64_MAX);
    assert((strcmp(entry.kind, "file") == 0) == (entry.etag != NULL));
    assert(entry.etag == NULL || strlen(entry.etag) < FILE_ETAG_MAX - 2);
    sbx_jsonw_init(&w, &out);
    sbx_jsonw_object(&w, NULL);
    file_entry_write(&w, &entry);
    sbx_jsonw_object_end(&w);
    assert(!out.failed);
    return 0;
}
