/*
 * Entries of lists: what a document may write, what a request may ask for, and the one form in which both are compared.
 * Names of Python packages are compared as PyPI does, hosts without regard to case.
 */
#include "sbx_policy_inside.h"

#include <stdio.h>
#include <string.h>

#define MAX_PART_DIGITS 9
#define MAX_WILDCARD_LABELS SBX_POLICY_SUFFIX_LABELS
#define MAX_PORT 65535

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* How many bytes from `text` are letters, digits or in `others`. */
static size_t
span(const char *text, const char *others)
{
    size_t n = 0;

    while (text[n] != '\0' && (is_digit(text[n]) || is_letter(text[n]) || strchr(others, text[n]) != NULL)) {
        n++;
    }
    return n;
}

/* "1.26.4": up to SBX_VERSION_PARTS numbers of up to nine digits. Returns the bytes it takes; 0: none. */
static size_t
parse_version(struct sbx_version *ret, const char *text)
{
    const char *at = text;
    unsigned digits;

    ret->n = 0;
    for (;;) {
        uint32_t part = 0;

        for (digits = 0; is_digit(at[digits]); digits++) {
            if (digits == MAX_PART_DIGITS) {
                return 0;
            }
            part = part * 10 + (uint32_t)(at[digits] - '0');
        }
        if (digits == 0 || ret->n == SBX_VERSION_PARTS) {
            return 0;
        }
        ret->part[ret->n++] = part;
        at += digits;
        if (*at != '.') {
            return (size_t)(at - text);
        }
        at++;
    }
}

/* Parts that are not there count as zero. */
static int
compare_versions(const struct sbx_version *a, const struct sbx_version *b)
{
    unsigned i;

    for (i = 0; i < a->n || i < b->n; i++) {
        uint32_t left = i < a->n ? a->part[i] : 0, right = i < b->n ? b->part[i] : 0;

        if (left != right) {
            return left < right ? -1 : 1;
        }
    }
    return 0;
}

static bool
bound_holds(const struct sbx_version *version, const struct sbx_version_bound *bound)
{
    int order = compare_versions(version, &bound->version);

    switch (bound->op) {
    case SBX_OP_EQ:
        return order == 0;
    case SBX_OP_NE:
        return order != 0;
    case SBX_OP_GE:
        return order >= 0;
    case SBX_OP_LE:
        return order <= 0;
    case SBX_OP_GT:
        return order > 0;
    case SBX_OP_LT:
        return order < 0;
    }
    return false;
}

bool
sbx_version_fits(const struct sbx_ask *ask, const struct sbx_version_bound *bound, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (!ask->pinned || !bound_holds(&ask->version, &bound[i])) {
            return false;
        }
    }
    return true;
}

/* ">=1.20,<2" */
static bool
parse_bounds(struct sbx_rule *rule, const char *text)
{
    static const char *const ops[] = {
        [SBX_OP_EQ] = "==", [SBX_OP_NE] = "!=", [SBX_OP_GE] = ">=",
        [SBX_OP_LE] = "<=", [SBX_OP_GT] = ">",  [SBX_OP_LT] = "<", /* after those that begin alike */
    };
    struct sbx_version_bound *bound;
    size_t taken;
    unsigned op;

    for (;;) {
        if (rule->n_bounds == SBX_VERSION_BOUNDS) {
            return false;
        }
        bound = &rule->bound[rule->n_bounds++];
        for (op = 0; op < SBX_COUNT(ops) && strncmp(text, ops[op], strlen(ops[op])) != 0; op++) {
        }
        if (op == SBX_COUNT(ops)) {
            return false;
        }
        bound->op = (enum sbx_version_op)op;
        text += strlen(ops[op]);
        taken = parse_version(&bound->version, text);
        text += taken;
        if (taken == 0 || *text == '\0') {
            return taken > 0;
        }
        if (*text++ != ',') {
            return false;
        }
    }
}

/* The name of a Python package at the start of `text`, as PyPI compares it; the bytes it takes, 0: none. */
static size_t
parse_pip_name(char *key, size_t *ret_len, const char *text)
{
    size_t i, len = span(text, "._-"), n = 0;

    if (len == 0 || strchr("._-", text[0]) != NULL || strchr("._-", text[len - 1]) != NULL) {
        return 0;
    }
    for (i = 0; i < len; i++) {
        if (strchr("._-", text[i]) == NULL) {
            key[n++] = lower(text[i]);
        } else if (key[n - 1] != '-') {
            key[n++] = '-';
        }
    }
    *ret_len = n;
    return len;
}

/* "name" or "@scope/name", and in documents `star` for "@scope/" and a star. */
static size_t
parse_npm_name(char *key, size_t *ret_len, const char *text, bool star)
{
    const char *name = text;
    size_t len;

    if (*name == '@') {
        len = span(name + 1, "._~-");
        if (len == 0 || strchr("._~-", name[1]) != NULL || name[1 + len] != '/') {
            return 0;
        }
        name += 1 + len + 1;
    }
    if (star && name != text && *name == '*') {
        len = 1;
    } else {
        len = span(name, "._~-");
        if (len == 0 || strchr("._~-", name[0]) != NULL) {
            return 0;
        }
    }
    len += (size_t)(name - text);
    memcpy(key, text, len);
    *ret_len = len;
    return len;
}

/* "443"; 0 when it is no port. */
static uint16_t
parse_port(const char *text, size_t len)
{
    uint32_t port = 0;
    size_t i;

    if (len == 0 || len > 5 || text[0] == '0') {
        return 0;
    }
    for (i = 0; i < len; i++) {
        if (!is_digit(text[i])) {
            return 0;
        }
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    return port <= MAX_PORT ? (uint16_t)port : 0;
}

/* Four numbers without leading zeros: the one way of writing an address. */
static bool
is_address(const char *text, size_t len)
{
    unsigned parts, digits, value;
    size_t i = 0;

    for (parts = 0; parts < 4; parts++) {
        if (parts > 0 && (i == len || text[i++] != '.')) {
            return false;
        }
        for (digits = 0, value = 0; i < len && is_digit(text[i]) && digits < 3; digits++, i++) {
            value = value * 10 + (unsigned)(text[i] - '0');
        }
        if (digits == 0 || value > 255 || (digits > 1 && text[i - digits] == '0')) {
            return false;
        }
    }
    return i == len;
}

/*
 * Labels with dots between them, the last beginning with a letter: whatever ends in a number is an address to some
 * programs, in forms that no list would recognise. Returns the number of labels, 0: no name.
 */
static unsigned
count_labels(const char *text, size_t len)
{
    const char *end = text + len, *label;
    unsigned n = 0;
    size_t room;

    for (label = text;; label += room + 1) {
        room = span(label, "-_");
        if (room == 0 || label + room > end) {
            return 0;
        }
        n++;
        if (label + room == end) {
            return is_letter(*label) ? n : 0;
        }
        if (label[room] != '.') {
            return 0;
        }
    }
}

/* `host` and `port` of "host:port"; a document may leave the port out and write a star for what is below. */
static bool
parse_egress(char *key, size_t *ret_len, uint16_t *ret_port, const char *text, bool rule)
{
    const char *colon = strchr(text, ':');
    size_t i, len = colon != NULL ? (size_t)(colon - text) : strlen(text);
    unsigned labels;

    *ret_port = 0;
    if (colon != NULL) {
        *ret_port = parse_port(colon + 1, strlen(colon + 1));
    }
    if (*ret_port == 0 && (colon != NULL || !rule)) {
        return false;
    }
    if (rule && len > 2 && text[0] == '*' && text[1] == '.') {
        labels = count_labels(text + 2, len - 2);
        if (labels == 0 || labels > MAX_WILDCARD_LABELS) {
            return false;
        }
        text++;
        len--;
    } else if (!(rule && len == 1 && text[0] == '*') && count_labels(text, len) == 0 &&
               !is_address(text, len)) {
        return false;
    }
    for (i = 0; i < len; i++) {
        key[i] = lower(text[i]);
    }
    *ret_len = len;
    return true;
}

/* 8080 or "9000-9100". */
static bool
parse_ports(struct sbx_rule *rule, const json_t *item)
{
    const char *text, *dash;

    if (json_is_integer(item)) {
        if (json_integer_value(item) < 1 || json_integer_value(item) > MAX_PORT) {
            return false;
        }
        rule->low = rule->high = (uint16_t)json_integer_value(item);
        return true;
    }
    text = json_is_string(item) ? json_string_value(item) : "";
    dash = strchr(text, '-');
    if (dash == NULL) {
        return false;
    }
    rule->low = parse_port(text, (size_t)(dash - text));
    rule->high = parse_port(dash + 1, strlen(dash + 1));
    return rule->low != 0 && rule->low <= rule->high;
}

static bool
parse_package(struct sbx_rule *rule, enum sbx_rule_kind kind, const char *text)
{
    size_t taken;

    if (strcmp(text, "*") == 0) {
        rule->key[0] = '*';
        rule->key_len = 1;
        return true;
    }
    taken = kind == SBX_RULE_PIP ? parse_pip_name(rule->key, &rule->key_len, text)
                                 : parse_npm_name(rule->key, &rule->key_len, text, true);
    return taken > 0 && text[taken] == '\0';
}

/* {"name", "versions"}: both are there. */
static bool
parse_bounded(struct sbx_rule *rule, enum sbx_rule_kind kind, const json_t *item, const char *field,
              struct sbx_field_error *err)
{
    static const char *const known[] = { "name", "versions", NULL };
    char at[sizeof(err->field)];
    const char *text[2];
    const json_t *value;
    unsigned i;

    if (!sbx_policy_members(item, field, known, err)) {
        return false;
    }
    for (i = 0; i < 2; i++) {
        value = json_object_get(item, known[i]);
        text[i] = json_is_string(value) && json_string_length(value) <= SBX_POLICY_MAX_ITEM_LEN
                      ? json_string_value(value)
                      : "";
    }
    if (!parse_package(rule, kind, text[0])) {
        sbx_json_pointer(at, sizeof(at), field, "name", 0);
        sbx_field_error_set(err, at, "must be the name of a package");
        return false;
    }
    if (!parse_bounds(rule, text[1])) {
        sbx_json_pointer(at, sizeof(at), field, "versions", 0);
        sbx_field_error_set(err, at, "must be up to %d bounds such as \">=1.20,<2\"", SBX_VERSION_BOUNDS);
        return false;
    }
    return true;
}

static bool
parse_name(char *key, size_t *ret_len, const json_t *item)
{
    if (!json_is_string(item) || !sbx_policy_name_valid(json_string_value(item), json_string_length(item))) {
        return false;
    }
    *ret_len = json_string_length(item);
    memcpy(key, json_string_value(item), *ret_len);
    return true;
}

/* What an entry must be; for documents, and for requests. */
static const char *const shapes[SBX_N_RULE_KINDS][2] = {
    [SBX_RULE_LANGUAGES] = { "must be a name of 1 to 63 characters A-Z a-z 0-9 _ . + -", "" },
    [SBX_RULE_TEMPLATES] = { "must be a name of 1 to 63 characters A-Z a-z 0-9 _ . + -", "" },
    [SBX_RULE_TOOLS] = { "must be a name of 1 to 63 characters A-Z a-z 0-9 _ . + -", "" },
    [SBX_RULE_PIP] = { "must be the name of a package, \"*\", or an object with name and versions",
                       "must be a package such as \"numpy\" or \"numpy==1.26.4\"" },
    [SBX_RULE_NPM] = { "must be the name of a package, \"@scope/*\", \"*\", or an object with name and "
                       "versions",
                       "must be a package such as \"lodash\" or \"@scope/name@1.2.3\"" },
    [SBX_RULE_EGRESS] = { "must be a host, \"*.\" and a host, or \"*\", with :port or without",
                          "must be host:port" },
    [SBX_RULE_SECRETS] = { "must be a name of 1 to 63 characters A-Z a-z 0-9 _ . + -",
                           "must be a name of 1 to 63 characters A-Z a-z 0-9 _ . + -" },
    [SBX_RULE_SERVICES] = { "must be a port from 1 to 65535, or a range such as \"9000-9100\"",
                            "must be a port from 1 to 65535" },
};

/* What is no text, or too long for any rule, is none of any kind: "". */
static const char *
item_text(const json_t *item)
{
    return json_is_string(item) && json_string_length(item) <= SBX_POLICY_MAX_ITEM_LEN
               ? json_string_value(item)
               : "";
}

bool
sbx_rule_parse(struct sbx_rule *ret, enum sbx_rule_kind kind, const json_t *item, const char *field,
               struct sbx_field_error *err)
{
    const char *text = item_text(item);
    bool fine = false;

    ret->key_len = 0;
    ret->low = ret->high = 0;
    ret->n_bounds = 0;
    switch (kind) {
    case SBX_RULE_LANGUAGES:
    case SBX_RULE_TEMPLATES:
    case SBX_RULE_TOOLS:
    case SBX_RULE_SECRETS:
        fine = parse_name(ret->key, &ret->key_len, item);
        break;
    case SBX_RULE_PIP:
    case SBX_RULE_NPM:
        if (json_is_object(item)) {
            return parse_bounded(ret, kind, item, field, err);
        }
        fine = parse_package(ret, kind, text);
        break;
    case SBX_RULE_EGRESS:
        fine = parse_egress(ret->key, &ret->key_len, &ret->low, text, true);
        ret->high = ret->low;
        break;
    case SBX_RULE_SERVICES:
        fine = parse_ports(ret, item);
        break;
    case SBX_N_RULE_KINDS:
        break;
    }
    if (!fine) {
        sbx_field_error_set(err, field, "%s", shapes[kind][0]);
        return false;
    }
    if (kind == SBX_RULE_LANGUAGES) {
        ret->key[ret->key_len] = '\0';
        text = sbx_language_canonical(ret->key);
        ret->key_len = strlen(text);
        memmove(ret->key, text, ret->key_len);
    }
    return true;
}

/* "numpy", "numpy==1.26.4", "numpy>=1.20,!=1.21.*". */
static bool
ask_pip(struct sbx_ask *ask, const char *text)
{
    static const char *const ops[] = { "===", "==", "!=", ">=", "<=", "~=", ">", "<" };
    size_t taken = parse_pip_name(ask->key, &ask->key_len, text);
    unsigned n = 0, op;

    if (taken == 0) {
        return false;
    }
    for (text += taken; *text != '\0'; text += taken) {
        if (n++ > 0 && *text++ != ',') {
            return false;
        }
        for (op = 0; op < SBX_COUNT(ops) && strncmp(text, ops[op], strlen(ops[op])) != 0; op++) {
        }
        if (op == SBX_COUNT(ops)) {
            return false;
        }
        text += strlen(ops[op]);
        taken = span(text, ".*+!_-");
        if (taken == 0) {
            return false;
        }
        ask->pinned = n == 1 && op == 1 && parse_version(&ask->version, text) == strlen(text);
    }
    return true;
}

/* "lodash", "lodash@4.17.21", "@scope/name@^1.2": a version, a range or a tag, never an address or another name. */
static bool
ask_npm(struct sbx_ask *ask, const char *text)
{
    size_t taken = parse_npm_name(ask->key, &ask->key_len, text, false);

    if (taken == 0 || text[taken] == '\0') {
        return taken > 0;
    }
    if (text[taken++] != '@') {
        return false;
    }
    text += taken;
    ask->pinned = parse_version(&ask->version, text) == strlen(text) && ask->version.n == 3;
    return *text != '\0' && span(text, ".*+^~<>=-") == strlen(text);
}

bool
sbx_ask_parse(struct sbx_ask *ret, enum sbx_rule_kind kind, const json_t *item, const char *field,
              struct sbx_field_error *err)
{
    const char *text = item_text(item);
    bool fine = false;

    ret->key_len = 0;
    ret->port = 0;
    ret->pinned = false;
    switch (kind) {
    case SBX_RULE_LANGUAGES:
    case SBX_RULE_TEMPLATES:
    case SBX_RULE_TOOLS:
    case SBX_RULE_SECRETS:
        fine = parse_name(ret->key, &ret->key_len, item);
        break;
    case SBX_RULE_PIP:
        fine = ask_pip(ret, text);
        break;
    case SBX_RULE_NPM:
        fine = ask_npm(ret, text);
        break;
    case SBX_RULE_EGRESS:
        fine = parse_egress(ret->key, &ret->key_len, &ret->port, text, false);
        break;
    case SBX_RULE_SERVICES:
        fine = json_is_integer(item) && json_integer_value(item) >= 1 && json_integer_value(item) <= MAX_PORT;
        ret->port = fine ? (uint16_t)json_integer_value(item) : 0;
        break;
    case SBX_N_RULE_KINDS:
        break;
    }
    if (!fine) {
        sbx_field_error_set(err, field, "%s", shapes[kind][1]);
    }
    return fine;
}

static void
ask_for(struct sbx_ask *ret, const char *name, size_t len)
{
    ret->key_len = len < sizeof(ret->key) ? len : 0; /* a name is shorter by far */
    ret->port = 0;
    ret->pinned = false;
    memcpy(ret->key, name, ret->key_len);
}

void
sbx_ask_name(struct sbx_ask *ret, const char *name)
{
    ask_for(ret, name, strlen(name));
}

void
sbx_ask_quoted(struct sbx_ask *ret, const char *json)
{
    ask_for(ret, json + 1, strlen(json) - 2);
}
