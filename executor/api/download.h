/* An artifact on its way from the blob store to a client, whole or a range of it, no faster than the client reads. */
#pragma once

#include "executor/core/artifact.h"

struct call;
struct download;

/* Answers the call, later: its audit event is durable before a byte is sent. `artifact` was read with its key. */
void download_start(struct call *call, const struct artifact *artifact);
/* The call is over. Accepts NULL, returns NULL. */
struct download *download_free(struct download *download);
