/* What _call and _filter know of one call on its way to a backend and back; mcp->forward. */
#pragma once

#include "ngx_http_sandbox_mcp.h"

#include "lib/sbx_mcp_reply.h"
#include "lib/sbx_mcp_stream.h"

#pragma GCC visibility push(hidden)

typedef enum {
    NGX_HTTP_SANDBOX_MCP_WAIT = 0, /* for the head of a reply */
    NGX_HTTP_SANDBOX_MCP_THROUGH,  /* the reply stays what it is: it is about the caller's token */
    NGX_HTTP_SANDBOX_MCP_SWALLOW,  /* the client has its 202, whatever comes */
    NGX_HTTP_SANDBOX_MCP_COLLECT,  /* the body is read here */
    NGX_HTTP_SANDBOX_MCP_OPEN,     /* of a result: before its "{" */
    NGX_HTTP_SANDBOX_MCP_FIRST,    /* before its first member, or its end */
    NGX_HTTP_SANDBOX_MCP_REST,     /* the client has the head */
    NGX_HTTP_SANDBOX_MCP_STREAM,
    NGX_HTTP_SANDBOX_MCP_DONE      /* the client has everything; what comes after is dropped */
} ngx_http_sandbox_mcp_state_e;


/* In r->pool, whose cleanup frees what is not of it. */
typedef struct {
    /* What the request is made of; $sandbox_mcp_uri and $sandbox_mcp_call. */
    ngx_str_t uri;
    ngx_str_t accept;
    ngx_str_t idempotency_key;
    ngx_str_t call;
    unsigned wants_stream:1;

    ngx_uint_t http_version; /* the client's */

    ngx_str_t asked; /* the message's text, where nginx keeps it */

    /* Whose the answer is. `request` is a digest of what is asked, for states, once ngx_http_sandbox_mcp_forward_asked() made it. */
    struct sbx_mcp_reply_to to;
    char request_text[SBX_SHA256_HEX];
    struct sbx_buf request;

    /* The reply. */
    ngx_http_sandbox_mcp_state_e state;
    enum sbx_mcp_reply_kind kind; /* of the body that is collected or passed; NONE: a refusal */
    ngx_uint_t status;            /* of the reply as it came */
    ngx_uint_t retry_after_s;
    off_t length;                 /* of the body as it came, -1: not said */
    off_t seen;                   /* of that */
    unsigned too_large:1;
    struct sbx_buf text;          /* collected, or an answer, or what a stream gives out */
    struct sbx_mcp_stream *stream;
    ngx_chain_t *in;              /* of the stream, not translated yet */
    ngx_buf_t out;                /* over `text` */
} ngx_http_sandbox_mcp_forward_t;

/* _call: fills in to.request, which most answers do not need. NGX_OK, also when no answer to this message would; NGX_ERROR. */
ngx_int_t ngx_http_sandbox_mcp_forward_asked(const ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward);

#pragma GCC visibility pop
