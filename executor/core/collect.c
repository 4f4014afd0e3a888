/*
 *   collect_step -> fetch -> collect_on_fetched -> blob_put_finish -> collect_on_stored -> collect_step ...
 *
 * A fetch cannot be taken back, so one that is given up goes on until the sandbox is destroyed, and what it
 * still brings is dropped: the collect lives as long as the sandbox.
 */
#include "executor/core/collect.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/artifacts.h"
#include "executor/log.h"
#include "executor/store/blob.h"

#define COLLECT_SKIPPED_MAX 65536
/*
 * For all files together: an agent that is slow just within the deadline of each would otherwise hold its
 * slot, and the end of the daemon, for minutes. An honest one reads from memory.
 */
#define COLLECT_MS 10000
#define COLLECT_MS_PER_FILE 100
#define COLLECT_BYTES_PER_MS 4096

struct collect {
    struct collect_spec spec;
    void (*done)(void *arg);
    void *arg;
    struct artifacts_claim *claim; /* counts until the record is durable */
    struct timer *timer;           /* begins and ends it from the loop; in between its deadline */
    unsigned next;                 /* of outcome->artifacts */
    struct job_artifact artifact;  /* under way */
    struct blob_put *put;
    int put_rc;
    uint64_t announced, received;
    bool begun;
    bool claiming;       /* artifacts_claim_ask's callback is to come */
    bool storing;        /* blob_put_finish's callback is to come */
    bool cancelled;      /* while storing */
    bool over;           /* done was called */
    const char *stopped; /* why what is left is not taken */
    uint64_t bytes_left;
    struct sbx_buf skipped; /* items of a JSON array */
};

static void collect_step(struct collect *collect);
static void collect_on_timer(void *arg);

static struct collect *
collect_free(struct collect *collect)
{
    if (collect == NULL) {
        return NULL;
    }
    blob_put_abort(collect->put);
    artifacts_claim_free(collect->claim);
    timer_free(collect->timer);
    free(collect->artifact.path);
    sbx_buf_deinit(&collect->skipped);
    free(collect);
    return NULL;
}

static inline void
collect_freep(struct collect **collect)
{
    collect_free(*collect);
}

int
collect_start(struct collect **ret, const struct collect_spec *spec, void (*done)(void *arg), void *arg)
{
    _cleanup_(collect_freep) struct collect *collect = NULL;
    struct job_record *record = &spec->job->record;
    int r;

    collect = calloc(1, sizeof(*collect));
    if (collect == NULL) {
        return -ENOMEM;
    }
    collect->spec = *spec;
    collect->done = done;
    collect->arg = arg;
    collect->bytes_left = spec->job->max_artifact_bytes;
    collect->skipped = (struct sbx_buf)SBX_BUF_INIT(COLLECT_SKIPPED_MAX);
    r = timer_new(&collect->timer, spec->timers, collect_on_timer, collect);
    if (r) {
        return r;
    }
    if (spec->artifacts != NULL) {
        r = artifacts_claim_new(&collect->claim, spec->artifacts,
                                &(struct artifacts_claim_spec){
                                    .tenant = record->tenant,
                                    .max_bytes = spec->job->max_stored_bytes,
                                });
        if (r) {
            return r;
        }
    }
    record->artifacts = calloc(spec->outcome->n_artifacts, sizeof(*record->artifacts));
    if (record->artifacts == NULL) {
        return -ENOMEM;
    }
    timer_start(collect->timer, 0);
    *ret = steal(&collect);
    return 0;
}

void
collect_settle(struct collect *collect)
{
    if (collect != NULL) {
        assert(collect->over); /* else its answer is to come */
        collect->claim = artifacts_claim_free(collect->claim);
    }
}

struct collect *
collect_cancel(struct collect *collect)
{
    if (collect != NULL && collect->storing) {
        collect->cancelled = true; /* the store's callback frees it */
        timer_stop(collect->timer);
        return NULL;
    }
    return collect_free(collect);
}

static void
collect_skip(struct collect *collect, const char *path, const char *reason)
{
    struct sbx_jsonw w;

    if (collect->skipped.len > 0) {
        sbx_buf_putc(&collect->skipped, ',');
    }
    sbx_jsonw_init(&w, &collect->skipped);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "path", path);
    sbx_jsonw_str(&w, "reason", reason);
    sbx_jsonw_object_end(&w);
}

/* The agent's list and ours in one array. */
static void
collect_merge_skipped(struct collect *collect)
{
    const char *agents = collect->spec.outcome->skipped_json;
    size_t len = agents == NULL ? 0 : strlen(agents);
    struct sbx_buf out = SBX_BUF_INIT(COLLECT_SKIPPED_MAX + len + 4);

    if (collect->skipped.len == 0) {
        return;
    }
    if (len > 2) {
        sbx_buf_append(&out, agents, len - 1);
        sbx_buf_putc(&out, ',');
    } else {
        sbx_buf_putc(&out, '[');
    }
    sbx_buf_append(&out, collect->skipped.data, collect->skipped.len);
    sbx_buf_putc(&out, ']');
    collect->spec.job->record.skipped_json = collect->skipped.failed ? NULL : sbx_buf_take(&out, NULL);
    sbx_buf_deinit(&out);
}

static void
collect_end(struct collect *collect)
{
    collect->over = true;
    timer_stop(collect->timer);
    collect_merge_skipped(collect);
    collect->done(collect->arg);
}

static void
collect_on_stored(void *arg, int rc, const struct blob_info *info)
{
    struct collect *collect = arg;
    struct job_record *record;

    collect->storing = false;
    if (collect->cancelled) {
        collect_free(collect);
        return;
    }
    record = &collect->spec.job->record;
    if (rc) {
        log_error("artifact.store_failed", LOG_STR("job", record->id.text), LOG_INT("code", rc));
        collect_skip(collect, collect->artifact.path, "could not be stored");
    } else {
        collect->artifact.size = info->size;
        memcpy(collect->artifact.sha256, info->sha256, sizeof(collect->artifact.sha256));
        memcpy(collect->artifact.key, info->key, sizeof(collect->artifact.key));
        collect->bytes_left -= info->size < collect->bytes_left ? info->size : collect->bytes_left;
        record->artifacts[record->n_artifacts++] = collect->artifact;
        collect->artifact.path = NULL;
    }
    collect_step(collect);
}

static void
collect_on_data(void *arg, const char *data, size_t len)
{
    struct collect *collect = arg;

    if (collect->put == NULL) {
        return; /* given up */
    }
    collect->received += len;
    if (collect->put_rc == 0) {
        collect->put_rc = blob_put_write(collect->put, data, len);
    }
}

static void
collect_on_fetched(void *arg, int rc)
{
    struct collect *collect = arg;

    if (collect->over) {
        return;
    }
    /* Nothing runs any more that could change a file: another size than was listed is a lie in one of both. */
    if (rc == 0 && collect->put_rc == 0 && collect->received != collect->announced) {
        rc = RUNTIME_E_AGENT;
    }
    if (rc != 0 || collect->put_rc != 0) {
        collect->put = blob_put_abort(collect->put);
        collect_skip(collect, collect->artifact.path, rc != 0 ? "could not be read" : "could not be stored");
        collect_step(collect);
        return;
    }
    collect->storing = true;
    blob_put_finish(steal(&collect->put), collect_on_stored, collect);
}

static bool
collect_is_new(const struct job_record *record, const char *path)
{
    for (unsigned i = 0; i < record->n_artifacts; i++) {
        if (strcmp(record->artifacts[i].path, path) == 0) {
            return false;
        }
    }
    return true;
}

/* Ours, though the agent keeps to it too: it is on the hostile side. */
static const char *
collect_objection(const struct collect *collect, const struct runtime_artifact *artifact)
{
    const struct job *job = collect->spec.job;

    if (!collect_is_new(&job->record, artifact->path)) {
        return "named twice";
    }
    if (job->record.n_artifacts >= job->max_artifacts) {
        return "too many files";
    }
    return artifact->size > collect->bytes_left ? "too large" : NULL;
}

static int
collect_begin(struct collect *collect, const struct runtime_artifact *artifact)
{
    struct job_record *record = &collect->spec.job->record;
    struct sandbox *sandbox = collect->spec.sandbox;
    int r;

    free(collect->artifact.path);
    memset(&collect->artifact, 0, sizeof(collect->artifact));
    collect->put_rc = 0;
    collect->announced = artifact->size;
    collect->received = 0;
    collect->artifact.path = strdup(artifact->path);
    if (collect->artifact.path == NULL) {
        return -ENOMEM;
    }
    collect->artifact.mime = artifact_mime(artifact->path);
    r = sbx_id_new(&collect->artifact.id, "art");
    if (r) {
        return r;
    }
    r = blob_put_new(&collect->put, collect->spec.blobs, record->tenant, collect->artifact.id.text,
                     artifact->size);
    if (r) {
        return r;
    }
    r = sandbox->ops->fetch(sandbox, artifact->path, artifact->size, collect_on_data, collect_on_fetched,
                            collect);
    if (r) {
        collect->put = blob_put_abort(collect->put);
    }
    return r;
}

static void
collect_step(struct collect *collect)
{
    const struct runtime_outcome *outcome = collect->spec.outcome;

    while (collect->next < outcome->n_artifacts) {
        const struct runtime_artifact *artifact = &outcome->artifacts[collect->next++];
        const char *objection =
            collect->stopped != NULL ? collect->stopped : collect_objection(collect, artifact);

        if (objection == NULL && collect_begin(collect, artifact) == 0) {
            return;
        }
        collect_skip(collect, artifact->path, objection != NULL ? objection : "could not be stored");
    }
    collect_end(collect);
}

static uint64_t
collect_bytes(const struct runtime_outcome *outcome)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < outcome->n_artifacts; i++) {
        bytes += outcome->artifacts[i].size; /* their sum was checked */
    }
    return bytes;
}

static uint64_t
collect_deadline_ms(const struct runtime_outcome *outcome)
{
    const uint64_t bytes = collect_bytes(outcome);

    return COLLECT_MS + (uint64_t)outcome->n_artifacts * COLLECT_MS_PER_FILE + bytes / COLLECT_BYTES_PER_MS;
}

/* A tenant that has stored as much as it may keeps the job and none of its files. */
static void
collect_on_claimed(void *arg, int rc)
{
    struct collect *collect = arg;

    collect->claiming = false;
    if (collect->over) {
        return;
    }
    if (rc != 0 && collect->stopped == NULL) {
        collect->stopped = rc == ARTIFACTS_E_BYTES    ? "the tenant has stored as many bytes as it may"
                           : rc == ARTIFACTS_E_NUMBER ? "the tenant has stored as many files as it may"
                                                      : "could not be stored";
    }
    collect_step(collect);
}

static void
collect_begin_all(struct collect *collect)
{
    const struct runtime_outcome *outcome = collect->spec.outcome;

    collect->begun = true;
    timer_start(collect->timer, collect_deadline_ms(outcome));
    if (collect->claim == NULL) {
        collect_step(collect);
        return;
    }
    collect->claiming = true;
    artifacts_claim_ask(collect->claim, collect_bytes(outcome), outcome->n_artifacts, collect_on_claimed,
                        collect);
}

static void
collect_on_timer(void *arg)
{
    struct collect *collect = arg;

    if (!collect->begun && collect->stopped == NULL) {
        collect_begin_all(collect);
        return;
    }
    if (collect->stopped == NULL) {
        collect->stopped = "reading the files took too long";
        log_warn("artifact.late", LOG_STR("job", collect->spec.job->record.id.text));
    }
    if (collect->storing || collect->claiming) {
        return; /* that ends by itself, and the step after it sees the reason */
    }
    if (collect->put != NULL) {
        collect->put = blob_put_abort(collect->put);
        collect_skip(collect, collect->artifact.path, collect->stopped);
    }
    collect_step(collect);
}

void
collect_stop(struct collect *collect, const char *reason)
{
    if (collect->over || collect->stopped != NULL) {
        return;
    }
    collect->stopped = reason;
    timer_start(collect->timer, 0);
}
