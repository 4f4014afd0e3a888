/*
 * Which bytes of a stored thing a request is about (RFC 9110, 13 and 14): Range and If-Range of a reading, Content-Range
 * of a writing, entity tags. Several ranges at once are answered by the whole, as the standard allows.
 */
#pragma once

#include "lib/sbx_base.h"

struct sbx_http_request;

#define RANGE_TEXT_MAX 72 /* "bytes a-b/total" */

enum range_kind {
    RANGE_WHOLE,         /* 200 */
    RANGE_PART,          /* 206 */
    RANGE_UNSATISFIABLE, /* 416 */
};

struct range {
    enum range_kind kind;
    uint64_t first, length; /* of the whole: 0 and its size */
};

/* `text` is the value of a Range header or NULL. What is no single byte range is ignored: the whole. */
void range_parse(struct range *ret, const char *text, uint64_t size);
/* The same of a request for a thing with this (strong, quoted) tag: a Range counts only when an If-Range names it. */
void range_of_request(struct range *ret, const struct sbx_http_request *request, const char *etag,
                      uint64_t size);
/* The Content-Range of a 206 or, when unsatisfiable, of a 416. */
void range_text(char out[RANGE_TEXT_MAX], const struct range *range, uint64_t size);

/* "bytes first-last/total" of a piece that is sent; false when it is anything else. last < total <= INT64_MAX. */
struct range_piece {
    uint64_t first, length, total;
};
_must_check_ bool range_piece_parse(struct range_piece *ret, const char *text);

/* Whether a list of tags as in If-Match and If-None-Match has this one, or is "*". W/ is looked through when `weak`. */
bool range_tag_in(const char *list, const char *etag, bool weak);
