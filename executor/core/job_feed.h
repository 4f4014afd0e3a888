/*
 * What a job tells its readers: start once it runs, its output, and when the result is durable result (if there is
 * one), usage and end.
 */
#pragma once

#include "executor/core/feed.h"
#include "executor/core/job_record.h"

/* Writes the data of `end`. */
typedef void (*job_feed_describe_fn)(struct sbx_buf *out, const struct job_record *record);

void job_feed_start(struct feed *feed, const struct job_record *record);
/* The record is final. Closes the feed. */
void job_feed_end(struct feed *feed, const struct job_record *record, job_feed_describe_fn describe);
/* The feed of a job that ended, as far as its record tells. */
_must_check_ int job_feed_replay(struct feed **ret, const struct job_record *record,
                                 job_feed_describe_fn describe, struct feed_budget *budget);
