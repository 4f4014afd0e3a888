#include "session-agent/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "session-agent/context_inside.h"
#include "session-agent/environ.h"

#define MAX_CONTEXTS 16
#define START_MS 30000

static void
context_on_closed(uv_handle_t *handle)
{
    struct context *context = handle->data;

    json_decref(context->env);
    free(context);
}

/* Nobody knows it any more; its channels have ended. */
static void
context_remove(struct context *context)
{
    struct context **link = &context->all->list;

    while (*link != context) {
        link = &(*link)->next;
    }
    *link = context->next;
    context->all->n--;
    context->driver = driver_free(context->driver);
    context_step_free(context);
    uv_close((uv_handle_t *)&context->timer, context_on_closed);
}

void
context_set_timer(struct context *context, uv_timer_cb fn, uint64_t ms)
{
    uv_timer_stop(&context->timer);
    if (fn != NULL) {
        uv_update_time(context->timer.loop); /* it counts from here, not from when the loop woke up */
        (void)uv_timer_start(&context->timer, fn, ms, 0); /* cannot fail: callback set */
    }
}

static void
context_on_ready(void *arg)
{
    struct context *context = arg;

    context->is_ready = true;
    context_set_timer(context, NULL, 0);
    if (context->starting != NULL) {
        context->starting = hub_done(context->starting);
    }
    context_step_advance(context);
}

static void
death_describe(char *text, size_t size, const struct driver_death *death)
{
    int status = death->wait_status;

    if (death->failed_stage != NULL) {
        (void)snprintf(text, size, "the interpreter could not be started: %s: %s", death->failed_stage,
                       strerror(death->error)); /* cut when too long */
    } else if (death->nonsense != NULL) {
        (void)snprintf(text, size, "the interpreter was ended: %s", death->nonsense); /* likewise */
    } else {
        (void)snprintf(text, size, "the interpreter ended before it was ready, by %s %d",
                       WIFSIGNALED(status) ? "signal" : "exit code",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)); /* likewise */
    }
}

static void
context_on_dead(void *arg, const struct driver_death *death)
{
    struct context *context = arg;
    char text[256];

    context->driver = driver_free(context->driver);
    context->is_ready = false;
    context_set_timer(context, NULL, 0);
    if (context->starting != NULL) {
        death_describe(text, sizeof(text), death);
        context->starting = hub_refuse(context->starting, HUB_E_CRASHED, text);
        context->is_leaving = true;
    }
    context_step_on_dead(context, death);
    if (context->ending != NULL) {
        context->ending = hub_done(context->ending);
    }
    if (context->is_leaving) {
        context_remove(context);
    }
}

static size_t
context_room(void *arg)
{
    return context_step_room(arg);
}

static void
context_on_output(void *arg, unsigned stream, const char *data, size_t len)
{
    context_step_on_output(arg, stream, data, len);
}

static bool
context_on_display(void *arg, const struct driver_display *display)
{
    return context_step_on_display(arg, display);
}

static void
context_on_bytes(void *arg, const char *data, size_t len)
{
    context_step_on_output(arg, 3, data, len);
}

static void
context_on_outcome(void *arg, const struct driver_outcome *outcome)
{
    context_step_on_outcome(arg, outcome);
}

static void
context_on_late(uv_timer_t *timer)
{
    struct context *context = timer->data;

    driver_kill(context->driver);
}

static int
context_spawn(struct context *context)
{
    static const struct driver_events events = {
        .on_ready = context_on_ready,
        .room = context_room,
        .on_output = context_on_output,
        .on_display = context_on_display,
        .on_bytes = context_on_bytes,
        .on_outcome = context_on_outcome,
        .on_dead = context_on_dead,
    };
    const struct hub_spec *hub = &context->all->hub->spec;
    const struct environ_spec texts = {
        .session = hub->session,
        .runtime = &context->runtime,
        .more = context->env,
        .opt_dir = hub->host->opt_dir,
    };
    _cleanup_(strings_deinit) struct strings argv = { 0 };
    _cleanup_(strings_deinit) struct strings env = { 0 };
    struct driver_spec spec = {
        .loop = hub->host->loop,
        .init = hub->host->init,
        .slot = hub->host->slot,
        .runtime = context->runtime.name,
        .payload =
            {
                .cwd = hub->session->places.workspace,
                .identity = hub->host->identity,
                .filter = hub->host->filter,
                .processes = hub->processes,
            },
        .events = &events,
        .arg = context,
    };
    int r;

    r = environ_repl(&argv, &texts);
    if (r == 0) {
        r = environ_env(&env, &texts);
    }
    if (r < 0) {
        return r;
    }
    spec.payload.argv = argv.items;
    spec.payload.env = env.items;
    return driver_start(&context->driver, &spec);
}

int
context_start_driver(struct context *context)
{
    int r = context->all->hub->is_ending ? -ESHUTDOWN : context_spawn(context);

    if (r == 0) {
        context_set_timer(context, context_on_late, START_MS);
    }
    return r;
}

struct context *
context_find(const struct contexts *contexts, const char *name)
{
    struct context *context = contexts->list;

    while (context != NULL && strcmp(context->name, name) != 0) {
        context = context->next;
    }
    return context;
}

/* Nobody waits for the start any more: there is none. */
static void
start_on_end(void *arg, int rc, const char *json _unused_, size_t len _unused_)
{
    struct context *context = arg;

    (void)rc; /* given up or lost alike; answered when its name is free */
    context->is_leaving = true;
    driver_kill(context->driver);
}

static struct context *
context_new(struct contexts *contexts, const char *name, const struct runtime_entry *runtime, json_t *env)
{
    struct context *context = calloc(1, sizeof(*context));

    if (context == NULL) {
        return NULL;
    }
    context->all = contexts;
    (void)snprintf(context->name, sizeof(context->name), "%s", name); /* its length was checked */
    context->runtime = *runtime;
    context->env = json_incref(env);
    (void)uv_timer_init(contexts->hub->spec.host->loop, &context->timer); /* always 0 */
    context->timer.data = context;
    context->next = contexts->list;
    contexts->list = context;
    contexts->n++;
    return context;
}

/* NULL: what is wrong with the request is in err. */
static const char *
name_read(const json_t *request, const char *key, struct sbx_field_error *err)
{
    const char *name = NULL;
    size_t len = 0;

    if (!sbx_json_get_str(request, "", key, 64, &name, &len, err)) {
        return NULL;
    }
    if (name == NULL || !request_id_valid(name, len)) {
        sbx_field_error_set(err, "", "a context needs a name of 1 to 64 letters, digits, '_', '-' and '.'");
        return NULL;
    }
    return name;
}

static void
start_begin(struct hub *hub, struct sbx_channel *channel, const char *name,
            const struct runtime_entry *runtime, json_t *env)
{
    static const struct sbx_channel_events events = { .on_end = start_on_end };
    struct context *context = context_new(hub->contexts, name, runtime, env);
    int r = context == NULL ? -ENOMEM : context_start_driver(context);

    if (r < 0) {
        hub_refuse(channel, HUB_E_FAILED, strerror(-r));
        if (context != NULL) {
            context_remove(context);
        }
        return;
    }
    context->starting = channel;
    sbx_channel_accept(channel, &events, context);
}

void
context_on_start(struct hub *hub, struct sbx_channel *channel, const json_t *request)
{
    static const char *const known[] = { "op", "name", "language", "env", NULL };
    struct runtime_entry runtime;
    struct sbx_field_error err = { .message = "needs a language" };
    const char *name, *language = NULL;
    json_t *env = NULL;

    name = name_read(request, "name", &err);
    if (name == NULL || !sbx_json_only(request, "", known, &err) ||
        !sbx_json_get_str(request, "", "language", 32, &language, NULL, &err) || language == NULL ||
        !sbx_json_get_object(request, "", "env", &env, &err) || !request_env_check(env, &err)) {
        hub_refuse(channel, HUB_E_INVALID, err.message);
    } else if (!runtimes_find(hub->spec.runtimes, language, &runtime) || runtime.repl == NULL) {
        hub_refuse(channel, HUB_E_INVALID, "there is no interpreter of this language");
    } else if (context_find(hub->contexts, name) != NULL) {
        hub_refuse(channel, HUB_E_EXISTS, "there is such a context already");
    } else if (hub->contexts->n >= MAX_CONTEXTS) {
        hub_refuse(channel, HUB_E_BUSY, "there are as many contexts as may be");
    } else {
        start_begin(hub, channel, name, &runtime, env);
    }
}

/* With an interpreter, when that is dead. */
static void
context_leave(struct context *context)
{
    if (context->driver != NULL) {
        driver_kill(context->driver);
        return;
    }
    context_step_advance(context);
    context->ending = hub_done(context->ending);
    context_remove(context);
}

void
context_on_end(struct hub *hub, struct sbx_channel *channel, const json_t *request)
{
    static const char *const known[] = { "op", "name", NULL };
    static const struct sbx_channel_events events = { 0 };
    struct sbx_field_error err;
    struct context *context = NULL;
    const char *name = name_read(request, "name", &err);

    if (name == NULL || !sbx_json_only(request, "", known, &err)) {
        hub_refuse(channel, HUB_E_INVALID, err.message);
        return;
    }
    context = context_find(hub->contexts, name);
    if (context == NULL) {
        hub_refuse(channel, HUB_E_NOT_FOUND, "there is no such context");
    } else if (context->is_leaving) {
        hub_refuse(channel, HUB_E_BUSY, "the context is being ended");
    } else if (context->driver == NULL && context->step == NULL) {
        hub_done(channel);
        context_remove(context);
    } else {
        context->is_leaving = true;
        context->ending = channel;
        sbx_channel_accept(channel, &events, context);
        context_leave(context);
    }
}

int
contexts_new(struct contexts **ret, struct hub *hub)
{
    struct contexts *contexts = calloc(1, sizeof(*contexts));

    if (contexts == NULL) {
        return -ENOMEM;
    }
    contexts->hub = hub;
    *ret = contexts;
    return 0;
}

struct contexts *
contexts_free(struct contexts *contexts)
{
    if (contexts == NULL) {
        return NULL;
    }
    while (contexts->list != NULL) {
        context_remove(contexts->list);
    }
    free(contexts);
    return NULL;
}
