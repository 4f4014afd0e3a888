/*
 * Copies the write-ahead log into the database's file, on a thread and a connection of its own: commits go on meanwhile, and
 * the writer begins the log anew when all of it was copied.
 */
#pragma once

#include <stdatomic.h>

#include "db_worker.h"

struct sqlite_checkpoint {
    struct db_worker worker;
    struct sqlite_conn *conn;
    struct db_tx order; /* the only one there is in the queue */
    atomic_bool ordered;
    pthread_mutex_t under_way; /* held by whoever copies */
    bool initialised;
};

/* The database exists. deinit is legal after a failed init. */
_must_check_ int sqlite_checkpoint_init(struct sqlite_checkpoint *checkpoint, const char *url, char *error,
                                        size_t error_size);
_must_check_ int sqlite_checkpoint_start(struct sqlite_checkpoint *checkpoint);
/* Writer's thread: one, soon. Nothing when one was asked for that has not begun. */
void sqlite_checkpoint_order(struct sqlite_checkpoint *checkpoint);
/* Writer's thread: waits until none is under way, and none begins before the second call. */
void sqlite_checkpoint_keep_off(struct sqlite_checkpoint *checkpoint);
void sqlite_checkpoint_let_on(struct sqlite_checkpoint *checkpoint);
void sqlite_checkpoint_stop(struct sqlite_checkpoint *checkpoint);
void sqlite_checkpoint_deinit(struct sqlite_checkpoint *checkpoint);
