/*
 * The forms of requests and answers that older clients know, onto those of this interface: bodies are rewritten before
 * they are parsed, answers get further members. Everything else is the same.
 *
 *   DOCUMENT_SHORT     POST /sessions {runtime}, POST /sessions/{id}/steps {code}: answers with sessionId, stepId
 *   DOCUMENT_CONSOLE   POST /api/v1/sessions {template_id, timeout, resources}, POST /api/v1/sessions/{id}/execute
 *                      {code, language, timeout, event}: answers with id, execution_id, result
 */
#pragma once

#include "executor/core/session_record.h"
#include "executor/core/step_record.h"
#include "lib/sbx_json.h"

enum document_shape { DOCUMENT_NONE, DOCUMENT_SHORT, DOCUMENT_CONSOLE };

/* By the pattern of the route. */
enum document_shape document_shape_of(const char *pattern);

/* Which members had another name: so that an error can name what the client wrote. */
struct document_names {
    unsigned renamed; /* a bit for each */
};

enum {                        /* as of the parsers behind them, job_request.h */
       DOCUMENT_E_SYNTAX = 1, /* not a JSON document */
       DOCUMENT_E_FIELD,      /* *err names it */
};

/*
 * The body of a session or of a step in this interface's form, appended to *out. Members that neither form has stay as
 * they are, for the parser to refuse. 0, a condition above, or -ENOMEM.
 */
_must_check_ int document_session_body(struct sbx_buf *out, struct document_names *ret, const char *text,
                                       size_t len, struct sbx_field_error *err);
/*
 * A step of DOCUMENT_CONSOLE. Python that ends with the definition of a function `handler`, or comes with an `event`,
 * has it called with the event ({} without one): what it returns is the step's result, as JSON.
 */
_must_check_ int document_execute_body(struct sbx_buf *out, const char *text, size_t len,
                                       struct sbx_field_error *err);
/*
 * The one of both that the route's pattern asks for: *text and *len then are of *out. Of any other route they stay as
 * they are.
 */
_must_check_ int document_body(struct sbx_buf *out, struct document_names *ret, const char *pattern,
                               const char **text, size_t *len, struct sbx_field_error *err);
/* An error in the rewritten body, in the client's words. */
void document_error(const struct document_names *names, struct sbx_field_error *err);

/* Puts the members that an answer has besides into its object, which is all of *body and has some. */
void document_session_answer(struct sbx_buf *body, enum document_shape shape,
                             const struct session_record *record);
void document_step_answer(struct sbx_buf *body, enum document_shape shape, const struct step_record *record);
