/* The fast reader beside jansson's own: what it decides itself, what it leaves, and that it never says another thing than jansson. */
#include "lib/sbx_json_inside.h"

#include <stdlib.h>

#include "t/unit/tap.h"

#define FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY)

/* Of a copy without a byte behind it, for the sanitizer. */
static json_t *
read_exact(const char *text, size_t len)
{
    char *copy = malloc(len == 0 ? 1 : len);
    json_t *value;

    if (copy == NULL) {
        BAIL_OUT("no memory");
    }
    memcpy(copy, text, len);
    value = sbx_json_read(copy, len);
    free(copy);
    return value;
}

/* The same value, its members in the same order. */
static bool
same(const json_t *one, const json_t *other)
{
    char *first = json_dumps(one, JSON_ENCODE_ANY), *second = json_dumps(other, JSON_ENCODE_ANY);
    bool equal = first != NULL && second != NULL && strcmp(first, second) == 0 && json_equal(one, other);

    free(first);
    free(second);
    return equal;
}

/* Whether the reader decided; dies where jansson says otherwise. */
static bool
decided(const char *text, size_t len)
{
    json_t *value = read_exact(text, len), *expected;
    bool equal;

    if (value == NULL) {
        return false;
    }
    expected = json_loadb(text, len, FLAGS, NULL);
    equal = expected != NULL && same(value, expected);
    json_decref(value);
    json_decref(expected);
    if (!equal) {
        BAIL_OUT("jansson reads otherwise: %.*s", (int)len, text);
    }
    return true;
}

/* The same where a value may stand. One that is several, or closes the array, is none; "" is an empty array. */
static bool
decided_inside(const char *text)
{
    char array[256], member[256];
    int n = snprintf(array, sizeof(array), "[%s\n]", text),
        m = snprintf(member, sizeof(member), "{\"k\":%s}", text);
    bool is_none = strspn(text, " ") == strlen(text) || strcmp(text, "1,2") == 0;

    return (!is_none && decided(array, (size_t)n)) || decided(member, (size_t)m);
}

static const char *const ours[] = {
    "{}",
    "[]",
    " [ ] ",
    "\t{\r\n}\n",
    "[null]",
    "[true]",
    "[false]",
    "[0]",
    "[-0]",
    "[-1]",
    "[123456789012345678]",
    "[-999999999999999999]",
    "[999999999999999999]",
    "[9223372036854775807]",
    "[1.5]",
    "[-1.5e-3]",
    "[1E+2]",
    "[0.1,1e5,-2]",
    "[\"\"]",
    "[\"a\"]",
    "[\"seven..\"]",
    "[\"eight...\"]",
    "[\"nine.....\"]",
    "[\"twenty-four characters..\"]",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    "[\"a line\\nand another, which is longer\\n\\tand a third\\\\\"]",
    "[\"\x7f\"]",
    "[\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"]",
    "[\"\xf4\x8f\xbf\xbf\"]",
    "[\"abcdefg\xc3\xa4hijklmnop\\n\xe2\x82\xac\"]",
    "{\"\":1}",
    "{\"b\":1,\"a\":2,\"c\":{\"b\":[]}}",
    "{ \"a\" : [ 1 , \"x\" , null , true , false , { } ] , \"b\" : { } }",
    "{\"\xc3\xa4\":\"\\n\"}",
    "[0.00000000000000000000000000000000000000000000000000000000000000000000001]",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    "{\"language\":\"python\",\"code\":\"import sys\\nprint('a', file=sys.stderr)\\n\",\"wait\":10}",
};

/* Fine, but not for the reader to say. */
static const char *const left[] = {
    "\"\\u00e4\"", "\"\\ud83d\\ude00\"",     "{\"a\\/b\":1}", "{\"a\\nb\":\"c\\nd\"}", "0", "null", "\"a\"",
    " 1.5 ",       "[-9223372036854775808]",
};

static const char *const bad[] = {
    "",
    " ",
    "{",
    "}",
    "[",
    "]",
    "[,]",
    "[1,]",
    "[,1]",
    "[1,,2]",
    "[1 2]",
    "[1}",
    "[1",
    "[1,",
    "[\"a\"",
    "[\"a\",",
    "{]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,\"a\":1}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1]",
    "{a:1}",
    "{1:1}",
    "{null:1}",
    "{'a':1}",
    "{\"a\":1,\"a\":2}",
    "{\"a\":1,\"b\":{\"a\":1},\"a\":null}",
    "{\"x\":{\"a\":1,\"b\":2,\"a\":3}}",
    "{\"\":1,\"\":2}",
    "{\"a\":1,\"\\u0061\":2}",
    "nul",
    "nulL",
    "nullx",
    "True",
    "tru",
    "fals",
    "true false",
    "truefalse",
    "{}x",
    "{}{}",
    "[] []",
    "[],",
    "[]\"",
    "[]\"]",
    "[]\"a\"",
    "[]\f",
    "{}\v",
    "[\f]",
    "[1,\v2]",
    "[]1",
    "[]nul",
    "[]-",
    "[]/",
    "1,2",
    "01",
    "-01",
    "00",
    "-",
    "--1",
    "+1",
    ".5",
    "1.",
    "1.e5",
    "1e",
    "1e+",
    "-.5",
    "1-2",
    "1+2",
    "1.5.5",
    "0x1",
    "1a",
    "NaN",
    "-NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9223372036854775808",
    "9999999999999999999",
    "-9223372036854775809",
    "99999999999999999999999999999999999999999999999999999999999999999999999999",
    "\"",
    "\"a",
    "\"\\",
    "\"\\\"",
    "\"\\\\\\\"",
    "\"\\x\"",
    "\"\\a\"",
    "\"\\0\"",
    "\"\\'\"",
    "\"\\n\\",
    "\"\\n\\x\"",
    "\"\\u\"",
    "\"\\u12\"",
    "\"\\u123g\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\u0000\"",
    "\"a\nb\"",
    "\"a\tb\"",
    "\"\\n\n\"",
    "\"1234567\x1f\"",
    "\"\x01\"",
    "\"\xff\"",
    "\"\x80\"",
    "\"\xc3\"",
    "\"\xc3\xa4\xc3\"",
    "\"\xc0\x80\"",
    "\"\xc1\xbf\"",
    "\"\xe0\x80\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xf0\x80\x80\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xf5\x80\x80\x80\"",
    "\"\xe2\x82\"",
    "\"\\n\xe2\x82\"",
    "{\"\xff\":1}",
    "\xef\xbb\xbf{}",
    "\xc2\xa0[]",
    "\f[]",
    "\v[]",
    "// c\n1",
    "/* c */ 1",
    "# c\n1",
    "`a`",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
};

static void
test_tables(void)
{
    size_t i;

    for (i = 0; i < SBX_COUNT(ours); i++) {
        ok(decided(ours[i], strlen(ours[i])), "reads %s", ours[i]);
    }
    for (i = 0; i < SBX_COUNT(left); i++) {
        json_t *value = json_loadb(left[i], strlen(left[i]), FLAGS, NULL);

        ok(value != NULL && !decided(left[i], strlen(left[i])), "leaves %s", left[i]);
        json_decref(value);
    }
    for (i = 0; i < SBX_COUNT(bad); i++) {
        ok(!decided(bad[i], strlen(bad[i])) && !decided_inside(bad[i]), "does not read case %zu: %s", i,
           bad[i]);
    }
    ok(!decided("[1]\0", 4) && !decided("\0", 1) && !decided("\"\0\"", 3) && !decided("\"1234567\0\"", 10) &&
           !decided("1\0", 2),
       "a NUL is neither space nor a character");
}

/* Each document cut at each byte, and with each byte replaced by each that has a meaning to the grammar or to UTF-8. */
static void
test_edits(void)
{
    static const char edits[] = "{}[]\",:\\/ \t\n01-.eEutfnbx\x1f\x7f\x80\xbf\xc3\xe2\xed\xf4\xff";
    char text[256];
    size_t i, j, k, len, n_read = 0, n_left = 0;

    for (i = 0; i < SBX_COUNT(ours); i++) {
        len = strlen(ours[i]);
        for (j = 0; j < len; j++) {
            n_left += !decided(ours[i], j);
            for (k = 0; k < sizeof(edits); k++) {
                memcpy(text, ours[i], len);
                text[j] = edits[k];
                if (decided(text, len)) {
                    n_read++;
                } else {
                    n_left++;
                }
            }
        }
    }
    ok(n_read > 1000 && n_left > 10000, "jansson agrees on all edits: %zu read, %zu left", n_read, n_left);
}

static void
test_lengths(void)
{
    char text[200];
    size_t before, after, n = 0, fine = 0;
    static const char *const middles[] = { "", "\\n", "\xc3\xa4", "\\\"\xf0\x9f\x98\x80\\\\" };
    size_t m;

    /* An end, an escape and a sequence at each place within words of eight bytes. */
    for (m = 0; m < SBX_COUNT(middles); m++) {
        for (before = 0; before < 20; before++) {
            for (after = 0; after < 20; after++) {
                int len = snprintf(text, sizeof(text), "[\"%.*s%s%.*s\",1]", (int)before,
                                   "abcdefghijklmnopqrstuvwxyz", middles[m], (int)after,
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
                n++;
                fine += decided(text, (size_t)len);
            }
        }
    }
    is_uint(fine, n, "strings of all lengths");
}

/* What yajl keeps of strings with escapes outgrows the reader's room, at once and step by step. */
static void
test_long_escapes(void)
{
    enum { MOST = 10000 };
    char *text = malloc(2 * MOST + 32);
    size_t len, n = 0, fine = 0;

    if (text == NULL) {
        BAIL_OUT("no memory");
    }
    for (len = 1; len < MOST; len += 97) {
        char *p = stpcpy(text, "[\"\\n");

        memset(p, 'a', len / 2);
        p = stpcpy(p + len / 2, "\",\"\\t");
        memset(p, 'b', len);
        p = stpcpy(p + len, "\"]");
        n++;
        fine += decided(text, (size_t)(p - text));
    }
    is_uint(fine, n, "strings with escapes of all lengths up to %d", MOST);
    free(text);
}

int
main(void)
{
    test_tables();
    test_edits();
    test_lengths();
    test_long_escapes();
    return done_testing();
}
