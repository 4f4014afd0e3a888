/* Lines of the gateway's denial log. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "executor/denial_line.h"
#include "lib/sbx_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct denial denial = { 0 };

    if (denial_line_parse(&denial, (const char *)data, size) == 0 &&
        (!sbx_name_valid(denial.tenant, strlen(denial.tenant)) || denial.body[0] != '{')) {
        abort();
    }
    free(denial.body);
    return 0;
}
