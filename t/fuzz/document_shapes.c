/* Bodies of older forms: by byte 0 a session's or a step's. What comes out is a document, and no longer in the old form. */
#include <stdlib.h>
#include <string.h>

#include "executor/api/document_shapes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_buf out = SBX_BUF_INIT(32 << 20);
    struct sbx_field_error err = { 0 };
    struct document_names names;
    json_t *json = NULL;
    int r;

    if (size == 0) {
        return 0;
    }
    if (data[0] == 's') {
        r = document_session_body(&out, &names, (const char *)data + 1, size - 1, &err);
    } else {
        r = document_execute_body(&out, (const char *)data + 1, size - 1, &err);
    }
    if (r == 0) {
        if (sbx_json_parse(&json, out.data, out.len, &err) != 0 ||
            json_object_get(json, data[0] == 's' ? "runtime" : "event") != NULL) {
            abort();
        }
    } else if (r < 0 || (r == DOCUMENT_E_FIELD && err.message[0] == '\0')) {
        abort();
    }
    if (data[0] == 's') {
        document_error(&names, &err);
    }
    json_decref(json);
    sbx_buf_deinit(&out);
    return 0;
}
