#include "ngx_sandbox_origin.h"

#include <string.h>
#include <strings.h>

static bool
take_scheme(struct ngx_sandbox_origin *ret, const char **text, size_t *len)
{
    static const struct {
        const char *prefix;
        size_t len;
        bool secure;
        uint16_t port;
    } schemes[] = { { "https://", 8, true, 443 }, { "http://", 7, false, 80 } };
    size_t i;

    for (i = 0; i < SBX_COUNT(schemes); i++) {
        if (*len > schemes[i].len && strncasecmp(*text, schemes[i].prefix, schemes[i].len) == 0) {
            ret->secure = schemes[i].secure;
            ret->port = schemes[i].port;
            *text += schemes[i].len;
            *len -= schemes[i].len;
            return true;
        }
    }
    return false;
}

/* A name, an address, or an address in brackets: nothing that some other reader might take for the end of it. */
static bool
is_host_char(char c, bool literal)
{
    const bool digit = c >= '0' && c <= '9';

    if (literal) {
        return digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
    }
    return digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
}

/* Its length; 0 when there is none. */
static size_t
host_length(const char *text, size_t len)
{
    const bool literal = len > 0 && text[0] == '[';
    size_t n;

    for (n = literal; n < len && is_host_char(text[n], literal); n++) {
    }
    if (!literal) {
        return n > 0 && text[0] != '.' ? n : 0;
    }
    return n > 1 && n < len && text[n] == ']' ? n + 1 : 0;
}

static bool
take_port(struct ngx_sandbox_origin *ret, const char *text, size_t len)
{
    unsigned port = 0;
    size_t i;

    if (len == 0 || len > 5 || text[0] == '0') {
        return false;
    }
    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    ret->port = (uint16_t)port;
    return port <= UINT16_MAX;
}

bool
ngx_sandbox_origin_parse(struct ngx_sandbox_origin *ret, const char *text, size_t len)
{
    if (len > NGX_SANDBOX_ORIGIN_MAX || !take_scheme(ret, &text, &len)) {
        return false;
    }
    ret->host = text;
    ret->host_len = host_length(text, len);
    if (ret->host_len == 0) {
        return false;
    }
    text += ret->host_len;
    len -= ret->host_len;
    return len == 0 || (text[0] == ':' && take_port(ret, text + 1, len - 1));
}

static bool
is_host(const struct ngx_sandbox_origin *origin, const char *host, size_t len)
{
    return origin->host_len == len && strncasecmp(origin->host, host, len) == 0;
}

bool
ngx_sandbox_origin_is_loopback(const struct ngx_sandbox_origin *origin)
{
    static const char *const hosts[] = { "localhost", "127.0.0.1", "[::1]" };
    size_t i;

    for (i = 0; i < SBX_COUNT(hosts); i++) {
        if (is_host(origin, hosts[i], strlen(hosts[i]))) {
            return true;
        }
    }
    return false;
}

bool
ngx_sandbox_origin_same(const struct ngx_sandbox_origin *a, const struct ngx_sandbox_origin *b)
{
    return a->secure == b->secure && a->port == b->port && is_host(a, b->host, b->host_len);
}
