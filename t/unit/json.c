/* Strict parsing and typed access: what is refused, and which field the refusal names. */
#include "lib/sbx_json.h"

#include "t/unit/tap.h"

static struct sbx_field_error err;

static json_t *
parse(const char *text)
{
    json_t *json = NULL;

    if (sbx_json_parse(&json, text, strlen(text), &err) != 0) {
        BAIL_OUT("cannot parse %s: %s", text, err.message);
    }
    return json;
}

static void
test_refused(void)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "nul",
        "[1 2]",
        "{}x",
        "{}{}",
        "[] []",
        "\"\\x\"",
        "01",
        "+1",
        ".5",
        "1.",
        "0x1",
        "NaN",
        "Infinity",
        "1e999",
        "99999999999999999999",
        "\"a\nb\"",
        "\"\xff\"",
        "\"\xed\xa0\x80\"",
        "\"\\ud800\"",
        "// c\n1",
        "/* c */ 1",
        "{\"a\":1,\"a\":2}",
        "{\"x\":{\"a\":1,\"b\":2,\"a\":3}}",
        "\"\\u0000\"",
        "{\"\\u0000\":1}",
        "\xef\xbb\xbf{}",
        "[\"a\",",
        "{\"a\"}",
    };
    json_t *json = NULL;
    size_t i;

    for (i = 0; i < SBX_COUNT(bad); i++) {
        err.message[0] = '\0';
        is_int(sbx_json_parse(&json, bad[i], strlen(bad[i]), &err), SBX_JSON_E_SYNTAX, "refused: case %zu",
               i);
        ok(json == NULL && err.message[0] != '\0' && err.field[0] == '\0', "with a reason: %s", err.message);
    }
    is_int(sbx_json_parse(&json, "[1]\0", 4, &err), SBX_JSON_E_SYNTAX, "refused: NUL after the document");
    is_int(sbx_json_parse(&json, NULL, 0, &err), SBX_JSON_E_SYNTAX, "refused: no bytes at all");
}

static void
test_no_echo(void)
{
    static const char secret[] = "{\"a\": hunter2}";
    json_t *json = NULL;

    is_int(sbx_json_parse(&json, secret, strlen(secret), &err), SBX_JSON_E_SYNTAX,
           "a document with a secret");
    ok(strstr(err.message, "hunter2") == NULL, "the reason does not quote it");
}

static void
test_accepted(void)
{
    static const char *const good[] = {
        "{}",
        "[]",
        "null",
        "true",
        "0",
        "-0",
        "-1.5e-3",
        "\"\"",
        " {\"a\" : [1, 2.5, \"x\", null]}\r\n\t",
        "\"\\\\\\\"\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00\"",
        "9223372036854775807",
        "\"[[[[\\\"[[[[\"",
    };
    json_t *json;
    size_t i;

    for (i = 0; i < SBX_COUNT(good); i++) {
        json = NULL;
        is_int(sbx_json_parse(&json, good[i], strlen(good[i]), &err), 0, "accepted: %s", good[i]);
        json_decref(json);
    }
}

/* `depth` arrays, after a string whose quotes and backslashes try to hide them. */
static int
parse_nested(unsigned depth, const char *before)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 20);
    json_t *json = NULL;
    unsigned i;
    int r;

    sbx_buf_puts(&text, before);
    for (i = 0; i < depth; i++) {
        sbx_buf_putc(&text, '[');
    }
    for (i = 0; i < depth; i++) {
        sbx_buf_putc(&text, ']');
    }
    if (before[0] != '\0') {
        sbx_buf_putc(&text, ']');
    }
    r = sbx_json_parse(&json, text.data, text.len, &err);
    json_decref(json);
    sbx_buf_deinit(&text);
    return r;
}

static void
test_ceilings(void)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 24);
    json_t *json = NULL;
    unsigned i;

    is_int(parse_nested(SBX_JSON_DEPTH, ""), 0, "the deepest nesting");
    is_int(parse_nested(SBX_JSON_DEPTH + 1, ""), SBX_JSON_E_SYNTAX, "one deeper");
    is_int(parse_nested(100000, ""), SBX_JSON_E_SYNTAX, "far deeper");
    is_int(parse_nested(SBX_JSON_DEPTH, "[\"\\\\\","), SBX_JSON_E_SYNTAX, "behind an escaped backslash");
    is_int(parse_nested(SBX_JSON_DEPTH, "[\"\\\"\","), SBX_JSON_E_SYNTAX, "behind an escaped quote");
    is_int(parse_nested(SBX_JSON_DEPTH - 1, "[\"\\\\\\\"\","), 0, "and just fitting behind both");

    sbx_buf_putc(&text, '[');
    for (i = 0; i < SBX_JSON_CONTAINERS; i++) {
        sbx_buf_puts(&text, i > 0 ? ",{}" : "{}");
    }
    sbx_buf_putc(&text, ']');
    is_int(sbx_json_parse(&json, text.data, text.len, &err), SBX_JSON_E_SYNTAX, "too many objects");
    ok(err.too_large, "is a matter of size");

    sbx_buf_reset(&text);
    sbx_buf_putc(&text, '[');
    for (i = 0; i <= SBX_JSON_VALUES; i++) {
        sbx_buf_puts(&text, "1,");
    }
    sbx_buf_puts(&text, "1]");
    is_int(sbx_json_parse(&json, text.data, text.len, &err), SBX_JSON_E_SYNTAX, "too many values");
    ok(err.too_large, "is a matter of size, too");
    sbx_buf_deinit(&text);
}

static void
test_members(void)
{
    json_t *json = parse("{\"s\":\"abc\",\"i\":7,\"b\":true,\"o\":{},\"a\":[1,2],\"z\":null,\"r\":1.5}");
    json_t *object = NULL, *array = NULL;
    const char *text = "unset";
    size_t len = 99;
    int64_t i = -1;
    bool b = false;

    ok(sbx_json_get_str(json, "", "s", 3, &text, &len, &err) && len == 3, "a string");
    is_str(text, "abc", "its value");
    ok(sbx_json_get_int(json, "", "i", 7, 7, &i, &err) && i == 7, "an integer on both bounds");
    ok(sbx_json_get_bool(json, "", "b", &b, &err) && b, "a boolean");
    ok(sbx_json_get_object(json, "", "o", &object, &err) && object != NULL, "an object");
    ok(sbx_json_get_array(json, "", "a", 2, &array, &err) && array != NULL, "an array");

    text = "unset";
    ok(sbx_json_get_str(json, "", "nope", 3, &text, &len, &err), "absent is fine");
    ok(sbx_json_get_str(json, "", "z", 3, &text, &len, &err), "null is absent");
    is_str(text, "unset", "neither writes the result");

    ok(!sbx_json_get_str(json, "/p", "i", 3, &text, &len, &err), "an integer is no string");
    is_str(err.field, "/p/i", "the field");
    ok(!err.too_large, "a shape, not a size");
    ok(!sbx_json_get_str(json, "", "s", 2, &text, &len, &err) && err.too_large,
       "a string too long is a size");
    ok(!sbx_json_get_int(json, "", "i", 8, 9, &i, &err) && !err.too_large, "too small");
    ok(!sbx_json_get_int(json, "", "i", 5, 6, &i, &err), "too large");
    ok(!sbx_json_get_int(json, "", "r", 0, 9, &i, &err), "a fraction is no integer");
    ok(!sbx_json_get_int(json, "", "s", 0, 9, &i, &err), "a string is no integer");
    ok(!sbx_json_get_bool(json, "", "i", &b, &err), "an integer is no boolean");
    ok(!sbx_json_get_object(json, "", "a", &object, &err), "an array is no object");
    ok(!sbx_json_get_array(json, "", "o", 9, &array, &err), "an object is no array");
    ok(!sbx_json_get_array(json, "", "a", 1, &array, &err) && err.too_large, "an array too long is a size");
    is_str(err.field, "/a", "the field");
    json_decref(json);
}

static void
test_only(void)
{
    static const char *const known[] = { "a", "b", NULL };
    json_t *fine = parse("{\"a\":1}"), *odd = parse("{\"a\":1,\"x/y~z\\n\":2}"), *empty = parse("{}");

    ok(sbx_json_only(fine, "", known, &err), "known members");
    ok(sbx_json_only(empty, "", known, &err), "none");
    ok(!sbx_json_only(odd, "/q", known, &err), "an unknown one");
    is_str(err.field, "/q/x~1y~0z?", "is named, escaped, without its control byte");
    json_decref(fine);
    json_decref(odd);
    json_decref(empty);
}

static void
test_pointer(void)
{
    char text[8];

    sbx_json_pointer(text, sizeof(text), "/a", NULL, 12);
    is_str(text, "/a/12", "an item");
    sbx_json_pointer(text, sizeof(text), "", "abcdefghij", 0);
    is_str(text, "/abcdef", "a long key is cut");
    sbx_json_pointer(text, sizeof(text), "", "abcde\xc3\xa4", 0);
    is_str(text, "/abcde", "but no character is");
    sbx_json_pointer(text, sizeof(text), "", "abcde~", 0);
    is_str(text, "/abcde", "nor an escape");
    sbx_json_pointer(text, sizeof(text), "/a/b/c/d", "e", 0);
    is_str(text, "/a/b/c/", "a long path is cut");
}

static void
test_dump(void)
{
    json_t *json = parse("{ \"b\": [1, 2.5, \"x\"], \"a\": {\"d\": null, \"c\": true} }");
    struct sbx_buf buf = SBX_BUF_INIT(100), small = SBX_BUF_INIT(5);

    sbx_json_dump(&buf, json, true);
    is_str(buf.data, "{\"a\":{\"c\":true,\"d\":null},\"b\":[1,2.5,\"x\"]}", "canonical");
    sbx_json_dump(&small, json, false);
    ok(small.failed, "a full buffer fails");
    sbx_buf_deinit(&buf);
    sbx_buf_deinit(&small);
    json_decref(json);
}

static void
test_error_text(void)
{
    char longer[400];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    sbx_field_error_set(&err, longer, "%s", longer);
    is_uint(strlen(err.field), sizeof(err.field) - 1, "a long field is cut");
    is_uint(strlen(err.message), sizeof(err.message) - 1, "a long message is cut");
}

int
main(void)
{
    test_refused();
    test_no_echo();
    test_accepted();
    test_ceilings();
    test_members();
    test_only();
    test_pointer();
    test_dump();
    test_error_text();
    return done_testing();
}
