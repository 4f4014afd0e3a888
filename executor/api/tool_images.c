/*
 *   tool_images_between -> images_next -> images_on_row -> images_on_open -> images_on_data ... -> images_next ...
 *   -> images_note -> images_send
 */
#include "executor/api/tool_images.h"

#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/tool_call.h"
#include "executor/api/tool_reply.h"
#include "executor/core/artifacts.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

#define IMAGES_MAX (8ul << 20) /* of an answer: four of them in base64, and the rest */

struct tool_images {
    struct call *call;
    struct sbx_buf head, tail;
    struct sbx_id ids[TOOL_IMAGES_MAX];
    unsigned n, at;
    struct artifact artifact; /* that is read now */
    struct db_tx *notes;      /* of what was read; NULL: nothing yet */
    uint8_t key[BLOB_KEY_LEN];
    struct blob_get *get;
    struct sbx_buf data;
};

static void images_next(struct tool_images *images);

struct tool_images *
tool_images_free(struct tool_images *images)
{
    if (images == NULL) {
        return NULL;
    }
    blob_get_close(images->get);
    db_tx_free(images->notes);
    artifact_deinit(&images->artifact);
    sbx_buf_deinit(&images->head);
    sbx_buf_deinit(&images->tail);
    sbx_buf_deinit(&images->data);
    explicit_bzero(images->key, sizeof(images->key));
    free(images);
    return NULL;
}

static void
images_send(struct call *call)
{
    struct tool_images *images = call->tool->images;

    images->head.failed = images->head.failed || images->tail.failed;
    sbx_buf_append(&images->head, images->tail.data, images->tail.len);
    tool_send(call, "complete", &images->head);
}

static void
images_on_noted(struct call *call, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else {
        images_send(call);
    }
}

static void
images_note(struct tool_images *images)
{
    if (images->notes == NULL) {
        images_send(images->call);
    } else {
        call_submit(images->call, steal(&images->notes), images_on_noted);
    }
}

static void
images_skip(struct tool_images *images, int rc)
{
    log_warn("tool.image_skipped", LOG_STR("request_id", images->call->request_id),
             LOG_STR("artifact", images->ids[images->at].text), LOG_INT("code", rc));
    images->get = blob_get_close(images->get);
    images->at++;
    images_next(images);
}

/* All of it is there. */
static void
images_take(struct tool_images *images)
{
    const char *mime = tool_image_type(images->data.data, images->data.len);
    struct sbx_jsonw w;
    int r = 0;

    images->get = blob_get_close(images->get);
    if (mime != NULL && strcmp(mime, images->artifact.mime) == 0) {
        r = images->notes != NULL
                ? 0
                : db_tx_new(&images->notes, artifacts_db(images->call->api->spec.artifacts));
        if (r == 0) {
            artifacts_audit(images->notes, &images->artifact, "artifact.read", &images->call->context);
            sbx_buf_putc(&images->head, ',');
            sbx_jsonw_init(&w, &images->head);
            tool_image(&w, mime, images->data.data, images->data.len);
        }
    }
    if (r) {
        images_skip(images, r);
        return;
    }
    images->at++;
    images_next(images);
}

static void
images_on_data(void *arg, int rc, const char *data, size_t len)
{
    struct tool_images *images = arg;

    if (rc != 0 || len == 0) {
        images_skip(images, rc);
        return;
    }
    sbx_buf_append(&images->data, data, len);
    if (images->data.failed) {
        images_skip(images, -ENOMEM);
    } else if (images->data.len >= images->artifact.size) {
        images_take(images);
    } else {
        blob_get_read(images->get, images->data.len, images->artifact.size - images->data.len, images_on_data,
                      images);
    }
}

static void
images_on_open(void *arg, int rc, uint64_t size)
{
    struct tool_images *images = arg;

    if (rc != 0) {
        images->get = NULL;
        images_skip(images, rc);
    } else if (size != images->artifact.size || size == 0 || size > TOOL_IMAGE_MAX) {
        images_skip(images, -EBADMSG);
    } else {
        blob_get_read(images->get, 0, size, images_on_data, images);
    }
}

static int
images_open(struct tool_images *images)
{
    struct artifacts *artifacts = images->call->api->spec.artifacts;
    struct blob_source source;
    int r;

    r = artifacts_source(artifacts, &images->artifact, &source, images->key);
    if (r) {
        return r;
    }
    images->data.len = 0;
    return blob_get_new(&images->get, artifacts_blobs(artifacts), &source, images_on_open, images);
}

static void
images_on_row(struct call *call, int rc, const struct db_result *result)
{
    struct tool_images *images = call->tool->images;
    int r = rc != 0 ? rc : result->n_rows == 0 ? -ENOENT : 0;

    artifact_deinit(&images->artifact);
    images->artifact = (struct artifact){ 0 };
    if (r == 0) {
        r = artifact_load(&images->artifact, call->context.tenant, result, 0);
    }
    if (r == 0 && images->artifact.expires_ms != 0 && images->artifact.expires_ms <= sbx_now_unix_ms()) {
        r = -ENOENT; /* gone for its readers, whether or not it was removed yet */
    }
    if (r == 0) {
        r = images_open(images);
    }
    if (r) {
        images->get = NULL;
        images_skip(images, r);
    }
}

static void
images_next(struct tool_images *images)
{
    const struct db_value values[] = { DB_VTEXT(images->call->context.tenant),
                                       DB_VTEXT(images->at < images->n ? images->ids[images->at].text : "") };

    if (images->at == images->n) {
        images_note(images);
    } else {
        call_read(images->call, DB_ARTIFACT_FIND, values, SBX_COUNT(values), images_on_row);
    }
}

/* Those that are worth to be opened, by what the record says of them. */
static void
images_choose(struct tool_images *images, const struct tool_view *view)
{
    const struct tool_run *run = view->run;

    for (unsigned i = 0; i < run->n_files && images->n < TOOL_IMAGES_MAX && tool_view_has_images(view); i++) {
        const struct job_artifact *file = &run->files[i];

        if (tool_picture_mime(file->mime) != NULL && file->size > 0 && file->size <= TOOL_IMAGE_MAX) {
            images->ids[images->n++] = file->id;
        }
    }
}

void
tool_images_between(struct call *call, const struct tool_view *view, struct sbx_buf *head,
                    struct sbx_buf *tail)
{
    struct tool_images *images = calloc(1, sizeof(*images));

    if (images == NULL) {
        sbx_buf_deinit(head);
        sbx_buf_deinit(tail);
        call_problem_internal(call, -ENOMEM);
        return;
    }
    images->call = call;
    images->head = *head;
    images->tail = *tail;
    images->head.max = IMAGES_MAX;
    images->data = (struct sbx_buf)SBX_BUF_INIT(TOOL_IMAGE_MAX);
    *head = *tail = (struct sbx_buf){ 0 };
    call->tool->images = images;
    images_choose(images, view);
    images_next(images);
}
