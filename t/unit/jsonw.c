/* The JSON writer: commas, escapes, bytes that are not text, and misuse that fails. */
#include "lib/sbx_jsonw.h"

#include "lib/sbx_json.h"
#include "t/unit/tap.h"

static struct sbx_buf buf = SBX_BUF_INIT(1 << 20);
static struct sbx_jsonw w;

static void
begin(void)
{
    sbx_buf_reset(&buf);
    sbx_jsonw_init(&w, &buf);
}

static void
test_shapes(void)
{
    begin();
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "a", "b");
    sbx_jsonw_str(&w, "n", NULL);
    sbx_jsonw_int(&w, "i", INT64_MIN);
    sbx_jsonw_uint(&w, "u", UINT64_MAX);
    sbx_jsonw_array(&w, "list");
    sbx_jsonw_bool(&w, NULL, true);
    sbx_jsonw_bool(&w, NULL, false);
    sbx_jsonw_null(&w, NULL);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_array(&w, NULL);
    sbx_jsonw_array_end(&w);
    sbx_jsonw_raw(&w, NULL, "{\"raw\":1}", 9);
    sbx_jsonw_array_end(&w);
    sbx_jsonw_strn(&w, "k\"ey", "abc", 2);
    sbx_jsonw_object_end(&w);
    is_str(buf.data,
           "{\"a\":\"b\",\"n\":null,\"i\":-9223372036854775808,\"u\":18446744073709551615,"
           "\"list\":[true,false,null,{},[],{\"raw\":1}],\"k\\\"ey\":\"ab\"}",
           "every kind of value, with its commas");
}

static void
check_string(const char *bytes, size_t len, const char *expected, const char *name)
{
    begin();
    sbx_jsonw_strn(&w, NULL, bytes, len);
    is_str(buf.data, expected, "%s", name);
}

static void
test_escapes(void)
{
    check_string("\"\\/", 3, "\"\\\"\\\\/\"", "quote, backslash, slash");
    check_string("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"", "short escapes");
    check_string("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\\u007f\"", "control characters");
    check_string("\xc2\x80\xc2\x9f\xc2\xa0", 6, "\"\\u0080\\u009f\xc2\xa0\"", "C1 controls, but not U+00A0");
    check_string("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 12,
                 "\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\"", "line separators only");
    check_string("a\xff"
                 "b\xc3",
                 4,
                 "\"a\xef\xbf\xbd"
                 "b\xef\xbf\xbd\"",
                 "bytes that are not UTF-8");
    check_string("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", "a surrogate, byte by byte");
    check_string("\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa4", 9, "\"\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa4\"",
                 "characters stay as they are");
    check_string(NULL, 0, "\"\"", "no bytes");
}

/* Whatever the bytes, the result is one JSON string without a raw control byte. */
static void
test_all_pairs(void)
{
    struct sbx_field_error err;
    unsigned a, b, wrong = 0;
    size_t i;

    for (a = 0; a < 256; a++) {
        for (b = 0; b < 256; b++) {
            char pair[2] = { (char)a, (char)b };
            json_t *json = NULL;

            begin();
            sbx_jsonw_array(&w, NULL);
            sbx_jsonw_strn(&w, NULL, pair, 2);
            sbx_jsonw_array_end(&w);
            /* jansson refuses an escaped NUL by its flags, not for its form. */
            wrong += a != 0 && b != 0 && sbx_json_parse(&json, buf.data, buf.len, &err) != 0;
            json_decref(json);
            for (i = 0; i < buf.len; i++) {
                wrong += (unsigned char)buf.data[i] < 0x20 || buf.data[i] == 0x7f;
            }
        }
    }
    is_uint(wrong, 0, "every pair of bytes comes out as JSON without control bytes");
}

static void
test_misuse(void)
{
    struct sbx_buf small = SBX_BUF_INIT(10);
    unsigned i;

    begin();
    for (i = 0; i < SBX_JSONW_DEPTH - 1; i++) {
        sbx_jsonw_array(&w, NULL);
    }
    sbx_jsonw_int(&w, NULL, 1);
    ok(!buf.failed, "the deepest nesting works");
    begin();
    for (i = 0; i < SBX_JSONW_DEPTH + 5; i++) {
        sbx_jsonw_array(&w, NULL);
    }
    sbx_jsonw_int(&w, NULL, 1);
    ok(buf.failed, "past it the buffer has failed");

    begin();
    sbx_jsonw_object_end(&w);
    ok(buf.failed, "an end without a beginning fails");

    sbx_jsonw_init(&w, &small);
    sbx_jsonw_str(&w, NULL, "far too long for it");
    ok(small.failed, "a full buffer fails");
    sbx_buf_deinit(&small);
}

int
main(void)
{
    test_shapes();
    test_escapes();
    test_all_pairs();
    test_misuse();
    sbx_buf_deinit(&buf);
    return done_testing();
}
