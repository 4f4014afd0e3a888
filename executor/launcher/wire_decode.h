/*
 * Decoder of requests: the only code that reads bytes of the client.
 */
#pragma once

#include "executor/launcher/wire.h"
#include "lib/sbx_base.h"

enum {
    WIRE_E_MALFORMED = 1, /* unknown type, or a size that is not the type's */
};

union wire_request {
    struct launch_head head;
    struct launch_hello hello;
    struct launch_create create;
    struct launch_adopt adopt;
};

/* On success the union's member for head.type is whole, and the texts of CREATE end with NUL. */
_must_check_ int wire_decode(union wire_request *ret, const void *data, size_t len);
