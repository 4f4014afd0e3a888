/* The identity context: what survives the way, and every forgery that must not. */
#include "lib/sbx_context.h"

#include "lib/sbx_crypto.h"
#include "t/unit/tap.h"

#define NOW 1767323045678u

static const char key[] = "0123456789abcdef0123456789abcdef";
static const char other_key[] = "0123456789abcdef0123456789abcdeg";

static struct sbx_context
example(void)
{
    struct sbx_context context = {
        .request_id = "req_01",
        .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        .tenant = "acme",
        .app = "shop",
        .agent = "",
        .subject = "user 42 <a@b>",
        .token_id = "",
        .scopes = "jobs:read jobs:write",
        .client = "2001:db8::1%eth0",
        .policy_id = "default",
        .policy_version = UINT32_MAX,
        .policy_revision = 1ull << 40,
        .tool = "run_code",
        .bypass = false,
        .has_limits = true,
        .isolation = SBX_ISOLATION_GVISOR,
        .min_isolation = SBX_ISOLATION_PROCESS,
        .max_artifacts = 64,
        .max_artifact_bytes = 1 << 24,
        .max_wait_ms = 60000,
        .tenant_concurrency = 5,
        .max_sessions = 16,
        .ttl_ms = 1800000,
        .max_ttl_ms = 86400000,
        .idle_ms = 600000,
        .max_idle_ms = 86400001,
        .step_timeout_ms = 30000,
        .max_step_timeout_ms = 600000,
        .max_lifetime_ms = 86400002,
        .max_upload_bytes = 1ull << 31,
        .max_stored_bytes = 10ull << 30,
        .retention_records_ms = 604800000,
        .retention_artifacts_ms = 2592000000,
        .retention_audit_ms = 31536000000,
        .budget_cpu_ms = { 3600000, 1800000, 60000 },
        .issued_ms = NOW,
    };
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        context.limits.value[i] = sbx_limit_ceiling((enum sbx_limit)i);
    }
    return context;
}

static char *
sign(const struct sbx_context *context)
{
    struct sbx_buf buf = SBX_BUF_INIT(SBX_CONTEXT_MAX);

    if (sbx_context_sign(&buf, context, key, strlen(key)) != 0) {
        BAIL_OUT("cannot sign");
    }
    return sbx_buf_take(&buf, NULL);
}

static int
verify_with(struct sbx_context *ret, const char *with_key, const char *value, size_t len, uint64_t now)
{
    struct sbx_context_verifier *verifier;
    int r, again;

    if (sbx_context_verifier_new(&verifier, with_key, strlen(with_key)) != 0) {
        BAIL_OUT("no verifier");
    }
    r = sbx_context_verify(ret, verifier, value, len, now);
    again = sbx_context_verify(ret, verifier, value, len, now);
    sbx_context_verifier_free(verifier);
    return r == again ? r : -EDEADLK; /* the second time it may know the first part */
}

static int
verify(const char *value, size_t len)
{
    struct sbx_context context;

    return verify_with(&context, key, value, len, NOW);
}

/* Signs any payload, as one who holds the key could. */
static void
sign_payload(struct sbx_buf *buf, const char *json)
{
    uint8_t mac[SBX_SHA256_LEN];

    sbx_buf_puts(buf, "v1.");
    sbx_b64url_encode(buf, json, strlen(json));
    if (sbx_hmac_sha256(key, strlen(key), buf->data, buf->len, mac) != 0) {
        BAIL_OUT("no MAC");
    }
    sbx_buf_putc(buf, '.');
    sbx_b64url_encode(buf, mac, sizeof(mac));
}

static int
verify_payload(const char *json)
{
    struct sbx_buf buf = SBX_BUF_INIT(2 * SBX_CONTEXT_MAX);
    int r;

    sign_payload(&buf, json);
    r = verify(buf.data, buf.len);
    sbx_buf_deinit(&buf);
    return r;
}

static void
test_round_trip(void)
{
    struct sbx_context context = example(), got, blank;
    char *value = sign(&context);

    memset(&got, 0xff, sizeof(got));
    is_int(verify_with(&got, key, value, strlen(value), NOW), 0, "what was signed verifies");
    is_str(got.tenant, "acme", "tenant");
    is_str(got.agent, "", "no agent");
    is_str(got.subject, "user 42 <a@b>", "subject");
    is_str(got.scopes, "jobs:read jobs:write", "scopes");
    is_str(got.client, "2001:db8::1%eth0", "client");
    is_uint(got.policy_version, UINT32_MAX, "policy version");
    ok(got.has_limits && memcmp(&got.limits, &context.limits, sizeof(got.limits)) == 0, "limits");
    is_str(sbx_isolation_name(got.isolation), "gvisor", "isolation");
    is_str(sbx_isolation_name(got.min_isolation), "process", "and its minimum");
    is_uint(got.max_artifact_bytes, 1 << 24, "artifact bytes");
    is_uint(got.tenant_concurrency, 5, "concurrency");
    is_uint(got.max_sessions, 16, "sessions");
    ok(got.ttl_ms == 1800000 && got.max_ttl_ms == 86400000, "ttl and its maximum");
    ok(got.idle_ms == 600000 && got.max_idle_ms == 86400001, "idle timeout and its maximum");
    ok(got.step_timeout_ms == 30000 && got.max_step_timeout_ms == 600000, "step timeout and its maximum");
    is_uint(got.max_lifetime_ms, 86400002, "lifetime");
    is_uint(got.max_upload_bytes, 1ull << 31, "upload bytes, more than 32 bits");
    is_uint(got.max_stored_bytes, 10ull << 30, "stored bytes");
    ok(got.retention_records_ms == 604800000 && got.retention_artifacts_ms == 2592000000, "retention");
    is_uint(got.retention_audit_ms, 31536000000, "and of the audit");
    is_uint(got.policy_revision, 1ull << 40, "revision");
    is_str(got.tool, "run_code", "tool");
    ok(got.budget_cpu_ms[SBX_SCOPE_TENANT] == 3600000 && got.budget_cpu_ms[SBX_SCOPE_APP] == 1800000 &&
           got.budget_cpu_ms[SBX_SCOPE_AGENT] == 60000,
       "budgets");
    ok(!got.bypass, "no bypass");
    ok(!got.gateway, "a client's, not the gateway's own");
    free(value);

    context.has_limits = false;
    context.bypass = true;
    context.isolation = SBX_ISOLATION_NONE;
    context.min_isolation = SBX_ISOLATION_NONE;
    value = sign(&context);
    is_int(verify_with(&got, key, value, strlen(value), NOW), 0, "without limits");
    memset(&blank, 0, sizeof(blank));
    ok(!got.has_limits && memcmp(&got.limits, &blank.limits, sizeof(got.limits)) == 0, "there are none");
    ok(got.bypass, "a bypass is told");
    ok(got.isolation == SBX_ISOLATION_NONE && got.min_isolation == SBX_ISOLATION_NONE, "no tier is demanded");
    free(value);
}

static void
test_keys(void)
{
    struct sbx_context context = example(), got;
    struct sbx_buf buf = SBX_BUF_INIT(SBX_CONTEXT_MAX), small = SBX_BUF_INIT(100);
    char *value = sign(&context);
    size_t len = strlen(value);
    struct sbx_context_verifier *none = NULL;

    is_int(verify_with(&got, other_key, value, len, NOW), SBX_CONTEXT_E_MAC, "another key");
    is_int(sbx_context_verifier_new(&none, key, 31), -EINVAL, "a short key verifies nothing");
    is_int(sbx_context_sign(&buf, &context, key, 31), -EINVAL, "and signs nothing");
    is_int(sbx_context_sign(&buf, &context, key, 0), -EINVAL, "nor does an empty one");
    is_uint(buf.len, 0, "not a byte");
    is_int(sbx_context_sign(&small, &context, key, strlen(key)), -ENOMEM, "a full buffer is an error");
    sbx_buf_deinit(&buf);
    sbx_buf_deinit(&small);
    free(value);
}

static void
test_time(void)
{
    struct sbx_context context = example(), got;
    char *value = sign(&context);
    size_t len = strlen(value);
    static const struct {
        int64_t offset;
        int expected;
        const char *name;
    } cases[] = {
        { 0, 0, "at once" },
        { SBX_CONTEXT_LIFE_MS, 0, "in the last millisecond of its life" },
        { SBX_CONTEXT_LIFE_MS + 1, SBX_CONTEXT_E_TIME, "a millisecond later" },
        { 365ll * 86400 * 1000, SBX_CONTEXT_E_TIME, "a year later" },
        { -(int64_t)SBX_CONTEXT_SKEW_MS, 0, "clocks apart by what is allowed" },
        { -(int64_t)SBX_CONTEXT_SKEW_MS - 1, SBX_CONTEXT_E_TIME, "and by more" },
        { -(int64_t)NOW, SBX_CONTEXT_E_TIME, "at the epoch" },
    };
    size_t i;

    for (i = 0; i < SBX_COUNT(cases); i++) {
        is_int(verify_with(&got, key, value, len, NOW + (uint64_t)cases[i].offset), cases[i].expected, "%s",
               cases[i].name);
    }
    free(value);
}

/* One byte off, anywhere, and it is refused; so is every prefix of it. */
static void
test_tampered(void)
{
    struct sbx_context context = example();
    char *value = sign(&context), *copy;
    size_t len = strlen(value), i, accepted = 0;
    unsigned bit;

    for (i = 0; i < len; i++) {
        for (bit = 0; bit < 8; bit++) {
            value[i] = (char)(value[i] ^ (1 << bit));
            accepted += verify(value, len) == 0;
            value[i] = (char)(value[i] ^ (1 << bit));
        }
    }
    is_uint(accepted, 0, "no flipped bit is accepted");

    for (i = 0, accepted = 0; i < len; i++) {
        copy = malloc(i + 1); /* exact, so that a read past it is caught */
        if (copy != NULL) {
            memcpy(copy, value, i);
            accepted += verify(copy, i) == 0;
        }
        free(copy);
    }
    is_uint(accepted, 0, "no prefix is accepted");
    is_int(verify(value, len), 0, "the whole is");
    free(value);
}

static void
test_forms(void)
{
    static const char *const bad[] = {
        "",
        "v1",
        "v1.",
        "v1..",
        "v2.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "V1.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v1.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v1.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v1.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "v1.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
        " v1.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v1.e30 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    };
    struct sbx_context context = example();
    char *value, *longer;
    size_t i;

    for (i = 0; i < SBX_COUNT(bad); i++) {
        is_int(verify(bad[i], strlen(bad[i])), SBX_CONTEXT_E_FORM, "not the form: case %zu", i);
    }
    is_int(verify("v1.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 50), SBX_CONTEXT_E_MAC,
           "the form, but not our MAC");

    value = sign(&context);
    longer = malloc(SBX_CONTEXT_MAX + 1);
    if (longer == NULL) {
        BAIL_OUT("out of memory");
    }
    memset(longer, 'A', SBX_CONTEXT_MAX + 1);
    memcpy(longer, value, strlen(value));
    is_int(verify(longer, SBX_CONTEXT_MAX + 1), SBX_CONTEXT_E_FORM, "too long");
    free(longer);
    free(value);
}

#define HEAD "\"rid\":\"r\",\"trace\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\","
#define SESSIONS                                                                                             \
    "\"sessions\":16,\"ttl_ms\":1,\"ttl_max\":2,\"idle_ms\":1,\"idle_max\":2,\"step_ms\":1,\"step_max\":2,"  \
    "\"life_ms\":3,\"up_bytes\":4,\"art_total\":5,\"keep_rec\":6,\"keep_art\":7,\"keep_audit\":8,"           \
    "\"tool\":\"\",\"policy_r\":0,\"cpu_tenant\":0,\"cpu_app\":0,\"cpu_agent\":0,"
#define BODY                                                                                                 \
    "\"app\":\"\",\"agent\":\"\",\"sub\":\"s\",\"jti\":\"\",\"scopes\":\"\",\"client\":\"127.0.0.1\","       \
    "\"policy\":\"p\",\"policy_v\":1,\"artifacts\":1,\"art_bytes\":1,\"wait_ms\":1,\"concurrency\":"         \
    "0," SESSIONS
#define TAIL "\"tenant\":\"t\",\"bypass\":false,\"iat\":1767323045678"

/* Even with the key, only the exact set of members of the exact types is a context. */
static void
test_payloads(void)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "not json",
        "{" HEAD BODY TAIL ",}",
        "{" HEAD BODY TAIL "}x",
        "{" HEAD BODY TAIL ",\"extra\":1}",
        "{" HEAD BODY TAIL ",\"tenant\":\"u\"}",
        "{" HEAD BODY "\"bypass\":false,\"iat\":1767323045678}",
        "{" HEAD TAIL "}",
        "{" BODY TAIL "}",
        "{" HEAD BODY "\"tenant\":\"\",\"bypass\":false,\"iat\":1767323045678}",
        "{" HEAD BODY "\"tenant\":null,\"bypass\":false,\"iat\":1767323045678}",
        "{" HEAD BODY "\"tenant\":7,\"bypass\":false,\"iat\":1767323045678}",
        "{" HEAD BODY "\"tenant\":\"a b\",\"bypass\":false,\"iat\":1767323045678}",
        "{" HEAD BODY "\"tenant\":\"a/../b\",\"bypass\":false,\"iat\":1767323045678}",
        "{" HEAD BODY "\"tenant\":\"t\\n\",\"bypass\":false,\"iat\":1767323045678}",
        "{" HEAD BODY "\"tenant\":\"\xc3\xa4\",\"bypass\":false,\"iat\":1767323045678}",
        "{" HEAD BODY "\"tenant\":\"ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt\","
        "\"bypass\":false,\"iat\":1767323045678}",
        "{" HEAD BODY "\"tenant\":\"t\",\"bypass\":0,\"iat\":1767323045678}",
        "{" HEAD BODY "\"tenant\":\"t\",\"bypass\":false,\"iat\":-1}",
        "{" HEAD BODY "\"tenant\":\"t\",\"bypass\":false,\"iat\":1.5}",
        "{" HEAD BODY "\"tenant\":\"t\",\"bypass\":false,\"iat\":\"1767323045678\"}",
        "{" HEAD BODY TAIL ",\"sessions\":1}",
        "{" HEAD BODY TAIL ",\"gateway\":false}",
        "{" HEAD BODY TAIL ",\"gateway\":1}",
        "{" HEAD BODY TAIL ",\"gateway\":null}",
        "{" HEAD BODY TAIL ",\"iso\":\"vm\"}",
        "{" HEAD BODY TAIL ",\"iso\":\"\"}",
        "{" HEAD BODY TAIL ",\"iso\":null}",
        "{" HEAD BODY TAIL ",\"iso\":2}",
        "{" HEAD BODY TAIL ",\"iso_min\":\"gvisor \"}",
        "{" HEAD BODY TAIL ",\"iso_min\":null}",
        "{" HEAD BODY TAIL ",\"iso_min\":[\"gvisor\"]}",
        "{" HEAD BODY TAIL ",\"iso_min\":\"gvisor\",\"iso_min\":\"process\"}",
        "{" HEAD BODY TAIL ",\"limits\":null}",
        "{" HEAD BODY TAIL ",\"limits\":{}}",
        "{" HEAD BODY TAIL ",\"limits\":1}",
        "{" HEAD BODY TAIL ",\"limits\":{\"memory\":\"64Mi\"}}",
        "{" HEAD BODY TAIL ",\"limits\":{\"cpu\":\"1000m\",\"cpu_time_ms\":1000,\"memory_bytes\":1,"
        "\"disk_bytes\":65536,\"processes\":1,\"time_ms\":1000,\"output_bytes\":1}}",
    };
    size_t i;

    is_int(verify_payload("{" HEAD BODY TAIL "}"), 0, "the smallest context");
    is_int(verify_payload("{" HEAD BODY TAIL ",\"limits\":{\"cpu\":\"1000m\",\"cpu_time_ms\":1000,"
                          "\"memory_bytes\":67108864,\"disk_bytes\":65536,\"processes\":1,\"time_ms\":1000,"
                          "\"output_bytes\":1}}"),
           0, "and one with limits");
    is_int(verify_payload("{" HEAD BODY TAIL ",\"iso\":\"process\",\"iso_min\":\"gvisor\"}"), 0,
           "and one with tiers");
    is_int(verify_payload("{" HEAD BODY TAIL ",\"gateway\":true}"), 0, "and the gateway's own");
    for (i = 0; i < SBX_COUNT(bad); i++) {
        is_int(verify_payload(bad[i]), SBX_CONTEXT_E_FORM, "a signed payload that is none: case %zu", i);
    }
}

/* Each number: absent, below zero, a fraction, text, and past what its member holds. */
static void
test_numbers(void)
{
    static const char *const small[] = { "policy_v", "artifacts", "concurrency", "sessions" };
    static const char *const large[] = { "art_bytes",  "wait_ms",  "ttl_ms",   "ttl_max",    "idle_ms",
                                         "idle_max",   "step_ms",  "step_max", "life_ms",    "up_bytes",
                                         "art_total",  "keep_rec", "keep_art", "keep_audit", "policy_r",
                                         "cpu_tenant", "cpu_app",  "cpu_agent" };
    static const char *const values[] = {
        "null", "-1", "1.0", "\"1\"", "true", "9223372036854775808", "[1]"
    };
    json_t *whole, *value;
    struct sbx_field_error err;
    char *text;
    size_t i, k;

    for (i = 0; i < SBX_COUNT(small) + SBX_COUNT(large); i++) {
        const char *name = i < SBX_COUNT(small) ? small[i] : large[i - SBX_COUNT(small)];
        char json[2048], member[64];
        unsigned accepted = 0;

        if (sbx_json_parse(&whole, "{" HEAD BODY TAIL "}", strlen("{" HEAD BODY TAIL "}"), &err) != 0) {
            BAIL_OUT("the smallest context is no JSON");
        }
        value = json_incref(json_object_get(whole, name));
        ok(value != NULL && json_object_del(whole, name) == 0, "%s is a member", name);
        json_decref(value);
        text = json_dumps(whole, JSON_COMPACT);
        accepted += verify_payload(text) == 0;
        for (k = 0; k < SBX_COUNT(values); k++) {
            (void)snprintf(json, sizeof(json), "{\"%s\":%s,%s", name, values[k], text + 1);
            accepted += verify_payload(json) == 0;
        }
        is_uint(accepted, 0, "%s: absent or wrong is refused", name);
        (void)snprintf(member, sizeof(member), "{\"%s\":4294967296,", name);
        (void)snprintf(json, sizeof(json), "%s%s", member, text + 1);
        is_int(verify_payload(json), i < SBX_COUNT(small) ? SBX_CONTEXT_E_FORM : 0, "%s: its width", name);
        free(text);
        json_decref(whole);
    }
}

/* What the signer says of a context: it verifies, and says the same members as one that was signed alone. */
static bool
signs_alike(struct sbx_context_signer *signer, const struct sbx_context *context)
{
    struct sbx_buf kept = SBX_BUF_INIT(SBX_CONTEXT_MAX);
    char *alone = sign(context);
    struct sbx_context got;
    bool same;

    same = sbx_context_signer_sign(signer, &kept, context) == 0 && strcmp(kept.data, alone) == 0 &&
           verify_with(&got, key, kept.data, kept.len, NOW) == 0 &&
           strcmp(got.tenant, context->tenant) == 0 && strcmp(got.scopes, context->scopes) == 0 &&
           strcmp(got.request_id, context->request_id) == 0 && got.bypass == context->bypass &&
           got.gateway == context->gateway && got.max_wait_ms == context->max_wait_ms &&
           got.budget_cpu_ms[SBX_SCOPE_AGENT] == context->budget_cpu_ms[SBX_SCOPE_AGENT];
    sbx_buf_deinit(&kept);
    free(alone);
    return same;
}

/* Nothing of one context stands in another's, whatever was signed before it. */
static void
test_signer(void)
{
    struct sbx_context context = example(), other;
    struct sbx_context_signer *signer = NULL;
    struct sbx_buf buf = SBX_BUF_INIT(SBX_CONTEXT_MAX), small = SBX_BUF_INIT(1200);
    unsigned i, wrong = 0;

    is_int(sbx_context_signer_new(&signer, key, 31), -EINVAL, "a short key makes no signer");
    is_int(sbx_context_signer_new(&signer, key, strlen(key)), 0, "a signer");
    ok(signs_alike(signer, &context) && signs_alike(signer, &context), "a context, again and again");

    other = context;
    (void)snprintf(other.app, sizeof(other.app), "%s", "sho");
    (void)snprintf(other.agent, sizeof(other.agent), "%s", "p");
    ok(signs_alike(signer, &other) && signs_alike(signer, &context),
       "names that are cut elsewhere are others");
    other = context;
    memset(other.tenant + 5, 'x', sizeof(other.tenant) - 5);
    ok(signs_alike(signer, &other), "what stands behind a name's end is none of it");
    other = context;
    other.bypass = true;
    ok(signs_alike(signer, &other) && signs_alike(signer, &context), "a bypass");
    other.gateway = true;
    ok(signs_alike(signer, &other) && signs_alike(signer, &context), "the gateway's own");
    other = context;
    other.budget_cpu_ms[SBX_SCOPE_AGENT]--;
    ok(signs_alike(signer, &other) && signs_alike(signer, &context), "the last of the numbers");
    other = context;
    other.has_limits = false;
    other.issued_ms++;
    ok(signs_alike(signer, &other) && signs_alike(signer, &context), "what a request has of its own");

    for (i = 0; i < 3000; i++) {
        (void)snprintf(context.tenant, sizeof(context.tenant), "t%u", i % 300);
        (void)snprintf(context.scopes, sizeof(context.scopes), "%.*s", (int)(i % 29),
                       "jobs:read jobs:write files:read");
        (void)snprintf(context.request_id, sizeof(context.request_id), "req_%u", i);
        context.max_wait_ms = i % 7;
        wrong += !signs_alike(signer, &context);
    }
    is_uint(wrong, 0, "more identities than it keeps");

    other = context;
    memset(other.subject, 's', sizeof(other.subject));
    is_int(sbx_context_signer_sign(signer, &buf, &other), -EINVAL, "a subject without its NUL");
    other = context;
    memcpy(other.scopes, "a\"b", 4);
    is_int(sbx_context_signer_sign(signer, &buf, &other), -EINVAL, "a quote in the scopes");
    is_int(sbx_context_signer_sign(signer, &buf, &other), -EINVAL, "which is not kept");
    other = context;
    other.max_wait_ms = UINT64_MAX;
    is_int(sbx_context_signer_sign(signer, &buf, &other), -EINVAL, "a number that JSON cannot carry");
    other = context;
    memcpy(other.request_id, "a b", 4);
    is_int(sbx_context_signer_sign(signer, &buf, &other), -EINVAL,
           "an id that is none, under a head that is kept");
    is_int(sbx_context_signer_sign(signer, &small, &context), -ENOMEM, "a full buffer is an error");
    ok(signs_alike(signer, &context), "and nothing of that lasts");
    sbx_buf_deinit(&buf);
    sbx_buf_deinit(&small);
    ok(sbx_context_signer_free(signer) == NULL && sbx_context_signer_free(NULL) == NULL, "free takes NULL");
}

/* Whether a verifier that has seen other headers says of this one what a new one says. */
static bool
reads_alike(struct sbx_context_verifier *kept, const char *value, size_t len, int *ret)
{
    struct sbx_buf one = SBX_BUF_INIT(SBX_CONTEXT_MAX), other = SBX_BUF_INIT(SBX_CONTEXT_MAX);
    struct sbx_context_verifier *fresh;
    struct sbx_context of_kept, of_fresh;
    bool same;

    if (sbx_context_verifier_new(&fresh, key, strlen(key)) != 0) {
        BAIL_OUT("no verifier");
    }
    *ret = sbx_context_verify(&of_kept, kept, value, len, NOW);
    same = *ret == sbx_context_verify(&of_fresh, fresh, value, len, NOW);
    if (same && *ret == 0) {
        same = sbx_context_sign(&one, &of_kept, key, strlen(key)) == 0 &&
               sbx_context_sign(&other, &of_fresh, key, strlen(key)) == 0 &&
               strcmp(one.data, other.data) == 0;
    }
    sbx_context_verifier_free(fresh);
    sbx_buf_deinit(&one);
    sbx_buf_deinit(&other);
    return same;
}

static int
payload_alike(struct sbx_context_verifier *kept, const char *json)
{
    struct sbx_buf buf = SBX_BUF_INIT(2 * SBX_CONTEXT_MAX);
    int r;

    sign_payload(&buf, json);
    r = reads_alike(kept, buf.data, buf.len, &r) ? r : -EDEADLK;
    sbx_buf_deinit(&buf);
    return r;
}

static int
context_alike(struct sbx_context_verifier *kept, const struct sbx_context *context)
{
    char *value = sign(context);
    int r;

    r = reads_alike(kept, value, strlen(value), &r) ? r : -EDEADLK;
    free(value);
    return r;
}

/* What requests of one token have in common, as the signer writes it, and what such a one has of its own. */
#define KNOWN_FIRST                                                                                          \
    "\"tenant\":\"t\",\"app\":\"\",\"agent\":\"\",\"sub\":\"s\",\"jti\":\"\",\"scopes\":\"x\",\"policy\":"   \
    "\"p\",\"policy_v\":"                                                                                    \
    "1,\"policy_r\":2,\"artifacts\":1,\"art_bytes\":1,\"wait_ms\":1,\"concurrency\":1,\"sessions\":1,\"ttl_" \
    "ms\":1,"                                                                                                \
    "\"ttl_max\":1,\"idle_ms\":1,\"idle_max\":1,\"step_ms\":1,\"step_max\":1,\"life_ms\":1,\"up_bytes\":1,"  \
    "\"art_total\":1,\"keep_rec\":1,\"keep_art\":1,\"keep_audit\":1,\"cpu_tenant\":1,\"cpu_app\":1,\"cpu_"   \
    "agent\":1"
#define KNOWN_OWN                                                                                            \
    "\"rid\":\"r\",\"trace\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\"client\":\"::"    \
    "1\","                                                                                                   \
    "\"tool\":\"\",\"iat\":1767323045678"

/* The first part, filled up so that the second one begins a group of base64. */
static const char *
known_payload(const char *more_first, const char *own)
{
    static char json[4096];
    int len = snprintf(json, sizeof(json), "{" KNOWN_FIRST "%s,", more_first);

    (void)snprintf(json + len, sizeof(json) - (size_t)len, "%*s%s}", (3 - len % 3) % 3, "", own);
    return json;
}

/* Under a first part that is known, a second one that would be refused beside an unknown one is refused as well. */
static void
test_known_refused(struct sbx_context_verifier *kept)
{
    static const char *const own[] = {
        "\"rid\":\"r\"",
        KNOWN_OWN ",\"tenant\":\"other\"",
        KNOWN_OWN ",\"tenant\":\"t\"",
        KNOWN_OWN ",\"bypass\":true",
        KNOWN_OWN ",\"bypass\":false",
        KNOWN_OWN ",\"gateway\":true",
        KNOWN_OWN ",\"policy_v\":2",
        KNOWN_OWN ",\"scopes\":\"admin\"",
        KNOWN_OWN ",\"what\":1",
        KNOWN_OWN ",\"rid\":\"s\"",
        KNOWN_OWN ",\"iso\":\"process\",\"iso\":\"process\"",
        KNOWN_OWN ",",
        KNOWN_OWN "}",
        KNOWN_OWN "}{",
        KNOWN_OWN ",\"limits\":{}",
        KNOWN_OWN ",\"limits\":{\"tenant\":\"other\"}",
        "\"rid\":\"a b\"",
        "\"rid\":7",
        "\"rid\":",
    };
    const char *bypass = ",\"bypass\":false";

    is_int(payload_alike(kept, known_payload(bypass, KNOWN_OWN)), 0, "a context in two parts");
    is_int(payload_alike(kept, known_payload(bypass, KNOWN_OWN ",\"iso\":\"gvisor\"")), 0,
           "another one with the same first part");
    for (size_t i = 0; i < SBX_COUNT(own); i++) {
        is_int(payload_alike(kept, known_payload(bypass, own[i])), SBX_CONTEXT_E_FORM,
               "a second part that is none: case %zu", i);
    }
    is_int(payload_alike(kept, known_payload("", KNOWN_OWN ",\"bypass\":true")), 0,
           "a member of the first part that stands in the second");
    is_int(payload_alike(kept, known_payload("", KNOWN_OWN ",\"bypass\":false")), 0,
           "is of that header alone");
    is_int(payload_alike(kept, known_payload(",\"bypass\":false,\"iso\":\"gvisor\"", KNOWN_OWN)), 0,
           "and one of the second in the first");
    is_int(payload_alike(
               kept, known_payload(",\"bypass\":false,\"iso\":\"gvisor\"", KNOWN_OWN ",\"iso\":\"process\"")),
           SBX_CONTEXT_E_FORM, "which is not said twice");
}

/* Two that are known, and what is made of pieces of both. */
static void
test_known_spliced(struct sbx_context_verifier *kept)
{
    struct sbx_context context = example(), other = example();
    char *value, *foreign, *made;
    size_t at, wrong = 0;
    int r;

    memcpy(other.tenant, "evil", 5);
    (void)snprintf(other.request_id, sizeof(other.request_id), "req_02");
    value = sign(&context);
    foreign = sign(&other);
    ok(strlen(value) == strlen(foreign), "two that differ in one name and an id");
    ok(reads_alike(kept, value, strlen(value), &r) && r == 0 &&
           reads_alike(kept, foreign, strlen(foreign), &r) && r == 0,
       "both are read");
    for (at = 4; at < strlen(value); at++) {
        made = strdup(value);
        memcpy(made + at, foreign + at, strlen(foreign) - at);
        wrong += strcmp(made, value) != 0 && strcmp(made, foreign) != 0 &&
                 !(reads_alike(kept, made, strlen(made), &r) && r == SBX_CONTEXT_E_MAC);
        memcpy(made, foreign, strlen(foreign));
        memcpy(made + at, value + at, strlen(value) - at);
        wrong += strcmp(made, value) != 0 && strcmp(made, foreign) != 0 &&
                 !(reads_alike(kept, made, strlen(made), &r) && r == SBX_CONTEXT_E_MAC);
        made[at] = (char)(made[at] == 'A' ? 'B' : 'A');
        wrong += strcmp(made, value) != 0 && reads_alike(kept, made, strlen(made), &r) && r == 0;
        free(made);
    }
    is_uint(wrong, 0, "no piece of one stands in the other's place");
    for (at = 0; at < strlen(value); at++) {
        wrong += !(reads_alike(kept, value, at, &r) && r != 0);
    }
    is_uint(wrong, 0, "nor does a beginning alone");
    free(value);
    free(foreign);
}

static void
test_known(void)
{
    struct sbx_context context = example(), got;
    struct sbx_context_verifier *kept;
    unsigned i, wrong = 0;
    char *value;

    if (sbx_context_verifier_new(&kept, key, strlen(key)) != 0) {
        BAIL_OUT("no verifier");
    }
    test_known_refused(kept);
    test_known_spliced(kept);

    value = sign(&context);
    is_int(sbx_context_verify(&got, kept, value, strlen(value), NOW + SBX_CONTEXT_LIFE_MS), 0,
           "one that is known");
    is_int(sbx_context_verify(&got, kept, value, strlen(value), NOW + SBX_CONTEXT_LIFE_MS + 1),
           SBX_CONTEXT_E_TIME, "ends with its own time");
    free(value);
    context.has_limits = false;
    context.isolation = SBX_ISOLATION_NONE;
    value = sign(&context);
    ok(sbx_context_verify(&got, kept, value, strlen(value), NOW) == 0 && !got.has_limits &&
           got.isolation == SBX_ISOLATION_NONE && got.min_isolation == SBX_ISOLATION_PROCESS,
       "what one request has of its own is not the next one's");
    free(value);

    for (i = 0; i < 3000; i++) {
        (void)snprintf(context.tenant, sizeof(context.tenant), "t%u", i % 300);
        (void)snprintf(context.scopes, sizeof(context.scopes), "%.*s", (int)(i % 29),
                       "jobs:read jobs:write files:read");
        (void)snprintf(context.request_id, sizeof(context.request_id), "req_%u", i);
        context.bypass = i % 5 == 0;
        context.has_limits = i % 3 == 0;
        context.max_wait_ms = i % 7;
        wrong += context_alike(kept, &context) != 0;
    }
    is_uint(wrong, 0, "more identities than it keeps");
    ok(sbx_context_verifier_free(kept) == NULL && sbx_context_verifier_free(NULL) == NULL, "free takes NULL");
}

static int
sign_result(const struct sbx_context *context)
{
    struct sbx_buf buf = SBX_BUF_INIT(SBX_CONTEXT_MAX);
    int r = sbx_context_sign(&buf, context, key, strlen(key));

    sbx_buf_deinit(&buf);
    return r;
}

static void
test_unsignable(void)
{
    struct sbx_context context = example();

    context.tenant[0] = '\0';
    is_int(sign_result(&context), -EINVAL, "no tenant");
    context = example();
    memset(context.tenant, 'a', sizeof(context.tenant));
    is_int(sign_result(&context), -EINVAL, "a tenant without its NUL");
    context = example();
    memcpy(context.subject, "a\"b", 4);
    is_int(sign_result(&context), -EINVAL, "a quote in the subject");
    context = example();
    memcpy(context.subject, "a\nb", 4);
    is_int(sign_result(&context), -EINVAL, "a newline in the subject");
    context = example();
    context.traceparent[0] = '\0';
    is_int(sign_result(&context), -EINVAL, "no traceparent");
    context = example();
    context.limits.value[SBX_LIMIT_TIME] = 0;
    is_int(sign_result(&context), -EINVAL, "limits with a hole");
    context = example();
    context.limits.value[SBX_LIMIT_MEMORY]++;
    is_int(sign_result(&context), -EINVAL, "a limit past the ceiling");
    context = example();
    context.min_isolation = SBX_N_ISOLATIONS;
    is_int(sign_result(&context), -EINVAL, "a minimum that is no tier");
    context = example();
    context.isolation = (enum sbx_isolation) - 1;
    is_int(sign_result(&context), -EINVAL, "a tier that is none");
    context = example();
    context.max_artifact_bytes = UINT64_MAX;
    is_int(sign_result(&context), -EINVAL, "a size that JSON cannot carry");

    context = example();
    memset(context.subject, 's', SBX_SUBJECT_MAX);
    memset(context.token_id, 'j', SBX_SUBJECT_MAX);
    memset(context.scopes, 'c', SBX_SCOPES_MAX);
    memset(context.app, 'a', SBX_NAME_MAX);
    memset(context.request_id, 'r', SBX_NAME_MAX);
    memset(context.tool, 't', SBX_NAME_MAX);
    memset(context.client, '1', sizeof(context.client) - 1);
    is_int(sign_result(&context), 0, "the longest texts fit");
}

static void
test_names_and_traces(void)
{
    static const char *const bad[] = {
        "",
        "00",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
    };
    static const char good[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    char child[56], second[56];
    size_t i;

    for (i = 0; i < SBX_COUNT(bad); i++) {
        ok(!sbx_traceparent_valid(bad[i], strlen(bad[i])), "no traceparent: case %zu", i);
    }
    ok(sbx_traceparent_valid(good, strlen(good)), "a traceparent");
    is_int(sbx_traceparent_child(child, good, strlen(good)), 0, "its child");
    ok(sbx_traceparent_valid(child, strlen(child)) && memcmp(child, good, 36) == 0, "is of the same trace");
    ok(memcmp(child + 36, good + 36, 16) != 0, "with a parent of its own");
    is_str(child + 53, "00", "and the same flags");
    is_int(sbx_traceparent_child(child, "junk", 4) | sbx_traceparent_child(second, NULL, 0), 0,
           "without a parent");
    ok(sbx_traceparent_valid(child, 55) && sbx_traceparent_valid(second, 55) &&
           memcmp(child, second, 35) != 0,
       "each begins a trace of its own");
    is_str(child + 53, "01", "that is sampled");

    ok(sbx_name_valid("a.B-9_", 6) && !sbx_name_valid("", 0) && !sbx_name_valid("a b", 3) &&
           !sbx_name_valid("a\0", 2) && !sbx_name_valid("a/b", 3) && !sbx_name_valid("\xc3\xa4", 2),
       "names");
}

int
main(void)
{
    test_round_trip();
    test_keys();
    test_time();
    test_tampered();
    test_forms();
    test_payloads();
    test_numbers();
    test_signer();
    test_known();
    test_unsignable();
    test_names_and_traces();
    return done_testing();
}
