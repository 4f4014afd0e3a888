/*
 * Strict parsing: its verdict and its value are jansson's, but for the ceilings of size; what it accepts, its canonical form says
 * again; and the pointer stays within its bounds.
 */
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

/* Members in the order of the document. */
static void
dump_as_is(struct sbx_buf *buf, const json_t *json)
{
    sbx_json_dump(buf, json, false);
    if (buf->failed) {
        abort();
    }
}

/* `json` NULL: it was refused, and by a ceiling if jansson takes it. */
static void
compare(const json_t *json, const char *data, size_t size, const struct sbx_field_error *err)
{
    struct sbx_buf one = SBX_BUF_INIT(1 << 24), other = SBX_BUF_INIT(1 << 24);
    json_t *expected = json_loadb(data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);

    if (json == NULL) {
        if (expected != NULL && strncmp(err->message, "must not ", strlen("must not ")) != 0) {
            abort();
        }
        json_decref(expected);
        return;
    }
    if (expected == NULL || !json_equal(json, expected)) {
        abort();
    }
    dump_as_is(&one, json);
    dump_as_is(&other, expected);
    if (one.len != other.len || memcmp(one.data, other.data, one.len) != 0) {
        abort();
    }
    json_decref(expected);
    sbx_buf_deinit(&one);
    sbx_buf_deinit(&other);
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
    compare(json, (const char *)data, size, &err);
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
