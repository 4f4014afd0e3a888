/* Origins of web pages (RFC 6454, section 6.2), as browsers write them. Pure. */
#pragma once

#include "lib/sbx_base.h"

#pragma GCC visibility push(hidden)

#define NGX_SANDBOX_ORIGIN_MAX 300 /* scheme, a name of 253, port */

struct ngx_sandbox_origin {
    const char *host; /* borrows from what was parsed; an IPv6 address with its brackets */
    size_t host_len;
    uint16_t port; /* the scheme's when none was said */
    bool secure;   /* https, else http */
};

/* scheme://host[:port] and nothing else; "null" is none. */
bool ngx_sandbox_origin_parse(struct ngx_sandbox_origin *ret, const char *text, size_t len);
/* Of this machine, by the spellings that browsers send: an address written in another way is nobody's. */
bool ngx_sandbox_origin_is_loopback(const struct ngx_sandbox_origin *origin);
bool ngx_sandbox_origin_same(const struct ngx_sandbox_origin *a, const struct ngx_sandbox_origin *b);

#pragma GCC visibility pop
