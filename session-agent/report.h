/* The reply to a step: what the kernel, the payload's result file and the capture say. */
#pragma once

#include "lib/sbx_capture.h"
#include "session-agent/collect.h"
#include "session-agent/init.h"

/*
 * Whatever a payload names and prints, a report fits. A path is at most 1024 bytes, six times that when each
 * needs an escape; one that is taken, three times: so 1000 taken and 200 skipped with a result of 1 MiB stay
 * below 6 MiB. Two streams of 1 MiB, standalone, add at most eight times their size.
 */
#define REPORT_MAX (24ul * 1024 * 1024)
#define REPORT_MAX_SKIPPED 200u

struct report {
    const char *step_id;
    int wait_status;
    bool timed_out;
    bool is_crowded;
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
