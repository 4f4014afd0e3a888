/*
 *   download_start -> download_on_open -> download_read -> download_on_data -> download_read ... -> call_end_stream
 */
#include "executor/api/download.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/log.h"
#include "executor/store/blob.h"

#define DOWNLOAD_AHEAD (4ul * BLOB_CHUNK)

struct download {
    struct call *call;
    struct blob_get *get;
    uint64_t offset, size;
    char etag[SBX_SHA256_HEX + 2];
    const char *mime;
    struct sbx_buf disposition;
    bool reading;
};

struct download *
download_free(struct download *download)
{
    if (download == NULL) {
        return NULL;
    }
    blob_get_close(download->get);
    sbx_buf_deinit(&download->disposition);
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
    if (download->offset >= download->size) {
        call_end_stream(download->call);
        return;
    }
    if (download->reading || sbx_http_reply_pending(download->call->request) > DOWNLOAD_AHEAD) {
        return; /* download_on_drain goes on */
    }
    download->reading = true;
    blob_get_read(download->get, download->offset, BLOB_CHUNK, download_on_data, download);
}

static unsigned
download_headers(const struct download *download, struct sbx_http_header out[4])
{
    unsigned n = 0;

    out[n++] = (struct sbx_http_header){ "ETag", download->etag };
    out[n++] = (struct sbx_http_header){ "X-Content-Type-Options", "nosniff" };
    out[n++] = (struct sbx_http_header){ "Content-Security-Policy", "sandbox" };
    out[n++] = (struct sbx_http_header){ "Content-Disposition", download->disposition.data };
    return n;
}

static void
download_on_open(void *arg, int rc, uint64_t size)
{
    struct download *download = arg;
    struct call *call = download->call;
    struct sbx_http_header headers[4];
    unsigned n = download_headers(download, headers);

    if (rc) {
        download->get = NULL;
        log_error("artifact.open_failed", LOG_STR("request_id", call->request_id), LOG_INT("code", rc));
        call_problem(call, rc == BLOB_E_NOT_FOUND ? SBX_PROBLEM_GONE : SBX_PROBLEM_INTERNAL, NULL);
        return;
    }
    download->size = size;
    call_start_stream(call, 200, download->mime, headers, n, size);
    if (strcmp(sbx_http_request_method(call->request), "HEAD") == 0) {
        call_end_stream(call);
        return;
    }
    sbx_http_reply_on_drain(call->request, download_on_drain);
    download_read(download);
}

/* RFC 6266 with the extended form only: nothing of the name can break out of the header. */
static void
download_name(struct sbx_buf *out, const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const char *slash = strrchr(path, '/');

    sbx_buf_puts(out, "attachment; filename*=UTF-8''");
    for (const char *p = slash == NULL ? path : slash + 1; *p != '\0'; p++) {
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

    return known != NULL && (strcmp(known, "*") == 0 || strstr(known, etag) != NULL);
}

void
download_start(struct call *call, const struct download_spec *spec)
{
    struct download *download;
    struct sbx_http_header headers[4];
    int r;

    download = calloc(1, sizeof(*download));
    if (download == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    call->download = download;
    download->call = call;
    download->mime = spec->mime;
    download->disposition = (struct sbx_buf)SBX_BUF_INIT(4096);
    download_name(&download->disposition, spec->path);
    (void)snprintf(download->etag, sizeof(download->etag), "\"%s\"", spec->sha256); /* fits */
    if (download->disposition.failed) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    if (download_unchanged(call, download->etag)) {
        call_reply(call, 304, NULL, headers, download_headers(download, headers), "", 0);
        return;
    }
    r = blob_get_new(&download->get, call->api->spec.blobs, call->context.tenant, spec->id, download_on_open,
                     download);
    if (r) {
        download->get = NULL;
        call_problem_internal(call, r > 0 ? -EIO : r);
    }
}
