/* The one place of the database that knows libuv. */
#include "db_outbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <uv.h>

struct db_outbox {
    uv_async_t async;
    pthread_mutex_t mutex;
    struct db_queue inbox; /* under mutex */
    struct db_queue ready; /* the loop's */
    unsigned outstanding;
};

static void
outbox_deliver(struct db_tx *tx)
{
    struct db_result result = { 0 };

    if (tx->rc == 0) {
        db_rows_seal(&tx->rows, &result);
        result.changes = tx->changes;
    }
    if (tx->done != NULL) {
        tx->done(tx->arg, tx->rc, &result);
    }
    db_tx_free(tx);
}

/*
 * Returns whether anything was delivered. A callback may close the database: one at a time, state kept
 * current.
 */
static bool
outbox_drain(struct db_outbox *outbox)
{
    struct db_tx *tx;
    bool any = false;

    pthread_mutex_lock(&outbox->mutex);
    db_queue_move(&outbox->ready, &outbox->inbox);
    pthread_mutex_unlock(&outbox->mutex);

    while ((tx = db_queue_pop(&outbox->ready)) != NULL) {
        if (--outbox->outstanding == 0 && !uv_is_closing((uv_handle_t *)&outbox->async)) {
            uv_unref((uv_handle_t *)&outbox->async);
        }
        outbox_deliver(tx);
        any = true;
    }
    return any;
}

static void
outbox_on_async(uv_async_t *async)
{
    (void)outbox_drain(async->data); /* only closing asks whether there was more */
}

int
db_outbox_new(struct db_outbox **ret, void *loop)
{
    struct db_outbox *outbox = calloc(1, sizeof(*outbox));
    int r;

    if (outbox == NULL) {
        return -ENOMEM;
    }
    r = pthread_mutex_init(&outbox->mutex, NULL);
    if (r) {
        free(outbox);
        return -r;
    }
    r = uv_async_init(loop, &outbox->async, outbox_on_async);
    if (r) {
        pthread_mutex_destroy(&outbox->mutex);
        free(outbox);
        return r;
    }
    outbox->async.data = outbox;
    uv_unref((uv_handle_t *)&outbox->async);
    *ret = outbox;
    return 0;
}

void
db_outbox_expect(struct db_outbox *outbox)
{
    if (outbox->outstanding++ == 0) {
        uv_ref((uv_handle_t *)&outbox->async);
    }
}

void
db_outbox_post(struct db_outbox *outbox, struct db_queue *done)
{
    pthread_mutex_lock(&outbox->mutex);
    db_queue_move(&outbox->inbox, done);
    pthread_mutex_unlock(&outbox->mutex);
    /* Fails only for a handle that is closing, and then the drain of the close delivers. */
    (void)uv_async_send(&outbox->async);
}

static void
outbox_on_close(uv_handle_t *handle)
{
    struct db_outbox *outbox = handle->data;

    pthread_mutex_destroy(&outbox->mutex);
    free(outbox);
}

struct db_outbox *
db_outbox_close(struct db_outbox *outbox)
{
    if (outbox == NULL) {
        return NULL;
    }

    while (outbox_drain(outbox)) {
    }
    uv_close((uv_handle_t *)&outbox->async, outbox_on_close);
    return NULL;
}
