/*
 * Learns from the executors' feed what changed: the worker that holds the zone's lease asks, waits, takes in, and asks again.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_sandbox_control_zone.h"
#include "ngx_sandbox_fetch.h"

#pragma GCC visibility push(hidden)

typedef struct {
    ngx_sandbox_control_zone_t *zone;
    ngx_sandbox_fetch_target_t *target;
    const ngx_str_t *key; /* signs the gateway's own context */
    ngx_msec_t wait;      /* how long an executor may hold a question that has no answer yet */

    /* Of the worker. */
    ngx_event_t beat;
    ngx_event_t ask;
    ngx_sandbox_fetch_t *fetch;
    struct ngx_sandbox_feed **set; /* answers of a set that is not whole yet */
    ngx_uint_t n_set;
    ngx_uint_t set_allocated;
    size_t set_size;
    uint64_t after;       /* of the question that is out */
    ngx_msec_t asked;
    ngx_msec_t pause;     /* before the next question after a failure; 0: the last one was answered */
    ngx_msec_t lacking;   /* when it was last tried whether there is room by now */
    const char *why;      /* of the last failure, so that each is told once */
    unsigned holds:1;
    unsigned whole:1;     /* the question that is out is one for a whole set */
    unsigned renew:1;     /* a whole set is to be learnt anew, in place of what is there */
} ngx_sandbox_control_learner_t;

/* With the worker; stop may come twice or without a start. */
void ngx_sandbox_control_learner_start(ngx_sandbox_control_learner_t *learner, ngx_log_t *log);
void ngx_sandbox_control_learner_stop(ngx_sandbox_control_learner_t *learner);

#pragma GCC visibility pop
