/*
 * Brings the artifacts of an ended run out of its sandbox into the blob store, one
 * after another, and into the job's record. What cannot be had is listed with the
 * reason among the skipped.
 */
#pragma once

#include "executor/core/job.h"

struct artifacts;
struct blob_store;
struct collect;

struct collect_spec {
    struct sandbox *sandbox;
    struct blob_store *blobs;
    struct artifacts *artifacts; /* counts what the tenant stores; NULL: nobody does */
    struct timers *timers;
    struct job *job;
    const struct runtime_outcome *outcome; /* rc 0 */
};

/*
 * `done` is called once from the loop, not from here, by a deadline that depends on what was announced. The
 * record's artifacts are complete then. The collect stays until collect_cancel.
 */
_must_check_ int collect_start(struct collect **ret, const struct collect_spec *spec, void (*done)(void *arg),
                               void *arg);
/* `done` follows soon: what was not taken yet is skipped for this reason, which is constant text. */
void collect_stop(struct collect *collect, const char *reason);
/* The record is durable, or is not going to be soon: what it was to store counts no more as that. Accepts NULL. */
void collect_settle(struct collect *collect);
/* The sandbox is about to be destroyed: no callback any more. What was stored stays in the record. Accepts
   NULL, returns NULL. */
struct collect *collect_cancel(struct collect *collect);
