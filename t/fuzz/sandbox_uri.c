/* A URI that an agent sends: what is taken names a path of a workspace, and its one form names the same. */
#include "executor/api/sandbox_uri.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sandbox_uri uri, again;
    char *text = strndup((const char *)data, size);

    assert(text != NULL);
    if (sandbox_uri_parse(&uri, text)) {
        struct sbx_buf out = SBX_BUF_INIT(8192);

        assert(file_path_refusal(uri.path, true) == NULL);
        sandbox_uri_write(&out, &uri);
        assert(!out.failed && out.len <= SANDBOX_URI_MAX);
        assert(sandbox_uri_parse(&again, out.data));
        assert(again.kind == uri.kind && strcmp(again.id, uri.id) == 0 && strcmp(again.step, uri.step) == 0 &&
               strcmp(again.path, uri.path) == 0);
        sbx_buf_deinit(&out);
    }
    free(text);
    return 0;
}
