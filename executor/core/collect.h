/*
 * Brings the artifacts of an ended run out of its sandbox into the blob store, one
 * after another, and into the job's record. What cannot be had is listed with the
 * reason among the skipped.
 */
#pragma once

#include "executor/core/job.h"

struct blob_store;
struct collect;

struct collect_spec {
    struct sandbox *sandbox;
    struct blob_store *blobs;
    struct timers *timers;
    struct job *job;
    const struct runtime_outcome *outcome; /* rc 0 */
};

/* `done` is called once from the loop, not from here. The record's artifacts are complete then. */
_must_check_ int collect_start(struct collect **ret, const struct collect_spec *spec, void (*done)(void *arg),
                               void *arg);
/* The sandbox is about to be destroyed: no callback. What was stored stays in the record. Returns NULL. */
struct collect *collect_cancel(struct collect *collect);
