/*
 * Time for core code, which knows no event loop: one-shot timers. Implemented
 * over libuv in executor/timer.c; a test may link its own.
 */
#pragma once

#include "lib/sbx_base.h"

struct timers; /* wraps the loop */
struct timer;

_must_check_ int timers_new(struct timers **ret, void *uv_loop);
struct timers *timers_free(struct timers *timers);

/* Unarmed. `fire` is called from the loop, never from timer_start. */
_must_check_ int timer_new(struct timer **ret, struct timers *timers, void (*fire)(void *arg), void *arg);
/* (Re)arms; 0 ms means the loop's next turn. */
void timer_start(struct timer *timer, uint64_t ms);
void timer_stop(struct timer *timer);
struct timer *timer_free(struct timer *timer);       /* accepts NULL, returns NULL; no call afterwards */
uint64_t timers_now_ms(const struct timers *timers); /* monotonic, cached by the loop */
