/* Named interpreters of a session: asked for when their first step comes, ended when somebody asks or the session ends. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/session_inside.h"
#include "executor/log.h"
#include "executor/runtime/session_reply.h"

#define CONTEXT_OPEN_MAX (1u << 20)

static void
context_free(struct session_context *context)
{
    list_remove(&context->link);
    sbx_channel_reset(context->channel);
    free(context);
}

void
session_contexts_free(struct session *session)
{
    struct list *it, *after;

    list_each (it, after, &session->contexts) {
        context_free(list_entry(it, struct session_context, link));
    }
    session->n_contexts = 0;
}

struct session_context *
session_context_find(const struct session *session, const char *name)
{
    for (struct list *it = session->contexts.next; it != &session->contexts; it = it->next) {
        struct session_context *context = list_entry(it, struct session_context, link);

        if (strcmp(context->name, name) == 0 && (!context->ending || context->wanted)) {
            return context;
        }
    }
    return NULL;
}

/* One of this name that the agent has not forgotten yet: the next waits for that. */
static struct session_context *
context_find_ending(const struct session *session, const char *name)
{
    for (struct list *it = session->contexts.next; it != &session->contexts; it = it->next) {
        struct session_context *context = list_entry(it, struct session_context, link);

        if (strcmp(context->name, name) == 0 && context->ending) {
            return context;
        }
    }
    return NULL;
}

const char *
session_context_state_name(enum session_context_state state)
{
    switch (state) {
    case CONTEXT_STARTING:
        return "starting";
    case CONTEXT_READY:
        return "ready";
    case CONTEXT_BUSY:
        return "busy";
    case CONTEXT_CRASHED:
        return "crashed";
    }
    return "crashed";
}

void
session_context_set_state(struct session_context *context, enum session_context_state state)
{
    context->state = state;
}

static int
context_new(struct session_context **ret, struct session *session, const char *name, const char *language)
{
    struct session_context *context = context_find_ending(session, name);

    if (context != NULL) {
        context->wanted = true;
        context->up = false; /* who is up is the one that ends: no step of the next is for it */
        context->language = language;
        context->restarts = 0;
        context->state = CONTEXT_STARTING;
        *ret = context;
        return 0;
    }
    if (session->n_contexts >= SESSION_MAX_CONTEXTS) {
        return CONTEXT_E_FULL;
    }
    context = calloc(1, sizeof(*context));
    if (context == NULL) {
        return -ENOMEM;
    }
    context->session = session;
    (void)snprintf(context->name, sizeof(context->name), "%s", name); /* the caller checked it */
    context->language = language;
    context->state = CONTEXT_STARTING;
    list_append(&session->contexts, &context->link);
    session->n_contexts++;
    *ret = context;
    return 0;
}

int
session_context_get(struct session_context **ret, struct session *session, const char *name,
                    const char *language)
{
    struct session_context *context = session_context_find(session, name);

    if (context == NULL) {
        return context_new(ret, session, name, language == NULL ? session->record.language : language);
    }
    if (language != NULL && strcmp(language, context->language) != 0) {
        return CONTEXT_E_LANGUAGE;
    }
    *ret = context;
    return 0;
}

static void
context_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct session_context *context = arg;
    struct session *session = context->session;
    struct session_reply reply;

    context->channel = NULL;
    if (rc) {
        return; /* the session ends, and with it this */
    }
    rc = session_reply_end(&reply, json, len);
    if (rc) {
        session_nonsense(session, "the agent gave no proper answer about an interpreter");
        return;
    }
    context->up = reply.ok;
    context->state = reply.ok ? CONTEXT_READY : CONTEXT_CRASHED;
    if (!reply.ok) {
        log_warn("session.context_failed", LOG_STR("session", session->record.id.text),
                 LOG_STR("context", context->name), LOG_STR("error", reply.error),
                 LOG_STR("message", reply.message));
    }
    step_context_ready(session, context,
                       reply.ok                   ? NULL
                       : reply.message[0] != '\0' ? reply.message
                                                  : "the interpreter could not be started");
}

/* An interpreter has nothing to say but that it is up: other notes and output are nonsense that does no harm. */
static void
context_on_data(void *arg, unsigned stream _unused_, const char *data _unused_, size_t len)
{
    struct session_context *context = arg;

    sbx_channel_consumed(context->channel, len);
}

static void
context_write_open(struct sbx_buf *out, const struct session_context *context)
{
    const struct session *session = context->session;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "context");
    sbx_jsonw_str(&w, "name", context->name);
    sbx_jsonw_str(&w, "language", context->language);
    sbx_jsonw_object(&w, "env");
    for (unsigned i = 0; i < session->n_env; i++) {
        sbx_jsonw_str(&w, session->env[i].name, session->env[i].value);
    }
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object_end(&w);
}

int
session_context_start(struct session_context *context)
{
    static const struct sbx_channel_events events = { .on_data = context_on_data, .on_end = context_on_end };
    _cleanup_(sbx_buf_deinit) struct sbx_buf open = SBX_BUF_INIT(CONTEXT_OPEN_MAX);
    struct sbx_mux *mux = session_mux(context->session);

    if (context->ending) {
        return 0; /* it follows that */
    }
    assert(context->channel == NULL && !context->up);
    if (mux == NULL) {
        return SBX_MUX_E_LOST;
    }
    context_write_open(&open, context);
    if (open.failed) {
        return -ENOMEM;
    }
    context->state = CONTEXT_STARTING;
    return sbx_channel_open(&context->channel, mux, open.data, open.len, &events, context);
}

int
session_context_add(struct session *session, const char *name, const char *language)
{
    struct session_context *context;
    int r;

    if (session_context_find(session, name) != NULL) {
        return SESSION_CONTEXT_E_EXISTS;
    }
    r = context_new(&context, session, name, language);
    if (r) {
        return r == CONTEXT_E_FULL ? SESSION_CONTEXT_E_FULL : r;
    }
    r = session_context_start(context);
    if (r) {
        context->state = CONTEXT_CRASHED; /* its first step tries again */
    }
    session_touch(session);
    return 0;
}

/* The agent has forgotten it, or never knew it: the name is free. */
static void
context_on_gone(void *arg, int rc, const char *json _unused_, size_t len _unused_)
{
    struct session_context *context = arg;
    struct session *session = context->session;

    context->channel = NULL;
    if (rc) {
        return; /* the session ends, and with it this */
    }
    context->ending = false;
    context->up = false;
    if (!context->wanted) {
        session->n_contexts--;
        context_free(context);
        return;
    }
    context->wanted = false;
    if (session_context_start(context) != 0) {
        context->state = CONTEXT_CRASHED;
        step_context_ready(session, context, "the interpreter could not be asked for");
    }
}

static int
context_say_end(struct session_context *context)
{
    static const struct sbx_channel_events events = { .on_data = context_on_data, .on_end = context_on_gone };
    _cleanup_(sbx_buf_deinit) struct sbx_buf open = SBX_BUF_INIT(512);
    struct sbx_mux *mux = session_mux(context->session);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &open);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "context_end");
    sbx_jsonw_str(&w, "name", context->name);
    sbx_jsonw_object_end(&w);
    if (mux == NULL || open.failed) {
        return -ENOMEM;
    }
    context->channel = sbx_channel_reset(context->channel); /* its start is not waited for any more */
    return sbx_channel_open(&context->channel, mux, open.data, open.len, &events, context);
}

int
session_context_remove(struct session_context *context)
{
    int r;

    if (session_context_is_used(context)) {
        return SESSION_CONTEXT_E_BUSY;
    }
    session_touch(context->session);
    if (context->ending) {
        context->wanted = false;
        return 0;
    }
    r = context_say_end(context);
    context->ending = r == 0;
    return r;
}
