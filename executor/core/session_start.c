/*
 *   session_start_begin: take from the pool -> adopt -> attach -> files, one after another -> session_started
 *
 * A sandbox that breaks before the session runs is thrown away and another is taken, until the time to start is over.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/session_inside.h"
#include "executor/log.h"
#include "executor/runtime/session_reply.h"

#define START_RETRY_MS 50
#define START_TIME_MS 30000
#define START_OPEN_MAX 16384
#define START_SLACK_MS 60000 /* executord's clock comes first, the launcher's is the backstop */

struct session_start {
    struct session *session; /* NULL: it ended, and only a destruction is waited for */
    struct sessions *sessions;
    struct job_spec *spec;
    struct pool_take *take;
    struct timer *timer; /* to the next try */
    uint64_t until_ms;
    struct sbx_channel *channel;
    unsigned file;
    size_t sent; /* bytes of it */
    bool shut;
    unsigned destroying;
};

static void start_take(struct session_start *start);
static void start_on_attached(void *arg, int rc, struct sbx_mux *mux);
static void start_next_file(struct session_start *start);

static void
start_free_if_done(struct session_start *start)
{
    if (start->session != NULL || start->destroying > 0) {
        return;
    }
    timer_free(start->timer);
    job_spec_free(start->spec);
    free(start);
}

static void
start_fail(struct session_start *start, const char *message)
{
    session_end(start->session, SESSION_FAILED, message); /* comes back to session_start_stop */
}

static void
start_on_retry(void *arg)
{
    struct session_start *start = arg;
    struct session *session = start->session;

    if (timers_now_ms(sessions_timers(session->sessions)) >= start->until_ms) {
        start_fail(start, "no sandbox could be had in time");
        return;
    }
    start_take(start);
}

static void
start_on_destroyed(void *arg, int rc _unused_)
{
    struct session_start *start = arg;

    struct sessions *sessions = start->sessions;

    start->destroying--;
    start_free_if_done(start);
    sessions_add_destroying(sessions, -1);
}

/* Nothing of the tenant's ran in it. */
static void
start_again(struct session_start *start)
{
    struct sandbox *sandbox = steal(&start->session->sandbox);

    start->session->mux = NULL;
    start->channel = NULL;
    if (sandbox != NULL) {
        start->destroying++;
        sessions_add_destroying(start->sessions, 1);
        sandbox->ops->destroy(sandbox, start_on_destroyed, start);
    }
    timer_start(start->timer, START_RETRY_MS);
}

/* The wall limit is the launcher's backstop: the session's own clocks end it before. */
static struct sbx_limits
start_limits(const struct session *session)
{
    struct sbx_limits limits = session->limits;
    uint64_t most = sbx_limit_ceiling(SBX_LIMIT_TIME);
    uint64_t time = session->record.max_lifetime_ms + START_SLACK_MS;

    limits.value[SBX_LIMIT_TIME] = time < most ? time : most;
    return limits;
}

static void
start_on_adopted(void *arg, int rc)
{
    struct session_start *start = arg;
    struct session *session = start->session;

    if (rc != 0 ||
        session->sandbox->ops->attach(session->sandbox, session_on_lost, start_on_attached, session) != 0) {
        start_again(start);
    }
}

static void
start_on_taken(void *arg, int rc, struct sandbox *sandbox)
{
    struct session_start *start = arg;
    struct session *session = start->session;
    struct sbx_limits limits = start_limits(session);

    start->take = NULL;
    if (rc == RUNTIME_E_UNSUPPORTED) {
        start_fail(start, "no sandbox of this tier can be made here");
        return;
    }
    if (rc) {
        start_again(start);
        return;
    }
    session->sandbox = sandbox;
    if (sandbox->ops->adopt(sandbox, &limits, session->share, start_on_adopted, start) != 0) {
        start_again(start);
    }
}

static void
start_take(struct session_start *start)
{
    const struct session_record *record = &start->session->record;
    struct pool *pool = sessions_pool(start->session->sessions, record->template_name, record->isolation);
    const struct pool_wish wish = {
        .language = record->language,
        .others = sessions_starting_beside(start->session->sessions, start->session),
    };

    assert(pool != NULL);
    if (pool_take(pool, &wish, &start->take, start_on_taken, start) != 0) {
        start_again(start);
    }
}

static void
start_done(struct session_start *start)
{
    struct session *session = start->session;

    session->start = NULL;
    start->session = NULL;
    start_free_if_done(start);
    session_started(session);
}

static void
start_on_attached(void *arg, int rc, struct sbx_mux *mux)
{
    struct session *session = arg;
    struct session_start *start = session->start;

    if (rc) {
        start_again(start);
        return;
    }
    session->mux = mux;
    start_next_file(start);
}

static void
file_pump(struct session_start *start)
{
    const struct runtime_file *file = &start->spec->files[start->file];

    if (start->sent < file->len) {
        start->sent += sbx_channel_write(start->channel, 0, (const char *)file->data + start->sent,
                                         file->len - start->sent);
    }
    if (start->sent == file->len && !start->shut) {
        start->shut = true;
        sbx_channel_shut(start->channel);
    }
}

static void
file_on_writable(void *arg)
{
    file_pump(arg);
}

static void
file_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct session_start *start = arg;
    struct session_reply reply;

    start->channel = NULL;
    if (rc) {
        return; /* session_on_lost follows */
    }
    if (session_reply_end(&reply, json, len) != 0) {
        session_nonsense(start->session, "the agent gave no proper answer about a file");
        return;
    }
    if (!reply.ok) {
        log_warn("session.file_failed", LOG_STR("session", start->session->record.id.text),
                 LOG_STR("path", start->spec->files[start->file].path), LOG_STR("error", reply.error));
        start->session->due_message = "a file could not be put into the workspace";
        session_end_soon(start->session, SESSION_FAILED);
        return;
    }
    start->file++;
    start_next_file(start);
}

static void
file_write_open(struct sbx_buf *out, const struct runtime_file *file)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.write");
    sbx_jsonw_str(&w, "path", file->path);
    sbx_jsonw_str(&w, "mode", "replace");
    sbx_jsonw_uint(&w, "offset", 0);
    sbx_jsonw_uint(&w, "total", file->len);
    sbx_jsonw_uint(&w, "max_bytes", file->len);
    sbx_jsonw_object_end(&w);
}

static void
start_next_file(struct session_start *start)
{
    static const struct sbx_channel_events events = { .on_writable = file_on_writable,
                                                      .on_end = file_on_end };
    _cleanup_(sbx_buf_deinit) struct sbx_buf open = SBX_BUF_INIT(START_OPEN_MAX);
    struct session *session = start->session;

    if (start->file == start->spec->n_files) {
        start_done(start);
        return;
    }
    start->sent = 0;
    start->shut = false;
    file_write_open(&open, &start->spec->files[start->file]);
    if (open.failed ||
        sbx_channel_open(&start->channel, session->mux, open.data, open.len, &events, start) != 0) {
        session->due_message = "a file could not be put into the workspace";
        session_end_soon(session, SESSION_FAILED);
        return;
    }
    file_pump(start);
}

void
session_start_begin(struct session *session)
{
    struct session_start *start = session->start;

    start->until_ms = timers_now_ms(sessions_timers(session->sessions)) + START_TIME_MS;
    start_take(start);
}

int
session_start_new(struct session *session, struct job_spec *spec)
{
    struct session_start *start;
    int r;

    start = calloc(1, sizeof(*start));
    if (start == NULL) {
        return -ENOMEM;
    }
    r = timer_new(&start->timer, sessions_timers(session->sessions), start_on_retry, start);
    if (r) {
        free(start);
        return r;
    }
    start->session = session;
    start->sessions = session->sessions;
    start->spec = spec;
    session->start = start;
    return 0;
}

void
session_start_drop(struct session *session)
{
    if (session->start != NULL) {
        session->start->spec = NULL;
        session_start_stop(session);
    }
}

/* The sandbox is the session's to destroy. */
void
session_start_stop(struct session *session)
{
    struct session_start *start = steal(&session->start);

    if (start == NULL) {
        return;
    }
    timer_stop(start->timer);
    if (start->take != NULL) {
        pool_take_cancel(steal(&start->take));
    }
    start->channel = sbx_channel_reset(start->channel);
    start->session = NULL;
    start_free_if_done(start);
}
