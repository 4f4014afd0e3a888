/*
 * The executor's ends of one payload's stdin, stdout and stderr pipes. Output is
 * handed on as it comes and never kept here; input is written as the pipe takes it
 * and the pipe then closed. All from the loop's thread.
 */
#pragma once

#include <uv.h>

#include "lib/sbx_base.h"

#define PAYLOAD_IO_READ (64ul * 1024)

struct payload_io;

struct payload_io_spec {
    uv_loop_t *loop;
    int fds[3];        /* stdin (write; -1: none), stdout, stderr (read): taken, also on failure */
    char *buffer;      /* PAYLOAD_IO_READ bytes, borrowed; may be shared by all of one loop */
    const void *input; /* borrowed until close */
    size_t input_len;
    /* fd is 1 or 2; false: nothing more is read. May close. */
    bool (*on_output)(void *arg, int fd, const char *data, size_t len);
    void *arg;
};

_must_check_ int payload_io_new(struct payload_io **ret, const struct payload_io_spec *spec);
/* Hands on what the pipes hold now. The payload must be dead: what is written meanwhile may be cut off. May
   call on_output, and so may be closed by it. */
void payload_io_drain(struct payload_io *io);
/* No calls afterwards. Accepts NULL, returns NULL. */
struct payload_io *payload_io_close(struct payload_io *io);
