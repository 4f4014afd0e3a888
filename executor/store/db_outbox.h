/*
 * Brings finished transactions back to the loop: workers post from their threads, callbacks
 * run on the loop's, in the order of posting and never inside the call that submitted.
 * Keeps the loop alive only while something is outstanding.
 */
#pragma once

#include "db_tx.h"

struct db_outbox;

_must_check_ int db_outbox_new(struct db_outbox **ret, void *loop);
/* Loop's thread: one more outcome is to be expected. */
void db_outbox_expect(struct db_outbox *outbox);
/* Any thread; takes what is in the queue. */
void db_outbox_post(struct db_outbox *outbox, struct db_queue *done);
/* Loop's thread, after the workers ended: delivers the rest; the memory goes when the loop turns next. */
struct db_outbox *db_outbox_close(struct db_outbox *outbox);
