/* What agents are shown of output that may be anything, and displays whose text is damaged. */
#include "executor/api/tool_result.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/step_results.h"
#include "lib/sbx_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(const char *text)
{
    struct tool_pictures pictures = { .rest = text };
    struct tool_picture picture;
    struct step_result result;
    const char *rest = text, *end = text + strlen(text);

    while (tool_pictures_next(&pictures, &picture)) {
        assert(picture.base64 >= text && picture.base64 + picture.base64_len <= end);
    }
    while (step_results_next(&rest, &result)) {
        struct step_result_item item;
        const char *items = result.items;

        assert(result.text >= text && result.text + result.len <= end && rest <= end);
        while (step_result_item_next(&items, &item)) {
            assert(item.value >= text && item.value + item.len <= end);
        }
    }
}

static void
show(const struct tool_view_ask *ask)
{
    struct sbx_buf out = SBX_BUF_INIT(TOOL_RESULT_HEAD_MAX + TOOL_RESULT_TAIL_MAX);
    struct sbx_field_error err;
    struct tool_view view;
    json_t *json = NULL;
    struct sbx_jsonw w;

    assert(tool_view_init(&view, ask) == 0);
    assert(view.output[0].len <= TOOL_OUTPUT_STDOUT_MAX + 256);
    assert(view.output[1].len <= TOOL_OUTPUT_STDERR_MAX + 256);
    sbx_jsonw_init(&w, &out);
    tool_result_head(&w, NULL, &view);
    tool_result_tail(&w, &view, view.is_error);
    assert(!out.failed && sbx_json_parse(&json, out.data, out.len, &err) == 0);
    json_decref(json);
    tool_view_deinit(&view);
    sbx_buf_deinit(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size + 1);
    struct job_record record = { .state = JOB_SUCCEEDED };
    struct tool_view_ask ask = { 0 };
    struct tool_run run;

    assert(bytes != NULL);
    memcpy(bytes, data, size);
    bytes[size] = '\0';
    walk(bytes);
    if (size >= 4) {
        uint16_t more = (uint16_t)(data[2] << 8 | data[3]);

        record.state = data[0] & 1 ? JOB_RUNNING : JOB_SUCCEEDED;
        record.truncated = data[0] & 2;
        record.stream[0] = (struct job_stream){ .data = bytes, .len = size, .total = size + more };
        record.stream[1] = (struct job_stream){ .data = bytes, .len = size, .total = size };
        ask.has_offset[0] = data[0] & 4;
        ask.has_offset[1] = data[0] & 8;
        ask.offset[0] = ask.offset[1] = data[1] * 16u;
        tool_run_of_job(&run, &record);
        ask.run = &run;
        show(&ask);
    }
    free(bytes);
    return 0;
}
