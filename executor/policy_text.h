/* Policy documents as text, and those of the operator's directory, for core, which knows neither. */
#pragma once

#include "executor/core/governance.h"

/*
 * In force from now on: the record's document, called by its id and version. One that cannot be compiled any more allows
 * nothing. Logs what went wrong.
 */
void policy_text_put(struct governance *governance, const struct policy_record *record);
/*
 * `dir` "": no operator's documents here. What the edges granted is then not narrowed: the base allows all that the product
 * can. Else as the edges have it (lib/sbx_policy_dir.h). Logs why it failed.
 */
_must_check_ int policy_text_governance(struct governance **ret, const char *dir);
