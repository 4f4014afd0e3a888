/* The files a job left behind: their list and their bytes. */
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/download.h"
#include "executor/api/handlers.h"
#include "executor/api/job_reply.h"
#include "executor/api/jobs.h"
#include "lib/sbx_utf8.h"

static void
artifact_list_answer(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(JOB_REPLY_MAX);
    const struct job_record *record = &call->record;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "job_id", record->id.text);
    sbx_jsonw_array(&w, "files");
    for (unsigned i = 0; i < record->n_artifacts; i++) {
        artifact_reply_write(&w, NULL, record, &record->artifacts[i]);
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    call_reply_json(call, 200, NULL, 0, &body);
}

void
handle_artifact_list(struct call *call)
{
    job_load(call, artifact_list_answer);
}

static void
artifact_on_row_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };
    int r;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    if (result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    r = artifact_load(&artifact, call->context.tenant, result, 0);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    download_start(call, &artifact);
}

void
handle_artifact_get(struct call *call)
{
    const struct db_value values[] = {
        DB_VTEXT(call->id),
        DB_VTEXT(call->context.tenant),
        DB_VTEXT(call->rest),
    };

    if (call->id[0] == '\0' || call->rest == NULL || call->rest[0] == '\0' ||
        !sbx_utf8_valid(call->rest, strlen(call->rest))) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    call_read(call, DB_ARTIFACT_GET, values, SBX_COUNT(values), artifact_on_row_read);
}
