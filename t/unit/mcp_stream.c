/* A backend's events as the client's, however they are cut: whole, byte by byte, at each place in two. */
#include "lib/sbx_mcp_stream.h"
#include "t/unit/tap.h"

#define INFO "{\"name\":\"x\"}"
#define HEAD(type)                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"resultType\":\"" type                                       \
    "\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":" INFO "}"
#define PROGRESS(rest)                                                                                       \
    "data: "                                                                                                 \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"t\"" rest    \
    "}}\n\n"
#define DONE "event: complete\ndata: {\"content\":[]}\n\n"
#define DONE_OUT "data: " HEAD("complete") ",\"content\":[]}}\n\n"
#define ELICIT "{\"q\":{\"method\":\"elicitation/create\",\"params\":{}}}"

static struct sbx_mcp_state_keeper *keeper;
static char digest[] = "0";
static struct sbx_buf request = { .data = digest, .len = 1, .cap = 2, .max = 1 };

struct stream {
    const char *name, *in, *out;
    int rc;
    bool over, open;
};

static const struct stream streams[] = {
    { "an answer", DONE, DONE_OUT, 0, true, false },
    { "an empty one", "event: complete\ndata: {}\n\n", "data: " HEAD("complete") "}}\n\n", 0, true, false },
    { "with spaces", "event:complete\ndata:  { \"a\":1}\n\n", "data: " HEAD("complete") ",\"a\":1}}\n\n", 0,
      true, false },
    { "a task", "event: task\ndata: {\"taskId\":\"1\"}\n\n", "data: " HEAD("task") ",\"taskId\":\"1\"}}\n\n",
      0, true, false },
    { "an error", "event: error\ndata: {\"code\":1,\"message\":\"no\"}\n\n",
      "data: {\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":1,\"message\":\"no\"}}\n\n", 0, true, false },
    { "a question", "event: input_required\ndata: {\"inputRequests\":" ELICIT "}\n\n",
      "data: " HEAD("input_required") ",\"inputRequests\":" ELICIT "}}\n\n", 0, true, false },
    { "progress before it", "event: progress\ndata: {\"progress\":1}\n\n" DONE,
      PROGRESS(",\"progress\":1") DONE_OUT, 0, true, false },
    { "a notification", "event: notification\ndata: {\"method\":\"notifications/message\",\"params\":{}}\n\n",
      "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n", 0, false, false },
    { "comments", ": still here\n\n:\n\n" DONE, ":\n\n:\n\n" DONE_OUT, 0, true, false },
    { "fields of others", "id: 7\nretry: 5\nevent: complete\ndata: {\"content\":[]}\n\n", DONE_OUT, 0, true,
      false },
    { "a field without a colon", "data\n\n" DONE, DONE_OUT, 0, true, false },
    { "an event without data", "event: progress\n\n" DONE, DONE_OUT, 0, true, false },
    { "more after the answer", DONE "event: progress\ndata: {\"progress\":9}\n\n" DONE "\r\rxxx", DONE_OUT, 0,
      true, false },
    { "without an end", "event: complete\ndata: {\"content\":[]}\n", DONE_OUT, 0, true, false },
    { "half an answer", "event: complete\ndata: {\"content\":[]", "", 0, false, false },
    { "no name", "data: {\"content\":[]}\n\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "an unknown name", "event: message\ndata: {}\n\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "a long name", "event: completecompletecomplete\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "a long field", "abcdefghijklmnopqrstuvwxyz: 1\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "two lines of data", "event: progress\ndata: {\"a\":1}\ndata: {\"b\":1}\n\n", PROGRESS(",\"a\":1"),
      SBX_MCP_STREAM_E_FORM, false, false },
    { "no object", "event: complete\ndata: [1]\n\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "half an object", "event: complete\ndata: {\"a\":1\n\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "a brace alone", "event: complete\ndata: {\n\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "no data", "event: complete\ndata:\n\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "a bad error", "event: error\ndata: {\"code\":1}\n\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "a bad question", "event: input_required\ndata: {}\n\n", "", SBX_MCP_STREAM_E_FORM, false, false },
    { "CR", "event: complete\r\ndata: {}\r\n\r\n", NULL, SBX_MCP_STREAM_E_FORM, false, false },
};

static const struct sbx_mcp_message *
message_of(unsigned can, bool progress)
{
    static struct sbx_mcp_message message;

    memset(&message, 0, sizeof(message));
    message = (struct sbx_mcp_message){ .era = SBX_MCP_MODERN,
                                        .method = SBX_MCP_TOOLS_CALL,
                                        .can = can,
                                        .is_request = true,
                                        .id = "5",
                                        .id_len = 1 };
    if (progress) {
        memcpy(message.progress, "\"t\"", 4);
    }
    return &message;
}

static struct sbx_mcp_stream *
stream_of(const struct sbx_mcp_message *message)
{
    const struct sbx_mcp_reply_to to = { .message = message,
                                         .server_info = INFO,
                                         .keeper = keeper,
                                         .principal = "p",
                                         .request = &request,
                                         .now_ms = 1 };
    struct sbx_mcp_stream *stream;

    if (sbx_mcp_stream_new(&stream, &to) != 0) {
        BAIL_OUT("no stream");
    }
    return stream;
}

/* What comes out when the first piece has `first` bytes and all further ones `rest`. */
static int
feed(struct sbx_mcp_stream *stream, struct sbx_buf *out, const char *text, size_t len, size_t first,
     size_t rest)
{
    size_t at, n = first;
    int rc = 0;

    for (at = 0; at < len && rc == 0; at += n, n = rest) {
        n = n > len - at ? len - at : n;
        rc = sbx_mcp_stream_feed(stream, out, text + at, n);
    }
    return rc;
}

static bool
same(const struct stream *s, size_t first, size_t rest)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(SBX_MCP_STREAM_OUT_MAX);
    struct sbx_mcp_stream *stream = stream_of(message_of(SBX_MCP_CAN_TASKS | SBX_MCP_CAN_ELICIT, true));
    int rc = feed(stream, &out, s->in, strlen(s->in), first, rest);
    bool fine = rc == s->rc && sbx_mcp_stream_is_over(stream) == s->over &&
                sbx_mcp_stream_is_open(stream) == s->open &&
                (s->out == NULL ||
                 (out.len == strlen(s->out) && memcmp(out.len ? out.data : "", s->out, out.len) == 0));

    if (!fine) {
        diag("first %zu, rest %zu: %d %.*s", first, rest, rc, (int)out.len, out.data);
    }
    stream = sbx_mcp_stream_free(stream);
    return fine;
}

static void
test_streams(void)
{
    unsigned i;
    size_t cut;

    for (i = 0; i < SBX_COUNT(streams); i++) {
        bool fine = true;

        ok(same(&streams[i], 4096, 4096), "%s", streams[i].name);
        ok(same(&streams[i], 1, 1), "byte by byte");
        for (cut = 1; cut < strlen(streams[i].in); cut++) {
            fine = fine && same(&streams[i], cut, 4096);
        }
        ok(fine, "cut anywhere");
    }
}

static void
test_silent(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(65536);
    struct sbx_mcp_stream *stream = stream_of(message_of(0, false));
    static const char text[] = "event: progress\ndata: {\"progress\":1}\n\n" DONE;
    static const char task[] = "event: task\ndata: {\"taskId\":\"1\"}\n\n";
    static const char ask[] = "event: input_required\ndata: {\"inputRequests\":" ELICIT "}\n\n";

    is_int(feed(stream, &out, text, strlen(text), 4096, 4096), 0, "progress that nobody asked for");
    is_str(out.data, DONE_OUT, "is not told");
    stream = sbx_mcp_stream_free(stream);

    stream = stream_of(message_of(0, false));
    is_int(feed(stream, &out, task, strlen(task), 4096, 4096), SBX_MCP_STREAM_E_FORM,
           "a task for who did not declare them");
    stream = sbx_mcp_stream_free(stream);

    sbx_buf_reset(&out);
    stream = stream_of(message_of(0, false));
    is_int(feed(stream, &out, ask, strlen(ask), 4096, 4096), 0, "a question for who can't be asked");
    ok(strstr(out.data, "\"code\":-32021") != NULL, "is an error");
    stream = sbx_mcp_stream_free(stream);
}

/* Answers around and past what is kept, in pieces of several sizes. */
static void
test_large(void)
{
    static const size_t sizes[] = { 65520, 65530, 65534, 65535, 65536, 65537, 65540, 70000, 200000, 3000000 };
    static const size_t pieces[] = { 4096, 4095, 1000, 17 };
    static const char before[] = "event: complete\ndata: {\"a\":\"";
    unsigned i, k;

    for (i = 0; i < SBX_COUNT(sizes) * SBX_COUNT(pieces); i++) {
        _cleanup_(sbx_buf_deinit) struct sbx_buf in = SBX_BUF_INIT(8 << 20), out = SBX_BUF_INIT(8 << 20);
        struct sbx_mcp_stream *stream = stream_of(message_of(0, false));
        size_t size = sizes[i / SBX_COUNT(pieces)], piece = pieces[i % SBX_COUNT(pieces)];
        static const char head[] = "data: " HEAD("complete") ",\"a\":\"";

        sbx_buf_puts(&in, before);
        for (k = 0; k < size; k++) {
            sbx_buf_putc(&in, (char)('a' + k % 26));
        }
        sbx_buf_puts(&in, "\"}\n\n");
        is_int(feed(stream, &out, in.data, in.len, piece, piece), 0, "%zu bytes, %zu at once", size, piece);
        ok(sbx_mcp_stream_is_over(stream) && out.len == strlen(head) + size + strlen("\"}}}\n\n") - 1 &&
               memcmp(out.data, head, strlen(head)) == 0 &&
               memcmp(out.data + strlen(head), in.data + strlen(before), size) == 0 &&
               strcmp(out.data + strlen(head) + size, "\"}}\n\n") == 0,
           "as they were");
        stream = sbx_mcp_stream_free(stream);
    }
}

static void
test_bounds(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(32 << 20);
    struct sbx_mcp_stream *stream = stream_of(message_of(0, true));
    static char filler[4096];
    unsigned n;
    int rc;

    memset(filler, 'x', sizeof(filler));
    rc = feed(stream, &out, "event: progress\ndata: {\"a\":\"", 28, 28, 28);
    for (n = 0; n < 17 && rc == 0; n++) {
        rc = sbx_mcp_stream_feed(stream, &out, filler, sizeof(filler));
    }
    is_int(rc, SBX_MCP_STREAM_E_FORM, "progress of more than 64 KiB");
    is_uint(out.len, 0, "nothing of it was told");
    stream = sbx_mcp_stream_free(stream);

    stream = stream_of(message_of(0, true));
    rc = feed(stream, &out, "event: complete\ndata: {\"a\":\"", 28, 28, 28);
    for (n = 0; n < 17 && rc == 0; n++) {
        rc = sbx_mcp_stream_feed(stream, &out, filler, sizeof(filler));
    }
    is_int(rc, 0, "an answer of more");
    ok(sbx_mcp_stream_is_open(stream), "is begun, and can't be taken back");
    for (; n < 5000 && rc == 0; n++) {
        rc = sbx_mcp_stream_feed(stream, &out, filler, sizeof(filler));
    }
    is_int(rc, SBX_MCP_STREAM_E_FORM, "and has an end");
    ok(n >= 4095 && n <= 4097, "at 16 MiB");
    stream = sbx_mcp_stream_free(stream);

    sbx_buf_reset(&out);
    stream = stream_of(message_of(0, true));
    rc = feed(stream, &out, ":", 1, 1, 1);
    for (n = 0; n < 5000 && rc == 0; n++) {
        rc = sbx_mcp_stream_feed(stream, &out, filler, sizeof(filler));
    }
    is_int(rc, SBX_MCP_STREAM_E_FORM, "so has a comment");
    is_uint(out.len, 0, "of which nothing is kept");
    stream = sbx_mcp_stream_free(stream);
}

/* The smallest events with the longest token do not pass the bound of one piece. */
static void
test_growth(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(SBX_MCP_STREAM_OUT_MAX),
                                             in = SBX_BUF_INIT(SBX_MCP_STREAM_PIECE_MAX);
    struct sbx_mcp_message message = *message_of(0, true);
    struct sbx_mcp_stream *stream;

    memset(message.progress, '1', SBX_MCP_TOKEN_MAX);
    stream = stream_of(&message);
    while (in.len + 24 <= SBX_MCP_STREAM_PIECE_MAX) {
        sbx_buf_puts(&in, "event:progress\ndata:{}\n\n");
    }
    is_int(sbx_mcp_stream_feed(stream, &out, in.data, in.len), 0, "a piece of events");
    ok(!out.failed && out.len > in.len * 10 && out.len < SBX_MCP_STREAM_OUT_MAX / 4, "fits: %zu", out.len);
    stream = sbx_mcp_stream_free(stream);
}

int
main(void)
{
    if (sbx_mcp_state_keeper_new(&keeper, "0123456789abcdef0123456789abcdef", 32) != 0) {
        BAIL_OUT("no keeper");
    }
    test_streams();
    test_silent();
    test_large();
    test_bounds();
    test_growth();
    keeper = sbx_mcp_state_keeper_free(keeper);
    return done_testing();
}
