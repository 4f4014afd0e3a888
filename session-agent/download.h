/* Streams one regular file of the workspace, read with the payload's rights. */
#pragma once

#include "lib/sbx_http_server.h"
#include "session-agent/workspace.h"

enum {
    DOWNLOAD_E_NONE = 1, /* no such file, or none that may be handed out */
};

struct download_spec {
    const struct identity *identity;
    const char *root; /* path of the workspace */
    const char *path; /* percent-encoded, relative */
};

/* 0: the reply is under way; else nothing was sent yet. */
_must_check_ int download_reply(struct sbx_http_request *request, const struct download_spec *spec);
