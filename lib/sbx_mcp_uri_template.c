/* URI templates (RFC 6570) of level 1 and {+name}: made for what they are here, to find out which resource a URI names. */
#include "sbx_mcp_catalogue_inside.h"

#include <string.h>

#include "sbx_utf8.h"

static bool
is_name(const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if ((name[i] < '0' || name[i] > '9') && ((name[i] | 0x20) < 'a' || (name[i] | 0x20) > 'z') &&
            name[i] != '_') {
            return false;
        }
    }
    return len > 0 && len <= MCP_NAME_MAX;
}

const char *
mcp_template_parse(struct mcp_template *ret, const char *text)
{
    const char *open, *close;
    struct mcp_piece *piece;

    memset(ret, 0, sizeof(*ret));
    ret->text = text;
    for (;; text = close + 1) {
        piece = &ret->piece[ret->n];
        open = strpbrk(text, "{}");
        piece->text = text;
        piece->len = open == NULL ? strlen(text) : (size_t)(open - text);
        if (open == NULL) {
            return ret->n == 0 ? "has no variable: it would be a resource" : NULL;
        }
        close = strchr(open, '}');
        if (open[0] == '}' || close == NULL) {
            return "has a brace that is no {name}'s";
        }
        if (ret->n == MCP_VARIABLES) {
            return "has too many variables";
        }
        if (piece->len == 0) {
            return "must not begin with a variable, nor have two without text between";
        }
        piece->path = open[1] == '+';
        piece->name = open + 1 + piece->path;
        piece->name_len = (size_t)(close - piece->name);
        if (!is_name(piece->name, piece->name_len)) {
            return "has an expression other than {name} and {+name}";
        }
        if (piece->path && close[1] != '\0') {
            return "may have {+name} at its end only";
        }
        ret->n++;
    }
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Copies a value to `out`, decoded; false for what no resource of ours has in its name. */
static bool
decode(char *out, size_t *out_len, const char *text, size_t len)
{
    size_t i, n = 0;
    int high, low;

    for (i = 0; i < len; i++, n++) {
        out[n] = text[i];
        if (text[i] == '%') {
            high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
            low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            out[n] = (char)(high * 16 + low);
            i += 2;
        }
        if ((uint8_t)out[n] < ' ' || out[n] == 0x7f) {
            return false;
        }
    }
    *out_len = n;
    return sbx_utf8_valid(out, n);
}

/* Of a path: no part that is empty, "." or "..". Of another value: one such part. */
static bool
is_good_value(const char *value, size_t len, bool path)
{
    const char *end = value + len, *slash;
    size_t part;

    for (;; value = slash + 1) {
        slash = memchr(value, '/', (size_t)(end - value));
        part = (size_t)((slash == NULL ? end : slash) - value);
        if (part == 0 || (part == 1 && value[0] == '.') || (part == 2 && memcmp(value, "..", 2) == 0)) {
            return false;
        }
        if (slash == NULL || !path) {
            return slash == NULL;
        }
    }
}

/* How much of the URI is the variable's: up to the text that comes next, or to the end. */
static size_t
extent(const struct mcp_piece *piece, const char *uri, size_t len)
{
    size_t i;

    if (piece->path) {
        return len;
    }
    for (i = 0; i < len && strchr("/?#", uri[i]) == NULL; i++) {
        if (piece[1].len > 0 && len - i >= piece[1].len &&
            memcmp(uri + i, piece[1].text, piece[1].len) == 0) {
            break;
        }
    }
    return i;
}

bool
mcp_template_match(const struct mcp_template *template, const char *uri, size_t len,
                   struct mcp_text_value *values, char *room)
{
    const struct mcp_piece *piece;
    size_t n;
    unsigned i;

    for (i = 0; i <= template->n; i++) {
        piece = &template->piece[i];
        if (len < piece->len || memcmp(uri, piece->text, piece->len) != 0) {
            return false;
        }
        uri += piece->len;
        len -= piece->len;
        if (piece->name == NULL) {
            break;
        }
        n = extent(piece, uri, len);
        values[i] = (struct mcp_text_value){ .name = piece->name, .name_len = piece->name_len, .text = room };
        if (!decode(room, &values[i].len, uri, n) || !is_good_value(room, values[i].len, piece->path)) {
            return false;
        }
        room += values[i].len;
        uri += n;
        len -= n;
    }
    return len == 0;
}
