/*
 * The members of a tool's result for a run: `content` (text, images, links), `structuredContent` (docs/api.md, "Runs") and
 * `isError`. Written in two parts, for images of a job's files are read between them. Pure.
 */
#pragma once

#include "executor/api/tool_view.h"
#include "lib/sbx_jsonw.h"

#define TOOL_RESULT_HEAD_MAX (4ul << 20)
#define TOOL_RESULT_TAIL_MAX (4ul << 20)

/* At `key`, NULL: at the top: {"content":[ the text, and what a step displayed as images. */
void tool_result_head(struct sbx_jsonw *w, const char *key, const struct tool_view *view);
/* Links to files, the end of content, and the rest. is_error: whatever the run says, this call did or did not do its part. */
void tool_result_tail(struct sbx_jsonw *w, const struct tool_view *view, bool is_error);
