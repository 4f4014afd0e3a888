/* Strict parsing: what it accepts, its canonical form says again, and the pointer stays within its bounds. */
#include "lib/sbx_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
dump(struct sbx_buf *buf, const json_t *json)
{
    sbx_json_dump(buf, json, true);
    if (buf->failed) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const known[] = { "a", NULL };
    struct sbx_buf once = SBX_BUF_INIT(1 << 24), twice = SBX_BUF_INIT(1 << 24);
    struct sbx_field_error err = { .field = "" };
    json_t *json = NULL, *again = NULL;
    int r;

    r = sbx_json_parse(&json, (const char *)data, size, &err);
    if (r != 0) {
        return 0;
    }
    if (json_is_object(json) && !sbx_json_only(json, "/p", known, &err) && err.field[0] != '/') {
        abort();
    }

    dump(&once, json);
    /* A real number's shortest text may be rounded once; from then on it is stable. */
    if (sbx_json_parse(&again, once.data, once.len, &err) != 0) {
        abort();
    }
    dump(&twice, again);
    if (once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0) {
        abort();
    }
    json_decref(json);
    json_decref(again);
    sbx_buf_deinit(&once);
    sbx_buf_deinit(&twice);
    return 0;
}
