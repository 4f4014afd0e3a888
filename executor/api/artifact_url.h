/* A signed URL of an artifact: whoever has it reads the bytes until it expires. Who makes one is audited. */
#pragma once

#include "executor/core/artifact.h"
#include "lib/sbx_signed_url.h"
#include "lib/sbx_time.h"

struct call;

#define ARTIFACT_URL_SCOPE "artifacts:write"

struct artifact_url {
    char text[SBX_SIGNED_URL_MAX]; /* path and query */
    char expires[SBX_RFC3339_LEN];
};

/* It lives for life_s, or as long as the artifact. 0 or -errno. */
_must_check_ int artifact_url_make(struct artifact_url *ret, const struct call *call,
                                   const struct artifact *artifact, uint64_t life_s);
