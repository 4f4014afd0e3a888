/* The live jobs by id. A look-up names the tenant too: another tenant's job is no job. */
#pragma once

#include "executor/core/job.h"

struct job_table;

_must_check_ int job_table_new(struct job_table **ret);
struct job_table *job_table_free(struct job_table *table); /* must be empty */
void job_table_add(struct job_table *table, struct job *job);
void job_table_remove(struct job_table *table, struct job *job);
struct job *job_table_find(const struct job_table *table, const char *tenant, const char *id);
unsigned job_table_count(const struct job_table *table);
/* Calls `visit` for each; it may remove that one, nothing else. */
/* Those of one bucket; returns the next one's number, 0 after the last. */
unsigned job_table_each_of(struct job_table *table, unsigned bucket,
                           void (*visit)(void *arg, struct job *job), void *arg);
void job_table_each(struct job_table *table, void (*visit)(void *arg, struct job *job), void *arg);
