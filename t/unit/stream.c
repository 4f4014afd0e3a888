/* What streams are made of besides feeds: the Accept header, the shelf of feeds that ended, records back into feeds. */
#include "executor/api/accept.h"
#include "executor/core/feed_shelf.h"
#include "executor/core/feed_stored.h"
#include "executor/core/job_feed.h"
#include "executor/core/step_feed.h"

#include <uv.h>

#include "lib/sbx_capture.h"
#include "t/unit/tap.h"

static void
test_accept(void)
{
    static const struct {
        const char *accept;
        bool wanted;
    } cases[] = {
        { NULL, false },
        { "", false },
        { "*/*", false },
        { "text/event-stream", true },
        { "TEXT/EVENT-STREAM ; Q=0.001", true },
        { "text/*", true },
        { "text/event-stream,*/*", true },
        { "*/*;q=1,text/event-stream;q=0.999", false },
        { "application/json,text/event-stream", false },
        { "application/json;q=0.999,text/event-stream", true },
        { "application/*,text/event-stream", true },
        { "application/*, text/*", false },
        { "text/event-stream;q=0", false },
        { "text/event-stream;q=0.000, text/*;q=1", false },
        { "text/event-stream;q=1.001", false },
        { "text/event-stream;q=1.0000", false },
        { "text/event-stream;q=.5", false },
        { "text/event-stream;q=1,5", true }, /* the comma ends it: q=1, and a range called 5 */
        { "text/event-stream;q", false },
        { "text/event-stream;q=\"1\"", false },
        { "text/event-stream;charset=utf-8;q=0.5", true },
        { "text/event-stream;x=\";q=0\"", true },
        { "text/event-stream;x=\"\\\";q=0", true },
        { "text /event-stream", false },
        { "text/event-stream/x", false },
        { "\"a, text/event-stream", false },
        { "text/plain, text/event-stream", true },
        { ";;;,,,text/event-stream", true },
        { "t*/event-stream", false },
        { "*/event-stream", false },
        { "*", false },
    };
    struct sbx_buf many = SBX_BUF_INIT(4096);

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        ok(accept_prefers(cases[i].accept, "text/event-stream", "application/json") == cases[i].wanted,
           "Accept %zu: %s", i, cases[i].accept == NULL ? "(none)" : cases[i].accept);
    }
    for (unsigned i = 0; i < 70; i++) {
        sbx_buf_puts(&many, "text/plain,");
    }
    sbx_buf_puts(&many, "text/event-stream");
    ok(!many.failed && !accept_prefers(many.data, "text/event-stream", "application/json"),
       "a list without end is not read to its end");
    sbx_buf_deinit(&many);
}

struct seen {
    char text[4096];
    size_t len;
    uint64_t missed, events;
    struct feed_cursor last;
};

static void
on_ready(void *arg)
{
    (void)arg;
}

static struct seen
read_all(struct feed *feed)
{
    struct seen seen = { .len = 0 };
    struct feed_reader *reader;
    struct feed_item item;

    if (feed_reader_new(&reader, feed, NULL, on_ready, NULL) != 0) {
        BAIL_OUT("no reader");
    }
    while (feed_next(reader, 100, &item) == FEED_NEXT_ITEM) {
        seen.last = item.cursor;
        seen.missed += item.missed[0] + item.missed[1];
        seen.events += item.kind == FEED_EVENT;
        if ((item.kind == FEED_STDOUT || item.kind == FEED_STDERR) &&
            seen.len + item.len < sizeof(seen.text)) {
            memcpy(seen.text + seen.len, item.data, item.len);
            seen.len += item.len;
        }
    }
    feed_reader_free(reader);
    seen.text[seen.len] = '\0';
    return seen;
}

static struct feed *
new_feed(void)
{
    struct feed *feed;

    if (feed_new(&feed, 1 << 20) != 0) {
        BAIL_OUT("no feed");
    }
    return feed;
}

/* What a capture keeps of `input`, stored and read back. */
static void
check_stored(const char *input, size_t keep, const char *expected, uint64_t missed)
{
    struct sbx_capture capture;
    struct sbx_buf text = SBX_BUF_INIT(1 << 20);
    struct feed_stored stored;
    struct feed *feed = new_feed();
    struct seen seen;

    sbx_capture_init(&capture, keep);
    (void)sbx_capture_add(&capture, input, strlen(input)); /* what is not kept is counted */
    sbx_capture_text(&capture, &text);
    stored = (struct feed_stored){ text.data, text.len, capture.total, sbx_capture_truncated(&capture) };
    feed_put_stored(feed, 1, &stored);
    feed_close(feed);
    seen = read_all(feed);
    is_str(seen.text, expected, "of %zu bytes kept in %zu", strlen(input), keep);
    is_uint(seen.missed, missed, "so many are missing");
    is_uint(seen.last.bytes[1], strlen(input), "all are counted");
    feed_unref(feed);
    sbx_buf_deinit(&text);
    sbx_capture_deinit(&capture);
}

static void
test_stored(void)
{
    static const char mark[] = "\n[... 12 bytes omitted ...]\n";
    struct feed *feed = new_feed();
    struct feed_stored stored = { "abc", 3, 100, false };
    char input[512];

    check_stored("abc", 10, "abc", 0);
    check_stored("abcdefghijklmnopqrstuvwxyz", 10, "abcdevwxyz", 16);
    check_stored("abcdefghijklmnopqrstuvwxyz", 11, "abcdeuvwxyz", 15);
    check_stored("a\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 8,
                 "a\xe2\x82\xac\xe2\x82\xac", 9);
    /* The program prints the very line itself, in its head, its tail, and where nothing is left out. */
    check_stored(mark, 100, mark, 0);
    (void)snprintf(input, sizeof(input), "%s%0200d%s", mark, 7, mark);
    {
        char expected[sizeof(input)];

        (void)snprintf(expected, sizeof(expected), "%s%010d%010d%s", mark, 0, 7, mark);
        check_stored(input, 2 * strlen(mark) + 20, expected, 200 - 20);
    }
    /* As many bytes left out as the line that says so is long. */
    (void)snprintf(input, sizeof(input), "aaaaa%028dbbbbb", 0);
    check_stored(input, 10, "aaaaabbbbb", 28);
    feed_put_stored(feed, 0, &stored);
    feed_close(feed);
    is_uint(read_all(feed).missed, 100, "a text that does not fit its count is a gap");
    feed_unref(feed);
}

static struct feed_budget *budget;

static void
describe(struct sbx_buf *out, const struct job_record *record)
{
    (void)record;
    sbx_buf_puts(out, "{}");
}

static void
test_replay(void)
{
    struct job_record record = { .state = JOB_SUCCEEDED, .finished_ms = 2 };
    struct feed *feed;
    struct seen seen;

    record.stream[0].data = (char[]){ "hello" };
    record.stream[0].len = record.stream[0].total = 5;
    if (job_feed_replay(&feed, &record, describe, budget) != 0) {
        BAIL_OUT("no feed");
    }
    seen = read_all(feed);
    is_str(seen.text, "hello", "a record's output");
    is_uint(seen.events, 2, "and the end of what never started");
    ok(seen.last.events == FEED_CLOSING + 2, "with the numbers that it had live");
    ok(feed_closed(feed), "closed");
    feed_unref(feed);
    record.started_ms = 1;
    record.result_json = (char[]){ "[1]" };
    if (job_feed_replay(&feed, &record, describe, budget) != 0) {
        BAIL_OUT("no feed");
    }
    is_uint(read_all(feed).events, 4, "start, result, usage, end");
    feed_unref(feed);
}

/* A step's displays come back one by one, byte for byte, whatever is in their texts. */
static void
test_step_replay(void)
{
    static const char *const displays[] = {
        "{\"kind\":\"display\",\"data\":{\"text/plain\":\"a\\\"},{\\\\\"}}",
        "{\"kind\":\"result\",\"data\":{\"text/plain\":\"]}[\\\\\\\"{\"}}",
        "{\"kind\":\"display\",\"data\":{\"application/json\":{\"kind\":\"result\",\"a\":[[],{},\"\\\\\"]}}}",
        "{\"kind\":\"result\",\"data\":{}}",
    };
    static const char *const names[] = { "display", "result", "display", "result" };
    struct sbx_buf results = SBX_BUF_INIT(4096);
    struct step_record record = { .state = STEP_SUCCEEDED, .started_ms = 1, .usage_json = (char[]){ "{}" } };
    struct feed_reader *reader;
    struct feed_item item;
    struct feed *feed;

    for (size_t i = 0; i < SBX_COUNT(displays); i++) {
        sbx_buf_putc(&results, i == 0 ? '[' : ',');
        sbx_buf_puts(&results, displays[i]);
    }
    sbx_buf_putc(&results, ']');
    record.results_json = results.data;
    if (step_feed_replay(&feed, &record, budget) != 0 ||
        feed_reader_new(&reader, feed, NULL, on_ready, NULL) != 0) {
        BAIL_OUT("no feed");
    }
    ok(feed_next(reader, 9, &item) == FEED_NEXT_ITEM && strcmp(item.name, "start") == 0, "start");
    for (size_t i = 0; i < SBX_COUNT(displays); i++) {
        ok(feed_next(reader, 9, &item) == FEED_NEXT_ITEM && strcmp(item.name, names[i]) == 0, "%s", names[i]);
        ok(item.len == strlen(displays[i]) && memcmp(item.data, displays[i], item.len) == 0, "whole: %.*s",
           (int)item.len, item.data);
        is_uint(item.cursor.events, i + 2, "numbered");
    }
    ok(feed_next(reader, 9, &item) == FEED_NEXT_ITEM && strcmp(item.name, "usage") == 0, "usage");
    ok(feed_next(reader, 9, &item) == FEED_NEXT_ITEM && strcmp(item.name, "end") == 0, "end");
    ok(feed_next(reader, 9, &item) == FEED_NEXT_END, "no more");
    feed_reader_free(reader);
    feed_unref(feed);
    for (const char *bad = "[{\"\\"; bad != NULL; bad = *bad == '[' ? "" : *bad == '\0' ? "x" : NULL) {
        char text[8];

        (void)snprintf(text, sizeof(text), "%s", bad);
        record.results_json = text;
        if (step_feed_replay(&feed, &record, budget) != 0) {
            BAIL_OUT("no feed");
        }
        is_uint(read_all(feed).events, 3, "nothing of what is no array: \"%s\"", bad);
        feed_unref(feed);
    }
    sbx_buf_deinit(&results);
}

static uv_loop_t loop;

static bool
run_until_gone(struct feed_shelf *shelf, const char *id)
{
    for (unsigned i = 0; i < 1000 && feed_shelf_find(shelf, "t", id) != NULL; i++) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    return feed_shelf_find(shelf, "t", id) == NULL;
}

static void
shelve(struct feed_shelf *shelf, const char *id, size_t bytes)
{
    struct feed *feed = new_feed();
    char data[4096] = { 0 };

    for (; bytes > 0; bytes -= bytes < sizeof(data) ? bytes : sizeof(data)) {
        feed_output(feed, 0, data, bytes < sizeof(data) ? bytes : sizeof(data));
    }
    feed_close(feed);
    feed_shelf_put(shelf, "t", id, feed);
    feed_unref(feed);
}

static void
test_shelf(void)
{
    struct feed_shelf_spec spec = { .max_bytes = 30000, .linger_ms = 20 };
    struct feed_shelf *shelf = NULL;

    if (uv_loop_init(&loop) != 0 || timers_new(&spec.timers, &loop) != 0 ||
        feed_shelf_new(&shelf, &spec) != 0) {
        BAIL_OUT("no shelf");
    }
    ok(feed_shelf_find(shelf, "t", "a") == NULL, "an empty shelf");
    shelve(shelf, "a", 8000);
    ok(feed_shelf_find(shelf, "t", "a") != NULL, "what was put is found");
    ok(feed_shelf_find(shelf, "u", "a") == NULL, "not by another tenant");
    ok(feed_shelf_find(shelf, "t", "b") == NULL, "nor by another name");
    shelve(shelf, "b", 8000);
    ok(feed_shelf_find(shelf, "t", "a") != NULL && feed_shelf_find(shelf, "t", "b") != NULL, "two fit");
    shelve(shelf, "c", 8000);
    ok(feed_shelf_find(shelf, "t", "a") == NULL && feed_shelf_find(shelf, "t", "c") != NULL,
       "the oldest goes first");
    shelve(shelf, "d", 60000);
    ok(feed_shelf_find(shelf, "t", "d") == NULL && feed_shelf_find(shelf, "t", "b") != NULL,
       "one that is too large moves nobody");
    shelve(shelf, "a name that is longer than any id is", 10);
    ok(feed_shelf_find(shelf, "t", "a name that is longer than any id is") == NULL, "nor is a name cut");
    ok(run_until_gone(shelf, "b") && run_until_gone(shelf, "c"), "time passes");
    shelve(shelf, "e", 10);
    ok(run_until_gone(shelf, "e"), "again");
    shelve(shelf, "f", 10);
    ok(feed_shelf_free(shelf) == NULL, "freed with something on it");
    ok(feed_shelf_free(NULL) == NULL, "or without");
    timers_free(spec.timers);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    is_int(uv_loop_close(&loop), 0, "nothing is left on the loop");
}

int
main(void)
{
    if (feed_budget_new(&budget, 1 << 20) != 0) {
        BAIL_OUT("no budget");
    }
    test_accept();
    test_stored();
    test_replay();
    test_step_replay();
    test_shelf();
    is_uint(feed_budget_held(budget), 0, "nothing is held");
    feed_budget_unref(budget);
    return done_testing();
}
