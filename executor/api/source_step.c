/* Images that a step displayed, as files of that run: tool_view.h names them. */
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/source_inside.h"
#include "executor/api/session_work.h"
#include "executor/api/steps.h"
#include "executor/api/tool_view.h"
#include "lib/sbx_crypto.h"

static void
step_list(struct call *call, const char *displays)
{
    struct source *source = call->source;
    struct tool_pictures pictures = { .rest = displays };
    struct tool_picture picture;

    source->data.max = SOURCE_LIST_MAX;
    while (tool_pictures_next(&pictures, &picture)) {
        source->has_more = source->n_entries == source->max_entries;
        if (source->has_more) {
            break;
        }
        source_list_file(source, picture.name, picture.size);
    }
    source->events->listed(call);
}

/* A picture is decoded whole: it is at most as large as one display may be, and a part of it begins anywhere. */
static int
step_decode(struct source *source, const struct tool_picture *picture)
{
    struct sbx_buf whole = SBX_BUF_INIT(picture->size + 1);
    uint64_t left = picture->size - source->offset;
    bool fine = sbx_b64_decode(&whole, picture->base64, picture->base64_len) && !whole.failed &&
                whole.len == picture->size;

    if (fine) {
        source->wanted = source->wanted < left ? source->wanted : left;
        sbx_buf_append(&source->data, whole.data + source->offset, (size_t)source->wanted);
        fine = !source->data.failed;
    }
    sbx_buf_deinit(&whole);
    return fine ? 0 : -ENOMEM;
}

static void
step_show(struct call *call, const char *displays)
{
    struct source *source = call->source;
    struct tool_pictures pictures = { .rest = displays };
    struct tool_picture picture = { .name = "" };
    int r;

    if (source->uri.path[0] == '\0') {
        step_list(call, displays);
        return;
    }
    while (strcmp(picture.name, source->uri.path) != 0 && tool_pictures_next(&pictures, &picture)) {
    }
    if (strcmp(picture.name, source->uri.path) != 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    source_found(source, picture.size, picture.mime);
    if (!source_offset_fine(call) || !source->events->found(call)) {
        return;
    }
    r = step_decode(source, &picture);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    source->taken = true;
    source->events->done(call);
}

static void
step_on_loaded(struct call *call)
{
    step_show(call, call->work->step_record.results_json);
}

void
source_step_open(struct call *call)
{
    struct step *step;

    memcpy(call->id, call->source->uri.id, sizeof(call->id));
    memcpy(call->sub, call->source->uri.step, sizeof(call->source->uri.step));
    step = step_live(call);
    if (step != NULL && step_accepted(step)) {
        step_show(call, step_record(step)->results_json);
    } else {
        step_load(call, step_on_loaded);
    }
}
