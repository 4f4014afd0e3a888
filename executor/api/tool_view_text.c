/* The text form of a view. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "executor/api/tool_view.h"
#include "lib/sbx_json.h"

#define SKIPPED_MAX 20
#define SKIPPED_PARSE_MAX (256ul << 10)

static void
put_status(struct sbx_buf *out, const struct tool_run *run)
{
    sbx_buf_printf(out, "Status: %s", run->status);
    if (run->queue_position > 0) {
        sbx_buf_printf(out, ", position %u", run->queue_position);
    }
    if (run->has_exit_code) {
        sbx_buf_printf(out, ", exit code %d", run->exit_code);
    }
    if (run->signal[0] != '\0') {
        sbx_buf_printf(out, ", %s", run->signal);
    }
    if (run->started_ms != 0 && run->finished_ms >= run->started_ms) {
        sbx_buf_printf(out, ", ran %" PRIu64 " ms", run->finished_ms - run->started_ms);
    }
    sbx_buf_putc(out, '\n');
}

static void
put_handles(struct sbx_buf *out, const struct tool_run *run)
{
    sbx_buf_printf(out, "job_id: %s\n", run->id);
    if (run->session_id != NULL) {
        sbx_buf_printf(out, "session_id: %s\n", run->session_id);
    }
}

/* Its lines end with a line break, whatever the text does. */
static void
put_section(struct sbx_buf *out, const char *title, const struct sbx_buf *text)
{
    if (text->len == 0) {
        return;
    }
    sbx_buf_printf(out, "\n%s:\n", title);
    sbx_buf_append(out, text->data, text->len);
    if (text->data[text->len - 1] != '\n') {
        sbx_buf_putc(out, '\n');
    }
}

static void
put_output(struct sbx_buf *out, const struct tool_view *view, unsigned which)
{
    const struct job_stream *stream = &view->run->stream[which];
    char number[TOOL_NUMBER_LEN], title[96];
    const char *name = which == JOB_STDOUT ? "stdout" : "stderr";

    tool_number(number, stream->total);
    if (view->ask->has_offset[which]) {
        (void)snprintf(title, sizeof(title), "%s from byte %" PRIu64 " of %s", name, view->ask->offset[which],
                       number); /* fits */
    } else {
        (void)snprintf(title, sizeof(title), "%s (%s bytes)", name, number);
    }
    put_section(out, title, &view->output[which]);
    if (view->output[which].len == 0 && view->ask->has_offset[which]) {
        sbx_buf_printf(out, "\n%s: nothing from byte %" PRIu64 " on, it has %s bytes\n", name,
                       view->ask->offset[which], number);
    }
}

static void
put_file(struct sbx_buf *out, const struct tool_view *view, const char *path, const char *mime, uint64_t size)
{
    char number[TOOL_NUMBER_LEN];

    tool_number(number, size);
    sbx_buf_puts(out, "- ");
    tool_output_escape(out, path, strlen(path));
    sbx_buf_printf(out, " (%s, %s bytes) ", mime, number);
    tool_view_uri(out, view->run, path);
    sbx_buf_putc(out, '\n');
}

/* What matched and could not be had, with the reason. */
static void
put_skipped(struct sbx_buf *out, const char *skipped_json)
{
    _cleanup_(sbx_json_decrefp) json_t *skipped = NULL;
    struct sbx_field_error ignored;
    size_t n;

    if (skipped_json == NULL || strlen(skipped_json) > SKIPPED_PARSE_MAX ||
        sbx_json_parse(&skipped, skipped_json, strlen(skipped_json), &ignored) != 0) {
        sbx_buf_puts(out, skipped_json == NULL ? "" : "- some files were not kept\n");
        return;
    }
    n = json_array_size(skipped);
    for (size_t i = 0; i < n && i < SKIPPED_MAX; i++) {
        const json_t *one = json_array_get(skipped, i);
        const char *path = json_string_value(json_object_get(one, "path"));
        const char *reason = json_string_value(json_object_get(one, "reason"));

        if (path != NULL && reason != NULL) {
            sbx_buf_puts(out, "- not kept: ");
            tool_output_escape(out, path, strlen(path));
            sbx_buf_puts(out, ": ");
            tool_output_escape(out, reason, strlen(reason));
            sbx_buf_putc(out, '\n');
        }
    }
    if (n > SKIPPED_MAX) {
        sbx_buf_printf(out, "- nor were %zu more\n", n - SKIPPED_MAX);
    }
}

static void
put_files(struct sbx_buf *out, const struct tool_view *view)
{
    const struct tool_run *run = view->run;

    if (run->n_files > 0 || view->n_pictures > 0 || run->skipped_json != NULL) {
        sbx_buf_puts(out, "\nfiles:\n");
    }
    for (unsigned i = 0; i < run->n_files && i < TOOL_FILES_MAX; i++) {
        put_file(out, view, run->files[i].path, run->files[i].mime, run->files[i].size);
    }
    for (unsigned i = 0; i < view->n_pictures; i++) {
        put_file(out, view, view->pictures[i].name, view->pictures[i].mime, view->pictures[i].size);
    }
    if (run->n_files > TOOL_FILES_MAX) {
        sbx_buf_printf(out, "- and %u more: read_file of sandbox://job/%s/ lists them\n",
                       run->n_files - TOOL_FILES_MAX, run->id);
    }
    put_skipped(out, run->skipped_json);
}

void
tool_view_text(struct sbx_buf *out, const struct tool_view *view)
{
    const struct tool_run *run = view->run;
    char number[TOOL_NUMBER_LEN];

    put_status(out, run);
    if (view->stopped.len > 0) {
        sbx_buf_puts(out, "Stopped by ");
        sbx_buf_append(out, view->stopped.data, view->stopped.len);
        sbx_buf_putc(out, '\n');
    }
    if (run->message[0] != '\0') {
        sbx_buf_puts(out, "Message: ");
        tool_output_escape(out, run->message, strlen(run->message));
        sbx_buf_putc(out, '\n');
    }
    put_handles(out, run);
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        put_output(out, view, i);
    }
    put_section(out, "exception", &view->error_text);
    put_section(out, "result", &view->result_text);
    if (view->result_bytes > 0) {
        tool_number(number, view->result_bytes);
        sbx_buf_printf(out, "\nresult: %s bytes, too large to show: write it to a file\n", number);
    }
    if (view->displays_text.len > 0) {
        sbx_buf_putc(out, '\n');
        sbx_buf_append(out, view->displays_text.data, view->displays_text.len);
    }
    put_files(out, view);
    if (view->next.len > 0) {
        sbx_buf_puts(out, "\nNext: ");
        sbx_buf_append(out, view->next.data, view->next.len);
        sbx_buf_putc(out, '\n');
    }
}
