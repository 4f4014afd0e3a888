/* What the gateway takes for an answer to a request of its own, whole and byte by byte. */
#include "lib/sbx_http_answer.h"
#include "t/unit/tap.h"

#define MAX_BODY 16

struct answer {
    const char *name;
    const char *text;
    int rc;
    unsigned status;
    const char *body;
};

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define FORM SBX_HTTP_ANSWER_E_FORM
#define SIZE SBX_HTTP_ANSWER_E_SIZE
#define DONE SBX_HTTP_ANSWER_DONE

static const struct answer answers[] = {
    { "a plain one", OK_HEAD "Content-Length: 2\r\n\r\nhi", DONE, 200, "hi" },
    { "one in chunks", OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", DONE, 200, "hi" },
    { "an error", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", DONE, 503, "" },
    { "one without a body", "HTTP/1.1 204 No Content\r\n\r\n", DONE, 204, "" },
    { "not modified", "HTTP/1.1 304 Same\r\nETag: \"a\"\r\n\r\n", DONE, 304, "" },
    { "the largest", OK_HEAD "Content-Length: 16\r\n\r\n0123456789abcdef", DONE, 200, "0123456789abcdef" },
    { "the head alone", OK_HEAD "Content-Length: 2\r\n\r\n", 0, 0, NULL },
    { "half a body", OK_HEAD "Content-Length: 2\r\n\r\nh", 0, 0, NULL },
    { "half a head", "HTTP/1.1 200 OK\r\nContent-Le", 0, 0, NULL },
    { "one byte more than the largest", OK_HEAD "Content-Length: 17\r\n\r\n", SIZE, 0, NULL },
    { "a huge one", OK_HEAD "Content-Length: 1844674407370955160\r\n\r\n", SIZE, 0, NULL },
    { "a number past any", OK_HEAD "Content-Length: 99999999999999999999999\r\n\r\n", FORM, 0, NULL },
    { "chunks past the largest",
      OK_HEAD "Transfer-Encoding: chunked\r\n\r\n11\r\n0123456789abcdefX\r\n0\r\n\r\n", SIZE, 0, NULL },
    { "an endless body", OK_HEAD "\r\nhi", FORM, 0, NULL },
    { "two lengths", OK_HEAD "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", FORM, 0, NULL },
    { "a length and chunks", OK_HEAD "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FORM,
      0, NULL },
    { "another coding", OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", FORM, 0, NULL },
    { "an informal one", "HTTP/1.1 100 Continue\r\n\r\n", FORM, 0, NULL },
    { "a switch", "HTTP/1.1 101 Switch\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", FORM, 0, NULL },
    { "a status past any", "HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n", FORM, 0, NULL },
    { "version 2", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", FORM, 0, NULL },
    { "version 0.9", "hi there", FORM, 0, NULL },
    { "TLS", "\x16\x03\x01\x02", FORM, 0, NULL },
    { "line ends without CR", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", FORM, 0, NULL },
    { "a folded field", OK_HEAD "A: b\r\n c\r\nContent-Length: 0\r\n\r\n", FORM, 0, NULL },
    { "a space before a colon", OK_HEAD "Content-Length : 0\r\n\r\n", FORM, 0, NULL },
    { "a control byte", OK_HEAD "A: \x01\r\nContent-Length: 0\r\n\r\n", FORM, 0, NULL },
};

static int
feed(struct sbx_http_answer *reader, const char *text, size_t piece)
{
    size_t len = strlen(text), off, n;
    int rc = 0;

    for (off = 0; off < len && rc == 0; off += n) {
        n = len - off < piece ? len - off : piece;
        rc = sbx_http_answer_feed(reader, text + off, n);
    }
    return rc;
}

static void
reads(const struct answer *answer, size_t piece)
{
    struct sbx_http_answer *reader = sbx_http_answer_new(MAX_BODY);

    if (reader == NULL) {
        BAIL_OUT("out of memory");
    }
    is_int(feed(reader, answer->text, piece), answer->rc, "%s, in pieces of %zu", answer->name, piece);
    if (answer->rc == DONE) {
        const struct sbx_buf *body = sbx_http_answer_body(reader);

        is_uint(sbx_http_answer_status(reader), answer->status, "its status");
        is_str(body->data == NULL ? "" : body->data, answer->body, "its body");
    }
    reader = sbx_http_answer_free(reader);
}

static void
bounds(void)
{
    struct sbx_http_answer *reader = sbx_http_answer_new(MAX_BODY);
    char line[1024];
    int rc, i;

    if (reader == NULL) {
        BAIL_OUT("out of memory");
    }
    memset(line, 'x', sizeof(line));
    memcpy(line, "A: ", 3);
    memcpy(line + sizeof(line) - 2, "\r\n", 2);
    rc = sbx_http_answer_feed(reader, OK_HEAD, strlen(OK_HEAD));
    for (i = 0; rc == 0 && i < 64; i++) {
        rc = sbx_http_answer_feed(reader, line, sizeof(line));
    }
    is_int(rc, SIZE, "a head without end");
    is_int(i, 32, "is cut at its bound");
    reader = sbx_http_answer_free(reader);

    reader = sbx_http_answer_new(MAX_BODY);
    rc = reader == NULL ? 0 : sbx_http_answer_feed(reader, OK_HEAD, strlen(OK_HEAD));
    for (i = 0; rc == 0 && i < 128; i++) {
        rc = sbx_http_answer_feed(reader, "A: b\r\n", 6);
    }
    is_int(rc, SIZE, "fields without end");
    reader = sbx_http_answer_free(reader);
}

static void
asks(void)
{
    struct sbx_http_answer *reader = sbx_http_answer_new(MAX_BODY);

    if (reader == NULL) {
        BAIL_OUT("out of memory");
    }
    ok(!sbx_http_answer_begun(reader), "nothing has come");
    is_int(feed(reader, OK_HEAD "Cache-Control:  max-age=5 \r\nContent-Length: 0\r\n\r\n", 7), DONE,
           "an answer with a field");
    ok(sbx_http_answer_begun(reader), "something has come");
    is_str(sbx_http_answer_field(reader, "cache-control"), "max-age=5",
           "the field, without what is around it");
    ok(sbx_http_answer_field(reader, "etag") == NULL, "another is not there");
    ok(sbx_http_answer_keeps(reader), "the connection stays");
    is_int(sbx_http_answer_feed(reader, "H", 1), FORM, "what follows unasked is refused");
    reader = sbx_http_answer_free(reader);

    reader = sbx_http_answer_new(MAX_BODY);
    is_int(reader == NULL ? 0 : feed(reader, OK_HEAD "Content-Length: 0\r\n\r\nHTTP/1.1", 4096), FORM,
           "two answers at once");
    reader = sbx_http_answer_free(reader);

    reader = sbx_http_answer_new(MAX_BODY);
    is_int(reader == NULL ? 0 : feed(reader, OK_HEAD "Connection: close\r\nContent-Length: 0\r\n\r\n", 4096),
           DONE, "the last answer");
    ok(reader != NULL && !sbx_http_answer_keeps(reader), "of its connection");
    reader = sbx_http_answer_free(reader);
}

int
main(void)
{
    size_t i;

    for (i = 0; i < SBX_COUNT(answers); i++) {
        reads(&answers[i], 4096);
        reads(&answers[i], 1);
    }
    bounds();
    asks();
    return done_testing();
}
