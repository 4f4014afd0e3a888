/*
 * What an interpreter's driver says on its descriptor (docs/agent.md, "Drivers"). The tenant's code can write there
 * as well: each length and each word is checked, and a reader that has met nonsense reads no further. Pure.
 */
#pragma once

#include "lib/sbx_json.h"

#define DRIVER_FRAME_MAX (32u << 20)
#define DRIVER_MAX_ITEMS 32u
#define DRIVER_MAX_MIME 96u
/* Of an error as JSON: so much that the END of a step holds it. */
#define DRIVER_MAX_ERROR 57344u

struct driver_item {
    char mime[DRIVER_MAX_MIME + 1]; /* type/subtype in lower case, each at most once in a display */
    uint32_t size;
};

struct driver_display {
    bool is_result;
    unsigned n_items;
    uint32_t bytes; /* of all */
    struct driver_item items[DRIVER_MAX_ITEMS];
};

enum driver_status { DRIVER_SUCCEEDED, DRIVER_FAILED, DRIVER_INTERRUPTED };

struct driver_outcome {
    enum driver_status status;
    struct sbx_buf error; /* {"name","value","traceback"} in our own words, or nothing */
    bool has_exit_code;
    int exit_code;
    unsigned dropped; /* displays */
};

enum driver_event {
    DRIVER_NOTHING,
    DRIVER_READY,
    DRIVER_DISPLAY,  /* reader->display; its bytes follow */
    DRIVER_BYTES,    /* reader->bytes, n_bytes of them: of the last display, at least one */
    DRIVER_OUTCOME,  /* reader->outcome, until the next call */
    DRIVER_NONSENSE, /* for good */
};

struct driver_reader {
    unsigned char head[5];
    size_t n_head;
    uint32_t left; /* of this frame, type and length not counted */
    bool is_body;  /* of a display */
    bool is_broken;
    struct sbx_buf text;
    struct driver_display display;
    struct driver_outcome outcome;
    const char *bytes;
    size_t n_bytes;
};

void driver_reader_init(struct driver_reader *reader);
void driver_reader_deinit(struct driver_reader *reader);
/* Up to the next event or the end of the data: returns the bytes that are done with. */
size_t driver_reader_feed(struct driver_reader *reader, const char *data, size_t len,
                          enum driver_event *ret_event);
