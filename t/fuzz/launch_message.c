/* Whatever a launcher sends: a message is taken at its exact size, its texts end and print, its numbers are in range. */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "executor/runtime/launch_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_print(const char *text, size_t size)
{
    size_t len = strnlen(text, size);

    assert(len < size);
    for (size_t i = 0; i < len; i++) {
        assert(isprint((unsigned char)text[i]));
    }
}

/* The first byte is the number of descriptors that came along. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    union launch_message message;
    unsigned n_fds;

    if (size < 1 || size - 1 > sizeof(message)) {
        return 0;
    }
    memset(&message, 0, sizeof(message));
    n_fds = data[0];
    memcpy(&message, data + 1, size - 1);
    if (!launch_message_check(&message, size - 1, n_fds)) {
        return 0;
    }
    assert(message.head.size == size - 1);
    assert(n_fds == 0 || (message.head.type == LAUNCH_CREATED && n_fds <= LAUNCH_N_FDS));
    if (message.head.type == LAUNCH_ERROR) {
        must_print(message.error.stage, sizeof(message.error.stage));
    } else if (message.head.type == LAUNCH_WALLS) {
        assert(message.walls.n_walls == SBX_N_WALLS && message.walls.tiers >> SBX_N_ISOLATIONS == 0);
        for (unsigned i = 0; i < SBX_N_WALLS; i++) {
            assert(message.walls.wall[i].state > SBX_WALL_UNTRIED &&
                   message.walls.wall[i].state < SBX_N_WALL_STATES);
            must_print(message.walls.wall[i].why, sizeof(message.walls.wall[i].why));
        }
        must_print(message.walls.cgroup, sizeof(message.walls.cgroup));
        must_print(message.walls.gvisor_version, sizeof(message.walls.gvisor_version));
        must_print(message.walls.gvisor_platform, sizeof(message.walls.gvisor_platform));
        must_print(message.walls.gvisor_why, sizeof(message.walls.gvisor_why));
    }
    return 0;
}
