#include "session-agent/report.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/sbx_crypto.h"
#include "lib/sbx_json.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_utf8.h"
#include "lib/sbx_wall.h"

static const char *const signals[] = {
    [SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",       [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",
    [SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",     [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",
    [SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1",     [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
    [SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM",     [SIGTERM] = "SIGTERM", [SIGSTKFLT] = "SIGSTKFLT",
    [SIGCHLD] = "SIGCHLD", [SIGCONT] = "SIGCONT",     [SIGSTOP] = "SIGSTOP", [SIGTSTP] = "SIGTSTP",
    [SIGTTIN] = "SIGTTIN", [SIGTTOU] = "SIGTTOU",     [SIGURG] = "SIGURG",   [SIGXCPU] = "SIGXCPU",
    [SIGXFSZ] = "SIGXFSZ", [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF", [SIGWINCH] = "SIGWINCH",
    [SIGIO] = "SIGIO",     [SIGPWR] = "SIGPWR",       [SIGSYS] = "SIGSYS",
};

const char *
report_signal_name(int number)
{
    bool named = number > 0 && number < (int)SBX_COUNT(signals) && signals[number] != NULL;

    return named ? signals[number] : "SIGKILL";
}

/*
 * One value and nothing around it: the text goes into the reply as it is, so
 * `1,"exit_code":0` must not pass. Inside an array, for the nesting it will have.
 */
static const char *
result_refusal(const char *text, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf wrapped = SBX_BUF_INIT(len + 2);
    _cleanup_(sbx_json_decrefp) json_t *array = NULL;
    struct sbx_field_error err;
    int r;

    if (sbx_wall_is_off(SBX_WALL_RESULT)) {
        return NULL;
    }
    sbx_buf_putc(&wrapped, '[');
    sbx_buf_append(&wrapped, text, len);
    sbx_buf_putc(&wrapped, ']');
    r = wrapped.failed ? -ENOMEM : sbx_json_parse(&array, wrapped.data, wrapped.len, &err);
    if (r < 0) {
        return "the result did not fit in memory";
    }
    return r == 0 && json_array_size(array) == 1 ? NULL : "the result is not a strict JSON document";
}

static void
write_status(struct sbx_jsonw *w, const struct report *report)
{
    sbx_jsonw_str(w, "stepId", report->step_id);
    if (WIFEXITED(report->wait_status)) {
        sbx_jsonw_int(w, "exit_code", WEXITSTATUS(report->wait_status));
        sbx_jsonw_null(w, "signal");
    } else {
        sbx_jsonw_null(w, "exit_code");
        sbx_jsonw_str(w, "signal", report_signal_name(WTERMSIG(report->wait_status)));
    }
    sbx_jsonw_bool(w, "timed_out", report->timed_out);
    if (report->is_crowded) {
        sbx_jsonw_bool(w, "too_many_processes", true);
    }
    sbx_jsonw_uint(w, "wall_ms", report->wall_ms);
    sbx_jsonw_uint(w, "cpu_ms", report->usage.cpu_ms);
    sbx_jsonw_uint(w, "peak_memory_bytes", report->usage.peak_memory_bytes);
}

static void
write_files(struct sbx_jsonw *w, const struct collection *files)
{
    const struct collect_file *file;
    unsigned i, n_told = 0;

    sbx_jsonw_array(w, "files");
    for (i = 0; i < files->n_files; i++) {
        file = &files->files[i];
        if (file->reason == NULL) {
            sbx_jsonw_object(w, NULL);
            sbx_jsonw_str(w, "path", file->path);
            sbx_jsonw_uint(w, "size", file->size);
            sbx_jsonw_object_end(w);
        }
    }
    sbx_jsonw_array_end(w);

    sbx_jsonw_array(w, "files_skipped");
    for (i = 0; i < files->n_files && n_told < REPORT_MAX_SKIPPED; i++) {
        file = &files->files[i];
        if (file->reason != NULL) {
            n_told++;
            sbx_jsonw_object(w, NULL);
            sbx_jsonw_str(w, "path", file->path);
            sbx_jsonw_str(w, "reason", file->reason);
            sbx_jsonw_object_end(w);
        }
    }
    sbx_jsonw_array_end(w);
    sbx_jsonw_uint(w, "files_skipped_count", files->n_skipped);
}

/* The text, and the very bytes besides when a JSON string cannot hold them. */
static void
write_stream(struct sbx_jsonw *w, const char *key, const char *base64_key, const struct sbx_capture *capture)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(capture->keep + 256);
    _cleanup_(sbx_buf_deinit) struct sbx_buf base64 = SBX_BUF_INIT(2 * capture->keep + 1024);

    sbx_capture_text(capture, &text);
    if (text.failed) {
        w->buf->failed = true;
        return;
    }
    sbx_jsonw_strn(w, key, text.data == NULL ? "" : text.data, text.len);
    if (!sbx_utf8_valid(text.data == NULL ? "" : text.data, text.len)) {
        sbx_b64_encode(&base64, text.data, text.len);
        if (base64.failed) {
            w->buf->failed = true;
            return;
        }
        sbx_jsonw_strn(w, base64_key, base64.data, base64.len);
    }
}

static void
write_output(struct sbx_jsonw *w, const struct sbx_capture output[2])
{
    write_stream(w, "stdout", "stdout_base64", &output[0]);
    write_stream(w, "stderr", "stderr_base64", &output[1]);
    sbx_jsonw_uint(w, "stdout_bytes", output[0].total);
    sbx_jsonw_uint(w, "stderr_bytes", output[1].total);
    sbx_jsonw_bool(w, "truncated", sbx_capture_truncated(&output[0]) || sbx_capture_truncated(&output[1]));
}

static void
write_document(struct sbx_buf *out, const struct report *report, const char *result, const char *result_error)
{
    struct sbx_jsonw w;

    sbx_buf_reset(out);
    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    write_status(&w, report);
    if (result != NULL) {
        sbx_jsonw_raw(&w, "result", result, report->result_len);
    }
    if (result_error != NULL) {
        sbx_jsonw_str(&w, "result_error", result_error);
    }
    write_files(&w, report->files);
    if (report->output != NULL) {
        write_output(&w, report->output);
    }
    sbx_jsonw_object_end(&w);
}

void
report_write(struct sbx_buf *out, const struct report *report)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    const char *result = report->result, *result_error = report->result_error;
    struct sbx_field_error err;

    if (result != NULL) {
        result_error = result_refusal(result, report->result_len);
        result = result_error == NULL ? result : NULL;
    }
    write_document(out, report, result, result_error);

    /* The reader has bounds for the whole: a result that breaks them must not cost the rest. */
    if (result != NULL && !out->failed && !sbx_wall_is_off(SBX_WALL_RESULT) &&
        sbx_json_parse(&json, out->data, out->len, &err) != 0) {
        write_document(out, report, NULL, "the result has too many values");
    }
}
