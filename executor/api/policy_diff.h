/* What changed between two versions of a policy, as a JSON Patch (RFC 6902). */
#pragma once

#include "executor/core/policy_record.h"
#include "lib/sbx_jsonw.h"

/*
 * Writes the operations that make of `before` what `after` says: add, remove and replace, by members of name, description,
 * document and applies_to; arrays and other values change as a whole. `from` is what was there. The document's id and version are
 * the record's own and are left out. A record whose name is NULL has no members. 0 or a negative errno.
 */
_must_check_ int policy_diff_write(struct sbx_jsonw *w, const char *key, const struct policy_record *before,
                                   const struct policy_record *after);
