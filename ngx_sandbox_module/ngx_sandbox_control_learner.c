/*
 *   beat -> lease -> ask -> answer -> take in -> ask ...
 *                     ^---- pause <---- failure
 *
 * A first set, and one after a reset, is gathered until it is whole and then put in place of what was there: readers never see half of it.
 */

#include "ngx_sandbox_control_learner.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_time.h"

#define NGX_SANDBOX_CONTROL_PAUSE_MIN 100
#define NGX_SANDBOX_CONTROL_PAUSE_MAX 2000
/* An executor that answers at once that nothing is new is asked no faster than this. */
#define NGX_SANDBOX_CONTROL_PACE_MS 50
/* What an answer may take beyond the wait. */
#define NGX_SANDBOX_CONTROL_GRACE_MS 5000
/* Between trials whether there is room by now. */
#define NGX_SANDBOX_CONTROL_RENEW_MS 10000
#define NGX_SANDBOX_CONTROL_URI "/v1/gateway/changes?after=%uL&instance=%s&wait=%Mms"

static void ngx_sandbox_control_learner_ask(ngx_sandbox_control_learner_t *learner);

static void
ngx_sandbox_control_learner_drop_set(ngx_sandbox_control_learner_t *learner)
{
    ngx_uint_t i;

    for (i = 0; i < learner->n_set; i++) {
        learner->set[i] = ngx_sandbox_feed_free(learner->set[i]);
    }
    ngx_free(learner->set);
    learner->set = NULL;
    learner->n_set = 0;
    learner->set_allocated = 0;
    learner->set_size = 0;
}

/* Whoever learns now, this worker does not. */
static void
ngx_sandbox_control_learner_rest(ngx_sandbox_control_learner_t *learner)
{
    if (learner->fetch != NULL) {
        ngx_sandbox_fetch_cancel(learner->fetch);
        learner->fetch = NULL;
    }
    if (learner->ask.timer_set) {
        ngx_del_timer(&learner->ask);
    }
    ngx_sandbox_control_learner_drop_set(learner);
    learner->holds = 0;
    learner->renew = 0;
    learner->pause = 0;
}

static void
ngx_sandbox_control_learner_ask_in(ngx_sandbox_control_learner_t *learner, ngx_msec_t delay)
{
    ngx_add_timer(&learner->ask, delay);
}

/* With jitter: gateways that lost one executor together do not come back together. */
static void
ngx_sandbox_control_learner_fail(ngx_sandbox_control_learner_t *learner, const char *why, const char *detail)
{
    ngx_msec_t pause;

    ngx_sandbox_control_zone_failed(learner->zone);
    ngx_sandbox_control_learner_drop_set(learner);

    if (learner->why == NULL || ngx_strcmp(learner->why, why) != 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "event=control.failed reason=%s detail=\"%s\"", why, detail);
        learner->why = why;
    }

    pause = learner->pause == 0 ? NGX_SANDBOX_CONTROL_PAUSE_MIN
                                : ngx_min(learner->pause * 2, NGX_SANDBOX_CONTROL_PAUSE_MAX);
    learner->pause = pause;
    ngx_sandbox_control_learner_ask_in(learner, pause / 2 + (ngx_msec_t) ngx_random() % (pause / 2 + 1));
}

static void
ngx_sandbox_control_learner_answered(ngx_sandbox_control_learner_t *learner)
{
    ngx_sandbox_control_zone_answered(learner->zone);
    learner->pause = 0;

    if (learner->why != NULL) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "event=control.answered after failures");
        learner->why = NULL;
    }
}

/* Keeps an answer until its set is whole. What no zone could hold is not waited for in memory either. */
static ngx_int_t
ngx_sandbox_control_learner_keep(ngx_sandbox_control_learner_t *learner, struct ngx_sandbox_feed *feed)
{
    struct ngx_sandbox_feed **set;
    ngx_uint_t i, n;

    for (i = 0; i < feed->n_changes; i++) {
        if (feed->change[i].doc == NULL) {
            continue;
        }
        if (learner->set_size > learner->zone->size) {
            /* There will be no room for it: it is marked as one that cannot be read. */
            ngx_free(feed->change[i].doc);
            feed->change[i].doc = NULL;
            (void) ngx_snprintf((u_char *) feed->change[i].why.message, sizeof(feed->change[i].why.message) - 1,
                                "there is no room for it%Z");
            continue;
        }
        learner->set_size += sbx_policy_doc_size(feed->change[i].doc);
    }

    if (learner->n_set == learner->set_allocated) {
        n = learner->set_allocated == 0 ? 16 : learner->set_allocated * 2;
        set = ngx_alloc(n * sizeof(struct ngx_sandbox_feed *), ngx_cycle->log);
        if (set == NULL) {
            return NGX_ERROR;
        }
        if (learner->n_set != 0) {
            ngx_memcpy(set, learner->set, learner->n_set * sizeof(struct ngx_sandbox_feed *));
        }
        ngx_free(learner->set);
        learner->set = set;
        learner->set_allocated = n;
    }
    learner->set[learner->n_set++] = feed;

    return NGX_OK;
}

static void
ngx_sandbox_control_learner_tell(const struct ngx_sandbox_feed *feed)
{
    const struct ngx_sandbox_change *change;
    ngx_uint_t i;

    for (i = 0; i < feed->n_changes; i++) {
        change = &feed->change[i];
        if (change->kind == NGX_SANDBOX_POLICY_SET && change->doc == NULL) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "event=control.unreadable tenant=%s policy=%s version=%uD at=\"%s\" reason=\"%s\"",
                          change->tenant, change->id, change->version, change->why.field, change->why.message);
        }
    }
}

/* NGX_OK, NGX_ABORT: no room for some; NGX_DECLINED: the lease is gone; NGX_ERROR: out of memory. Takes the feed. */
static ngx_int_t
ngx_sandbox_control_learner_take(ngx_sandbox_control_learner_t *learner, struct ngx_sandbox_feed *feed)
{
    ngx_flag_t complete = feed->complete;
    ngx_int_t rc;

    ngx_sandbox_control_learner_tell(feed);

    if (!learner->whole) {
        rc = ngx_sandbox_control_zone_apply(learner->zone, feed);
        (void) ngx_sandbox_feed_free(feed); /* NULL */
        return rc;
    }

    if (ngx_sandbox_control_learner_keep(learner, feed) != NGX_OK) {
        (void) ngx_sandbox_feed_free(feed); /* NULL */
        return NGX_ERROR;
    }
    if (!complete) {
        return NGX_OK;
    }

    rc = ngx_sandbox_control_zone_replace(learner->zone, learner->set, learner->n_set);
    ngx_sandbox_control_learner_drop_set(learner);
    learner->renew = 0;
    learner->lacking = ngx_current_msec;

    return rc;
}

static void
ngx_sandbox_control_learner_on_feed(ngx_sandbox_control_learner_t *learner, struct ngx_sandbox_feed *feed)
{
    ngx_flag_t idle = feed->n_changes == 0 && ngx_current_msec - learner->asked < NGX_SANDBOX_CONTROL_PACE_MS;
    ngx_int_t rc;

    ngx_sandbox_control_learner_answered(learner);

    if (feed->reset) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "event=control.reset_asked the executors' feed began anew");
        (void) ngx_sandbox_feed_free(feed); /* NULL */
        ngx_sandbox_control_learner_drop_set(learner);
        /* One that says so to whoever begins would be asked without end. */
        if (learner->whole && learner->after == 0) {
            ngx_sandbox_control_learner_fail(learner, "reset", "to a beginning");
            return;
        }
        learner->renew = 1;
        ngx_sandbox_control_learner_ask(learner);
        return;
    }

    rc = ngx_sandbox_control_learner_take(learner, feed);
    if (rc == NGX_ERROR) {
        ngx_sandbox_control_learner_fail(learner, "memory", "");
        return;
    }
    if (rc == NGX_DECLINED) {
        /* The next beat settles who learns. */
        ngx_sandbox_control_learner_rest(learner);
        return;
    }

    if (idle) {
        ngx_sandbox_control_learner_ask_in(learner, NGX_SANDBOX_CONTROL_PACE_MS);
    } else {
        ngx_sandbox_control_learner_ask(learner);
    }
}

static void
ngx_sandbox_control_learner_done(void *data, ngx_uint_t status, ngx_str_t *body, const char *why)
{
    ngx_sandbox_control_learner_t *learner = data;
    struct ngx_sandbox_feed *feed = NULL;
    struct sbx_field_error err;
    char text[32];
    int rc;

    learner->fetch = NULL;

    if (ngx_exiting || ngx_terminate) {
        ngx_sandbox_control_learner_stop(learner);
        return;
    }

    if (status == 0) {
        ngx_sandbox_control_learner_fail(learner, why, "");
        return;
    }
    if (status != 200) {
        *ngx_snprintf((u_char *) text, sizeof(text) - 1, "status %ui", status) = '\0';
        ngx_sandbox_control_learner_fail(learner, "status", text);
        return;
    }

    ngx_memzero(&err, sizeof(err));
    rc = ngx_sandbox_feed_read(&feed, (char *) body->data, body->len, learner->after, &err);
    if (rc != 0) {
        ngx_sandbox_control_learner_fail(learner, rc < 0 ? "memory" : "answer", err.message);
        return;
    }

    ngx_sandbox_control_learner_on_feed(learner, feed);
}

/* "Sandbox-Context: ..." of the gateway itself, for nobody's request. */
static ngx_int_t
ngx_sandbox_control_learner_context(ngx_sandbox_control_learner_t *learner, struct sbx_buf *out)
{
    struct sbx_context context;
    u_char id[16];

    ngx_memzero(&context, sizeof(context));
    if (sbx_random(id, sizeof(id)) != 0 || sbx_traceparent_child(context.traceparent, NULL, 0) != 0) {
        return NGX_ERROR;
    }

    *ngx_hex_dump((u_char *) context.request_id, id, sizeof(id)) = '\0';
    ngx_memcpy(context.tenant, "-", sizeof("-"));
    ngx_memcpy(context.subject, "gateway", sizeof("gateway"));
    ngx_memcpy(context.policy_id, "none", sizeof("none"));
    context.gateway = true;
    context.issued_ms = sbx_now_unix_ms();

    sbx_buf_puts(out, SBX_CONTEXT_HEADER ": ");
    if (sbx_context_sign(out, &context, learner->key->data, learner->key->len) != 0) {
        return NGX_ERROR;
    }
    sbx_buf_puts(out, "\r\nAccept: application/json\r\n");

    return out->failed ? NGX_ERROR : NGX_OK;
}

/* Where to go on: behind the answers of a set under way, at its beginning, or behind what the zone has. */
static void
ngx_sandbox_control_learner_place(ngx_sandbox_control_learner_t *learner,
    char instance[NGX_SANDBOX_FEED_INSTANCE + 1])
{
    if (learner->n_set != 0) {
        learner->after = learner->set[learner->n_set - 1]->revision;
        ngx_memcpy(instance, learner->set[0]->instance, NGX_SANDBOX_FEED_INSTANCE + 1);
        return;
    }

    if (ngx_sandbox_control_zone_lacks(learner->zone)
        && ngx_current_msec - learner->lacking >= NGX_SANDBOX_CONTROL_RENEW_MS)
    {
        learner->renew = 1;
    }

    learner->whole = learner->renew || !ngx_sandbox_control_zone_heard(learner->zone);
    if (learner->whole) {
        learner->after = 0;
        instance[0] = '\0';
        return;
    }

    ngx_sandbox_control_zone_place(learner->zone, &learner->after, instance);
}

static void
ngx_sandbox_control_learner_ask(ngx_sandbox_control_learner_t *learner)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf headers = SBX_BUF_INIT(SBX_CONTEXT_MAX + 256);
    char instance[NGX_SANDBOX_FEED_INSTANCE + 1];
    ngx_sandbox_fetch_spec_t spec;
    ngx_msec_t wait;
    u_char uri[160];

    ngx_sandbox_control_learner_place(learner, instance);

    /* A first set is wanted now, and an executor with nothing in it would wait for something. */
    wait = learner->whole ? 0 : learner->wait;
    if (ngx_sandbox_control_zone_lacks(learner->zone)) {
        wait = ngx_min(wait, NGX_SANDBOX_CONTROL_RENEW_MS);
    }

    ngx_memzero(&spec, sizeof(spec));
    spec.uri.data = uri;
    spec.uri.len = (size_t) (ngx_snprintf(uri, sizeof(uri), NGX_SANDBOX_CONTROL_URI, learner->after, instance, wait)
                             - uri);
    spec.max_body = NGX_SANDBOX_FEED_BODY_MAX;
    spec.timeout = wait + NGX_SANDBOX_CONTROL_GRACE_MS;
    spec.done = ngx_sandbox_control_learner_done;
    spec.data = learner;
    spec.log = ngx_cycle->log;
    spec.background = 1;

    if (ngx_sandbox_control_learner_context(learner, &headers) == NGX_OK) {
        spec.headers.data = (u_char *) headers.data;
        spec.headers.len = headers.len;
        learner->asked = ngx_current_msec;
        learner->fetch = ngx_sandbox_fetch_start(learner->target, &spec);
    }
    if (learner->fetch == NULL) {
        ngx_sandbox_control_learner_fail(learner, "memory", "");
    }
}

static void
ngx_sandbox_control_learner_ask_handler(ngx_event_t *ev)
{
    ngx_sandbox_control_learner_ask(ev->data);
}

static void
ngx_sandbox_control_learner_beat_handler(ngx_event_t *ev)
{
    ngx_sandbox_control_learner_t *learner = ev->data;
    ngx_flag_t holds;

    if (ngx_exiting || ngx_terminate) {
        ngx_sandbox_control_learner_stop(learner);
        return;
    }

    holds = ngx_sandbox_control_zone_lease(learner->zone);

    if (!holds && learner->holds) {
        /* It was silent for too long, and another one took over. */
        ngx_sandbox_control_learner_rest(learner);
    } else if (holds && (!learner->holds || (learner->fetch == NULL && !learner->ask.timer_set))) {
        learner->holds = 1;
        ngx_sandbox_control_learner_ask(learner);
    }

    ngx_add_timer(ev, NGX_SANDBOX_CONTROL_BEAT_MS);
}

void
ngx_sandbox_control_learner_start(ngx_sandbox_control_learner_t *learner, ngx_log_t *log)
{
    learner->ask.handler = ngx_sandbox_control_learner_ask_handler;
    learner->ask.data = learner;
    learner->ask.log = log;
    learner->ask.cancelable = 1;

    learner->beat.handler = ngx_sandbox_control_learner_beat_handler;
    learner->beat.data = learner;
    learner->beat.log = log;
    /* A leaving worker does not wait for it. */
    learner->beat.cancelable = 1;
    ngx_add_timer(&learner->beat, 1);
}

void
ngx_sandbox_control_learner_stop(ngx_sandbox_control_learner_t *learner)
{
    if (learner->beat.data == NULL) {
        return;
    }

    ngx_sandbox_control_learner_rest(learner);
    ngx_sandbox_control_zone_yield(learner->zone);
    if (learner->beat.timer_set) {
        ngx_del_timer(&learner->beat);
    }
    learner->beat.data = NULL;
}
