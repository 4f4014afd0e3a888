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
/* `scope`: what it must be used with again. Absent: created_ms is INT64_MAX. */
_must_check_ bool listing_cursor(struct call *call, const char *scope, struct cursor *ret);
/* Writes next_cursor; last NULL: null. */
_must_check_ int listing_write_next(struct sbx_jsonw *w, const struct call *call, const char *scope,
                                    const struct cursor *last);
