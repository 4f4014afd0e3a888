/* Captured output: what is kept, what is dropped, and that all of it is counted. */
#include "lib/sbx_capture.h"

#include "lib/sbx_utf8.h"
#include "t/unit/tap.h"

#define EURO "\xe2\x82\xac"
#define SMILE "\xf0\x9f\x98\x80"

static char *
text_of(const struct sbx_capture *capture, size_t *ret_len)
{
    struct sbx_buf buf = SBX_BUF_INIT(1 << 24);

    sbx_capture_text(capture, &buf);
    return sbx_buf_take(&buf, ret_len);
}

static void
check(size_t keep, const char *input, const char *expected, const char *name)
{
    struct sbx_capture capture;
    size_t step, i, len = strlen(input), n;
    char *text;

    /* In one piece, byte by byte, and by threes: the same text each time. */
    for (step = len + 1; step > 0; step = step > 3 ? 3 : step == 3 ? 1 : 0) {
        sbx_capture_init(&capture, keep);
        for (i = 0; i < len; i += n) {
            n = len - i < step ? len - i : step;
            if (!sbx_capture_add(&capture, input + i, n)) {
                fail("out of memory");
            }
        }
        text = text_of(&capture, NULL);
        is_str(text, expected, "%s, %zu bytes at a time", name, step);
        is_uint(capture.total, len, "every byte counted");
        is_int(sbx_capture_truncated(&capture), len > keep, "truncated or not");
        free(text);
        sbx_capture_deinit(&capture);
    }
}

static void
test_texts(void)
{
    check(10, "", "", "nothing");
    check(10, "abc", "abc", "less than half");
    check(10, "abcdefg", "abcdefg", "more than half");
    check(10, "abcdefghij", "abcdefghij", "exactly all");
    check(10, "abcdefghijk", "abcde\n[... 1 bytes omitted ...]\nghijk", "one byte more");
    check(10, "abcdefghijklmnopqrstuvwxyz", "abcde\n[... 16 bytes omitted ...]\nvwxyz", "much more");
    check(11, "abcdefghijk", "abcdefghijk", "an odd budget, all of it");
    check(11, "abcdefghijkl", "abcde\n[... 1 bytes omitted ...]\nghijkl", "an odd budget, one more");
    check(1, "ab", "\n[... 1 bytes omitted ...]\nb", "a budget of one");
    check(0, "ab", "\n[... 2 bytes omitted ...]\n", "no budget");
}

static void
test_utf8_edges(void)
{
    check(10, "aaa" EURO "bbbbbb" EURO "ccc", "aaa\n[... 12 bytes omitted ...]\nccc", "both cuts inside one");
    check(10, "aa" EURO "bbbbbb" EURO "cc", "aa" EURO "\n[... 6 bytes omitted ...]\n" EURO "cc",
          "both cuts beside one");
    check(8, SMILE "zzzz" SMILE, SMILE "\n[... 4 bytes omitted ...]\n" SMILE, "four bytes that just fit");
    check(6, SMILE "zzzz" SMILE, "\n[... 12 bytes omitted ...]\n", "or just do not");
}

static void
test_binary(void)
{
    struct sbx_capture capture;
    char *text, bytes[64];
    size_t len = 0;

    memset(bytes, 0x80, sizeof(bytes));
    sbx_capture_init(&capture, 20);
    ok(sbx_capture_add(&capture, bytes, sizeof(bytes)), "bytes that are no text");
    text = text_of(&capture, &len);
    ok(len >= 14 + strlen("\n[... 47 bytes omitted ...]\n"), "lose at most three bytes at the cut");
    free(text);
    sbx_capture_deinit(&capture);
}

/* A flood far past the budget, in odd pieces, against a plain copy of it. */
static void
test_flood(void)
{
    enum { KEEP = 100001, TOTAL = 3000000 };
    struct sbx_capture capture;
    char *all = malloc(TOTAL), *text, *gap;
    size_t i, n, len = 0, head = KEEP / 2, tail = KEEP - KEEP / 2;

    if (all == NULL) {
        BAIL_OUT("out of memory");
    }
    for (i = 0; i < TOTAL; i++) {
        all[i] = (char)('a' + (i * 7 + i / 26) % 26);
    }
    sbx_capture_init(&capture, KEEP);
    for (i = 0; i < TOTAL; i += n) {
        n = 1 + (i * 31) % 70000;
        n = n < TOTAL - i ? n : TOTAL - i;
        if (!sbx_capture_add(&capture, all + i, n)) {
            fail("out of memory");
        }
    }
    text = text_of(&capture, &len);
    gap = memchr(text, '\n', len);
    ok(gap == text + head && memcmp(text, all, head) == 0, "the head is the beginning");
    ok(memcmp(text + len - tail, all + TOTAL - tail, tail) == 0, "the tail is the end");
    ok(strstr(gap, "[... 2899999 bytes omitted ...]") != NULL, "the middle is counted");
    is_uint(capture.total, TOTAL, "so is everything");
    free(text);
    free(all);
    sbx_capture_deinit(&capture);
}

static void
test_small_cost(void)
{
    struct sbx_capture capture;

    sbx_capture_init(&capture, 1u << 30);
    ok(capture.head == NULL && capture.tail == NULL, "a large budget costs nothing before the first byte");
    ok(sbx_capture_add(&capture, "x", 1) && capture.tail == NULL, "and a byte costs no tail");
    sbx_capture_deinit(&capture);
    sbx_capture_deinit(&capture);
    pass("deinit may be called twice");
}

static void
test_last(void)
{
    static const size_t keeps[] = { 0, 1, 2, 7, 10, 64 };
    unsigned wrong = 0;

    for (size_t k = 0; k < SBX_COUNT(keeps); k++) {
        for (size_t total = 0; total < 200; total += 3) {
            for (size_t size = 1; size < 40; size += 4) {
                size_t most = keeps[k] - keeps[k] / 2, len;
                struct sbx_capture capture;
                char bytes[200], last[40];

                sbx_capture_init(&capture, keeps[k]);
                for (size_t i = 0; i < total; i++) {
                    bytes[i] = (char)i;
                    (void)sbx_capture_add(&capture, &bytes[i], 1);
                }
                len = sbx_capture_last(&capture, last, size);
                most = total <= keeps[k] ? total : most; /* else only the tail goes on to the end */
                most = most < size ? most : size;
                wrong += len != most || memcmp(last, bytes + total - len, len) != 0;
                sbx_capture_deinit(&capture);
            }
        }
    }
    is_uint(wrong, 0, "the newest bytes, as far as they are kept");
}

int
main(void)
{
    test_texts();
    test_last();
    test_utf8_edges();
    test_binary();
    test_flood();
    test_small_cost();
    return done_testing();
}
