/* core/timer.h over libuv. A timer owns its uv handle; memory goes when libuv has let go of it. */
#include "executor/core/timer.h"

#include <stdlib.h>

#include <uv.h>

struct timers {
    uv_loop_t *loop;
};

struct timer {
    uv_timer_t handle;
    void (*fire)(void *arg);
    void *arg;
};

int
timers_new(struct timers **ret, void *uv_loop)
{
    struct timers *timers;

    timers = calloc(1, sizeof(*timers));
    if (timers == NULL) {
        return -ENOMEM;
    }
    timers->loop = uv_loop;
    *ret = timers;
    return 0;
}

struct timers *
timers_free(struct timers *timers)
{
    free(timers);
    return NULL;
}

static void
timer_on_fire(uv_timer_t *handle)
{
    struct timer *timer = handle->data;

    timer->fire(timer->arg);
}

static void
timer_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int
timer_new(struct timer **ret, struct timers *timers, void (*fire)(void *arg), void *arg)
{
    struct timer *timer;
    int r;

    timer = calloc(1, sizeof(*timer));
    if (timer == NULL) {
        return -ENOMEM;
    }
    timer->fire = fire;
    timer->arg = arg;

    r = uv_timer_init(timers->loop, &timer->handle);
    if (r < 0) {
        free(timer);
        return r;
    }
    timer->handle.data = timer;
    *ret = timer;
    return 0;
}

void
timer_start(struct timer *timer, uint64_t ms)
{
    /* Fails only for a handle that is closing, and timer_free ended our right to use one. */
    (void)uv_timer_start(&timer->handle, timer_on_fire, ms, 0);
}

void
timer_stop(struct timer *timer)
{
    (void)uv_timer_stop(&timer->handle); /* cannot fail */
}

struct timer *
timer_free(struct timer *timer)
{
    if (timer == NULL) {
        return NULL;
    }
    uv_close((uv_handle_t *)&timer->handle, timer_on_closed);
    return NULL;
}

uint64_t
timers_now_ms(const struct timers *timers)
{
    return uv_now(timers->loop);
}
