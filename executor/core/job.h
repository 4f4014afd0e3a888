/*
 * A live job: its record, what it is to run, its output so far and who waits for
 * it. Lives in the table from admission until its result is durable and told.
 * job_set_state is the only writer of record.state.
 */
#pragma once

#include "executor/core/audit_means.h"
#include "executor/core/budget.h"
#include "executor/core/feed.h"
#include "executor/core/hold.h"
#include "executor/core/job_record.h"
#include "executor/core/job_spec.h"
#include "executor/core/queue.h"
#include "executor/core/timer.h"
#include "executor/core/verdict.h"
#include "executor/core/waiter.h"
#include "lib/sbx_capture.h"
#include "lib/sbx_list.h"

struct db_tx;
struct engine;
struct run;
struct idempotency_entry;

/* A policy that came while it lived forbids it. */
struct job_denial {
    char *violation_json;
    char message[JOB_MESSAGE_LEN];
};

/* In the kernel's words, as far as they were heard. */
struct job_used {
    uint64_t cpu_ms, wall_ms, cpu_throttled_ms, peak_memory_bytes;
};

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
    struct feed *feed;                         /* what it says, for those who stream it */
    uint64_t admitted_ms, slot_ms, running_ms; /* monotonic; 0: it has no slot, it never ran */
    struct verdict verdict;                    /* once `ended` */
    struct job_used used;                      /* so far, when it was last asked */
    struct budget_use budget;
    struct sbx_policy_input asked; /* what policies are asked about while it lives */
    bool is_governed;
    struct audit_means means;
    struct audit_asker *cancelled_by; /* NULL: nobody yet */
    struct job_denial *denial;        /* why a policy stopped it; NULL: none did */
    struct db_tx *admission;          /* its accept record, while that waits for the end; NULL: submitted */
    struct hold hold;                 /* as long as that may wait */
    bool start_told;                  /* its event is on the way */
    bool has_budget;                  /* there is one that it counts against: it is asked while it runs */
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
/* Told when it is over and its result durable, when the time is up (`ms` 0: as soon as the accept record is durable), or when
 * the store failed it; it may be freed right after. */
_must_check_ int job_wait(struct waiter **ret, struct job *job, struct timers *timers, uint64_t ms,
                          waiter_fn done, void *arg);
/* Counts, digests and keeps what fits. Returns the bytes of both streams so far. */
uint64_t job_output_add(struct job *job, unsigned stream, const char *data, size_t len);
/* Puts what was kept so far into the record; -ENOMEM leaves the record as it was. */
_must_check_ int job_output_render(struct job *job);
