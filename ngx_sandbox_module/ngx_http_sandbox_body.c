/* Owns the reading of a whole body, wherever nginx put it. */
#include "ngx_http_sandbox_body.h"


ngx_flag_t
ngx_http_sandbox_body_is_json(ngx_http_request_t *r)
{
    static ngx_str_t encoding = ngx_string("content-encoding");
    const size_t type = sizeof("application/json") - 1;
    const size_t charset = sizeof("charset=utf-8") - 1;
    ngx_str_t value;
    ngx_uint_t n;

    if (r->headers_in.content_type == NULL || ngx_http_sandbox_header_in(r, &encoding, &n) != NULL) {
        return 0;
    }

    value = r->headers_in.content_type->value;

    if (value.len < type || ngx_strncasecmp(value.data, (u_char *) "application/json", type) != 0) {
        return 0;
    }

    for (value.data += type, value.len -= type; value.len > 0; value.data++, value.len--) {
        if (*value.data != ' ' && *value.data != ';') {
            break;
        }
    }

    return value.len == 0
           || (value.len == charset && value.data[-1] != 'n'
               && ngx_strncasecmp(value.data, (u_char *) "charset=utf-8", charset) == 0);
}


static ngx_int_t
ngx_http_sandbox_body_copy(ngx_http_request_t *r, ngx_buf_t *b, u_char *out, size_t size)
{
    size_t done = 0;
    ssize_t n;

    if (ngx_buf_in_memory(b)) {
        ngx_memcpy(out, b->pos, size);
        return NGX_OK;
    }

    /* The temporary file was written a moment ago: this reads the page cache. */
    while (done < size) {
        n = ngx_read_file(b->file, out + done, size - done, b->file_pos + (off_t) done);
        if (n <= 0) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, ngx_errno, "event=body the body's file ended early");
            return NGX_ERROR;
        }
        done += (size_t) n;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_body(ngx_http_request_t *r, ngx_str_t *ret, u_char **ret_copy)
{
    ngx_chain_t *cl, *bufs;
    size_t at = 0;
    off_t size = 0;

    *ret_copy = NULL;
    ngx_str_set(ret, "");

    bufs = r->request_body == NULL ? NULL : r->request_body->bufs;

    for (cl = bufs; cl != NULL; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
        if (size > NGX_HTTP_SANDBOX_BODY_MAX) {
            return NGX_DECLINED;
        }
    }

    if (size == 0) {
        return NGX_OK;
    }

    ret->len = (size_t) size;

    if (bufs->next == NULL && ngx_buf_in_memory(bufs->buf)) {
        ret->data = bufs->buf->pos;
        return NGX_OK;
    }

    ret->data = ngx_alloc(ret->len, r->connection->log);
    if (ret->data == NULL) {
        return NGX_ERROR;
    }
    *ret_copy = ret->data;

    for (cl = bufs; cl != NULL; cl = cl->next) {
        size = ngx_buf_size(cl->buf);
        if (ngx_http_sandbox_body_copy(r, cl->buf, ret->data + at, (size_t) size) != NGX_OK) {
            return NGX_ERROR;
        }
        at += (size_t) size;
    }

    return NGX_OK;
}
