/*
 * The tool representation of an answer (docs/api.md, "Tools"): the members of what a tool's result is to an agent, which the
 * gateway puts into a message. Refusals stay problem documents.
 */
#pragma once

#include "executor/api/call.h"
#include "lib/sbx_jsonw.h"

#define TOOL_TYPE "application/vnd.sandbox.tool+json"
#define TOOL_IMAGE_HEAD 16 /* first bytes that tell an image */

/* The client asked for it by name. */
bool tool_wanted(const struct call *call);
/* The request is of a client of the protocol's older revisions. */
bool tool_is_legacy(const struct call *call);
/* 200 with one object. `result` is the word of Sandbox-Tool-Result; NULL: it is complete. */
void tool_reply(struct call *call, const char *result, const struct sbx_buf *body);

/* Blocks of content. */
void tool_text(struct sbx_jsonw *w, const char *text, size_t len);
void tool_image(struct sbx_jsonw *w, const char *mime, const void *data, size_t len);

struct tool_link {
    const char *uri, *name, *mime;
    uint64_t size;
};
void tool_link(struct sbx_jsonw *w, const struct tool_link *link);

/* "image/png" and the three others that agents can look at, by the first bytes and never by the name; NULL: none of them. */
const char *tool_image_type(const void *data, size_t len);
