/*
 *   download_start -> download_on_noted -> download_on_open -> download_read -> download_on_data -> download_read ...
 *   -> call_end_stream
 */
#include "executor/api/download.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/range.h"
#include "executor/core/artifacts.h"
#include "executor/log.h"

#define DOWNLOAD_AHEAD (4ul * BLOB_CHUNK)
#define DOWNLOAD_HEADERS 6

struct download {
    struct call *call;
    struct blob_get *get;
    struct sbx_id id;
    uint64_t size;
    struct range range;
    uint64_t offset, end;
    uint8_t key[BLOB_KEY_LEN];
    bool sealed, reading;
    char etag[SBX_SHA256_HEX + 2];
    char content_range[RANGE_TEXT_MAX];
    char mime[ARTIFACT_MIME_MAX + 1];
    struct sbx_buf disposition;
};

struct download *
download_free(struct download *download)
{
    if (download == NULL) {
        return NULL;
    }
    blob_get_close(download->get);
    sbx_buf_deinit(&download->disposition);
    explicit_bzero(download, sizeof(*download));
    free(download);
    return NULL;
}

static void download_read(struct download *download);

static void
download_on_data(void *arg, int rc, const char *data, size_t len)
{
    struct download *download = arg;

    download->reading = false;
    if (rc != 0 || len == 0) {
        /* Short of what was promised: the connection closes and the client knows. */
        log_error("artifact.read_failed", LOG_STR("request_id", download->call->request_id),
                  LOG_INT("code", rc));
        call_end_stream(download->call);
        return;
    }
    download->offset += len;
    download->call->api->download_bytes += len;
    sbx_http_reply_write(download->call->request, data, len);
    download_read(download);
}

static void
download_on_drain(struct sbx_http_request *request)
{
    struct call *call = sbx_http_request_user(request);

    download_read(call->download);
}

static void
download_read(struct download *download)
{
    uint64_t left;

    if (download->offset >= download->end) {
        call_end_stream(download->call);
        return;
    }
    if (download->reading || sbx_http_reply_pending(download->call->request) > DOWNLOAD_AHEAD) {
        return; /* download_on_drain goes on */
    }
    download->reading = true;
    left = download->end - download->offset;
    blob_get_read(download->get, download->offset, left < BLOB_CHUNK ? (size_t)left : BLOB_CHUNK,
                  download_on_data, download);
}

static unsigned
download_headers(const struct download *download, struct sbx_http_header out[DOWNLOAD_HEADERS])
{
    unsigned n = 0;

    out[n++] = (struct sbx_http_header){ "ETag", download->etag };
    out[n++] = (struct sbx_http_header){ "Accept-Ranges", "bytes" };
    out[n++] = (struct sbx_http_header){ "X-Content-Type-Options", "nosniff" };
    out[n++] = (struct sbx_http_header){ "Content-Security-Policy", "sandbox" };
    out[n++] = (struct sbx_http_header){ "Content-Disposition", download->disposition.data };
    if (download->range.kind == RANGE_PART) {
        out[n++] = (struct sbx_http_header){ "Content-Range", download->content_range };
    }
    return n;
}

static bool
is_head(const struct call *call)
{
    return strcmp(sbx_http_request_method(call->request), "HEAD") == 0;
}

static void
download_on_open(void *arg, int rc, uint64_t size)
{
    struct download *download = arg;
    struct call *call = download->call;
    struct sbx_http_header headers[DOWNLOAD_HEADERS];
    unsigned n = download_headers(download, headers);

    if (rc == 0 && size != download->size) {
        rc = -EBADMSG; /* a file of before there were keys, that somebody changed */
    } else if (rc != 0) {
        download->get = NULL;
    }
    if (rc) {
        log_error("artifact.open_failed", LOG_STR("request_id", call->request_id),
                  LOG_STR("artifact", download->id.text), LOG_INT("code", rc));
        call_problem(call, rc == BLOB_E_NOT_FOUND ? SBX_PROBLEM_GONE : SBX_PROBLEM_INTERNAL, NULL);
        return;
    }
    call_start_stream(call, download->range.kind == RANGE_PART ? 206 : 200, download->mime, headers, n,
                      download->end - download->offset);
    if (is_head(call)) {
        call_end_stream(call);
        return;
    }
    call->api->downloads++;
    sbx_http_reply_on_drain(call->request, download_on_drain);
    download_read(download);
}

static void
download_open(struct call *call)
{
    struct download *download = call->download;
    const struct blob_source source = {
        .tenant = call->context.tenant,
        .id = download->id.text,
        .key = download->sealed ? download->key : NULL,
    };
    int r;

    r = blob_get_new(&download->get, artifacts_blobs(call->api->spec.artifacts), &source, download_on_open,
                     download);
    if (r) {
        download->get = NULL;
        call_problem_internal(call, r > 0 ? -EIO : r);
    }
}

static void
download_on_noted(struct call *call, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    download_open(call);
}

/* RFC 6266 with the extended form only: nothing of the name can break out of the header. */
static void
download_name(struct sbx_buf *out, const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    if (strspn(name, ".") == strlen(name)) {
        name = "artifact"; /* nothing to save a file as */
    }
    sbx_buf_puts(out, "attachment; filename*=UTF-8''");
    for (const char *p = name; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL) {
            sbx_buf_putc(out, *p);
        } else {
            sbx_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*p);
        }
    }
}

static bool
download_unchanged(const struct call *call, const char *etag)
{
    const char *known = sbx_http_request_header(call->request, "If-None-Match");

    return known != NULL && range_tag_in(known, etag, true);
}

static int
download_prepare(struct download *download, const struct call *call, const struct artifact *artifact)
{
    struct blob_source source;
    int r;

    download->id = artifact->id;
    download->size = artifact->size;
    memcpy(download->mime, artifact->mime, sizeof(download->mime));
    download_name(&download->disposition, artifact->name);
    (void)snprintf(download->etag, sizeof(download->etag), "\"%s\"", artifact->sha256); /* fits */
    range_of_request(&download->range, call->request, download->etag, artifact->size);
    range_text(download->content_range, &download->range, artifact->size);
    download->offset = download->range.first;
    download->end = download->range.first + download->range.length;
    download->sealed = artifact->sealed;
    r = artifacts_source(call->api->spec.artifacts, artifact, &source, download->key);
    return download->disposition.failed ? -ENOMEM : r;
}

static void
download_note(struct call *call, const struct artifact *artifact)
{
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, artifacts_db(call->api->spec.artifacts));
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    artifacts_audit(tx, artifact, "artifact.read", &call->context);
    call_submit(call, tx, download_on_noted);
}

void
download_start(struct call *call, const struct artifact *artifact)
{
    struct sbx_http_header headers[DOWNLOAD_HEADERS];
    struct download *download;
    int r;

    download = calloc(1, sizeof(*download));
    if (download == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    call->download = download;
    download->call = call;
    download->disposition = (struct sbx_buf)SBX_BUF_INIT(4096);
    r = download_prepare(download, call, artifact);
    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
    } else if (download_unchanged(call, download->etag)) {
        download->range.kind = RANGE_WHOLE;
        call_reply(call, 304, NULL, headers, download_headers(download, headers), "", 0);
    } else if (download->range.kind == RANGE_UNSATISFIABLE) {
        call_problem_range(call, download->size);
    } else if (is_head(call)) {
        download_open(call);
    } else {
        download_note(call, artifact);
    }
}
