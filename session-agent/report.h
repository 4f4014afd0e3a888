/* The reply to a step: what the kernel, the payload's result file and the capture say. */
#pragma once

#include "lib/sbx_capture.h"
#include "session-agent/collect.h"
#include "session-agent/init.h"

#define REPORT_MAX (8u * 1024 * 1024)

struct report {
    const char *step_id;
    int wait_status;
    bool timed_out;
    uint64_t wall_ms;
    struct init_usage usage;
    const char *result; /* NULL: none; raw text of the file, not yet trusted to be JSON */
    size_t result_len;
    const char *result_error; /* NULL: none */
    const struct collection *files;
    const struct sbx_capture *output; /* NULL, or stdout and stderr */
};

/* Appends the document; a result that is not strict JSON becomes a result_error. */
void report_write(struct sbx_buf *out, const struct report *report);
/* "SIGKILL"; real-time signals have no name in the report: "SIGKILL" as well. */
const char *report_signal_name(int number);
