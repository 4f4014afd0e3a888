#include "executor/api/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/fetch.h"
#include "executor/api/file.h"
#include "executor/api/routes.h"
#include "executor/api/source_inside.h"
#include "executor/core/artifacts.h"

struct source *
source_free(struct source *source)
{
    if (source != NULL) {
        artifact_deinit(&source->artifact);
        sbx_buf_deinit(&source->data);
        free(source);
    }
    return NULL;
}

const char *
source_name(const struct source *source)
{
    const char *name = source->uri.kind == SANDBOX_URI_ARTIFACT ? source->artifact.name : source->uri.path;
    const char *slash = strrchr(name, '/');

    return slash == NULL ? name : slash + 1;
}

void
source_found(struct source *source, uint64_t size, const char *mime)
{
    source->size = size;
    memset(source->mime, 0, sizeof(source->mime));
    memcpy(source->mime, mime, strnlen(mime, ARTIFACT_MIME_MAX));
}

bool
source_offset_fine(struct call *call)
{
    const struct source *source = call->source;
    struct sbx_field_error err = { 0 };

    if (source->offset <= source->size) {
        return true;
    }
    sbx_field_error_set(&err, "offset", "is past the end: there are %" PRIu64 " bytes", source->size);
    call_problem_field(call, &err);
    return false;
}

/* A session's. */

static void session_read(struct call *call);
static void session_list(struct call *call);

static void
session_say(struct call *call, const char *op, const struct file_events *events)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    struct source *source = call->source;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", op);
    sbx_jsonw_str(&w, "path", call->file->path);
    if (strcmp(op, "fs.read") == 0) {
        sbx_jsonw_uint(&w, "offset", source->offset);
        sbx_jsonw_uint(&w, "length", source->wanted);
    } else if (strcmp(op, "fs.list") == 0) {
        sbx_jsonw_uint(&w, "limit", source->max_entries);
    }
    sbx_jsonw_object_end(&w);
    file_ask(call, &json, events);
}

/* The entry that begins a reading must be as large as what was asked for allows. */
static bool
session_entry(struct call *call, const json_t *note, uint64_t *length)
{
    const struct source *source = call->source;
    struct file_entry entry;
    uint64_t first;

    if (!file_entry_take(&entry, note) || entry.etag == NULL || strcmp(entry.path, call->file->path) != 0 ||
        !file_count_take(note, "offset", &first) || !file_count_take(note, "length", length) ||
        first != source->offset || first > entry.size || *length > entry.size - first ||
        *length > source->wanted) {
        return false;
    }
    source_found(call->source, entry.size, artifact_mime(entry.path));
    return true;
}

static void
session_on_note(struct call *call, const json_t *note)
{
    struct file *file = call->file;
    struct source *source = call->source;
    uint64_t length;

    if (file->partial || !session_entry(call, note, &length)) {
        file_nonsense(file, "which bytes of a file come");
        return;
    }
    file->partial = true; /* the note was there */
    file->length = length;
    if (source->events->found(call)) {
        source->wanted = source->wanted < length ? source->wanted : length;
    }
}

static void
session_taken(struct call *call)
{
    struct file *file = call->file;

    call->source->taken = true;
    file_audit(call, "file.read", file->path, NULL, file->sent, NULL);
    call->source->events->done(call);
}

static void
session_on_data(struct call *call, const char *data, size_t len)
{
    struct source *source = call->source;
    struct file *file = call->file;

    if (!file->partial || len > file->length - file->sent) {
        file_nonsense(file, "more of a file than there is");
        return;
    }
    file->sent += len;
    sbx_buf_append(&source->data, data, len);
    if (source->data.failed) {
        call_problem_internal(call, -ENOMEM);
    } else if (source->data.len < file->length && source->events->enough(call)) {
        file->channel = sbx_channel_reset(file->channel);
        session_taken(call);
    } else {
        file_consumed(file, len);
    }
}

static void
session_on_read(struct call *call, const json_t *end _unused_)
{
    struct file *file = call->file;

    if (!file->partial || file->sent != file->length) {
        file_nonsense(file, "less of a file than it said");
        return;
    }
    session_taken(call);
}

static void
session_on_failed(struct call *call, enum file_error error, const char *message)
{
    if (error == FILE_E_IS_A_DIRECTORY && !call->file->partial) {
        session_list(call);
    } else if (error == FILE_E_NOT_A_DIRECTORY) {
        file_refuse(call, FILE_E_NOT_FOUND, message);
    } else {
        file_refuse(call, error, message);
    }
}

static void
session_read(struct call *call)
{
    static const struct file_events events = {
        .note = session_on_note,
        .data = session_on_data,
        .done = session_on_read,
        .failed = session_on_failed,
    };

    session_say(call, "fs.read", &events);
}

static void
session_on_stat(struct call *call, const json_t *end)
{
    struct file_entry entry;

    if (!file_entry_take(&entry, end) || strcmp(entry.path, call->file->path) != 0) {
        file_nonsense(call->file, "an entry that is none");
    } else if (strcmp(entry.kind, "directory") == 0) {
        session_list(call);
    } else if (entry.etag == NULL) {
        file_refuse(call, FILE_E_DENIED, "it is no regular file");
    } else {
        source_found(call->source, entry.size, artifact_mime(entry.path));
        call->source->events->done(call);
    }
}

static void
session_stat(struct call *call)
{
    static const struct file_events events = { .done = session_on_stat, .failed = session_on_failed };

    session_say(call, "fs.stat", &events);
}

/* A name with a newline must not look like two. */
static void
list_name(struct source *source, const char *name)
{
    for (; *name != '\0'; name++) {
        if ((unsigned char)*name < 0x20 || *name == 0x7f) {
            sbx_buf_printf(&source->data, "\\x%02x", (unsigned)(unsigned char)*name);
        } else {
            sbx_buf_putc(&source->data, *name);
        }
    }
}

void
source_list_file(struct source *source, const char *name, uint64_t size)
{
    list_name(source, name);
    sbx_buf_printf(&source->data, "  %" PRIu64 " byte%s\n", size, size == 1 ? "" : "s");
    source->n_entries++;
}

static void
list_add(struct source *source, const struct file_entry *entry)
{
    const char *slash = strrchr(entry->path, '/');
    const char *name = slash == NULL ? entry->path : slash + 1;

    if (strcmp(entry->kind, "file") == 0) {
        source_list_file(source, name, entry->size);
        return;
    }
    list_name(source, name);
    if (strcmp(entry->kind, "directory") == 0) {
        sbx_buf_puts(&source->data, "/\n");
    } else {
        sbx_buf_printf(&source->data, "  (%s)\n", entry->kind);
    }
    source->n_entries++;
}

static bool
list_line(struct call *call, const char *line, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *object = NULL;
    const char *dir = call->file->path;
    size_t dir_len = strlen(dir);
    struct sbx_field_error err;
    struct file_entry entry;

    if (sbx_json_parse(&object, line, len, &err) != 0 || !file_entry_take(&entry, object) ||
        call->source->n_entries == call->source->max_entries || entry.path[0] == '\0' ||
        (dir_len > 0 && (strncmp(dir, entry.path, dir_len) != 0 || entry.path[dir_len] != '/'))) {
        return false;
    }
    list_add(call->source, &entry);
    return true;
}

static void
list_on_data(struct call *call, const char *data, size_t len)
{
    file_lines(call->file, data, len, list_line);
}

static void
list_on_done(struct call *call, const json_t *end)
{
    const json_t *more = json_object_get(end, "more");

    if (!json_is_boolean(more) || call->file->line.len > 0) {
        file_nonsense(call->file, "the end of a list of files");
        return;
    }
    call->source->has_more = json_is_true(more);
    call->source->events->listed(call);
}

static void
session_list(struct call *call)
{
    static const struct file_events events = { .data = list_on_data, .done = list_on_done };

    call->source->data.max = SOURCE_LIST_MAX;
    session_say(call, "fs.list", &events);
}

static void
session_open(struct call *call)
{
    struct source *source = call->source;

    memcpy(call->id, source->uri.id, sizeof(call->id));
    if (!file_begin(call, source->uri.path, true)) {
        return;
    }
    if (source->uri.path[0] == '\0') {
        session_list(call);
    } else if (source->wanted == 0) {
        session_stat(call);
    } else {
        session_read(call);
    }
}

/* What is stored. */

static void
stored_on_fetched(struct call *call)
{
    call->source->taken = true;
    call->source->events->done(call);
}

static void
stored_on_noted(struct call *call, int rc, const struct db_result *result _unused_)
{
    struct source *source = call->source;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    fetch_read(call, &(struct fetch_spec){
                         .artifact = &source->artifact,
                         .offset = source->offset,
                         .length = source->wanted,
                         .out = &source->data,
                         .enough = source->events->enough,
                         .done = stored_on_fetched,
                     });
}

static void
stored_note(struct call *call)
{
    struct db_tx *tx;
    int r = db_tx_new(&tx, artifacts_db(call->api->spec.artifacts));

    if (r) {
        call_problem_internal(call, r);
        return;
    }
    artifacts_audit(tx, &call->source->artifact, "artifact.read", &call->context);
    call_submit(call, tx, stored_on_noted);
}

static void
stored_on_found(struct call *call, int rc, const struct db_result *result)
{
    struct source *source = call->source;
    int r = fetch_take(&source->artifact, call, rc, result);

    if (r == FETCH_E_UNKNOWN) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    source_found(source, source->artifact.size, source->artifact.mime);
    if (!source_offset_fine(call) || !source->events->found(call)) {
        return;
    }
    if (source->wanted > source->size - source->offset) {
        source->wanted = source->size - source->offset;
    }
    if (source->wanted == 0) {
        stored_on_fetched(call);
    } else {
        stored_note(call);
    }
}

/* All that a job left. */
static void
job_on_listed(struct call *call, int rc, const struct db_result *result)
{
    struct source *source = call->source;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    source->data.max = SOURCE_LIST_MAX;
    for (unsigned i = 0; i < result->n_rows; i++) {
        _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };
        int r = artifact_load(&artifact, call->context.tenant, result, i);

        if (r) {
            call_problem_internal(call, r > 0 ? -EIO : r);
            return;
        }
        source->has_more = source->n_entries == source->max_entries;
        if (source->has_more) {
            break;
        }
        source_list_file(source, artifact.path, artifact.size);
    }
    source->events->listed(call);
}

/* Whether there is such a job at all: one without files has an empty list. */
static void
job_on_status(struct call *call, int rc, const struct db_result *result)
{
    const struct db_value values[] = { DB_VTEXT(call->source->uri.id), DB_VTEXT(call->context.tenant) };

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else if (result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
    } else {
        call_read(call, DB_ARTIFACT_LIST, values, SBX_COUNT(values), job_on_listed);
    }
}

static void
stored_open(struct call *call)
{
    const struct sandbox_uri *uri = &call->source->uri;
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(uri->id) };

    if (uri->kind == SANDBOX_URI_JOB && uri->path[0] == '\0') {
        call_read(call, DB_JOB_STATUS, values, SBX_COUNT(values), job_on_status);
    } else {
        fetch_find(call, uri, stored_on_found);
    }
}

/* False: answered. */
static bool
source_name_it(struct call *call, const struct source_ask *ask)
{
    struct source *source = call->source;

    if (ask->uri != NULL) {
        if (!sandbox_uri_parse(&source->uri, ask->uri)) {
            call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
            return false;
        }
        return true;
    }
    source->uri.kind = SANDBOX_URI_SESSION;
    memcpy(source->uri.id, call->id, sizeof(source->uri.id));
    if (!file_path_fine(call, "path", ask->path, true)) {
        return false;
    }
    memcpy(source->uri.path, ask->path, strlen(ask->path) + 1); /* checked to fit */
    return true;
}

void
source_open(struct call *call, const struct source_ask *ask)
{
    struct source *source = calloc(1, sizeof(*source));

    if (source == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    source->events = ask->events;
    source->offset = ask->offset;
    source->wanted = ask->most;
    source->max_entries = ask->max_entries < SOURCE_ENTRIES_MAX ? ask->max_entries : SOURCE_ENTRIES_MAX;
    source->data.max = ask->most + 1;
    call->source = source;
    if (!source_name_it(call, ask)) {
        return;
    }
    if (!scope_permits(sandbox_uri_scope(source->uri.kind), call->context.scopes)) {
        call_problem(call, SBX_PROBLEM_FORBIDDEN, "the token's scopes do not allow this");
    } else if (call_charge(call, ask->most)) {
        if (source->uri.kind == SANDBOX_URI_SESSION) {
            session_open(call);
        } else if (source->uri.kind == SANDBOX_URI_STEP) {
            source_step_open(call);
        } else {
            stored_open(call);
        }
    }
}
