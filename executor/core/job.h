/*
 * A live job: its record, what it is to run, its output so far and who waits for
 * it. Lives in the table from admission until its result is durable and told.
 * job_set_state is the only writer of record.state.
 */
#pragma once

#include "executor/core/feed.h"
#include "executor/core/job_record.h"
#include "executor/core/job_spec.h"
#include "executor/core/list.h"
#include "executor/core/queue.h"
#include "executor/core/timer.h"
#include "executor/core/verdict.h"
#include "lib/sbx_capture.h"

struct engine;
struct run;
struct idempotency_entry;

struct job {
    struct list link; /* in the table */
    struct list waiters;
    struct job_record record;
    struct job_spec *spec;
    struct queue_item item;
    struct engine *engine;
    struct run *run;                       /* from starting to the answer; the runner's */
    struct idempotency_entry *idempotency; /* NULL: no key */
    struct timer *deadline;                /* to wait in the queue, then to try the store again */
    struct sbx_limits limits;              /* effective */
    unsigned max_artifacts;
    uint64_t max_artifact_bytes;
    uint64_t max_stored_bytes;       /* of the tenant together */
    uint64_t retention_artifacts_ms; /* 0: its policy does not say */
    uint64_t keep_ms;                /* the record, after the end */
    unsigned concurrency;            /* of the tenant, 0: any */
    uint64_t share;                  /* of the processors: the same for all jobs of the tenant, never 0 */
    unsigned attempts;               /* sandboxes asked for */
    struct sbx_capture capture[JOB_N_STREAMS];
    struct sbx_sha256 *digest[JOB_N_STREAMS];
    struct feed *feed;                /* what it says, for those who stream it */
    uint64_t admitted_ms, running_ms; /* monotonic; running_ms 0: it never ran */
    struct verdict verdict;           /* once `ended` */
    bool ended;                       /* nothing runs; the result waits to be durable */
    bool accepted;                    /* the accept record is durable */
    bool refused;                     /* it will never be: the job does not exist for anybody */
    bool holds_for_accept;            /* the store failed last time: run only what is durable */
};

/* Takes spec on success. output_keep is for the record, feed_keep for those who stream. */
_must_check_ int job_new(struct job **ret, struct job_spec *spec, size_t output_keep, size_t feed_keep);
/* No waiter may be left. */
struct job *job_free(struct job *job);
static inline void
job_freep(struct job **job)
{
    job_free(*job);
}
void job_set_state(struct job *job, enum job_state state);
/* Counts, digests and keeps what fits. Returns the bytes of both streams so far. */
uint64_t job_output_add(struct job *job, unsigned stream, const char *data, size_t len);
/* Puts what was kept so far into the record; -ENOMEM leaves the record as it was. */
_must_check_ int job_output_render(struct job *job);
