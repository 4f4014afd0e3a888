/* Answers of a policy service: what is read denies, or allows without a reason against it, and can be written again. */
#include "lib/sbx_opa.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_json(const char *text)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf list = SBX_BUF_INIT(1024);
    struct sbx_field_error err;
    json_t *json = NULL;

    sbx_buf_printf(&list, "[%s]", text);
    if (sbx_json_parse(&json, list.data, list.len, &err) != 0) {
        return false;
    }
    json_decref(json);
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_opa_answer answer;
    const char *why = NULL;
    unsigned i;
    int r;

    r = sbx_opa_answer_read(&answer, (const char *)data, size, &why);
    if (r != 0) {
        if (why == NULL) {
            abort();
        }
        return 0;
    }
    if (answer.n_violations > SBX_OPA_VIOLATIONS || (answer.allowed && answer.n_violations > 0)) {
        abort();
    }
    for (i = 0; i < answer.n_violations; i++) {
        if (answer.violation[i].rule[0] == '\0' || !is_json(answer.violation[i].limit) ||
            !is_json(answer.violation[i].observed) ||
            strnlen(answer.violation[i].hint, sizeof(answer.violation[i].hint)) ==
                sizeof(answer.violation[i].hint)) {
            abort();
        }
    }
    for (i = 0; i < SBX_N_LIMITS; i++) {
        if (answer.limits.value[i] > sbx_limit_ceiling((enum sbx_limit)i) ||
            (!answer.allowed && answer.limits.value[i] != 0)) {
            abort();
        }
    }
    return 0;
}
