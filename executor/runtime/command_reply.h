/* What an agent says about a command of a session, judged: shape and bounds are checked, and it is believed about no more than that command. */
#pragma once

#include "lib/sbx_base.h"

#define COMMAND_REPLY_MAX_MESSAGE 256

enum {
    COMMAND_REPLY_E_INVALID = 1, /* no honest agent says this */
};

struct command_reply_end {
    bool ok;
    char error[16];                              /* of the closed set; "" when ok */
    char message[COMMAND_REPLY_MAX_MESSAGE + 1]; /* printable ASCII */
    bool has_exit_code;                          /* or there is a signal */
    int exit_code;
    char signal[16];
    bool timed_out;
    uint64_t wall_ms, cpu_ms, peak_memory_bytes;
};

/* The END. */
_must_check_ int command_reply_end(struct command_reply_end *ret, const char *json, size_t len);
/* The one NOTE there is: {"started": {"pid"}}. */
_must_check_ int command_reply_started(unsigned *ret_pid, const char *json, size_t len);
