/* One message of launcher/wire.h as executord receives it: size, type, descriptors and ranges checked. */
#pragma once

#include "executor/launcher/wire.h"
#include "lib/sbx_base.h"

enum {
    LAUNCH_RECEIVE_E_AGAIN = 1, /* nothing there now */
    LAUNCH_RECEIVE_E_HANGUP,
    LAUNCH_RECEIVE_E_INVALID, /* wire.h does not allow it; its descriptors are closed */
};

union launch_message {
    struct launch_head head;
    struct launch_hello hello;
    struct launch_create create;
    struct launch_created created;
    struct launch_adopt adopt;
    struct launch_report report;
    struct launch_error error; /* stage ends in NUL and is printable */
    struct launch_walls walls; /* texts alike */
};

struct launch_reply {
    union launch_message message;
    int fds[LAUNCH_N_FDS]; /* of CREATED, else -1 */
    unsigned n_fds;        /* that came */
};

void launch_reply_init(struct launch_reply *reply);
/* Closes what nobody took. */
void launch_reply_deinit(struct launch_reply *reply);
/* Initialises *reply; never waits. */
_must_check_ int launch_receive(int fd, struct launch_reply *reply);
/* Whether a message of `len` bytes with so many descriptors may come from a launcher. Makes texts
 * in it strings that can be printed. */
bool launch_message_check(union launch_message *message, size_t len, unsigned n_fds);

/* Of a request's type: its size (0: no request), and the type of the reply that is not LAUNCH_ERROR. */
size_t launch_request_size(uint16_t type);
uint16_t launch_request_reply(uint16_t type);
