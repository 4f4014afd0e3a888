/*
 * What agents call files by:
 *
 *   sandbox://session/<session id>/<path>   in the workspace of a live session; no path is the workspace
 *   sandbox://job/<job id>/<path>           what a job left; no path is all of it
 *   sandbox://job/<session id>.<step id>/<name>   an image that a step displayed; no name is all of them
 *   sandbox://artifact/<artifact id>
 *
 * A path is percent-encoded or plain. An escaped slash, a NUL, and components that are empty, "." or ".." make it none, after
 * decoding as before.
 */
#pragma once

#include "lib/sbx_buf.h"
#include "lib/sbx_id.h"

#define SANDBOX_URI_MAX 4096 /* bytes of text */
#define SANDBOX_URI_PATH_MAX 1024

enum sandbox_uri_kind { SANDBOX_URI_SESSION, SANDBOX_URI_JOB, SANDBOX_URI_STEP, SANDBOX_URI_ARTIFACT };

struct sandbox_uri {
    enum sandbox_uri_kind kind;
    char id[SBX_ID_LEN + 1];
    char step[SBX_ID_LEN + 1];           /* of a step; its session is id */
    char path[SANDBOX_URI_PATH_MAX + 1]; /* decoded; "" is none */
};

_must_check_ bool sandbox_uri_parse(struct sandbox_uri *ret, const char *text);
/* The one form in which we write it. */
void sandbox_uri_write(struct sbx_buf *out, const struct sandbox_uri *uri);
/* A path as it stands in one: all but unreserved characters and '/' escaped. */
void sandbox_uri_write_path(struct sbx_buf *out, const char *path);
/* The scope that reading such a thing takes. */
const char *sandbox_uri_scope(enum sandbox_uri_kind kind);
