/* Policy documents and requests at random, out of few words, so that documents and requests meet. */
#pragma once

#include "lib/sbx_policy_inside.h"

#include "t/unit/tap.h"

/* xorshift64*: the same documents for the same seed on every machine. */
static uint64_t seed;

static unsigned
below(uint64_t n)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (unsigned)((seed * 0x2545f4914f6cdd1du >> 11) % n);
}

static bool
one_in(unsigned n)
{
    return below(n) == 0;
}

/* Few of each, so that documents and requests meet. */
static const char *const rules[][9] = {
    [SBX_RULE_LANGUAGES] = { "\"python\"", "\"node\"", "\"bash\"", "\"sh\"", "\"ruby\"" },
    [SBX_RULE_TEMPLATES] = { "\"default\"", "\"data\"", "\"big\"" },
    [SBX_RULE_TOOLS] = { "\"run_code\"", "\"status\"", "\"write_files\"" },
    [SBX_RULE_PIP] = { "\"numpy\"", "\"Scipy\"", "{\"name\":\"scipy\",\"versions\":\">=1.2,<2\"}",
                       "{\"name\":\"zope.x\",\"versions\":\"!=1.5\"}",
                       "{\"name\":\"scipy\",\"versions\":\"==3\"}",
                       "{\"name\":\"*\",\"versions\":\"<=1.2.3\"}", "\"*\"" },
    [SBX_RULE_NPM] = { "\"lodash\"", "\"@a/*\"", "\"@a/b\"", "{\"name\":\"@a/*\",\"versions\":\"<2\"}",
                       "{\"name\":\"lodash\",\"versions\":\">1.0.0\"}", "\"*\"" },
    [SBX_RULE_EGRESS] = { "\"a.example.com\"", "\"*.example.com:443\"", "\"*.b.example.com\"", "\"*.com:80\"",
                          "\"10.0.0.1:53\"", "\"example.com\"", "\"*:443\"", "\"*\"" },
    [SBX_RULE_SECRETS] = { "\"TOKEN\"", "\"KEY\"", "\"token\"" },
    [SBX_RULE_SERVICES] = { "80", "\"1-100\"", "\"90-200\"", "\"50-60\"", "8080", "\"1024-65535\"" },
};
static const char *const asks[][8] = {
    [SBX_RULE_PIP] = { "\"numpy\"", "\"scipy==1.4\"", "\"SCIPY==3.0\"", "\"zope-x==1.5.0\"", "\"other==1.0\"",
                       "\"scipy>=1.2\"", "\"zope_x==1.6\"" },
    [SBX_RULE_NPM] = { "\"lodash\"", "\"lodash@1.0.1\"", "\"@a/b@1.9.9\"", "\"@a/c@2.0.0\"", "\"@b/c\"",
                       "\"left@1\"" },
    [SBX_RULE_EGRESS] = { "\"a.example.com:443\"", "\"x.b.example.com:80\"", "\"example.com:443\"",
                          "\"10.0.0.1:53\"", "\"A.example.COM:80\"", "\"other.org:443\"",
                          "\"b.example.com:22\"" },
    [SBX_RULE_SECRETS] = { "\"TOKEN\"", "\"KEY\"", "\"OTHER\"" },
    [SBX_RULE_SERVICES] = { "80", "95", "100", "150", "201", "8080", "65535" },
};

static unsigned
count(const char *const *words, unsigned most)
{
    unsigned n = 0;

    while (n < most && words[n] != NULL) {
        n++;
    }
    return n;
}

/* Some of the words; one in five times twice. */
static void
some_of(struct sbx_buf *out, const char *const *words, unsigned most, unsigned odds)
{
    unsigned i, k, n = 0, words_n = count(words, most);

    sbx_buf_puts(out, "[");
    for (k = one_in(5) ? 2 : 1; k > 0; k--) {
        for (i = 0; i < words_n; i++) {
            if (!one_in(odds)) {
                sbx_buf_printf(out, "%s%s", n++ > 0 ? "," : "", words[i]);
            }
        }
    }
    sbx_buf_puts(out, "]");
}

static void
list(struct sbx_buf *out, const char *key, unsigned kind)
{
    sbx_buf_printf(out, ",\"%s\":", key);
    some_of(out, rules[kind], SBX_COUNT(rules[kind]), below(3) + 2);
}

static void
random_lists(struct sbx_buf *out)
{
    static const char *const keys[] = {
        [SBX_RULE_LANGUAGES] = "languages", [SBX_RULE_TEMPLATES] = "templates", [SBX_RULE_TOOLS] = "tools",
        [SBX_RULE_EGRESS] = "egress",       [SBX_RULE_SECRETS] = "secrets",
    };
    unsigned i, n = 0;

    for (i = 0; i < SBX_COUNT(keys); i++) {
        if (keys[i] != NULL && !one_in(3)) {
            list(out, keys[i], i);
        }
    }
    sbx_buf_puts(out, ",\"dependencies\":{");
    for (i = SBX_RULE_PIP; i <= SBX_RULE_NPM; i++) {
        if (!one_in(3)) {
            sbx_buf_printf(out, "%s\"%s\":", n++ > 0 ? "," : "", i == SBX_RULE_PIP ? "pip" : "npm");
            some_of(out, rules[i], SBX_COUNT(rules[i]), below(3) + 2);
        }
    }
    sbx_buf_puts(out, "},\"services\":{\"max\":");
    sbx_buf_printf(out, "%u", below(20));
    if (!one_in(3)) {
        list(out, "ports", SBX_RULE_SERVICES);
    }
    sbx_buf_puts(out, "}");
}

static void
random_limits(struct sbx_buf *out)
{
    unsigned i, n = 0;

    sbx_buf_puts(out, ",\"limits\":{");
    for (i = 0; i < SBX_N_LIMITS; i++) {
        enum sbx_limit limit = (enum sbx_limit)i;
        uint64_t floor = sbx_limit_floor(limit), room = sbx_limit_ceiling(limit) - floor;
        uint64_t max = floor + (one_in(2) ? below(room + 1) : below(room / 64 + 1));
        uint64_t fallback = floor + below(max - floor + 1);
        char max_text[32], fallback_text[32];
        unsigned form = below(4);

        sbx_limit_text(max_text, sizeof(max_text), limit, max);
        sbx_limit_text(fallback_text, sizeof(fallback_text), limit, fallback);
        if (form == 0) {
            continue;
        }
        sbx_buf_printf(out, "%s\"%s\":{", n++ > 0 ? "," : "", sbx_limit_key(limit));
        if (form & 1) {
            sbx_buf_printf(out, "\"max\":%s%s", max_text, form == 3 ? "," : "");
        }
        if (form & 2) {
            sbx_buf_printf(out, "\"default\":%s", fallback_text);
        }
        sbx_buf_puts(out, "}");
    }
    sbx_buf_puts(out, "}");
}

static void
random_sessions(struct sbx_buf *out)
{
    unsigned i;

    sbx_buf_printf(out, ",\"sessions\":{\"max\":%u", below(10001));
    if (one_in(2)) {
        sbx_buf_printf(out, ",\"max_lifetime\":%u", below(86400) + 1);
    }
    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        unsigned max = below(86400) + 1;

        if (!one_in(3)) {
            sbx_buf_printf(out, ",\"%s\":{\"default\":%u", sbx_session_time_key((enum sbx_session_time)i),
                           below(max) + 1);
            sbx_buf_printf(out, one_in(2) ? "}" : ",\"max\":%u}", max);
        }
    }
    sbx_buf_puts(out, "}");
}

static void
random_sizes(struct sbx_buf *out)
{
    static const char *const kept[] = { "records", "artifacts", "audit" };
    unsigned i, n = 0;

    sbx_buf_printf(out, ",\"env\":{\"max\":%u},\"files\":{\"max\":%u,\"max_bytes\":%u}", below(20), below(20),
                   below(1u << 20));
    sbx_buf_printf(out, ",\"artifacts\":{\"max\":%u,\"max_bytes\":%u,\"total_bytes\":\"%uGi\"}", below(20),
                   below(1u << 30), below(1025));
    sbx_buf_printf(out, ",\"uploads\":{\"max_bytes\":%u},\"max_wait\":%u,\"retention\":{", below(1u << 31),
                   below(601));
    for (i = 0; i < SBX_COUNT(kept); i++) {
        if (one_in(2)) {
            sbx_buf_printf(out, "%s\"%s\":%u", n++ > 0 ? "," : "", kept[i], below(316224000) + 1);
        }
    }
    sbx_buf_puts(out, "}");
}

static void
random_names(struct sbx_buf *out, const char *key, bool is_rate, bool first)
{
    unsigned i, n = 0;

    sbx_buf_printf(out, "%s\"%s\":{", first ? "" : ",", key);
    for (i = 0; i < 10; i++) {
        if (one_in(2)) {
            sbx_buf_printf(out, "%s\"n%u\":", n++ > 0 ? "," : "", below(3) * 10 + i);
            sbx_buf_printf(out, is_rate ? "{\"rate\":\"%u/s\"}" : "%u", below(999) + 1);
        }
    }
    sbx_buf_puts(out, "}");
}

static void
random_caps(struct sbx_buf *out)
{
    static const char *const scopes[] = { "tenant", "app", "agent" };
    unsigned i;

    sbx_buf_puts(out, ",\"rates\":{");
    random_names(out, "routes", true, true);
    random_names(out, "tools", true, false);
    for (i = 0; i < SBX_COUNT(scopes); i++) {
        if (one_in(2)) {
            sbx_buf_printf(out, ",\"%s\":{\"rate\":\"%u/%c\",\"burst\":%u}", scopes[i], below(999) + 4,
                           "smh"[below(3)], below(100) + 1);
        }
    }
    sbx_buf_puts(out, "},\"concurrency\":{");
    random_names(out, "routes", false, true);
    random_names(out, "tools", false, false);
    for (i = 0; i < SBX_COUNT(scopes); i++) {
        if (one_in(2)) {
            sbx_buf_printf(out, ",\"%s\":%u", scopes[i], below(100) + 1);
        }
    }
    sbx_buf_printf(out, "},\"budgets\":{\"%s\":{\"cpu_per_day\":%u}}", scopes[below(3)],
                   below(3600000000u) + 1);
}

static json_t *
parse(const struct sbx_buf *text)
{
    struct sbx_field_error err;
    json_t *json = NULL;

    if (text->failed || sbx_json_parse(&json, text->data, text->len, &err) != 0) {
        BAIL_OUT("generated what is no JSON: %s: %s", text->failed ? "too long" : text->data, err.message);
    }
    return json;
}

/* `wide`: more is allowed than is not, so that some requests pass several. */
static json_t *
random_document(bool wide)
{
    static const char *const tiers[] = { "process", "gvisor" };
    struct sbx_buf text = SBX_BUF_INIT(1 << 16);
    unsigned odds = wide ? 4 : 2;
    json_t *json;

    sbx_buf_printf(&text, "{\"version\":%u", below(9) + 1);
    if (one_in(odds)) {
        random_limits(&text);
    }
    if (!one_in(odds)) {
        random_lists(&text);
    }
    if (one_in(odds)) {
        random_sessions(&text);
    }
    if (one_in(odds)) {
        random_sizes(&text);
    }
    if (one_in(2)) {
        random_caps(&text);
    }
    if (one_in(odds)) {
        sbx_buf_printf(&text, ",\"isolation\":{\"%s\":\"%s\"}", one_in(2) ? "minimum" : "default",
                       tiers[below(2)]);
    }
    sbx_buf_putc(&text, '}');
    json = parse(&text);
    sbx_buf_deinit(&text);
    return json;
}

/* One or two of the words. */
static void
ask(struct sbx_buf *out, const char *before, const char *key, unsigned kind)
{
    unsigned n = count(asks[kind], SBX_COUNT(asks[kind]));

    sbx_buf_printf(out, "%s\"%s\":[%s", before, key, asks[kind][below(n)]);
    if (one_in(3)) {
        sbx_buf_printf(out, ",%s", asks[kind][below(n)]);
    }
    sbx_buf_puts(out, "]");
}

static void
random_asks(struct sbx_buf *out)
{
    bool pip = one_in(2);

    if (one_in(3)) {
        ask(out, ",\"dependencies\":{", pip ? "pip" : "npm", pip ? SBX_RULE_PIP : SBX_RULE_NPM);
        sbx_buf_puts(out, "}");
    }
    if (one_in(3)) {
        ask(out, ",", "egress", SBX_RULE_EGRESS);
    }
    if (one_in(3)) {
        ask(out, ",", "secrets", SBX_RULE_SECRETS);
    }
    if (one_in(3)) {
        ask(out, ",", "services", SBX_RULE_SERVICES);
    }
}

static json_t *
random_request(enum sbx_policy_kind kind)
{
    static const char *const languages[] = { "python", "javascript", "bash", "ruby" };
    static const char *const templates[] = { "default", "data", "big" };
    struct sbx_buf text = SBX_BUF_INIT(1 << 16);
    json_t *json;

    sbx_buf_printf(&text, "{\"language\":\"%s\"", languages[below(4)]);
    if (one_in(2)) {
        sbx_buf_printf(&text, ",\"template\":\"%s\"", templates[below(3)]);
    }
    if (one_in(3)) {
        sbx_buf_printf(&text, ",\"limits\":{\"memory\":\"%uMi\",\"processes\":%u}", below(1000) + 8,
                       below(600) + 1);
    }
    if (one_in(4)) {
        sbx_buf_printf(&text, ",\"isolation\":\"%s\"", one_in(2) ? "process" : "gvisor");
    }
    if (one_in(4)) {
        sbx_buf_printf(&text, ",\"wait\":%u,\"env\":{\"A\":\"b\"}", below(70));
    }
    if ((kind == SBX_POLICY_SESSION || kind == SBX_POLICY_EXTEND) && one_in(2)) {
        sbx_buf_printf(&text, ",\"ttl\":%u", below(4000) + 1);
    }
    random_asks(&text);
    sbx_buf_putc(&text, '}');
    json = parse(&text);
    sbx_buf_deinit(&text);
    return json;
}
