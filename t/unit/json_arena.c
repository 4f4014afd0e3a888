/* Brief documents: in the arena and nowhere else, whole whatever its size, and gone from it when they are. */
#include "lib/sbx_json.h"

#include "t/unit/tap.h"

static struct sbx_field_error err;
static bool has_arena;

/* Where the arena is: among what the program has without asking an allocator. */
extern char __bss_start, _end;

static bool
is_static(const void *at)
{
    return (uintptr_t)at >= (uintptr_t)&__bss_start && (uintptr_t)at < (uintptr_t)&_end;
}

static json_t *
parse(const char *text, int (*by)(json_t **, const char *, size_t, struct sbx_field_error *))
{
    json_t *json = NULL;

    if (by(&json, text, strlen(text), &err) != 0) {
        BAIL_OUT("cannot parse %s: %s", text, err.message);
    }
    return json;
}

/* Whether the arena has nothing of anybody: the first piece that is taken of it is the first that was. Without one a sanitizer knows. */
static bool
is_empty(void)
{
    static const json_t *first;
    json_t *json = parse("{}", sbx_json_parse_brief);
    bool same = !has_arena || first == NULL || json == first;

    first = json;
    json_decref(json);
    return same;
}

static void
test_where(json_t *before)
{
    json_t *json = parse("[1, \"two\", {\"three\": [3.5, null]}]", sbx_json_parse);
    json_t *brief = parse("[1, \"two\", {\"three\": [3.5, null]}]", sbx_json_parse_brief);

    ok(!is_static(json) && !is_static(json_array_get(json, 1)), "a document that is not brief is the allocator's");
    ok(is_static(brief) == has_arena, "a brief one is in the arena");
    ok(is_static(json_string_value(json_array_get(brief, 1))) == has_arena, "and what its strings hold");
    ok(json_equal(json, brief), "it says the same");
    ok(json_object_set_new_nocheck(json_array_get(brief, 2), "more", json_string("added")) == 0 &&
           !is_static(json_object_get(json_array_get(brief, 2), "more")),
       "what is added to it later is the allocator's");
    json_decref(brief);
    json_decref(json);
    json_decref(before);
    ok(is_empty(), "none of them left anything, nor who was there before the arena");
}

static void
test_held(void)
{
    json_t *held = parse("{\"name\": \"first\"}", sbx_json_parse_brief), *other = NULL, *part;
    unsigned i, bad = 0;

    for (i = 0; i < 2000; i++) {
        other = parse("{\"name\": \"second\", \"more\": [1, 2, 3, \"text\"]}", sbx_json_parse_brief);
        bad += strcmp(json_string_value(json_object_get(held, "name")), "first") != 0;
        bad += strcmp(json_string_value(json_object_get(other, "name")), "second") != 0;
        json_decref(other);
    }
    is_uint(bad, 0, "2,000 documents while one is held: none is another's");
    part = json_incref(json_object_get(held, "name"));
    json_decref(held);
    other = parse("[\"third\"]", sbx_json_parse_brief);
    is_str(json_string_value(part), "first", "a value outlives its document");
    json_decref(part);
    is_str(json_string_value(json_array_get(other, 0)), "third", "whoever came meanwhile stays");
    json_decref(other);
    ok(is_empty(), "and nothing is left");
}

static void
test_refused(void)
{
    static const char *const bad[] = {
        "",
        "[1, 2, {\"a\": \"b\"",
        "[\"a\", \"b\"] c",
        "{\"a\": [1, 2], \"a\": [3]}",
        "[1, \"\\ud800\"]",
        "[1e999]",
        "[\"\xff\"]",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };
    json_t *json = NULL;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        is_int(sbx_json_parse_brief(&json, bad[i], strlen(bad[i]), &err), SBX_JSON_E_SYNTAX, "refused: %s", bad[i]);
        ok(is_empty(), "and left nothing: case %zu", i);
    }
    json = json_pack("[s]", "text");
    ok(json != NULL && !is_static(json), "nor does what comes after a refused one get of it");
    json_decref(json);
}

/* Around each end of the arena, of documents of one string and of many values. */
static void
test_sizes(void)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 20);
    unsigned bad = 0, left = 0;
    json_t *brief, *json;
    size_t n, i;

    for (n = 0; n < 1200; n++) {
        sbx_buf_reset(&text);
        sbx_buf_puts(&text, "{\"a\":[");
        for (i = 0; i < n; i++) {
            sbx_buf_puts(&text, "\"x\",");
        }
        sbx_buf_puts(&text, "0],\"b\":\"");
        for (i = 0; i < n * 61; i++) {
            sbx_buf_putc(&text, 'y');
        }
        sbx_buf_puts(&text, "\"}");
        if (text.failed || sbx_json_parse_brief(&brief, text.data, text.len, &err) != 0 ||
            sbx_json_parse(&json, text.data, text.len, &err) != 0) {
            BAIL_OUT("size %zu: %s", n, err.message);
        }
        bad += !json_equal(brief, json);
        json_decref(brief);
        json_decref(json);
        left += !is_empty();
    }
    is_uint(bad, 0, "documents of 12 bytes to 78 KB say the same");
    is_uint(left, 0, "and leave nothing");
    sbx_buf_deinit(&text);
}

int
main(void)
{
    json_t *before = parse("{\"a\": [\"b\"]}", sbx_json_parse_brief);

    ok(!is_static(before), "without an arena a brief document is the allocator's");
    has_arena = sbx_json_arena_init();
    ok(is_empty(), "an arena is empty to begin with");
    test_where(before);
    test_held();
    test_refused();
    test_sizes();
    return done_testing();
}
