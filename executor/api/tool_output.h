/*
 * Output of a run as an agent is shown it: a bounded part of what is kept, as text that is UTF-8 whatever the program wrote,
 * with a line where something is left out that says how to read it. Every other byte, and control characters but tab and
 * line breaks, stand as \xNN: what a program prints moves nobody's cursor. Pure.
 */
#pragma once

#include "executor/core/feed_stored.h"
#include "lib/sbx_buf.h"

#define TOOL_OUTPUT_STDOUT_MAX 16384 /* bytes of text, but for the lines about what is left out */
#define TOOL_OUTPUT_STDERR_MAX 8192

struct tool_output_ask {
    const char *name; /* "stdout": get_job's argument is stdout_offset */
    struct feed_stored stored;
    bool live; /* more may come: a character whose end is still to come waits for it */
    bool from; /* read on from `offset` instead of showing head and tail */
    uint64_t offset;
    size_t max;
};

struct tool_output {
    bool omitted;  /* something between is not shown */
    uint64_t next; /* offset of the first byte that is kept and not shown */
    bool more;     /* there is such a byte by now */
    uint64_t end;  /* offset behind the last byte shown: what is said from now on begins there */
};

void tool_output_write(struct sbx_buf *out, const struct tool_output_ask *ask, struct tool_output *ret);
/* Any bytes in the same spelling; nothing is left out. */
void tool_output_escape(struct sbx_buf *out, const char *data, size_t len);
/* Any bytes in the same spelling: whole, or head and tail of at most `max` bytes together and how much is between. */
void tool_output_ends(struct sbx_buf *out, const char *data, size_t len, size_t max);
/* The last line that has something in it, at most `max` bytes of its text. */
void tool_output_last_line(struct sbx_buf *out, const char *data, size_t len, size_t max);
/* "1,234,567" */
#define TOOL_NUMBER_LEN 27
void tool_number(char out[TOOL_NUMBER_LEN], uint64_t number);
