/* The handlers that routes.c names. Each ends its call by one answer, now or later. */
#pragma once

#include "executor/api/call.h"

void handle_healthz(struct call *call);
void handle_readyz(struct call *call);
void handle_metrics(struct call *call);
void handle_job_create(struct call *call);
void handle_job_get(struct call *call);
void handle_job_list(struct call *call);
void handle_job_cancel(struct call *call);
void handle_job_stdout(struct call *call);
void handle_job_stderr(struct call *call);
void handle_artifact_list(struct call *call);
void handle_artifact_get(struct call *call);
void handle_artifacts_list(struct call *call);
void handle_artifacts_create(struct call *call);
void handle_artifacts_get(struct call *call);
void handle_artifacts_patch(struct call *call);
void handle_artifacts_delete(struct call *call);
void handle_artifacts_content(struct call *call);
void handle_artifacts_url(struct call *call);
void handle_session_artifacts(struct call *call);
void handle_session_create(struct call *call);
void handle_session_list(struct call *call);
void handle_session_get(struct call *call);
void handle_session_extend(struct call *call);
void handle_session_delete(struct call *call);
void handle_session_pause(struct call *call);
void handle_session_resume(struct call *call);
void handle_context_list(struct call *call);
void handle_context_create(struct call *call);
void handle_context_delete(struct call *call);
void handle_step_create(struct call *call);
void handle_step_list(struct call *call);
void handle_step_get(struct call *call);
void handle_step_cancel(struct call *call);
void handle_step_stdout(struct call *call);
void handle_step_stderr(struct call *call);
/* Files of sessions. begin_*: when the head has come. */
void handle_file_get(struct call *call);
void handle_file_root(struct call *call);
void begin_file_put(struct call *call);
void handle_file_put(struct call *call);
void handle_file_delete(struct call *call);
void handle_file_stat(struct call *call);
void handle_file_mkdir(struct call *call);
void handle_file_move(struct call *call);
void handle_file_watch(struct call *call);
void handle_archive_get(struct call *call);
void begin_archive_put(struct call *call);
void handle_process_list(struct call *call);
void handle_process_create(struct call *call);
void handle_process_get(struct call *call);
void handle_process_end(struct call *call);
void handle_process_stdin_begin(struct call *call);
void handle_process_stdin(struct call *call);
void handle_process_signal(struct call *call);
void handle_process_resize(struct call *call);
void handle_process_ws(struct call *call);
