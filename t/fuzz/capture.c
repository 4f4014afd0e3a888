/* Capture: two bytes choose the budget and the piece, the rest is output; head and tail must be its own. */
#include "lib/sbx_capture.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const struct sbx_capture *capture, const uint8_t *data, size_t size)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 24);
    size_t head, tail;

    sbx_capture_text(capture, &text);
    if (text.failed || capture->total != size || sbx_capture_truncated(capture) != (size > capture->keep)) {
        abort();
    }
    if (size <= capture->keep) {
        if (text.len != size || (size > 0 && memcmp(text.data, data, size) != 0)) {
            abort();
        }
    } else {
        /* At most three bytes are cut from each half. */
        head = capture->keep / 2 > 3 ? capture->keep / 2 - 3 : 0;
        tail = capture->keep - capture->keep / 2 > 3 ? capture->keep - capture->keep / 2 - 3 : 0;
        if (text.len < head + tail || memcmp(text.data, data, head) != 0 ||
            memcmp(text.data + text.len - tail, data + size - tail, tail) != 0) {
            abort();
        }
    }
    sbx_buf_deinit(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_capture capture;
    size_t i, n, step;

    if (size < 2) {
        return 0;
    }
    sbx_capture_init(&capture, data[0]);
    step = (size_t)data[1] + 1;
    data += 2;
    size -= 2;
    for (i = 0; i < size; i += n) {
        n = size - i < step ? size - i : step;
        if (!sbx_capture_add(&capture, data + i, n)) {
            abort();
        }
    }
    check_text(&capture, data, size);
    sbx_capture_deinit(&capture);
    return 0;
}
