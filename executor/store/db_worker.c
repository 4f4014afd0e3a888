/* Mutex, condition and thread of a worker; the work itself is its owner's. */
#include "db_worker.h"

#include <signal.h>
#include <time.h>

int
db_worker_init(struct db_worker *worker, size_t max_n, size_t max_bytes)
{
    pthread_condattr_t attr;
    int r;

    *worker = (struct db_worker){ .max_n = max_n, .max_bytes = max_bytes };
    r = pthread_mutex_init(&worker->mutex, NULL);
    if (r) {
        return -r;
    }
    r = pthread_condattr_init(&attr);
    if (r == 0) {
        r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        r = r ? r : pthread_cond_init(&worker->wake, &attr);
        pthread_condattr_destroy(&attr);
    }
    if (r) {
        pthread_mutex_destroy(&worker->mutex);
        return -r;
    }
    worker->initialised = true;
    return 0;
}

int
db_worker_start(struct db_worker *worker, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    r = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (r) {
        return -r;
    }
    r = pthread_create(&worker->thread, NULL, run, arg);
    worker->started = r == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail: the mask was in force before */
    return -r;
}

int
db_worker_submit(struct db_worker *worker, struct db_tx *tx)
{
    int r = 0;

    pthread_mutex_lock(&worker->mutex);
    if (worker->stopping) {
        r = -ESHUTDOWN;
    } else if (worker->queue.n >= worker->max_n || worker->queue.bytes + tx->bytes > worker->max_bytes) {
        r = -ENOBUFS;
    } else {
        db_queue_push(&worker->queue, tx);
        pthread_cond_signal(&worker->wake);
    }
    pthread_mutex_unlock(&worker->mutex);
    return r;
}

enum db_worker_news
db_worker_wait(struct db_worker *worker, uint64_t deadline_ms, struct db_queue *batch, size_t max_n,
               size_t max_bytes)
{
    const struct timespec until = {
        .tv_sec = (time_t)(deadline_ms / 1000),
        .tv_nsec = (long)(deadline_ms % 1000) * 1000000,
    };
    enum db_worker_news news = DB_WORKER_BATCH;

    pthread_mutex_lock(&worker->mutex);
    while (worker->queue.n == 0 && news == DB_WORKER_BATCH) {
        if (worker->stopping) {
            news = DB_WORKER_STOP;
        } else if (deadline_ms == 0) {
            pthread_cond_wait(&worker->wake, &worker->mutex);
        } else if (pthread_cond_timedwait(&worker->wake, &worker->mutex, &until) == ETIMEDOUT) {
            news = worker->queue.n == 0 ? DB_WORKER_DEADLINE : DB_WORKER_BATCH;
        }
    }
    while (worker->queue.n > 0 && batch->n < max_n && (batch->n == 0 || batch->bytes < max_bytes)) {
        db_queue_push(batch, db_queue_pop(&worker->queue));
    }
    pthread_mutex_unlock(&worker->mutex);
    return news;
}

unsigned
db_worker_queued(struct db_worker *worker)
{
    unsigned n;

    pthread_mutex_lock(&worker->mutex);
    n = (unsigned)worker->queue.n;
    pthread_mutex_unlock(&worker->mutex);
    return n;
}

void
db_worker_stop(struct db_worker *worker)
{
    if (!worker->started) {
        return;
    }

    pthread_mutex_lock(&worker->mutex);
    worker->stopping = true;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->mutex);
    pthread_join(worker->thread, NULL);
    worker->started = false;
}

void
db_worker_deinit(struct db_worker *worker)
{
    if (!worker->initialised) {
        return;
    }
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->mutex);
    worker->initialised = false;
}
