/* Who asks: the signed context of the edge, and nothing else. */
#pragma once

#include "executor/api/call.h"

/* Sets request id and traceparent out of the client's headers, or new ones; for answers before there is an identity. */
void identity_anonymous(struct call *call);
/* False when there is no context, two, a forged or an old one: the answer is then 401 without a reason. */
_must_check_ bool identity_verify(struct call *call);
