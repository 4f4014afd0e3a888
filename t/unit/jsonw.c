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
    sbx_jsonw_time(&w, "at", 1767323045678);
    sbx_jsonw_time(&w, "never", 0);
    sbx_jsonw_object_end(&w);
    is_str(buf.data,
           "{\"a\":\"b\",\"n\":null,\"i\":-9223372036854775808,\"u\":18446744073709551615,"
           "\"list\":[true,false,null,{},[],{\"raw\":1}],\"k\\\"ey\":\"ab\","
           "\"at\":\"2026-01-02T03:04:05.678Z\",\"never\":null}",
           "every kind of value, with its commas");
}

static void
test_plain(void)
{
    struct sbx_buf small = SBX_BUF_INIT(9);

    begin();
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_plain(&w, "a", "b c", 3);
    sbx_jsonw_plain(&w, "", "", 0);
    sbx_jsonw_uint(&w, "n", 1);
    sbx_jsonw_plain(&w, "cut", "abc", 2);
    sbx_jsonw_plain_uint(&w, "none", 0);
    sbx_jsonw_plain_uint(&w, "most", UINT64_MAX);
    sbx_jsonw_object_end(&w);
    is_str(buf.data,
           "{\"a\":\"b c\",\"\":\"\",\"n\":1,\"cut\":\"ab\",\"none\":0,\"most\":18446744073709551615}",
           "plain members");
    is_uint(buf.len, strlen(buf.data), "of that length");

    sbx_jsonw_init(&w, &small);
    sbx_jsonw_plain(&w, "key", "text", 4);
    ok(small.failed, "a full buffer fails");
    sbx_buf_reset(&small);
    sbx_jsonw_init(&w, &small);
    sbx_jsonw_plain_uint(&w, "key", 12345);
    ok(small.failed, "also with a number");
    sbx_buf_deinit(&small);
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
    sbx_jsonw_array(&w, NULL);
    ok(!buf.failed, "so does an empty one in it");
    sbx_jsonw_plain(&w, "a", "b", 1);
    ok(buf.failed, "a plain member deeper fails");
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

static struct sbx_jsonw_canonical canonical;

static void
begin_canonical(void)
{
    sbx_buf_reset(&buf);
    sbx_jsonw_init_canonical(&w, &buf, &canonical);
}

/* What a reader makes of it is what is there. */
static bool
reads_the_same(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf again = SBX_BUF_INIT(1 << 20);
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;

    if (buf.failed || sbx_json_parse(&json, buf.data, buf.len, &err) != 0) {
        return false;
    }
    sbx_json_dump(&again, json, true);
    return !again.failed && again.len == buf.len && memcmp(again.data, buf.data, buf.len) == 0;
}

static void
test_canonical(void)
{
    begin_canonical();
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "b", "\x7f\x1f\n/\"\\\xc2\x85\xe2\x80\xa8\xff");
    sbx_jsonw_object(&w, "ab");
    sbx_jsonw_uint(&w, "z", 1);
    sbx_jsonw_plain(&w, "", "", 0);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_array(&w, "a");
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_null(&w, "y");
    sbx_jsonw_bool(&w, "x", true);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_int(&w, NULL, -5);
    sbx_jsonw_array_end(&w);
    sbx_jsonw_raw_canonical(&w, "B", "{\"k\":0}", 7);
    sbx_jsonw_object_end(&w);
    is_str(buf.data,
           "{\"B\":{\"k\":0},\"a\":[{\"x\":true,\"y\":null},{},-5],\"ab\":{\"\":\"\",\"z\":1},"
           "\"b\":\"\x7f\\u001F\\n/\\\"\\\\\xc2\x85\xe2\x80\xa8\xef\xbf\xbd\"}",
           "canonical: in order, and only what must be is escaped");
    ok(!canonical.doubt, "canonical: without doubt");
    ok(reads_the_same(), "canonical: as the reader writes it");
}

static void
write_doubtful(unsigned what)
{
    sbx_jsonw_object(&w, NULL);
    switch (what) {
    case 0:
        sbx_jsonw_raw(&w, "raw", "{\"b\":1,\"a\":2}", 13);
        break;
    case 1:
        sbx_jsonw_uint(&w, "big", (uint64_t)INT64_MAX + 1);
        break;
    case 2:
        sbx_jsonw_strn(&w, "nul", "a\0b", 3);
        break;
    case 3:
        sbx_jsonw_uint(&w, "twice", 1);
        sbx_jsonw_uint(&w, "other", 1);
        sbx_jsonw_uint(&w, "twice", 2);
        break;
    case 4:
        sbx_jsonw_uint(&w, "k\"ey", 1);
        break;
    case 5:
        for (unsigned i = 0; i <= SBX_JSONW_MEMBERS; i++) {
            sbx_jsonw_uint(&w, "m", i);
        }
        break;
    case 6:
        for (unsigned i = 0; i < 20; i++) {
            sbx_jsonw_object(&w, "deep");
        }
        for (unsigned i = 0; i < 20; i++) {
            sbx_jsonw_object_end(&w);
        }
        break;
    case 7:
        sbx_jsonw_array(&w, "many");
        for (unsigned i = 0; i < 5000; i++) {
            sbx_jsonw_array(&w, NULL);
            sbx_jsonw_array_end(&w);
        }
        sbx_jsonw_array_end(&w);
        break;
    default:
        break;
    }
    sbx_jsonw_object_end(&w);
}

static void
test_canonical_doubts(void)
{
    for (unsigned what = 0; what < 8; what++) {
        begin_canonical();
        write_doubtful(what);
        ok(canonical.doubt && !buf.failed, "canonical: doubt %u is said, and nothing fails", what);
    }
    begin_canonical();
    write_doubtful(8);
    ok(!canonical.doubt, "canonical: and is gone with the next text");
}

/* Without room to sort in, it is JSON all the same. */
static void
test_canonical_full(void)
{
    struct sbx_buf small = SBX_BUF_INIT(20);

    sbx_jsonw_init_canonical(&w, &small, &canonical);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_uint(&w, "bb", 1);
    sbx_jsonw_uint(&w, "aa", 2);
    sbx_jsonw_object_end(&w);
    is_str(small.data, "{\"bb\":1,\"aa\":2}", "canonical: no room to sort in");
    ok(canonical.doubt && !small.failed, "canonical: is a doubt, not a failure");
    sbx_buf_deinit(&small);
}

static unsigned
random_below(unsigned n)
{
    static uint32_t state = 2463534242u;

    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % n;
}

static void
write_random_text(const char *key)
{
    char text[24];
    const size_t len = random_below(sizeof(text));

    for (size_t i = 0; i < len; i++) {
        text[i] = (char)(random_below(4) == 0 ? 1 + random_below(255) : ' ' + random_below(90));
    }
    sbx_jsonw_strn(&w, key, text, len);
}

static void
write_random(const char *key, unsigned depth)
{
    static const char *const keys[] = { "a",  "b",  "ab", "abc", "B",  "",  "a b",
                                        "a!", "zz", "~",  "{}",  "a:", ",", "n" };
    const unsigned kind = random_below(depth > 5 ? 4 : 7), n = random_below(6);

    switch (kind) {
    case 0:
        write_random_text(key);
        break;
    case 1:
        sbx_jsonw_int(&w, key, (int64_t)random_below(1000) - 500);
        break;
    case 2:
        sbx_jsonw_bool(&w, key, n > 2);
        break;
    case 3:
        sbx_jsonw_null(&w, key);
        break;
    case 4:
        sbx_jsonw_array(&w, key);
        for (unsigned i = 0; i < n; i++) {
            write_random(NULL, depth + 1);
        }
        sbx_jsonw_array_end(&w);
        break;
    default:
        sbx_jsonw_object(&w, key);
        for (unsigned i = 0; i < n; i++) {
            write_random(keys[random_below(SBX_COUNT(keys))], depth + 1);
        }
        sbx_jsonw_object_end(&w);
        break;
    }
}

static void
test_canonical_random(void)
{
    unsigned n_fine = 0, n_doubts = 0, n_wrong = 0;

    for (unsigned i = 0; i < 20000; i++) {
        begin_canonical();
        sbx_jsonw_object(&w, NULL);
        write_random("k", 0);
        write_random("j", 0);
        sbx_jsonw_object_end(&w);
        if (canonical.doubt) {
            n_doubts++;
        } else if (reads_the_same()) {
            n_fine++;
        } else if (n_wrong++ == 0) {
            diag("%s", buf.data);
        }
    }
    is_uint(n_wrong, 0, "canonical: as the reader writes it, whatever is written");
    ok(n_fine > n_doubts && n_doubts > 100, "canonical: %u fine, %u in doubt", n_fine, n_doubts);
}

int
main(void)
{
    test_shapes();
    test_plain();
    test_canonical();
    test_canonical_doubts();
    test_canonical_full();
    test_canonical_random();
    test_escapes();
    test_all_pairs();
    test_misuse();
    sbx_buf_deinit(&buf);
    return done_testing();
}
