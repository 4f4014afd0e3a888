/* One line of the gateway's denial log to an audit event; form in docs/directives.md, sandbox_denial_log. */
#pragma once

#include "executor/core/denials.h"

/* As denials_spec.parse. A line that is no JSON object becomes {"malformed":true,"bytes":N}. */
_must_check_ int denial_line_parse(struct denial *ret, const char *line, size_t len);
