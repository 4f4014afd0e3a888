#include "executor/api/sandbox_uri.h"

#include <string.h>

#include "executor/api/file.h"

_Static_assert(SANDBOX_URI_PATH_MAX == FILE_PATH_MAX, "a path is one of a workspace");

#define SCHEME "sandbox://"

static const struct {
    const char *name, *prefix, *scope;
} kinds[] = {
    [SANDBOX_URI_SESSION] = { "session", "ses", "sessions:read" },
    [SANDBOX_URI_JOB] = { "job", "job", "jobs:read" },
    [SANDBOX_URI_STEP] = { "job", "ses", "sessions:read" }, /* a run, too */
    [SANDBOX_URI_ARTIFACT] = { "artifact", "art", "artifacts:read" },
};

const char *
sandbox_uri_scope(enum sandbox_uri_kind kind)
{
    return kinds[kind].scope;
}

static int
hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

    return found == NULL ? -1 : (int)(found - digits);
}

static bool
path_decode(char out[SANDBOX_URI_PATH_MAX + 1], const char *text)
{
    size_t n = 0;

    while (*text != '\0') {
        char c = *text++;

        if (c == '%') {
            int high = hex_value(text[0]), low = high < 0 ? -1 : hex_value(text[1]);

            if (low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            text += 2;
            /* It would be another path than the one that was looked at outside. */
            if (c == '\0' || c == '/') {
                return false;
            }
        }
        if (n == SANDBOX_URI_PATH_MAX) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return file_path_refusal(out, true) == NULL;
}

/* The ids, up to `len`. A run whose name has a dot in it is a step. */
static bool
ids_take(struct sandbox_uri *ret, const char *text, size_t len)
{
    const char *dot = ret->kind == SANDBOX_URI_JOB ? memchr(text, '.', len) : NULL;
    size_t first = dot == NULL ? len : (size_t)(dot - text);

    ret->kind = dot == NULL ? ret->kind : SANDBOX_URI_STEP;
    if (!sbx_id_valid(text, first, kinds[ret->kind].prefix) ||
        (dot != NULL && !sbx_id_valid(dot + 1, len - first - 1, "stp"))) {
        return false;
    }
    memcpy(ret->id, text, first);
    memcpy(ret->step, dot == NULL ? "" : dot + 1, dot == NULL ? 0 : len - first - 1);
    return true;
}

bool
sandbox_uri_parse(struct sandbox_uri *ret, const char *text)
{
    size_t len, i = 0;

    *ret = (struct sandbox_uri){ .kind = SANDBOX_URI_SESSION };
    if (strnlen(text, SANDBOX_URI_MAX + 1) > SANDBOX_URI_MAX || strncmp(text, SCHEME, strlen(SCHEME)) != 0) {
        return false;
    }
    text += strlen(SCHEME);
    len = strcspn(text, "/");
    while (i < SBX_COUNT(kinds) && (strlen(kinds[i].name) != len || strncmp(text, kinds[i].name, len) != 0)) {
        i++;
    }
    if (i == SBX_COUNT(kinds) || text[len] != '/') {
        return false;
    }
    ret->kind = (enum sandbox_uri_kind)i;
    text += len + 1;
    len = strcspn(text, "/");
    if (!ids_take(ret, text, len)) {
        return false;
    }
    text += len;
    text += *text == '/' ? 1 : 0;
    return path_decode(ret->path, text) && (ret->kind != SANDBOX_URI_ARTIFACT || ret->path[0] == '\0');
}

void
sandbox_uri_write_path(struct sbx_buf *out, const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

    for (const char *p = path; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL) {
            sbx_buf_putc(out, *p);
        } else {
            sbx_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*p);
        }
    }
}

void
sandbox_uri_write(struct sbx_buf *out, const struct sandbox_uri *uri)
{
    sbx_buf_printf(out, SCHEME "%s/%s%s%s", kinds[uri->kind].name, uri->id, uri->step[0] == '\0' ? "" : ".",
                   uri->step);
    if (uri->kind != SANDBOX_URI_ARTIFACT) {
        sbx_buf_putc(out, '/');
        sandbox_uri_write_path(out, uri->path);
    }
}
