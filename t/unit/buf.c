/* Buffers: growth, the hard maximum, and failure that sticks. */
#include "lib/sbx_buf.h"

#include "t/unit/tap.h"

static void
test_append(void)
{
    struct sbx_buf buf = SBX_BUF_INIT(1000);
    unsigned i;

    sbx_buf_append(&buf, "", 0);
    is_str(buf.data, "", "an empty append makes an empty string");
    for (i = 0; i < 100; i++) {
        sbx_buf_puts(&buf, "0123456789");
    }
    is_uint(buf.len, 1000, "filled to the maximum");
    ok(!buf.failed, "which is no failure");
    is_uint(strlen(buf.data), 1000, "and ends with NUL");
    ok(buf.cap <= 1001, "memory stays within the maximum");

    sbx_buf_putc(&buf, 'x');
    ok(buf.failed, "one more byte fails");
    is_uint(buf.len, 1000, "and adds nothing");
    sbx_buf_reset(&buf);
    ok(!buf.failed && buf.len == 0, "reset clears the failure");
    sbx_buf_puts(&buf, "again");
    is_str(buf.data, "again", "and the buffer works again");

    sbx_buf_deinit(&buf);
    sbx_buf_deinit(&buf);
    ok(buf.data == NULL, "deinit may be called twice");
}

static void
test_sticky(void)
{
    struct sbx_buf buf = SBX_BUF_INIT(8);

    sbx_buf_puts(&buf, "12345678");
    sbx_buf_puts(&buf, "9");
    sbx_buf_consume(&buf, 8);
    sbx_buf_putc(&buf, 'a');
    ok(buf.failed && buf.len == 0, "after a failure nothing is appended, even where it would fit");
    ok(sbx_buf_reserve(&buf, 1) == NULL, "reserve fails");
    ok(sbx_buf_take(&buf, NULL) == NULL, "take fails");
    sbx_buf_deinit(&buf);
}

static void
test_sizes(void)
{
    struct sbx_buf none = { 0 }, endless = SBX_BUF_INIT(SIZE_MAX), wide = SBX_BUF_INIT(SIZE_MAX - 1);

    sbx_buf_putc(&none, 'a');
    ok(none.failed, "a maximum of zero takes nothing");
    sbx_buf_putc(&endless, 'a');
    ok(endless.failed, "a maximum without room for the NUL is refused");
    sbx_buf_putc(&wide, 'a');
    ok(!wide.failed, "the largest usable maximum works");
    ok(sbx_buf_reserve(&wide, SIZE_MAX - 1) == NULL, "a size that would wrap fails");
    sbx_buf_deinit(&none);
    sbx_buf_deinit(&endless);
    sbx_buf_deinit(&wide);
}

static void
test_printf(void)
{
    struct sbx_buf buf = SBX_BUF_INIT(200);

    sbx_buf_printf(&buf, "%s=%d;", "a", 42);
    sbx_buf_printf(&buf, "%150s", "b");
    is_uint(buf.len, 155, "printf grows the buffer");
    ok(memcmp(buf.data, "a=42;", 5) == 0 && buf.data[154] == 'b', "and writes the text");
    sbx_buf_printf(&buf, "%50s", "c");
    ok(buf.failed && buf.len == 155, "past the maximum it fails and writes nothing");
    sbx_buf_deinit(&buf);
}

static void
test_reserve_consume(void)
{
    struct sbx_buf buf = SBX_BUF_INIT(100);
    char *room, *text;
    size_t len = 0;

    room = sbx_buf_reserve(&buf, 10);
    if (ok(room != NULL, "reserve gives room")) {
        memcpy(room, "0123456789", 10);
    }
    buf.len += 10;
    sbx_buf_consume(&buf, 4);
    is_str(buf.data, "456789", "consume takes from the front");
    sbx_buf_consume(&buf, 100);
    is_str(buf.data, "", "consuming more than there is empties");

    sbx_buf_puts(&buf, "mine");
    text = sbx_buf_take(&buf, &len);
    is_str(text, "mine", "take returns the bytes");
    is_uint(len, 4, "and their length");
    ok(buf.data == NULL && buf.len == 0 && buf.cap == 0, "and leaves the buffer empty");
    free(text);

    text = sbx_buf_take(&buf, &len);
    is_str(text, "", "taking from an empty buffer is an empty string");
    free(text);
    sbx_buf_consume(&buf, 1);
    ok(buf.data == NULL, "consuming from nothing does nothing");
}

int
main(void)
{
    test_append();
    test_sticky();
    test_sizes();
    test_printf();
    test_reserve_consume();
    return done_testing();
}
