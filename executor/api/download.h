/* An artifact on its way from the blob store to a client, no faster than the client reads. */
#pragma once

#include "lib/sbx_base.h"

struct call;
struct download;

struct download_spec {
    const char *id;   /* of the blob */
    const char *path; /* of the artifact, for its name */
    const char *sha256;
    const char *mime;
};

/* Answers the call, later. */
void download_start(struct call *call, const struct download_spec *spec);
/* The call is over. Accepts NULL, returns NULL. */
struct download *download_free(struct download *download);
