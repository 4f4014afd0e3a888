#include "executor/api/tool_result.h"

#include <string.h>

#include "executor/api/reply_parts.h"
#include "executor/api/sandbox_uri.h"
#include "executor/api/tool_reply.h"
#include "lib/sbx_crypto.h"

#define NO_JOB_USAGE "{\"wall_ms\":0,\"cpu_ms\":0,\"cpu_throttled_ms\":0,\"peak_memory_bytes\":0}"
#define NO_STEP_USAGE "{\"wall_ms\":0,\"cpu_ms\":0,\"displays_dropped\":0}"
#define PICTURE_HEAD 24 /* of base64: enough to tell an image */

/* What is announced as an image and is none is only named: clients drop the whole answer for one that does not decode. */
static bool
picture_is_image(const struct tool_picture *picture)
{
    char array[PICTURE_HEAD + 1];
    struct sbx_buf head = SBX_BUF_OVER(array);
    const char *mime;

    if (picture->base64_len < PICTURE_HEAD || !sbx_b64_decode(&head, picture->base64, PICTURE_HEAD)) {
        return false;
    }
    mime = tool_image_type(head.data, head.len);
    return mime != NULL && strcmp(mime, picture->mime) == 0;
}

static void
picture_write(struct sbx_jsonw *w, const struct tool_picture *picture)
{
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "type", "image");
    sbx_jsonw_strn(w, "data", picture->base64, picture->base64_len);
    sbx_jsonw_str(w, "mimeType", picture->mime);
    sbx_jsonw_object_end(w);
}

void
tool_result_head(struct sbx_jsonw *w, const char *key, const struct tool_view *view)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(TOOL_RESULT_HEAD_MAX);
    unsigned n = 0;

    tool_view_text(&text, view);
    w->buf->failed = w->buf->failed || text.failed;
    sbx_jsonw_object(w, key);
    sbx_jsonw_array(w, "content");
    tool_text(w, text.data == NULL ? "" : text.data, text.len);
    for (unsigned i = 0; i < view->n_pictures && n < TOOL_IMAGES_MAX && tool_view_has_images(view); i++) {
        if (view->pictures[i].size <= TOOL_IMAGE_MAX && picture_is_image(&view->pictures[i])) {
            picture_write(w, &view->pictures[i]);
            n++;
        }
    }
}

static void
write_links(struct sbx_jsonw *w, const struct tool_view *view)
{
    const struct tool_run *run = view->run;

    for (unsigned i = 0; i < run->n_files && i < TOOL_FILES_MAX; i++) {
        _cleanup_(sbx_buf_deinit) struct sbx_buf uri = SBX_BUF_INIT(16384);
        const struct job_artifact *file = &run->files[i];

        tool_view_uri(&uri, run, file->path);
        w->buf->failed = w->buf->failed || uri.failed;
        tool_link(w, &(struct tool_link){ .uri = uri.failed ? "" : uri.data,
                                          .name = file->path,
                                          .mime = file->mime,
                                          .size = file->size });
    }
    for (unsigned i = 0; i < view->n_pictures; i++) {
        _cleanup_(sbx_buf_deinit) struct sbx_buf uri = SBX_BUF_INIT(256);
        const struct tool_picture *picture = &view->pictures[i];

        tool_view_uri(&uri, run, picture->name);
        w->buf->failed = w->buf->failed || uri.failed;
        tool_link(w, &(struct tool_link){ .uri = uri.failed ? "" : uri.data,
                                          .name = picture->name,
                                          .mime = picture->mime,
                                          .size = picture->size });
    }
}

static void
write_uri(struct sbx_jsonw *w, const struct tool_view *view, const char *path)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf uri = SBX_BUF_INIT(16384);

    tool_view_uri(&uri, view->run, path);
    w->buf->failed = w->buf->failed || uri.failed;
    sbx_jsonw_str(w, "path", path);
    sbx_jsonw_str(w, "uri", uri.failed ? "" : uri.data);
}

/* The address of the interface: it takes a token, unlike a signed URL. */
static void
write_plain_url(struct sbx_jsonw *w, const struct tool_run *run, const char *path)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf url = SBX_BUF_INIT(16384);

    sbx_buf_printf(&url, "/v1/jobs/%s/artifacts/", run->id);
    sandbox_uri_write_path(&url, path);
    w->buf->failed = w->buf->failed || url.failed;
    sbx_jsonw_str(w, "download_url", url.failed ? "" : url.data);
}

static void
write_file(struct sbx_jsonw *w, const struct tool_view *view, unsigned i)
{
    const struct job_artifact *file = &view->run->files[i];
    const char *url = view->ask->urls == NULL ? NULL : view->ask->urls[i];

    sbx_jsonw_object(w, NULL);
    write_uri(w, view, file->path);
    sbx_jsonw_str(w, "mime_type", file->mime);
    sbx_jsonw_uint(w, "size", file->size);
    sbx_jsonw_str(w, "sha256", file->sha256);
    if (url != NULL) {
        sbx_jsonw_str(w, "download_url", url);
    } else {
        write_plain_url(w, view->run, file->path);
    }
    sbx_jsonw_object_end(w);
}

static void
write_files(struct sbx_jsonw *w, const struct tool_view *view)
{
    const struct tool_run *run = view->run;

    sbx_jsonw_array(w, "files");
    for (unsigned i = 0; i < run->n_files && i < TOOL_FILES_MAX; i++) {
        write_file(w, view, i);
    }
    for (unsigned i = 0; i < view->n_pictures; i++) {
        sbx_jsonw_object(w, NULL);
        write_uri(w, view, view->pictures[i].name);
        sbx_jsonw_str(w, "mime_type", view->pictures[i].mime);
        sbx_jsonw_uint(w, "size", view->pictures[i].size);
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
    if (run->n_files > TOOL_FILES_MAX) {
        sbx_jsonw_uint(w, "files_omitted", run->n_files - TOOL_FILES_MAX);
    }
    if (run->skipped_json != NULL) {
        reply_raw(w, "files_skipped", run->skipped_json, "[]");
    }
}

static void
write_raw(struct sbx_jsonw *w, const char *key, const struct sbx_buf *json)
{
    if (json->len > 0) {
        sbx_jsonw_raw(w, key, json->data, json->len);
    } else {
        sbx_jsonw_null(w, key);
    }
}

static void
write_output(struct sbx_jsonw *w, const struct tool_view *view)
{
    static const struct {
        const char *text, *bytes;
    } keys[JOB_N_STREAMS] = { { "stdout", "stdout_bytes" }, { "stderr", "stderr_bytes" } };
    bool truncated = false;

    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        const struct sbx_buf *text = &view->output[i];

        sbx_jsonw_strn(w, keys[i].text, text->len == 0 ? "" : text->data, text->len);
        sbx_jsonw_uint(w, keys[i].bytes, view->run->stream[i].total);
        truncated = truncated || view->shown[i].omitted || view->shown[i].more;
    }
    sbx_jsonw_bool(w, "truncated", truncated);
}

static void
write_end(struct sbx_jsonw *w, const struct tool_view *view)
{
    const struct tool_run *run = view->run;

    write_raw(w, "result", &view->result_json);
    if (view->result_bytes > 0) {
        sbx_jsonw_uint(w, "result_bytes", view->result_bytes);
    }
    if (view->error_json.len > 0) {
        write_raw(w, "exception", &view->error_json);
    }
    if (view->displays_json.len > 0) {
        write_raw(w, "displays", &view->displays_json);
    }
    write_files(w, view);
    reply_raw(w, "violation", run->violation_json, "null");
    reply_raw(w, "usage", run->usage_json, run->session_id == NULL ? NO_JOB_USAGE : NO_STEP_USAGE);
    if (run->message[0] != '\0') {
        sbx_jsonw_str(w, "message", run->message);
    }
    if (view->next.len > 0) {
        sbx_jsonw_strn(w, "next", view->next.data, view->next.len);
    }
}

void
tool_result_tail(struct sbx_jsonw *w, const struct tool_view *view, bool is_error)
{
    const struct tool_run *run = view->run;

    write_links(w, view);
    sbx_jsonw_array_end(w);
    sbx_jsonw_object(w, "structuredContent");
    sbx_jsonw_str(w, "job_id", run->id);
    sbx_jsonw_str(w, "session_id", run->session_id);
    sbx_jsonw_str(w, "status", run->status);
    if (run->has_exit_code) {
        sbx_jsonw_int(w, "exit_code", run->exit_code);
    } else {
        sbx_jsonw_null(w, "exit_code");
    }
    reply_text(w, "signal", run->signal);
    write_output(w, view);
    write_end(w, view);
    sbx_jsonw_object_end(w);
    sbx_jsonw_bool(w, "isError", is_error);
    sbx_jsonw_object_end(w);
}
