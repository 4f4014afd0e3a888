#include "executor/api/accept.h"

#include <string.h>
#include <strings.h>

#define ACCEPT_MAX 8192 /* what is longer is not read to its end */
#define ACCEPT_MAX_RANGES 64
#define Q_ONE 1000

/* How a range names a type: not at all, by any type, by its type, by both. */
enum accept_fit { FIT_NONE, FIT_ANY, FIT_TYPE, FIT_EXACT };

struct accept_part {
    const char *text;
    size_t len;
};

static bool
is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct accept_part
part_trim(struct accept_part part)
{
    while (part.len > 0 && is_space(part.text[0])) {
        part.text++;
        part.len--;
    }
    while (part.len > 0 && is_space(part.text[part.len - 1])) {
        part.len--;
    }
    return part;
}

/* The next part up to `end` outside of quotes; what follows it stays in *rest. */
static struct accept_part
part_next(struct accept_part *rest, char end)
{
    struct accept_part part = { rest->text, 0 };
    bool quoted = false;
    size_t i;

    for (i = 0; i < rest->len && (quoted || rest->text[i] != end); i++) {
        if (quoted && rest->text[i] == '\\' && i + 1 < rest->len) {
            i++;
        } else if (rest->text[i] == '"') {
            quoted = !quoted;
        }
    }
    part.len = i;
    i += i < rest->len ? 1 : 0;
    rest->text += i;
    rest->len -= i;
    return part_trim(part);
}

/* "1", "0.5", "0.125": thousandths; false for anything else. */
static bool
q_parse(struct accept_part text, unsigned *ret)
{
    unsigned value = 0, scale = Q_ONE;

    if (text.len == 0 || text.len > 5 || (text.text[0] != '0' && text.text[0] != '1') ||
        (text.len > 1 && text.text[1] != '.')) {
        return false;
    }
    value = text.text[0] == '1' ? Q_ONE : 0;
    for (size_t i = 2; i < text.len; i++) {
        if (text.text[i] < '0' || text.text[i] > '9') {
            return false;
        }
        scale /= 10;
        value += (unsigned)(text.text[i] - '0') * scale;
    }
    *ret = value;
    return value <= Q_ONE;
}

/* The weight among the parameters; false when it is malformed. */
static bool
range_weight(struct accept_part params, unsigned *ret)
{
    *ret = Q_ONE;
    while (params.len > 0) {
        struct accept_part value = part_next(&params, ';');
        struct accept_part name = part_next(&value, '=');

        if (name.len == 1 && (name.text[0] == 'q' || name.text[0] == 'Q')) {
            return q_parse(part_trim(value), ret);
        }
    }
    return true;
}

static enum accept_fit
range_fit(struct accept_part range, const char *type)
{
    size_t slash = strcspn(type, "/");

    if (range.len == 3 && memcmp(range.text, "*/*", 3) == 0) {
        return FIT_ANY;
    }
    if (range.len == strlen(type) && strncasecmp(range.text, type, range.len) == 0) {
        return FIT_EXACT;
    }
    if (range.len == slash + 2 && strncasecmp(range.text, type, slash + 1) == 0 &&
        range.text[range.len - 1] == '*') {
        return FIT_TYPE;
    }
    return FIT_NONE;
}

/* The most exact range decides, of several the first. */
static enum accept_fit
accept_weigh(const char *accept, const char *type, unsigned *ret_q)
{
    struct accept_part rest = { accept, strnlen(accept, ACCEPT_MAX) };
    enum accept_fit best = FIT_NONE;

    *ret_q = 0;
    for (unsigned n = 0; rest.len > 0 && n < ACCEPT_MAX_RANGES; n++) {
        struct accept_part params = part_next(&rest, ',');
        struct accept_part range = part_next(&params, ';');
        enum accept_fit fit = range_fit(range, type);
        unsigned q;

        if (fit > best && range_weight(params, &q)) {
            best = fit;
            *ret_q = q;
        }
    }
    return best;
}

bool
accept_prefers(const char *accept, const char *wanted, const char *usual)
{
    enum accept_fit fit_wanted, fit_usual;
    unsigned q_wanted, q_usual;

    if (accept == NULL) {
        return false;
    }
    fit_wanted = accept_weigh(accept, wanted, &q_wanted);
    fit_usual = accept_weigh(accept, usual, &q_usual);
    return q_wanted > 0 && (q_wanted > q_usual || (q_wanted == q_usual && fit_wanted > fit_usual));
}
