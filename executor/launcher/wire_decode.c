#include "executor/launcher/wire_decode.h"

#include <string.h>

static const uint16_t sizes[] = {
    [LAUNCH_HELLO] = sizeof(struct launch_hello),  [LAUNCH_CREATE] = sizeof(struct launch_create),
    [LAUNCH_ADOPT] = sizeof(struct launch_adopt),  [LAUNCH_STAT] = sizeof(struct launch_head),
    [LAUNCH_DESTROY] = sizeof(struct launch_head), [LAUNCH_SETTLE] = sizeof(struct launch_head),
    [LAUNCH_WALLS] = sizeof(struct launch_head),   [LAUNCH_FREEZE] = sizeof(struct launch_head),
    [LAUNCH_THAW] = sizeof(struct launch_head),    [LAUNCH_HASTEN] = sizeof(struct launch_head),
};

_must_check_ int
wire_decode(union wire_request *ret, const void *data, size_t len)
{
    struct launch_head head;

    if (len < sizeof(head) || len > sizeof(*ret)) {
        return WIRE_E_MALFORMED;
    }
    memcpy(&head, data, sizeof(head));
    if (head.type >= SBX_COUNT(sizes) || sizes[head.type] == 0 || sizes[head.type] != len ||
        head.size != len || head.seq == 0) {
        return WIRE_E_MALFORMED;
    }
    memcpy(ret, data, len);
    if (head.type == LAUNCH_CREATE &&
        (memchr(ret->create.template_name, '\0', LAUNCH_TEMPLATE_LEN) == NULL ||
         memchr(ret->create.prepare, '\0', LAUNCH_PREPARE_LEN) == NULL ||
         ret->create.isolation == SBX_ISOLATION_NONE || ret->create.isolation >= SBX_N_ISOLATIONS ||
         ret->create.is_spare > 1)) {
        return WIRE_E_MALFORMED;
    }
    return 0;
}
