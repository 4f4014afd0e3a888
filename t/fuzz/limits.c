/* Limits: whatever is accepted is within the product's bounds and survives being written and read. */
#include "lib/sbx_limits.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_limits(const json_t *json)
{
    struct sbx_buf buf = SBX_BUF_INIT(4096);
    struct sbx_field_error err;
    struct sbx_limits limits, again;
    struct sbx_jsonw w;
    json_t *written = NULL;
    unsigned i;

    if (!sbx_limits_from_json(&limits, json, "/limits", &err)) {
        return;
    }
    for (i = 0; i < SBX_N_LIMITS; i++) {
        if (limits.value[i] != 0 && (limits.value[i] < sbx_limit_floor((enum sbx_limit)i) ||
                                     limits.value[i] > sbx_limit_ceiling((enum sbx_limit)i))) {
            abort();
        }
    }
    sbx_jsonw_init(&w, &buf);
    sbx_limits_write(&w, NULL, &limits);
    if (buf.failed || sbx_json_parse(&written, buf.data, buf.len, &err) != 0 ||
        !sbx_limits_from_json(&again, written, "", &err) || memcmp(&limits, &again, sizeof(limits)) != 0) {
        abort();
    }
    json_decref(written);
    sbx_buf_deinit(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct sbx_field_error err;
    json_t *json = NULL;
    uint64_t value;

    /* Their result is checked where JSON brings it; here it is the reading that counts. */
    (void)!sbx_quantity_parse(text, size, &value);
    (void)!sbx_duration_parse(text, size, &value);
    (void)!sbx_cpu_parse(text, size, &value);
    if (sbx_json_parse(&json, text, size, &err) == 0) {
        check_limits(json);
        json_decref(json);
    }
    return 0;
}
