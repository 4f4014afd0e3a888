#include "executor/core/step_results.h"

#include <string.h>

/* Behind the string whose first quote is at p; NULL when it has no end. */
static const char *
skip_string(const char *p)
{
    for (p++; *(p += strcspn(p, "\"\\")) != '"'; p += 2) {
        if (*p == '\0' || p[1] == '\0') {
            return NULL;
        }
    }
    return p + 1;
}

/* Behind the value at p; NULL when it is none, or has no end. */
static const char *
skip_value(const char *p)
{
    unsigned depth = 0;

    if (*p != '{' && *p != '[' && *p != '"') {
        size_t len = strcspn(p, ",}]");

        return len == 0 || p[len] == '\0' ? NULL : p + len;
    }
    do {
        if (*p == '"') {
            p = skip_string(p);
            if (p == NULL) {
                return NULL;
            }
        } else {
            depth += *p == '{' || *p == '[' ? 1 : 0;
            depth -= *p == '}' || *p == ']' ? 1 : 0;
            p++;
        }
        p += depth == 0 ? 0 : strcspn(p, "\"{}[]");
    } while (depth > 0 && *p != '\0');
    return depth == 0 ? p : NULL;
}

bool
step_results_next(const char **rest, struct step_result *ret)
{
    static const char display[] = "{\"kind\":\"display\",\"data\":{",
                      result[] = "{\"kind\":\"result\",\"data\":{";
    const char *begin = *rest + strspn(*rest, "[,"), *end;

    *ret = (struct step_result){ .text = begin };
    if (strncmp(begin, result, sizeof(result) - 1) == 0) {
        ret->is_result = true;
        ret->items = begin + sizeof(result) - 1;
    } else if (strncmp(begin, display, sizeof(display) - 1) == 0) {
        ret->items = begin + sizeof(display) - 1;
    } else {
        return false;
    }
    end = skip_value(begin);
    if (end == NULL) {
        return false;
    }
    ret->len = (size_t)(end - begin);
    *rest = end;
    return true;
}

bool
step_result_item_next(const char **rest, struct step_result_item *ret)
{
    const char *key = *rest + strspn(*rest, ","), *end;
    size_t len;

    *ret = (struct step_result_item){ 0 };
    if (*key != '"') {
        return false;
    }
    end = skip_string(key);
    if (end == NULL || *end != ':') {
        return false;
    }
    len = (size_t)(end - key) - 2;
    memcpy(ret->mime, key + 1, len < sizeof(ret->mime) ? len : sizeof(ret->mime) - 1);
    ret->value = end + 1;
    end = skip_value(ret->value);
    if (end == NULL) {
        return false;
    }
    ret->len = (size_t)(end - ret->value);
    *rest = end;
    return true;
}
