/* A sealed state of a client's own making: none is opened. The first byte says how much of the input is the request that it comes with. */
#include "lib/sbx_mcp_state.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sbx_mcp_state_keeper *keeper;
    struct sbx_buf request = SBX_BUF_INIT(256), out = SBX_BUF_INIT(SBX_MCP_STATE_MAX);
    size_t n;

    if (size == 0 || (keeper == NULL && sbx_mcp_state_keeper_new(&keeper, "fuzz", 4) != 0)) {
        return 0;
    }
    n = data[0] < size ? data[0] : size - 1;
    sbx_buf_append(&request, data + 1, n);
    if (sbx_mcp_state_open(keeper, &out, "acme/a/b/c", &request, (const char *)data + 1 + n, size - 1 - n,
                           1800000000000) != -EBADMSG ||
        out.len != 0) {
        abort();
    }
    sbx_buf_deinit(&request);
    sbx_buf_deinit(&out);
    return 0;
}
