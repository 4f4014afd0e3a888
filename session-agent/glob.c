#include "session-agent/glob.h"

#include <string.h>

#include "lib/sbx_utf8.h"

static size_t
component_len(const char *p)
{
    return strcspn(p, "/");
}

static const char *
component_next(const char *p)
{
    p += component_len(p);
    return *p == '/' ? p + 1 : p;
}

static bool
is_any_depth(const char *p)
{
    return p[0] == '*' && p[1] == '*' && (p[2] == '/' || p[2] == '\0');
}

/* End of the class that begins after '[' at p, at its ']'; NULL when it has none in the component. */
static const char *
class_end(const char *p, const char *end)
{
    p += p < end && (*p == '!' || *p == '^');
    p += p < end && *p == ']';
    while (p < end && *p != ']') {
        p++;
    }
    return p < end ? p : NULL;
}

static bool
class_has(const char *p, const char *end, char c)
{
    bool negated = *p == '!' || *p == '^';
    bool found = false;

    for (p += negated; p < end; p++) {
        if (end - p > 2 && p[1] == '-') {
            found =
                found || ((unsigned char)p[0] <= (unsigned char)c && (unsigned char)c <= (unsigned char)p[2]);
            p += 2;
        } else {
            found = found || *p == c;
        }
    }
    return found != negated;
}

/* One pattern element that is no star against the text; advances both, or false. */
static bool
element_match(const char **pattern, const char *pattern_end, const char **text, const char *text_end)
{
    const char *p = *pattern;
    size_t n = sbx_utf8_sequence(*text, (size_t)(text_end - *text));

    n = n == 0 ? 1 : n;
    if (*p == '?') {
        *pattern = p + 1;
        *text += n;
        return true;
    }
    if (*p == '[') {
        const char *end = class_end(p + 1, pattern_end);

        if (end == NULL || !class_has(p + 1, end, **text)) {
            return false;
        }
        *pattern = end + 1;
        *text += n;
        return true;
    }

    p += *p == '\\' && p + 1 < pattern_end;
    if (*p != **text) {
        return false;
    }
    *pattern = p + 1;
    (*text)++;
    return true;
}

static bool
component_match(const char *p, const char *text)
{
    const char *p_end = p + component_len(p), *text_end = text + component_len(text);
    const char *star = NULL, *star_text = NULL;

    if (*text == '.' && *p != '.' && !(p[0] == '\\' && p[1] == '.')) {
        return false;
    }

    while (text < text_end) {
        if (p < p_end && *p == '*') {
            star = ++p;
            star_text = text;
        } else if (p < p_end && element_match(&p, p_end, &text, text_end)) {
            continue;
        } else if (star != NULL) {
            p = star;
            text = ++star_text;
        } else {
            return false;
        }
    }

    while (p < p_end && *p == '*') {
        p++;
    }
    return p == p_end;
}

bool
glob_match(const char *pattern, const char *path)
{
    const char *star = NULL, *star_path = NULL;

    while (*path != '\0') {
        if (is_any_depth(pattern)) {
            pattern = star = component_next(pattern);
            star_path = path;
        } else if (*pattern != '\0' && component_match(pattern, path)) {
            pattern = component_next(pattern);
            path = component_next(path);
        } else if (star != NULL && *star_path != '.') {
            pattern = star;
            path = star_path = component_next(star_path);
        } else {
            return false;
        }
    }

    while (is_any_depth(pattern)) {
        pattern = component_next(pattern);
    }
    return *pattern == '\0';
}

/* Components, at `at[i]`; at most half of the pattern's bytes and one. */
struct components {
    const char *at[GLOB_MAX_LEN / 2 + 1];
    size_t n;
};

static void
components_take(struct components *ret, const char *pattern)
{
    ret->n = 0;
    while (*pattern != '\0' && ret->n < SBX_COUNT(ret->at)) {
        ret->at[ret->n++] = pattern;
        pattern = component_next(pattern);
    }
}

/* All that may come next after one more component of a path: `now[n]` is the end of the pattern. */
static void
components_step(const struct components *pattern, bool *now, const char *component)
{
    bool was[SBX_COUNT(pattern->at) + 1];

    memcpy(was, now, sizeof(was));
    memset(now, 0, sizeof(was));
    for (size_t i = 0; i < pattern->n; i++) {
        if (!was[i]) {
            continue;
        }
        if (!is_any_depth(pattern->at[i])) {
            now[i + 1] = now[i + 1] || component_match(pattern->at[i], component);
            continue;
        }
        was[i + 1] = true; /* it may stand for nothing */
        now[i] = now[i] || *component != '.';
    }
}

bool
glob_may_descend(const char *pattern, const char *dir)
{
    struct components components;
    bool now[SBX_COUNT(components.at) + 1] = { true };

    components_take(&components, pattern);
    for (; *dir != '\0'; dir = component_next(dir)) {
        components_step(&components, now, dir);
    }
    for (unsigned i = 0; i < components.n; i++) {
        if (now[i]) {
            return true;
        }
    }
    return false;
}

bool
glob_is_literal(const char *pattern)
{
    return strpbrk(pattern, "*?[\\") == NULL;
}

static const char *
component_refusal(const char *p, size_t len)
{
    const char *end = p + len;

    if (len == 0) {
        return "must be a relative path without empty components";
    }
    if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.')) {
        return "must not have . or .. as a component";
    }
    for (; p < end; p++) {
        if (*p == '\\' && ++p == end) {
            return "must not end a component with a backslash";
        }
        if (*p == '[') {
            p = class_end(p + 1, end);
            if (p == NULL) {
                return "has a [ without its ]";
            }
        }
    }
    return NULL;
}

const char *
glob_refusal(const char *pattern, size_t len)
{
    const char *p = pattern, *refusal;

    if (len == 0 || len > GLOB_MAX_LEN || strlen(pattern) != len || !sbx_utf8_valid(pattern, len)) {
        return "must be 1 to 512 bytes of UTF-8";
    }
    for (;;) {
        refusal = component_refusal(p, component_len(p));
        if (refusal != NULL) {
            return refusal;
        }
        p += component_len(p);
        if (*p == '\0') {
            return NULL;
        }
        p++;
    }
}
