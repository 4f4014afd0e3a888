/* fetch_read -> fetch_on_open -> fetch_next -> fetch_on_data -> fetch_next ... -> done */
#include "executor/api/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/core/artifacts.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

struct fetch {
    struct call *call;
    struct blob_get *get;
    struct sbx_buf *out;
    uint64_t size, offset, end;
    struct sbx_id id;
    bool (*enough)(struct call *call);
    void (*done)(struct call *call);
};

struct fetch *
fetch_free(struct fetch *fetch)
{
    if (fetch != NULL) {
        blob_get_close(fetch->get);
        free(fetch);
    }
    return NULL;
}

void
fetch_find(struct call *call, const struct sandbox_uri *uri,
           void (*then)(struct call *call, int rc, const struct db_result *result))
{
    const struct db_value of_job[] = { DB_VTEXT(uri->id), DB_VTEXT(call->context.tenant),
                                       DB_VTEXT(uri->path) };
    const struct db_value own[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(uri->id) };

    if (uri->kind == SANDBOX_URI_JOB) {
        call_read(call, DB_ARTIFACT_GET, of_job, SBX_COUNT(of_job), then);
    } else {
        call_read(call, DB_ARTIFACT_FIND, own, SBX_COUNT(own), then);
    }
}

int
fetch_take(struct artifact *ret, const struct call *call, int rc, const struct db_result *result)
{
    int r;

    if (rc) {
        return rc > 0 ? -EIO : rc;
    }
    if (result->n_rows == 0) {
        return FETCH_E_UNKNOWN;
    }
    r = artifact_load(ret, call->context.tenant, result, 0);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    return ret->expires_ms != 0 && ret->expires_ms <= sbx_now_unix_ms() ? FETCH_E_UNKNOWN : 0;
}

static void
fetch_failed(struct fetch *fetch, int rc)
{
    struct call *call = fetch->call;

    log_error("artifact.fetch_failed", LOG_STR("request_id", call->request_id),
              LOG_STR("artifact", fetch->id.text), LOG_INT("code", rc));
    call_problem(call, rc == BLOB_E_NOT_FOUND ? SBX_PROBLEM_GONE : SBX_PROBLEM_INTERNAL, NULL);
}

static void fetch_next(struct fetch *fetch);

static void
fetch_on_data(void *arg, int rc, const char *data, size_t len)
{
    struct fetch *fetch = arg;

    if (rc != 0 || len == 0 || len > fetch->end - fetch->offset) {
        fetch_failed(fetch, rc != 0 ? rc : -EBADMSG);
        return;
    }
    sbx_buf_append(fetch->out, data, len);
    if (fetch->out->failed) {
        call_problem_internal(fetch->call, -ENOMEM);
        return;
    }
    fetch->offset += len;
    fetch->call->api->download_bytes += len;
    fetch_next(fetch);
}

static void
fetch_next(struct fetch *fetch)
{
    const uint64_t left = fetch->end - fetch->offset;
    struct call *call = fetch->call;
    void (*done)(struct call * call) = fetch->done;

    if (left > 0 && (fetch->enough == NULL || !fetch->enough(call))) {
        blob_get_read(fetch->get, fetch->offset, left < BLOB_CHUNK ? (size_t)left : BLOB_CHUNK, fetch_on_data,
                      fetch);
        return;
    }
    call->fetch = fetch_free(fetch);
    done(call);
}

static void
fetch_on_open(void *arg, int rc, uint64_t size)
{
    struct fetch *fetch = arg;

    if (rc != 0) {
        fetch->get = NULL;
    } else if (size != fetch->size) {
        rc = -EBADMSG;
    }
    if (rc) {
        fetch_failed(fetch, rc);
        return;
    }
    fetch->call->api->downloads++;
    fetch_next(fetch);
}

void
fetch_read(struct call *call, const struct fetch_spec *spec)
{
    struct artifacts *artifacts = call->api->spec.artifacts;
    uint8_t key[BLOB_KEY_LEN];
    struct blob_source source;
    struct fetch *fetch;
    int r;

    fetch = calloc(1, sizeof(*fetch));
    if (fetch == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    *fetch = (struct fetch){
        .call = call,
        .out = spec->out,
        .size = spec->artifact->size,
        .offset = spec->offset,
        .end = spec->offset + spec->length,
        .id = spec->artifact->id,
        .enough = spec->enough,
        .done = spec->done,
    };
    call->fetch = fetch;
    r = artifacts_source(artifacts, spec->artifact, &source, key);
    if (r == 0) {
        r = blob_get_new(&fetch->get, artifacts_blobs(artifacts), &source, fetch_on_open, fetch);
        fetch->get = r == 0 ? fetch->get : NULL;
    }
    explicit_bzero(key, sizeof(key));
    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
    }
}
