/* Owns a set of a URL while it is used: the lease, the fetch, what came of it, and requests that wait for it. */
#include "ngx_http_sandbox_jwks_state.h"
#include "ngx_http_sandbox.h"

#include "ngx_sandbox_elapsed.h"
#include "ngx_sandbox_jwk.h"
#include "ngx_sandbox_refresh.h"

#include <signal.h>


#define NGX_HTTP_SANDBOX_JWKS_TICK  500  /* how soon a worker sees that a fetch is due, or that who fetched is dead */
#define NGX_HTTP_SANDBOX_JWKS_POLL  20   /* how soon a held request sees that another worker's fetch is over */
#define NGX_HTTP_SANDBOX_JWKS_HELD_MAX  1024 /* for one issuer in one worker */


typedef struct {
    ngx_http_sandbox_jwks_t *jwks;
    ngx_msec_t deadline;
    ngx_atomic_uint_t generation; /* that its token was tried with */
    ngx_atomic_uint_t started;    /* a fetch with a greater number began after the request came */
    unsigned counted:1;
} ngx_http_sandbox_jwks_hold_t;


static void ngx_http_sandbox_jwks_timer(ngx_event_t *ev);
static void ngx_http_sandbox_jwks_done(void *data, ngx_uint_t status, ngx_str_t *body, const char *why);
static void ngx_http_sandbox_jwks_held(ngx_http_request_t *r);


static ngx_flag_t
ngx_http_sandbox_jwks_is_past(ngx_msec_t when)
{
    return (ngx_msec_int_t) (ngx_current_msec - when) >= 0;
}


void
ngx_http_sandbox_jwks_start(ngx_http_sandbox_jwks_t *jwks, ngx_cycle_t *cycle)
{
    jwks->timer.handler = ngx_http_sandbox_jwks_timer;
    jwks->timer.data = jwks;
    jwks->timer.log = cycle->log;
    jwks->timer.cancelable = 1;
    ngx_add_timer(&jwks->timer, 1);
}


static void
ngx_http_sandbox_jwks_timer(ngx_event_t *ev)
{
    ngx_http_sandbox_jwks_t *jwks = ev->data;

    if (ngx_exiting || ngx_terminate || ngx_quit) {
        return;
    }
    if (ngx_http_sandbox_jwks_lease(jwks, 0)) {
        ngx_http_sandbox_jwks_fetch(jwks);
    }
    ngx_add_timer(ev, NGX_HTTP_SANDBOX_JWKS_TICK);
}


/* Whether somebody is fetching. A worker that was killed is not. */
static ngx_flag_t
ngx_http_sandbox_jwks_is_leased(ngx_http_sandbox_jwks_shared_t *shared)
{
    return shared->lease_pid != 0 && !ngx_http_sandbox_jwks_is_past(shared->lease_until)
           && (kill(shared->lease_pid, 0) == 0 || ngx_errno != NGX_ESRCH);
}


ngx_flag_t
ngx_http_sandbox_jwks_lease(ngx_http_sandbox_jwks_t *jwks, ngx_flag_t is_early)
{
    ngx_http_sandbox_jwks_shared_t *shared = jwks->shared;
    ngx_flag_t is_ours = 0;

    /* Asked of all workers twice a second: the lock only when there may be something to do. */
    if (jwks->fetch != NULL || !ngx_http_sandbox_jwks_is_past(is_early ? shared->early : shared->next)) {
        return 0;
    }
    ngx_shmtx_lock(&jwks->shpool->mutex);
    if (ngx_http_sandbox_jwks_is_past(is_early ? shared->early : shared->next)
        && !ngx_http_sandbox_jwks_is_leased(shared))
    {
        shared->lease_pid = ngx_pid;
        shared->lease_until = ngx_current_msec + jwks->timeout + 1000;
        if (is_early) {
            shared->early = ngx_current_msec + jwks->cooldown;
        }
        jwks->fetch_number = ++shared->started;
        jwks->fetch_is_early = is_early;
        is_ours = 1;
    }
    ngx_shmtx_unlock(&jwks->shpool->mutex);
    return is_ours;
}


/*
 * Gives the lease back. `delay` until the next refresh; 0: when it was to be anyway. A worker that leaves has ended nothing, so that
 * another goes on at once.
 */
static void
ngx_http_sandbox_jwks_release(ngx_http_sandbox_jwks_t *jwks, ngx_flag_t is_over, uint64_t delay)
{
    ngx_http_sandbox_jwks_shared_t *shared = jwks->shared;

    ngx_shmtx_lock(&jwks->shpool->mutex);
    if (shared->lease_pid == ngx_pid && shared->started == jwks->fetch_number) {
        shared->lease_pid = 0;
        if (is_over) {
            shared->next = delay == 0 ? shared->next : ngx_current_msec + (ngx_msec_t) delay;
            shared->ended = jwks->fetch_number;
        }
    }
    ngx_shmtx_unlock(&jwks->shpool->mutex);
}


static void
ngx_http_sandbox_jwks_fail(ngx_http_sandbox_jwks_t *jwks, ngx_uint_t status, const char *why)
{
    ngx_http_sandbox_jwks_shared_t *shared = jwks->shared;
    uint64_t delay = 0;

    (void) ngx_atomic_fetch_add(&shared->failed, 1); /* the old value is nothing to us */
    /* An early one was a client's wish, and has its own bound. */
    if (!jwks->fetch_is_early) {
        shared->failures++; /* only by who has the lease */
        delay = ngx_sandbox_backoff((unsigned) ngx_min(shared->failures, 64), (uint32_t) ngx_random());
    }
    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "event=jwks.failed issuer=\"%V\" status=%ui why=\"%s\" failures=%ui next_ms=%uL keys=%s",
                  &jwks->issuer, status, why, shared->failures, delay, shared->generation == 0 ? "none" : "kept");
    ngx_http_sandbox_jwks_release(jwks, 1, delay);
}


void
ngx_http_sandbox_jwks_fetch(ngx_http_sandbox_jwks_t *jwks)
{
    ngx_sandbox_fetch_spec_t spec;

    ngx_memzero(&spec, sizeof(ngx_sandbox_fetch_spec_t));
    ngx_str_set(&spec.headers, "Accept: application/jwk-set+json, application/json\r\n");
    spec.max_body = NGX_HTTP_SANDBOX_JWKS_TEXT_MAX;
    spec.timeout = jwks->timeout;
    spec.done = ngx_http_sandbox_jwks_done;
    spec.data = jwks;
    spec.log = ngx_cycle->log;
    spec.background = 1;
    jwks->fetch = ngx_sandbox_fetch_start(jwks->target, &spec);
    if (jwks->fetch == NULL) {
        ngx_http_sandbox_jwks_fail(jwks, 0, "start");
    }
}


/* The keys of a text, NULL with a reason. Secrets are not taken: what is at a URL is read by others. */
static struct ngx_sandbox_keys *
ngx_http_sandbox_jwks_parse(u_char *text, size_t len, struct sbx_field_error *err)
{
    struct ngx_sandbox_keys *keys;
    ngx_uint_t i;

    ngx_memzero(err, sizeof(struct sbx_field_error));
    if (ngx_sandbox_keys_new(&keys) != 0) {
        sbx_field_error_set(err, "", "there is no memory");
        return NULL;
    }
    if (ngx_sandbox_jwk_load(keys, (const char *) text, len, err) != 0) {
        return ngx_sandbox_keys_free(keys);
    }
    for (i = 0; i < keys->n; i++) {
        if (keys->key[i].type == NGX_SANDBOX_KEY_SECRET) {
            sbx_field_error_set(err, "/keys", "there is a secret in a public set");
            return ngx_sandbox_keys_free(keys);
        }
    }
    return keys;
}


/* Makes a text that was parsed the one in force. */
static void
ngx_http_sandbox_jwks_publish(ngx_http_sandbox_jwks_t *jwks, ngx_str_t *body, ngx_uint_t n_keys)
{
    ngx_http_sandbox_jwks_shared_t *shared = jwks->shared;
    ngx_uint_t now = shared->generation & 1, other = !now;
    ngx_flag_t is_new;

    ngx_shmtx_lock(&jwks->shpool->mutex);
    is_new = shared->generation == 0 || shared->len[now] != body->len
             || ngx_memcmp(shared->text[now], body->data, body->len) != 0;
    shared->confirmed = ngx_current_msec;
    if (is_new) {
        ngx_memcpy(shared->text[other], body->data, body->len);
        shared->len[other] = body->len;
        ngx_memory_barrier();
        shared->generation++;
    }
    shared->failures = 0;
    ngx_shmtx_unlock(&jwks->shpool->mutex);
    (void) ngx_atomic_fetch_add(&shared->fetched, 1); /* the old value is nothing to us */

    if (is_new) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "event=jwks.changed issuer=\"%V\" keys=%ui", &jwks->issuer,
                      n_keys);
    }
}


static void
ngx_http_sandbox_jwks_done(void *data, ngx_uint_t status, ngx_str_t *body, const char *why)
{
    ngx_http_sandbox_jwks_t *jwks = data;
    struct ngx_sandbox_keys *keys;
    struct sbx_field_error err;
    uint64_t delay;

    if (status == 0 && ngx_strcmp(why, "leaving") == 0) {
        jwks->fetch = NULL;
        ngx_http_sandbox_jwks_release(jwks, 0, 0);
        return;
    }
    if (status != NGX_HTTP_OK) {
        jwks->fetch = NULL;
        ngx_http_sandbox_jwks_fail(jwks, status, status == 0 ? why : "status");
        return;
    }
    delay = ngx_sandbox_refresh_after(ngx_sandbox_fetch_field(jwks->fetch, "cache-control"), jwks->refresh);
    jwks->fetch = NULL;

    keys = ngx_http_sandbox_jwks_parse(body->data, body->len, &err);
    if (keys == NULL) {
        /* Pointer and words are ours: they quote no byte of the set. */
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "event=jwks.refused issuer=\"%V\" field=\"%s\" why=\"%s\"",
                      &jwks->issuer, err.field, err.message);
        ngx_http_sandbox_jwks_fail(jwks, status, "set");
        return;
    }
    ngx_http_sandbox_jwks_publish(jwks, body, keys->n);
    (void) ngx_sandbox_keys_free(keys); /* always NULL */
    /* Gateways that were started together do not go on asking together. */
    ngx_http_sandbox_jwks_release(jwks, 1, delay - (uint64_t) ngx_random() % (delay / 10 + 1));
}


/* This worker's keys become those of the generation in force. */
static void
ngx_http_sandbox_jwks_load(ngx_http_sandbox_jwks_t *jwks)
{
    ngx_http_sandbox_jwks_shared_t *shared = jwks->shared;
    struct sbx_sha256 *state = NULL;
    struct sbx_field_error err;
    u_char *text;
    size_t len;
    int rc;

    jwks->keys = ngx_sandbox_keys_free(jwks->keys);
    text = ngx_alloc(NGX_HTTP_SANDBOX_JWKS_TEXT_MAX, ngx_cycle->log);
    if (text == NULL) {
        return;
    }
    ngx_shmtx_lock(&jwks->shpool->mutex);
    jwks->generation = shared->generation;
    len = shared->len[jwks->generation & 1];
    ngx_memcpy(text, shared->text[jwks->generation & 1], len);
    ngx_shmtx_unlock(&jwks->shpool->mutex);

    jwks->keys = ngx_http_sandbox_jwks_parse(text, len, &err);
    ngx_free(text);
    rc = jwks->keys == NULL ? -1 : sbx_sha256_new(&state);
    if (rc == 0) {
        rc = ngx_sandbox_keys_digest(jwks->keys, state);
    }
    if (rc == 0) {
        rc = sbx_sha256_final(state, jwks->digest);
    }
    (void) sbx_sha256_free(state); /* always NULL */
    if (rc != 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "event=jwks.lost issuer=\"%V\": the set could not be read again",
                      &jwks->issuer);
        jwks->keys = ngx_sandbox_keys_free(jwks->keys);
    }
}


ngx_flag_t
ngx_http_sandbox_jwks_sync(ngx_http_sandbox_jwks_t *jwks)
{
    ngx_http_sandbox_jwks_shared_t *shared = jwks->shared;
    ngx_flag_t is_new, is_usable;

    is_new = shared->generation != jwks->generation;
    if (is_new) {
        ngx_http_sandbox_jwks_load(jwks);
    }
    is_usable = jwks->keys != NULL && ngx_sandbox_elapsed(ngx_current_msec, shared->confirmed) <= jwks->stale;
    /* A worker that begins with keys which are too old says so as well. */
    if (!is_usable && (jwks->usable || (is_new && jwks->keys != NULL))) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "event=jwks.stale issuer=\"%V\": its keys hold no longer",
                      &jwks->issuer);
    }
    is_new = is_new || is_usable != jwks->usable;
    jwks->usable = is_usable;
    return is_new;
}


const struct ngx_sandbox_keys *
ngx_http_sandbox_jwks_keys(ngx_http_sandbox_jwks_t *jwks)
{
    return jwks->usable ? jwks->keys : NULL;
}


int
ngx_http_sandbox_jwks_digest(ngx_http_sandbox_jwks_t *jwks, struct sbx_sha256 *state)
{
    return jwks->usable ? sbx_sha256_update(state, jwks->digest, SBX_SHA256_LEN) : sbx_sha256_update(state, "none", 5);
}


static void
ngx_http_sandbox_jwks_let_go(void *data)
{
    ngx_http_sandbox_jwks_hold_t *hold = data;

    if (hold->counted) {
        hold->counted = 0;
        hold->jwks->n_held--;
    }
}


static ngx_http_sandbox_jwks_hold_t *
ngx_http_sandbox_jwks_hold_of(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;

    for (cln = r->pool->cleanup; cln != NULL; cln = cln->next) {
        if (cln->handler == ngx_http_sandbox_jwks_let_go) {
            return cln->data;
        }
    }
    return NULL;
}


/*
 * Whether waiting on can still change the verdict: until a fetch that began after the request came is over, and no longer
 * than the deadline. Begins one when none is under way and one may be.
 */
static ngx_flag_t
ngx_http_sandbox_jwks_may_help(ngx_http_sandbox_jwks_hold_t *hold)
{
    ngx_http_sandbox_jwks_t *jwks = hold->jwks;
    ngx_http_sandbox_jwks_shared_t *shared = jwks->shared;

    if (shared->ended > hold->started || ngx_http_sandbox_jwks_is_past(hold->deadline)) {
        return 0;
    }
    if (ngx_http_sandbox_jwks_lease(jwks, 1)) {
        ngx_http_sandbox_jwks_fetch(jwks);
    }
    return ngx_http_sandbox_jwks_is_leased(shared) || (ngx_msec_int_t) (hold->deadline - shared->early) > 0;
}


ngx_int_t
ngx_http_sandbox_jwks_hold(ngx_http_request_t *r, ngx_http_sandbox_jwks_t *jwks)
{
    ngx_http_sandbox_jwks_hold_t *hold;
    ngx_pool_cleanup_t *cln;

    if (r != r->main || ngx_exiting) {
        return NGX_DECLINED;
    }
    hold = ngx_http_sandbox_jwks_hold_of(r);
    if (hold == NULL) {
        if (jwks->n_held >= NGX_HTTP_SANDBOX_JWKS_HELD_MAX) {
            return NGX_DECLINED;
        }
        cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_jwks_hold_t));
        if (cln == NULL) {
            return NGX_ERROR;
        }
        hold = cln->data;
        hold->jwks = jwks;
        hold->deadline = ngx_current_msec + jwks->timeout;
        hold->started = jwks->shared->started;
        hold->counted = 1;
        jwks->n_held++;
        cln->handler = ngx_http_sandbox_jwks_let_go;
    }
    hold->generation = jwks->generation;
    if (hold->jwks != jwks || !hold->counted || !ngx_http_sandbox_jwks_may_help(hold)) {
        ngx_http_sandbox_jwks_let_go(hold);
        return NGX_DECLINED;
    }

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_ERROR;
    }
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_sandbox_jwks_held;
    r->connection->write->delayed = 1;
    ngx_add_timer(r->connection->write, NGX_HTTP_SANDBOX_JWKS_POLL);
    return NGX_AGAIN;
}


static void
ngx_http_sandbox_jwks_held(ngx_http_request_t *r)
{
    ngx_event_t *wev = r->connection->write;
    ngx_http_sandbox_jwks_hold_t *hold;

    if (wev->delayed) {
        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        }
        return;
    }
    hold = ngx_http_sandbox_jwks_hold_of(r);
    if (hold != NULL && hold->jwks->shared->generation == hold->generation
        && ngx_http_sandbox_jwks_may_help(hold))
    {
        wev->delayed = 1;
        ngx_add_timer(wev, NGX_HTTP_SANDBOX_JWKS_POLL);
        return;
    }
    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


ngx_uint_t
ngx_http_sandbox_jwks_retry_after(ngx_http_sandbox_jwks_t *jwks)
{
    ngx_msec_int_t next = (ngx_msec_int_t) (jwks->shared->next - ngx_current_msec);
    ngx_msec_int_t early = (ngx_msec_int_t) (jwks->shared->early - ngx_current_msec);

    next = ngx_min(next, early);
    return next <= 0 ? 1 : (ngx_uint_t) (next + 999) / 1000;
}


void
ngx_http_sandbox_jwks_status(ngx_http_sandbox_jwks_t *jwks, ngx_http_sandbox_jwks_status_t *ret)
{
    ret->n_keys = jwks->usable ? jwks->keys->n : 0;
    ret->age_s = jwks->shared->generation == 0 ? 0 : ngx_sandbox_elapsed(ngx_current_msec, jwks->shared->confirmed) / 1000;
    ret->fetched = jwks->shared->fetched;
    ret->failed = jwks->shared->failed;
}
