#include "executor/core/job_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define JOB_TABLE_BUCKETS 1024u

struct job_table {
    struct list buckets[JOB_TABLE_BUCKETS];
    unsigned count;
};

int
job_table_new(struct job_table **ret)
{
    struct job_table *table;

    table = calloc(1, sizeof(*table));
    if (table == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < JOB_TABLE_BUCKETS; i++) {
        list_init(&table->buckets[i]);
    }
    *ret = table;
    return 0;
}

struct job_table *
job_table_free(struct job_table *table)
{
    if (table != NULL) {
        assert(table->count == 0);
        free(table);
    }
    return NULL;
}

/* FNV-1a. Ids end in 80 random bits of ours, so nobody outside chooses a bucket. */
static unsigned
job_table_bucket(const char *id)
{
    uint32_t hash = 2166136261u;

    for (; *id != '\0'; id++) {
        hash = (hash ^ (unsigned char)*id) * 16777619u;
    }
    return hash % JOB_TABLE_BUCKETS;
}

void
job_table_add(struct job_table *table, struct job *job)
{
    list_append(&table->buckets[job_table_bucket(job->record.id.text)], &job->link);
    table->count++;
}

void
job_table_remove(struct job_table *table, struct job *job)
{
    list_remove(&job->link);
    table->count--;
}

struct job *
job_table_find(const struct job_table *table, const char *tenant, const char *id)
{
    const struct list *head = &table->buckets[job_table_bucket(id)];

    for (struct list *it = head->next; it != head; it = it->next) {
        struct job *job = list_entry(it, struct job, link);

        if (strcmp(job->record.id.text, id) == 0) {
            return strcmp(job->record.tenant, tenant) == 0 ? job : NULL;
        }
    }
    return NULL;
}

unsigned
job_table_count(const struct job_table *table)
{
    return table->count;
}

void
job_table_each(struct job_table *table, void (*visit)(void *arg, struct job *job), void *arg)
{
    for (unsigned i = 0; i < JOB_TABLE_BUCKETS; i++) {
        struct list *it, *after;

        list_each (it, after, &table->buckets[i]) {
            visit(arg, list_entry(it, struct job, link));
        }
    }
}

unsigned
job_table_each_of(struct job_table *table, unsigned bucket, void (*visit)(void *arg, struct job *job),
                  void *arg)
{
    struct list *it, *after;

    list_each (it, after, &table->buckets[bucket]) {
        visit(arg, list_entry(it, struct job, link));
    }
    return bucket + 1 < JOB_TABLE_BUCKETS ? bucket + 1 : 0;
}
