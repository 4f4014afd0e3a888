/* Whatever a client sends: a message is taken at its exact size, and its text ends. */
#include <assert.h>
#include <string.h>

#include "executor/launcher/limits.h"
#include "executor/launcher/wire_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    union wire_request request;

    if (wire_decode(&request, data, size) != 0) {
        return 0;
    }
    assert(request.head.size == size && size <= sizeof(request) && request.head.seq != 0);
    if (request.head.type == LAUNCH_CREATE) {
        assert(strlen(request.create.template_name) < LAUNCH_TEMPLATE_LEN);
        assert(strlen(request.create.prepare) < LAUNCH_PREPARE_LEN);
        assert(request.create.is_spare <= 1);
    } else if (request.head.type == LAUNCH_ADOPT && limits_valid(&request.adopt.limits)) {
        assert(request.adopt.limits.disk_bytes + (1u << 20) > request.adopt.limits.disk_bytes);
        assert((uint64_t)request.adopt.limits.processes + 1 <= UINT32_MAX);
    }
    return 0;
}
