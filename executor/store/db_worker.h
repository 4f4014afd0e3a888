/* A thread with a bounded queue of transactions, as the writer and the reader of a backend are. */
#pragma once

#include <pthread.h>

#include "db_tx.h"

struct db_worker {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct db_queue queue;
    size_t n_now; /* of those in the queue that wait for nothing else */
    uint64_t
        later_ms; /* monotonic: when the others have waited long enough; while n_now is 0 and the queue is not */
    size_t max_n, max_bytes;
    pthread_t thread;
    bool initialised, started, stopping;
};

enum db_worker_news {
    DB_WORKER_BATCH,    /* there is something to do */
    DB_WORKER_DEADLINE, /* nothing came until then */
    DB_WORKER_STOP,     /* the queue is empty and stays so */
};

_must_check_ int db_worker_init(struct db_worker *worker, size_t max_n, size_t max_bytes);
/* All signals are blocked in the new thread: they are the loop's. */
_must_check_ int db_worker_start(struct db_worker *worker, void *(*run)(void *arg), void *arg);
/* What waits for another one does so for so long at most. */
#define DB_WORKER_LATER_MS 200
#define DB_WORKER_SOON_MS 5

/* Takes tx, or leaves it: -ENOBUFS when the queue is full, -ESHUTDOWN after stop. */
_must_check_ int db_worker_submit(struct db_worker *worker, struct db_tx *tx);
/*
 * In the thread: waits until work, deadline (monotonic ms; 0 = none) or stop; moves up to max_n, max_bytes
 * into batch.
 */
enum db_worker_news db_worker_wait(struct db_worker *worker, uint64_t deadline_ms, struct db_queue *batch,
                                   size_t max_n, size_t max_bytes);
unsigned db_worker_queued(struct db_worker *worker);
/* Lets the thread finish the queue and joins it. */
void db_worker_stop(struct db_worker *worker);
void db_worker_deinit(struct db_worker *worker);
