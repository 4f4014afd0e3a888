/* Mutex, condition and thread of a worker; the work itself is its owner's. */
#include "db_worker.h"

#include <signal.h>
#include <time.h>

#include "lib/sbx_time.h"

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
        const uint64_t due_ms = tx->patience_ms == 0 ? 0 : sbx_now_mono_ms() + tx->patience_ms;

        if (due_ms == 0) {
            worker->n_now++;
            pthread_cond_signal(&worker->wake);
        } else if (worker->queue.n == worker->n_now || due_ms < worker->later_ms) {
            worker->later_ms = due_ms;
            pthread_cond_signal(&worker->wake); /* the thread must learn of an earlier deadline */
        }
        db_queue_push(&worker->queue, tx);
    }
    pthread_mutex_unlock(&worker->mutex);
    return r;
}

static bool
worker_is_due(const struct db_worker *worker)
{
    return worker->n_now > 0 ||
           (worker->queue.n > 0 && (worker->stopping || sbx_now_mono_ms() >= worker->later_ms));
}

/* Until there is a signal, or the first of both deadlines. False: the caller's has passed. */
static bool
worker_sleep(struct db_worker *worker, uint64_t deadline_ms)
{
    uint64_t until_ms = deadline_ms;
    struct timespec until;

    if (worker->queue.n > 0 && (until_ms == 0 || worker->later_ms < until_ms)) {
        until_ms = worker->later_ms;
    }
    if (until_ms == 0) {
        pthread_cond_wait(&worker->wake, &worker->mutex);
        return true;
    }
    until.tv_sec = (time_t)(until_ms / 1000);
    until.tv_nsec = (long)(until_ms % 1000) * 1000000;
    return pthread_cond_timedwait(&worker->wake, &worker->mutex, &until) != ETIMEDOUT ||
           until_ms != deadline_ms;
}

enum db_worker_news
db_worker_wait(struct db_worker *worker, uint64_t deadline_ms, struct db_queue *batch, size_t max_n,
               size_t max_bytes)
{
    enum db_worker_news news = DB_WORKER_BATCH;

    pthread_mutex_lock(&worker->mutex);
    while (news == DB_WORKER_BATCH && !worker_is_due(worker)) {
        if (worker->stopping) {
            news = DB_WORKER_STOP;
        } else if (!worker_sleep(worker, deadline_ms) && !worker_is_due(worker)) {
            news = DB_WORKER_DEADLINE;
        }
    }
    while (news == DB_WORKER_BATCH && worker->queue.n > 0 && batch->n < max_n &&
           (batch->n == 0 || batch->bytes < max_bytes)) {
        struct db_tx *tx = db_queue_pop(&worker->queue);

        worker->n_now -= tx->patience_ms == 0;
        db_queue_push(batch, tx);
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
