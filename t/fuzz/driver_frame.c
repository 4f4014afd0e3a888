/* Any bytes as what an interpreter's driver says, in pieces: what comes out is within its bounds and adds up. */
#include "session-agent/driver_frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
outcome_check(const struct driver_outcome *outcome)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;

    if (outcome->error.len > DRIVER_MAX_ERROR || outcome->exit_code < -1 || outcome->exit_code > 255 ||
        outcome->dropped > 1000000 || (outcome->has_exit_code && outcome->exit_code < 0)) {
        abort();
    }
    if (outcome->error.len > 0 &&
        (sbx_json_parse(&json, outcome->error.data, outcome->error.len, &err) != 0 ||
         json_object_size(json) != 3)) {
        abort();
    }
}

static uint64_t
display_check(const struct driver_display *display)
{
    uint64_t sum = 0;
    unsigned i;

    if (display->n_items == 0 || display->n_items > DRIVER_MAX_ITEMS) {
        abort();
    }
    for (i = 0; i < display->n_items; i++) {
        sum += display->items[i].size;
        if (strchr(display->items[i].mime, '/') == NULL || strlen(display->items[i].mime) > DRIVER_MAX_MIME) {
            abort();
        }
    }
    if (sum != display->bytes || sum > DRIVER_FRAME_MAX) {
        abort();
    }
    return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size > 0 ? data[0] + 1u : 1, off = 1;
    struct driver_reader reader;
    enum driver_event event = DRIVER_NOTHING;
    uint64_t left = 0;

    driver_reader_init(&reader);
    while (off < size) {
        size_t len = size - off < piece ? size - off : piece, n;
        /* A copy of its own, so that a byte read beyond it is seen. */
        char *copy = malloc(len);

        memcpy(copy, data + off, len);
        n = driver_reader_feed(&reader, copy, len, &event);
        if (n > len || (n < len && event == DRIVER_NOTHING) || (left > 0 && event == DRIVER_DISPLAY)) {
            abort();
        }
        if (event == DRIVER_DISPLAY) {
            left = display_check(&reader.display);
        } else if (event == DRIVER_BYTES) {
            if (reader.n_bytes == 0 || reader.n_bytes > left || reader.bytes < copy ||
                reader.bytes + reader.n_bytes > copy + len) {
                abort();
            }
            left -= reader.n_bytes;
        } else if (event == DRIVER_OUTCOME) {
            outcome_check(&reader.outcome);
        }
        free(copy);
        off += n;
        if (event == DRIVER_NONSENSE) {
            if (driver_reader_feed(&reader, "x", 1, &event) != 0 || event != DRIVER_NONSENSE) {
                abort();
            }
            break;
        }
    }
    driver_reader_deinit(&reader);
    return 0;
}
