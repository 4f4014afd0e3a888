/*
 * What an agent says about a session, judged: the outcome of a step or of an interpreter's start and the announcement of
 * rich output. The agent is hostile, and much of this the tenant's code writes itself: shape and bounds are checked, and
 * nothing here is believed about more than its own step.
 */
#pragma once

#include "lib/sbx_base.h"

#define SESSION_REPLY_MAX_ITEMS 32
#define SESSION_REPLY_MAX_MIME 96
#define SESSION_REPLY_MAX_MESSAGE 256
#define SESSION_REPLY_MAX_ITEM_BYTES (UINT64_C(1) << 31)

enum {
    SESSION_REPLY_E_INVALID = 1, /* no honest agent says this */
};

enum session_step_status {
    STEP_SAYS_SUCCEEDED,
    STEP_SAYS_FAILED,
    STEP_SAYS_INTERRUPTED,
    STEP_SAYS_TIMED_OUT,
    STEP_SAYS_CRASHED
};

/* END of any operation, as far as all have it. */
struct session_reply {
    bool ok;
    char error[16];                              /* of the closed set; "" when ok */
    char message[SESSION_REPLY_MAX_MESSAGE + 1]; /* printable */
};

/* END of a step. */
struct session_reply_step {
    struct session_reply reply; /* not ok: the rest says nothing */
    enum session_step_status status;
    char *error_json; /* {"name","value","traceback"}; NULL: none. The caller frees */
    bool has_exit_code;
    int exit_code;
    char signal[16];
    bool alive; /* the interpreter, after it */
    bool restarted;
    uint64_t wall_ms, cpu_ms, peak_memory_bytes;
    uint64_t displays_dropped;
};

struct session_reply_item {
    char mime[SESSION_REPLY_MAX_MIME + 1]; /* lower case, type/subtype without parameters */
    uint64_t size;
};

/* NOTE of a step. */
struct session_reply_display {
    bool is_result; /* the last expression's value, else a display call's */
    unsigned n_items;
    struct session_reply_item items[SESSION_REPLY_MAX_ITEMS];
};

/* Members besides ok, error and message are let through. */
_must_check_ int session_reply_end(struct session_reply *ret, const char *json, size_t len);
_must_check_ int session_reply_step(struct session_reply_step *ret, const char *json, size_t len);
_must_check_ int session_reply_display(struct session_reply_display *ret, const char *json, size_t len);
/* One JSON document in UTF-8: may stand inside one of ours. */
bool session_reply_is_json(const char *data, size_t len);
