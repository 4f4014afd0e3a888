/* Output as agents see it: cuts at every byte of every kind of character, what is not text, reading on to the end. */
#include "executor/api/tool_output.h"

#include "lib/sbx_utf8.h"
#include "t/unit/tap.h"

#define MAX 64

static const char pieces[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"; /* of 1, 2, 3 and 4 bytes */

static char *
shown(const struct tool_output_ask *ask, struct tool_output *ret)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);

    tool_output_write(&out, ask, ret);
    sbx_buf_putc(&out, '\0');
    return sbx_buf_take(&out, NULL);
}

static struct tool_output_ask
whole(const char *data, size_t len)
{
    return (struct tool_output_ask){
        .name = "stdout",
        .stored = { .data = data, .len = len, .total = len },
        .max = MAX,
    };
}

static void
test_escapes(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *text, *name;
    } cases[] = {
        { "plain\ttext\r\n", 12, "plain\ttext\r\n", "tab and line breaks" },
        { "a\0b", 3, "a\\x00b", "NUL" },
        { "\x1b[31mred", 8, "\\x1b[31mred", "ESC" },
        { "\x7f\x08", 2, "\\x7f\\x08", "DEL and backspace" },
        { "\xc2\x9b"
          "31m",
          5, "\\xc2\\x9b31m", "C1" },
        { "\xc2\xa0", 2, "\xc2\xa0", "a hard space" },
        { "\xff\xfe", 2, "\\xff\\xfe", "no UTF-8" },
        { "\xed\xa0\x80", 3, "\\xed\\xa0\\x80", "half a surrogate pair" },
        { "\xc0\x80", 2, "\\xc0\\x80", "an overlong NUL" },
        { "\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80", "past U+10FFFF" },
        { "\xe2\x82", 2, "\\xe2\\x82", "a character cut" },
        { "\xe2\x80\xa8", 3, "\xe2\x80\xa8", "a line separator" },
        { "\\x41", 4, "\\x41", "what looks escaped" },
    };

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        struct tool_output_ask ask = whole(cases[i].bytes, cases[i].len);
        struct tool_output output;
        char *text = shown(&ask, &output);

        is_str(text, cases[i].text, "%s", cases[i].name);
        ok(!output.omitted && !output.more && output.end == cases[i].len, "%s: all of it", cases[i].name);
        free(text);
    }
}

/* Of a text that says how much it leaves out and where to read on, each claim. */
static bool
ends_fit(const char *data, size_t len, const char *text, const struct tool_output *output)
{
    const char *mark = strstr(text, "[... "), *after, *at;
    uint64_t omitted = 0, head = output->next, tail;
    size_t shown_head;

    if (mark == NULL || !sbx_utf8_valid(text, strlen(text)) || strlen(text) > MAX + 80) {
        return false;
    }
    for (at = mark + 5; *at == ',' || (*at >= '0' && *at <= '9'); at++) {
        omitted = *at == ',' ? omitted : omitted * 10 + (uint64_t)(*at - '0');
    }
    after = strstr(mark, "...]\n") + 5;
    shown_head = (size_t)(mark - text);
    shown_head -= shown_head > head ? 1 : 0; /* the line break before the line */
    tail = strlen(after);
    return shown_head == head && memcmp(text, data, shown_head) == 0 && tail <= len &&
           memcmp(after, data + len - tail, tail) == 0 && head + omitted + tail == len &&
           sbx_utf8_valid(data, head) && sbx_utf8_valid(data + len - tail, tail) && output->omitted &&
           output->more && output->end == len;
}

/* Each shift moves both cuts by a byte, so that they fall into every place of every character. */
static void
test_boundaries(void)
{
    for (size_t shift = 0; shift < 2 * sizeof(pieces); shift++) {
        struct sbx_buf data = SBX_BUF_INIT(4096);
        struct tool_output_ask ask;
        struct tool_output output;
        char *text;

        for (size_t i = 0; i < shift; i++) {
            sbx_buf_putc(&data, '.');
        }
        while (data.len < 6 * MAX) {
            sbx_buf_puts(&data, pieces);
        }
        for (size_t i = 0; i < shift / 2; i++) {
            sbx_buf_putc(&data, '.');
        }
        ask = whole(data.data, data.len);
        text = shown(&ask, &output);
        ok(ends_fit(data.data, data.len, text, &output), "cut with %zu before and %zu behind", shift,
           shift / 2);
        free(text);
        sbx_buf_deinit(&data);
    }
}

/* All windows behind each other, without the lines about the rest, are the whole text. */
static bool
reads_on(const char *data, size_t len)
{
    struct sbx_buf all = SBX_BUF_INIT(1 << 20), expected = SBX_BUF_INIT(1 << 20);
    struct tool_output_ask ask = whole(data, len);
    struct tool_output output = { .more = true };
    bool fine = true;

    ask.from = true;
    for (unsigned turns = 0; output.more && turns < 10000; turns++) {
        char *text = shown(&ask, &output), *mark = strstr(text, "[... ");
        size_t n = output.more && mark != NULL ? (size_t)(mark - text) : strlen(text);
        struct sbx_buf part = SBX_BUF_INIT(1 << 20);

        tool_output_escape(&part, data + ask.offset, (size_t)(output.end - ask.offset));
        fine = fine && sbx_utf8_valid(text, strlen(text)) && part.len <= MAX && output.end > ask.offset &&
               (n == part.len || n == part.len + 1) && memcmp(text, part.data, part.len) == 0;
        sbx_buf_append(&all, part.data, part.len);
        ask.offset = output.next;
        sbx_buf_deinit(&part);
        free(text);
    }
    tool_output_escape(&expected, data, len);
    fine = fine && all.len == expected.len && memcmp(all.data, expected.data, all.len) == 0;
    sbx_buf_deinit(&all);
    sbx_buf_deinit(&expected);
    return fine;
}

static void
test_random(void)
{
    uint64_t seed = 20260728;
    unsigned bad = 0, n = 2000;
    char data[700];

    for (unsigned i = 0; i < n; i++) {
        size_t len = 0;

        while (len < sizeof(data) - 8) {
            size_t from, count;

            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            from = (size_t)(seed >> 40) % (sizeof(pieces) - 1);
            count = 1 + (size_t)(seed >> 50) % 4;
            count = count < sizeof(pieces) - 1 - from ? count : sizeof(pieces) - 1 - from;
            memcpy(data + len, pieces + from, count); /* whole characters and parts of such */
            len += count;
            data[len] = (char)(seed >> 33);
            len += (seed >> 20) % 5 == 0 ? 1 : 0;
        }
        for (size_t at = 0, skip = 0; at < len; at++, skip = 0) {
            skip = len - at >= 5 && memcmp(data + at, "[... ", 5) == 0;
            data[at] = skip ? 'x' : data[at];
        }
        bad += reads_on(data, len) ? 0 : 1;
    }
    is_uint(bad, 0, "%u streams of anything are read to their end", n);
}

/* As a record has it: the middle is gone, and a line says so. */
static void
test_lost(void)
{
    char data[400], text[512];
    struct tool_output_ask ask;
    struct tool_output output;
    size_t len;
    char *got;

    memset(data, 'h', 100);
    len = 100 + (size_t)snprintf(data + 100, 64, "\n[... 1000000 bytes omitted ...]\n");
    memset(data + len, 't', 100);
    len += 100;
    ask = whole(data, len);
    ask.stored.total = 1000200;
    ask.stored.truncated = true;
    got = shown(&ask, &output);
    (void)snprintf(text, sizeof(text),
                   "%.32s\n[... 1,000,136 bytes omitted, 1,000,000 of them not kept; get_job "
                   "stdout_offset=32 ...]\n%.32s",
                   data, data + len - 32);
    is_str(got, text, "both ends of what is kept");
    ok(output.more && output.next == 32, "and where to read on");
    free(got);

    ask.max = 200;
    got = shown(&ask, &output);
    (void)snprintf(text, sizeof(text), "%.100s\n[... 1,000,000 bytes were not kept ...]\n%.100s", data,
                   data + len - 100);
    is_str(got, text, "all that is kept");
    ok(output.omitted && !output.more, "there is no more to read");
    free(got);

    ask.from = true;
    ask.offset = 90;
    got = shown(&ask, &output);
    (void)snprintf(text, sizeof(text), "hhhhhhhhhh\n[... 1,000,000 bytes were not kept ...]\n%.100s",
                   data + len - 100);
    is_str(got, text, "reading on over the gap");
    is_uint(output.end, 1000200, "to the end");
    free(got);

    ask.offset = 500000;
    got = shown(&ask, &output);
    (void)snprintf(text, sizeof(text), "[... 500,100 bytes were not kept ...]\n%.100s", data + len - 100);
    is_str(got, text, "from inside of it");
    free(got);

    ask.offset = 1000190;
    got = shown(&ask, &output);
    is_str(got, "tttttttttt", "from behind it");
    free(got);
    for (unsigned i = 0; i < 2; i++) {
        ask.offset = i == 0 ? 1000200 : UINT64_MAX;
        got = shown(&ask, &output);
        is_str(got, "", "nothing is behind the end");
        ok(!output.more && output.end == 1000200, "and it says so");
        free(got);
    }

    ask = whole("", 0);
    ask.stored.total = 5;
    got = shown(&ask, &output);
    is_str(got, "[... 5 bytes were not kept ...]\n", "nothing was kept");
    free(got);
}

static void
test_live(void)
{
    static const char *const cut[] = { "abc\xc3", "abc\xe2\x82", "abc\xf0\x9f\x98", "abc\xf0" };

    for (size_t i = 0; i < SBX_COUNT(cut); i++) {
        struct tool_output_ask ask = whole(cut[i], strlen(cut[i]));
        struct tool_output output;
        char *text;

        ask.live = true;
        text = shown(&ask, &output);
        is_str(text, "abc", "a character that is still to come whole");
        is_uint(output.end, 3, "is read with the next look");
        free(text);
        ask.live = false;
        text = shown(&ask, &output);
        ok(strncmp(text, "abc\\x", 5) == 0 && output.end == strlen(cut[i]), "at the end it is bytes");
        free(text);
    }
}

static void
test_lines(void)
{
    static const struct {
        const char *data, *line;
    } cases[] = {
        { "", "" },
        { "\n\n", "" },
        { "one", "one" },
        { "one\ntwo\n", "two" },
        { "one\n\n \n", "one" },
        { " 10%\r 20%\r", " 20%" },
        { "\x1b[1mx\xff", "\\x1b[1mx\\xff" },
        { "0123456789abcdefghij", "0123456789abcdef" },
        { "0123456789abcd\xe2\x82\xac", "0123456789abcd" },
    };

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        struct sbx_buf out = SBX_BUF_INIT(256);

        tool_output_last_line(&out, cases[i].data, strlen(cases[i].data), 16);
        sbx_buf_putc(&out, '\0');
        is_str(out.data, cases[i].line, "the last line of case %zu", i);
        sbx_buf_deinit(&out);
    }
}

static void
test_ends(void)
{
    struct sbx_buf out = SBX_BUF_INIT(1024);
    char number[TOOL_NUMBER_LEN];

    tool_output_ends(&out, "0123456789", 10, 10);
    is_str(out.data, "0123456789", "what fits is whole");
    sbx_buf_reset(&out);
    tool_output_ends(&out, "0123456789x", 11, 10);
    is_str(out.data, "01234\n[... 1 bytes omitted ...]\n6789x", "what does not is cut");
    sbx_buf_deinit(&out);
    tool_number(number, 0);
    is_str(number, "0", "no thousands");
    tool_number(number, 999);
    is_str(number, "999", "nor now");
    tool_number(number, 1000);
    is_str(number, "1,000", "one");
    tool_number(number, UINT64_MAX);
    is_str(number, "18,446,744,073,709,551,615", "the largest");
}

int
main(void)
{
    test_escapes();
    test_boundaries();
    test_random();
    test_lost();
    test_live();
    test_lines();
    test_ends();
    return done_testing();
}
