/* Several small files written into a workspace by one request. */
#pragma once

struct file_batch;

/* The call is over. Accepts NULL, returns NULL. */
struct file_batch *file_batch_free(struct file_batch *batch);
