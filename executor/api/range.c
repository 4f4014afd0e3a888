#include "executor/api/range.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/sbx_http_server.h"

#define RANGE_DIGITS_MAX 19 /* what fits an int64_t whatever the digits, but for the largest */

/* Digits only, at most INT64_MAX. Moves *p behind them. */
static bool
take_number(const char **p, uint64_t *ret)
{
    uint64_t value = 0;
    size_t n = 0;

    for (; **p >= '0' && **p <= '9'; (*p)++) {
        if (++n > RANGE_DIGITS_MAX) {
            return false;
        }
        value = value * 10 + (uint64_t)(**p - '0');
    }
    if (n == 0 || value > INT64_MAX) {
        return false;
    }
    *ret = value;
    return true;
}

static bool
take_unit(const char **p)
{
    if (strncasecmp(*p, "bytes", 5) != 0) {
        return false;
    }
    *p += 5;
    return true;
}

static void
skip_blanks(const char **p)
{
    *p += strspn(*p, " \t");
}

/* "-n": the last n bytes. */
static void
parse_suffix(struct range *ret, const char *p, uint64_t size)
{
    uint64_t n;

    if (!take_number(&p, &n)) {
        return;
    }
    skip_blanks(&p);
    if (*p != '\0') {
        return;
    }
    if (n == 0 || size == 0) {
        ret->kind = RANGE_UNSATISFIABLE;
        return;
    }
    n = n > size ? size : n;
    *ret = (struct range){ .kind = RANGE_PART, .first = size - n, .length = n };
}

void
range_parse(struct range *ret, const char *text, uint64_t size)
{
    const char *p = text;
    uint64_t first, last = INT64_MAX;

    *ret = (struct range){ .kind = RANGE_WHOLE, .length = size };
    if (p == NULL || !take_unit(&p) || *p++ != '=') {
        return;
    }
    skip_blanks(&p);
    if (*p == '-') {
        parse_suffix(ret, p + 1, size);
        return;
    }
    if (!take_number(&p, &first) || *p++ != '-') {
        return;
    }
    if (*p >= '0' && *p <= '9' && !take_number(&p, &last)) {
        return;
    }
    skip_blanks(&p);
    if (*p != '\0' || last < first) {
        return;
    }
    if (first >= size) {
        ret->kind = RANGE_UNSATISFIABLE;
        return;
    }
    last = last >= size ? size - 1 : last;
    *ret = (struct range){ .kind = RANGE_PART, .first = first, .length = last - first + 1 };
}

void
range_of_request(struct range *ret, const struct sbx_http_request *request, const char *etag, uint64_t size)
{
    const char *text = sbx_http_request_header(request, "Range");
    const char *only = sbx_http_request_header(request, "If-Range");

    if (sbx_http_request_header_count(request, "Range") > 1 ||
        sbx_http_request_header_count(request, "If-Range") > 1 || (only != NULL && strcmp(only, etag) != 0)) {
        text = NULL;
    }
    range_parse(ret, text, size);
}

void
range_text(char out[RANGE_TEXT_MAX], const struct range *range, uint64_t size)
{
    if (range->kind == RANGE_UNSATISFIABLE) {
        (void)snprintf(out, RANGE_TEXT_MAX, "bytes */%" PRIu64, size); /* fits, as the other */
        return;
    }
    (void)snprintf(out, RANGE_TEXT_MAX, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range->first,
                   range->first + range->length - 1, size);
}

bool
range_piece_parse(struct range_piece *ret, const char *text)
{
    const char *p = text;
    uint64_t first, last, total;

    if (p == NULL || !take_unit(&p) || (*p != ' ' && *p != '\t')) {
        return false;
    }
    skip_blanks(&p);
    if (!take_number(&p, &first) || *p++ != '-' || !take_number(&p, &last) || *p++ != '/' ||
        !take_number(&p, &total)) {
        return false;
    }
    skip_blanks(&p);
    if (*p != '\0' || last < first || last >= total) {
        return false;
    }
    *ret = (struct range_piece){ .first = first, .length = last - first + 1, .total = total };
    return true;
}

bool
range_tag_in(const char *list, const char *etag, bool weak)
{
    const size_t len = strlen(etag);

    if (strcmp(list, "*") == 0) {
        return true;
    }
    for (const char *p = list; *p != '\0';) {
        bool is_weak = false;

        p += strspn(p, " \t,");
        if (strncmp(p, "W/", 2) == 0) {
            is_weak = true;
            p += 2;
        }
        if (strncmp(p, etag, len) == 0 && strchr(" \t,", p[len]) != NULL) {
            if (!is_weak || weak) {
                return true;
            }
        }
        if (*p == '"') {
            p++;
            p += strcspn(p, "\"");
            p += *p == '"';
        } else {
            p += strcspn(p, ",");
        }
    }
    return false;
}
