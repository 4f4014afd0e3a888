/*
 * An interpreter that waited as a slot says that it ends, with which status, right before its last system call: the
 * kernel takes longer to take its memory apart than most programs run. Who hears it kills it, so what it says is true.
 *
 * One message, of last_word_form.h, on the socket by which it was given its work. The first counts, if the kernel says
 * that it is the payload's; after any other, and after the socket's end, there is only the ordinary way to learn of its end.
 */
#pragma once

#include <sys/types.h>
#include <uv.h>

#include "lib/sbx_base.h"

struct last_word {
    uv_poll_t poll;
    int fd; /* -1: not open, and never was */
    pid_t from;
    void (*on_word)(void *arg, int status);
    void *arg;
};

/* For the socket's owner, before anything that may end is told to begin. */
_must_check_ int last_word_expect(int fd);
/*
 * Takes word->fd, also on failure. `on_word` comes at most once, from the loop, and not after last_word_ignore. `data` is the
 * handle's, for the callback of last_word_close, which is due after a success.
 */
_must_check_ int last_word_listen(struct last_word *word, uv_loop_t *loop, void *data);
/* May be called at any time. */
void last_word_ignore(struct last_word *word);
/* Without a callback when it is not open. */
void last_word_close(struct last_word *word, uv_close_cb on_closed);
