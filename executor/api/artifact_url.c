#include "executor/api/artifact_url.h"

#include <string.h>

#include "executor/api/api_inside.h"

int
artifact_url_make(struct artifact_url *ret, const struct call *call, const struct artifact *artifact,
                  uint64_t life_s)
{
    struct sbx_signed_url url = { .artifact = artifact->id };
    int r;

    memcpy(url.tenant, artifact->tenant, sizeof(url.tenant));
    url.expires_s = sbx_now_unix_ms() / 1000 + life_s;
    if (artifact->expires_ms != 0 && url.expires_s > artifact->expires_ms / 1000) {
        url.expires_s = artifact->expires_ms / 1000;
    }
    r = sbx_signed_url_make(ret->text, &url, call->api->url_key);
    if (r) {
        return r;
    }
    sbx_rfc3339(ret->expires, url.expires_s * 1000);
    const struct audit_member members[] = { { .key = "sha256", .text = artifact->sha256 },
                                            { .key = "url_expires_at", .text = ret->expires } };
    call_audit(call, "artifact.url_made", artifact->id.text, members, SBX_COUNT(members));
    return 0;
}
