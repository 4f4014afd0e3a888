/* Images among a job's files on their way into an answer: read one after another, each audited before anybody has it. */
#pragma once

#include "executor/api/tool_view.h"

struct call;
struct tool_images;

/*
 * Answers the call (tool_send), later when there is something to read: head, the images, tail. Takes the contents of both
 * buffers. An image that cannot be read, or is none by its first bytes, is only named.
 */
void tool_images_between(struct call *call, const struct tool_view *view, struct sbx_buf *head,
                         struct sbx_buf *tail);
struct tool_images *tool_images_free(struct tool_images *images); /* accepts NULL, returns NULL */
