/* Owns the words of a limit: the 429 with its violation, and the RateLimit fields. */

#include "ngx_http_sandbox_limit_reply.h"

#include "lib/sbx_digits.h"

static ngx_str_t ngx_http_sandbox_limit_limit_name = ngx_string("RateLimit-Limit");
static ngx_str_t ngx_http_sandbox_limit_remaining_name = ngx_string("RateLimit-Remaining");
static ngx_str_t ngx_http_sandbox_limit_reset_name = ngx_string("RateLimit-Reset");
static ngx_str_t ngx_http_sandbox_limit_policy_name = ngx_string("RateLimit-Policy");

static ngx_uint_t
ngx_http_sandbox_limit_seconds(uint64_t ms)
{
    return (ngx_uint_t) (ms / 1000 + (ms % 1000 != 0));
}

ngx_int_t
ngx_http_sandbox_limit_refuse(ngx_http_request_t *r, ngx_http_sandbox_limit_t *limit, int rc)
{
    struct sbx_violation *v = &limit->violation;
    struct sbx_problem problem;
    ngx_uint_t wait;

    limit->refused = 1;
    ngx_memzero(&problem, sizeof(problem));
    problem.violation = v;
    problem.n_violations = 1;

    if (rc == NGX_SANDBOX_QUOTA_E_RATE) {
        wait = ngx_max(ngx_http_sandbox_limit_seconds(limit->verdict.wait_ms), 1);
        problem.code = SBX_PROBLEM_RATE_LIMITED;
        problem.retry_after_s = (unsigned) wait;
        (void) ngx_snprintf((u_char *) v->rule, sizeof(v->rule) - 1, "rates.%s", limit->scope);
        sbx_rate_text(v->limit, sizeof(v->limit), &limit->rate);
        (void) ngx_snprintf((u_char *) v->observed, sizeof(v->observed) - 1, "\"next in %uLms\"",
                            limit->verdict.wait_ms);
        (void) ngx_snprintf((u_char *) v->hint, sizeof(v->hint) - 1, "Try again in %ui s.", wait);

    } else {
        problem.code = SBX_PROBLEM_CONCURRENCY_LIMITED;
        problem.retry_after_s = 1;
        (void) ngx_snprintf((u_char *) v->rule, sizeof(v->rule) - 1, "concurrency.%s", limit->scope);
        (void) ngx_snprintf((u_char *) v->limit, sizeof(v->limit) - 1, "%uD", limit->concurrency);
        (void) ngx_snprintf((u_char *) v->observed, sizeof(v->observed) - 1, "%uL",
                            (uint64_t) limit->verdict.held + 1);
        (void) ngx_snprintf((u_char *) v->hint, sizeof(v->hint) - 1, "Wait until a running request has ended.");
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "event=limit.refuse rule=%s limit=%s observed=%s", v->rule,
                  v->limit, v->observed);

    return ngx_http_sandbox_refuse(r, rc == NGX_SANDBOX_QUOTA_E_RATE ? "rate" : "concurrency", &problem);
}

/* At most SBX_DIGITS_MAX digits. */
static u_char *
ngx_http_sandbox_limit_put_number(u_char *p, uint64_t number)
{
    char digits[SBX_DIGITS_MAX], *at;

    at = sbx_digits_before(digits + SBX_DIGITS_MAX, number);

    return ngx_cpymem(p, at, digits + SBX_DIGITS_MAX - at);
}

/* Writes the number at *p and moves that behind it. */
static ngx_int_t
ngx_http_sandbox_limit_add_number(ngx_http_request_t *r, ngx_str_t *name, uint64_t number, u_char **p)
{
    ngx_str_t value;

    value.data = *p;
    *p = ngx_http_sandbox_limit_put_number(*p, number);
    value.len = (size_t) (*p - value.data);

    return ngx_http_sandbox_add_header(r, name, &value);
}

/*
 * The fields of the IETF's RateLimit draft, of the tightest bucket. Reset counts to the
 * next token rather than to a full bucket: it may not be later than Retry-After, and it
 * is what somebody with none left wants to know.
 */
ngx_int_t
ngx_http_sandbox_limit_add_headers(ngx_http_request_t *r, ngx_http_sandbox_limit_t *limit)
{
    ngx_uint_t burst = ngx_max(limit->rate.burst, 1);
    size_t scope_len = ngx_strlen(limit->scope);
    ngx_str_t value;
    u_char *p;

    p = ngx_pnalloc(r->pool, 5 * NGX_INT64_LEN + sizeof(";w=;comment=\"\"") - 1 + scope_len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_sandbox_limit_add_number(r, &ngx_http_sandbox_limit_limit_name, burst, &p) != NGX_OK
        || ngx_http_sandbox_limit_add_number(r, &ngx_http_sandbox_limit_remaining_name, limit->verdict.remaining,
                                             &p) != NGX_OK
        || ngx_http_sandbox_limit_add_number(r, &ngx_http_sandbox_limit_reset_name,
               ngx_http_sandbox_limit_seconds(limit->verdict.wait_ms), &p) != NGX_OK)
    {
        return NGX_ERROR;
    }

    value.data = p;
    p = ngx_http_sandbox_limit_put_number(p, burst);
    p = ngx_cpymem(p, ";w=", 3);
    p = ngx_http_sandbox_limit_put_number(p, ngx_http_sandbox_limit_seconds(ngx_sandbox_bucket_window(&limit->rate)));
    p = ngx_cpymem(p, ";comment=\"", 10);
    p = ngx_cpymem(p, limit->scope, scope_len);
    *p++ = '"';
    value.len = (size_t) (p - value.data);

    return ngx_http_sandbox_add_header(r, &ngx_http_sandbox_limit_policy_name, &value);
}
