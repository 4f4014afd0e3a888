/* Any bytes as a line of heads.jsonl: what is accepted must be what its own members make again. */
#include "executor/store/audit_heads.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_buf again = SBX_BUF_INIT(AUDIT_HEAD_LINE_MAX);
    struct audit_head head;

    if (audit_head_parse(&head, (const char *)data, size) == 0) {
        audit_head_write(&head, &again);
        if (again.failed || again.len != size + 1 || memcmp(again.data, data, size) != 0 || head.n == 0 ||
            head.seq == 0) {
            abort();
        }
    }
    sbx_buf_deinit(&again);
    return 0;
}
