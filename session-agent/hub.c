#include "session-agent/hub.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sbx_jsonw.h"
#include "lib/sbx_utf8.h"
#include "session-agent/context.h"
#include "session-agent/exec.h"
#include "session-agent/fs.h"

#define TICK_MS 5
#define MAX_MESSAGE 256
#define SPARE_BEHIND_CGROUP 64

static void
hub_on_fs(struct hub *hub, struct sbx_channel *channel, const json_t *request)
{
    if (!fs_takes(json_string_value(json_object_get(request, "op")))) {
        hub_refuse(channel, HUB_E_INVALID, "there is no such operation");
        return;
    }
    fs_open(hub->fs, channel, request);
}

static void
hub_on_exec(struct hub *hub, struct sbx_channel *channel, const json_t *request)
{
    const struct step_host *host = hub->spec.host;
    const struct exec_host exec = {
        .loop = host->loop,
        .init = host->init,
        .identity = host->identity,
        .filter = host->filter,
        .slot = host->slot,
        .processes = hub->spec.processes,
        .terminals = host->terminals,
        .session = hub->spec.session,
    };

    exec_open(&exec, channel, request);
}

/* In the order of how often they come. An op that ends in a period stands for all that begin so. */
static const struct {
    const char *op;
    /* Borrows the request; ends the channel or accepts it. */
    void (*open)(struct hub *hub, struct sbx_channel *channel, const json_t *request);
} rows[] = {
    { "step", context_on_step },       { "fs.", hub_on_fs },    { "context", context_on_start },
    { "context_end", context_on_end }, { "exec", hub_on_exec },
};

struct sbx_channel *
hub_refuse(struct sbx_channel *channel, enum hub_error error, const char *message)
{
    static const char *const codes[] = {
#define X(name, code) [HUB_E_##name] = (code),
        SBX_AGENT_ERRORS(X)
#undef X
    };
    _cleanup_(sbx_buf_deinit) struct sbx_buf buf = SBX_BUF_INIT(8ul * MAX_MESSAGE);
    char text[MAX_MESSAGE + 1];
    struct sbx_jsonw w;
    size_t len = strnlen(message, MAX_MESSAGE);

    for (size_t i = 0; i < len; i++) {
        text[i] = message[i] >= ' ' && message[i] <= '~' ? message[i] : '?';
    }
    text[len] = '\0';
    sbx_jsonw_init(&w, &buf);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", false);
    sbx_jsonw_str(&w, "error", codes[error]);
    sbx_jsonw_str(&w, "message", text);
    sbx_jsonw_object_end(&w);
    return sbx_channel_end(channel, buf.data, buf.failed ? 0 : buf.len);
}

struct sbx_channel *
hub_done(struct sbx_channel *channel)
{
    static const char text[] = "{\"ok\":true}";

    return sbx_channel_end(channel, text, sizeof(text) - 1);
}

static bool
row_matches(const char *row, const char *op)
{
    size_t len = strlen(row);

    return row[len - 1] == '.' ? strncmp(row, op, len) == 0 : strcmp(row, op) == 0;
}

static void
hub_on_open(void *arg, struct sbx_channel *channel, const char *json, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *request = NULL;
    struct hub *hub = arg;
    struct sbx_field_error err;
    const char *op;
    size_t i;

    if (sbx_json_parse(&request, json, len, &err) != 0 || !json_is_object(request)) {
        hub_refuse(channel, HUB_E_INVALID, "no JSON object");
        return;
    }
    op = json_string_value(json_object_get(request, "op"));
    for (i = 0; op != NULL && i < SBX_COUNT(rows); i++) {
        if (row_matches(rows[i].op, op)) {
            rows[i].open(hub, channel, request);
            return;
        }
    }
    hub_refuse(channel, HUB_E_INVALID, "there is no such operation");
}

static void
hub_on_closed(uv_handle_t *handle)
{
    struct hub *hub = handle->data;
    struct hub_spec spec = hub->spec;

    free(hub);
    spec.on_gone(spec.arg);
}

/* Operations end their channels when their processes and descriptors are gone: before that nothing is freed under them. */
static void
hub_on_tick(uv_timer_t *timer)
{
    struct hub *hub = timer->data;

    if (!hub->is_swept || (hub->mux != NULL && sbx_mux_channels(hub->mux) > 0)) {
        return;
    }
    uv_timer_stop(timer);
    hub->mux = sbx_mux_close(hub->mux);
    hub->contexts = contexts_free(hub->contexts);
    hub->fs = fs_close(hub->fs);
    uv_close((uv_handle_t *)timer, hub_on_closed);
}

static void
hub_on_swept(void *arg, bool clean)
{
    struct hub *hub = arg;

    (void)clean; /* who would not die ends with the sandbox */
    hub->is_swept = true;
}

static void
hub_on_lost(void *arg, const char *why)
{
    struct hub *hub = arg;

    (void)why; /* nobody is left to be told */
    if (hub->is_ending) {
        return;
    }
    hub->is_ending = true;
    init_watch(hub->spec.host->init, 0, NULL, hub);
    init_sweep(hub->spec.host->init, hub_on_swept);
    (void)uv_timer_start(&hub->tick, hub_on_tick, 0, TICK_MS); /* cannot fail: callback set */
}

void
hub_end(struct hub *hub)
{
    if (!hub->is_ending) {
        sbx_mux_abort(hub->mux, "it was ended");
    }
}

int
hub_new(struct hub **ret, const struct hub_spec *spec)
{
    struct hub *hub = calloc(1, sizeof(*hub));
    struct sbx_mux_spec mux = {
        .loop = spec->host->loop,
        .fd = spec->fd,
        .max_channels = SBX_MUX_SESSION_CHANNELS,
        .max_open = SBX_MUX_OPEN_MAX,
        .on_open = hub_on_open,
        .on_lost = hub_on_lost,
        .arg = hub,
    };
    const struct fs_spec fs = {
        .loop = spec->host->loop,
        .identity = &spec->host->identity,
        .workspace = spec->session->places.workspace,
    };
    int r;

    if (hub == NULL) {
        (void)close(spec->fd); /* taken, and refused */
        return -ENOMEM;
    }
    hub->spec = *spec;
    /* A control group counts refused forks and ends the session: it must be met first. gVisor has none, and refuses. */
    if (spec->processes > 0 && !spec->host->takes_census) {
        hub->spec.processes += SPARE_BEHIND_CGROUP;
    }
    r = sbx_mux_new(&hub->mux, &mux);
    if (r == 0) {
        r = fs_new(&hub->fs, &fs);
    }
    if (r == 0) {
        r = contexts_new(&hub->contexts, hub);
    }
    if (r < 0) {
        fs_close(hub->fs);
        sbx_mux_close(hub->mux);
        free(hub);
        return r;
    }
    (void)uv_timer_init(spec->host->loop, &hub->tick); /* always 0 */
    hub->tick.data = hub;
    *ret = hub;
    return 0;
}
