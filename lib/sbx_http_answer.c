#include "sbx_http_answer.h"

#include <stdlib.h>
#include <strings.h>

#include "sbx_http_head.h"

#define MAX_HEAD 32768

struct sbx_http_answer {
    http_parser parser;
    struct sbx_http_guard guard;
    struct sbx_http_head head;
    struct sbx_buf body;
    size_t max_body;
    size_t head_bytes;
    bool begun;
    bool done;
    bool keeps;
    bool too_large;
};

static int
reply_on_field(http_parser *parser, const char *data, size_t len)
{
    struct sbx_http_answer *reply = parser->data;

    return sbx_http_head_name(&reply->head, data, len);
}

static int
reply_on_value(http_parser *parser, const char *data, size_t len)
{
    struct sbx_http_answer *reply = parser->data;

    return sbx_http_head_value(&reply->head, data, len);
}

static int
reply_on_headers(http_parser *parser)
{
    struct sbx_http_answer *reply = parser->data;
    bool sized = (parser->flags & (F_CHUNKED | F_CONTENTLENGTH)) != 0;
    const char *coding;

    if (sbx_http_head_end(&reply->head) < 0) {
        return -1;
    }
    if (parser->http_major != 1 || parser->http_minor > 1 || parser->upgrade || parser->status_code < 200 ||
        parser->status_code > 599) {
        return -1;
    }
    coding = sbx_http_head_get(&reply->head, "transfer-encoding");
    if (coding != NULL &&
        (strcasecmp(coding, "chunked") != 0 || sbx_http_head_count(&reply->head, "transfer-encoding") > 1)) {
        return -1;
    }
    /* A body that ends with the connection cannot be told from one that was cut off. */
    if (!sized && parser->status_code != 204 && parser->status_code != 304) {
        return -1;
    }
    if ((parser->flags & F_CONTENTLENGTH) != 0 && parser->content_length > reply->max_body) {
        reply->too_large = true;
        return -1;
    }

    reply->keeps = http_should_keep_alive(parser) != 0;
    return 0;
}

static int
reply_on_body(http_parser *parser, const char *data, size_t len)
{
    struct sbx_http_answer *reply = parser->data;

    if (len > reply->max_body - reply->body.len) {
        reply->too_large = true;
        return -1;
    }
    sbx_buf_append(&reply->body, data, len);
    return reply->body.failed ? -1 : 0;
}

static int
reply_on_complete(http_parser *parser)
{
    struct sbx_http_answer *reply = parser->data;

    reply->done = true;
    http_parser_pause(parser, 1); /* nothing may follow */
    return 0;
}

static const http_parser_settings reply_settings = {
    .on_header_field = reply_on_field,
    .on_header_value = reply_on_value,
    .on_headers_complete = reply_on_headers,
    .on_body = reply_on_body,
    .on_message_complete = reply_on_complete,
};

struct sbx_http_answer *
sbx_http_answer_new(size_t max_body)
{
    struct sbx_http_answer *reply = calloc(1, sizeof(*reply));

    if (reply == NULL) {
        return NULL;
    }
    http_parser_init(&reply->parser, HTTP_RESPONSE);
    reply->parser.data = reply;
    reply->max_body = max_body;
    reply->body.max = max_body + 1;
    reply->head.text.max = MAX_HEAD + 2 * SBX_HTTP_MAX_HEADERS;
    return reply;
}

struct sbx_http_answer *
sbx_http_answer_free(struct sbx_http_answer *reply)
{
    if (reply != NULL) {
        sbx_buf_deinit(&reply->head.text);
        sbx_buf_deinit(&reply->body);
        free(reply);
    }
    return NULL;
}

int
sbx_http_answer_feed(struct sbx_http_answer *reply, const char *data, size_t len)
{
    size_t n;

    if (len == 0) {
        return 0; /* http-parser takes it for the end of the connection */
    }
    if (reply->done) {
        return SBX_HTTP_ANSWER_E_FORM;
    }
    reply->begun = true;

    if (!reply->guard.done) {
        reply->head_bytes += sbx_http_guard_feed(&reply->guard, data, len);
        if (reply->head_bytes > MAX_HEAD) {
            return SBX_HTTP_ANSWER_E_SIZE;
        }
        if (reply->guard.bad) {
            return SBX_HTTP_ANSWER_E_FORM;
        }
    }

    n = http_parser_execute(&reply->parser, &reply_settings, data, len);
    if (reply->done) {
        return n == len ? SBX_HTTP_ANSWER_DONE : SBX_HTTP_ANSWER_E_FORM;
    }
    if (reply->too_large || reply->head.overflow) {
        return SBX_HTTP_ANSWER_E_SIZE;
    }
    return HTTP_PARSER_ERRNO(&reply->parser) == HPE_OK ? 0 : SBX_HTTP_ANSWER_E_FORM;
}

bool
sbx_http_answer_begun(const struct sbx_http_answer *reply)
{
    return reply->begun;
}

unsigned
sbx_http_answer_status(const struct sbx_http_answer *reply)
{
    return reply->parser.status_code;
}

const struct sbx_buf *
sbx_http_answer_body(const struct sbx_http_answer *reply)
{
    return &reply->body;
}

const char *
sbx_http_answer_field(const struct sbx_http_answer *reply, const char *name)
{
    return sbx_http_head_get(&reply->head, name);
}

bool
sbx_http_answer_keeps(const struct sbx_http_answer *reply)
{
    return reply->keeps;
}
