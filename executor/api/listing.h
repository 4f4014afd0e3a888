/* What all listings have: filters, a limit, and a cursor that is bound to the tenant and the filters. */
#pragma once

#include "executor/api/call.h"
#include "executor/api/cursor.h"
#include "lib/sbx_jsonw.h"

#define LISTING_MAX 100
#define LISTING_SCOPE_MAX 1024

/* Answers 422 for this parameter; false. */
bool listing_bad(struct call *call, const char *field, const char *message);
/* Each reads one parameter; false: answered. A name that is absent is "". */
_must_check_ bool listing_text(struct call *call, const char *name, char *out, size_t size);
_must_check_ bool listing_limit(struct call *call, unsigned *ret);
/* A word of a closed set; `what` is what it should have been. */
_must_check_ bool listing_word(struct call *call, const char *name, bool (*known)(const char *word),
                               const char *what, char *out, size_t size);
/* `scope`: what it must be used with again. Absent: created_ms is INT64_MAX. */
_must_check_ bool listing_cursor(struct call *call, const char *scope, struct cursor *ret);
/* Writes next_cursor; last NULL: null. */
_must_check_ int listing_write_next(struct sbx_jsonw *w, const struct call *call, const char *scope,
                                    const struct cursor *last);
/* Ends the array and the object with next_cursor (last NULL: null), and answers with it. */
void listing_end(struct call *call, struct sbx_jsonw *w, const char *scope, const struct cursor *last);

/* Of things that are in no row yet: the same as the statements do. "" is any. */
bool listing_matches(const char *wanted, const char *value);
bool listing_is_after(const struct cursor *after, uint64_t created_ms, const struct sbx_id *id);
/* For qsort: the newest first. */
int listing_order(uint64_t a_ms, const struct sbx_id *a, uint64_t b_ms, const struct sbx_id *b);
/* Of a statement: "" is NULL. Borrows the text. */
struct db_value listing_filter(const char *text);
