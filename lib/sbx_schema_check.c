/*
 * Holds a value against a compiled schema. What is asked in passing (not, if, the alternatives of oneOf) is asked without a place to
 * tell errors to, and ends with the first. The work is counted: a value that would take too much of it is refused, however it is.
 */
#include "sbx_schema_inside.h"

#include <float.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sbx_utf8.h"

#define WORK 2000000                  /* nodes asked, values compared, steps of patterns by 16: some 20 ms */
#define WHOLE_FROM 9007199254740992.0 /* 2^53: every double from there on is whole */
#define PATTERN_ON 4096               /* bytes of a string that a pattern is held against */

struct report {
    unsigned n, max; /* max 0: only whether there is one */
    struct sbx_field_error *error;
};

struct check {
    uint64_t work;
    bool spent; /* then no answer counts */
};

/* What every part of a check needs to know. */
struct asked {
    struct check *check;
    struct report *report;
    const struct node *node;
    const json_t *value;
    const struct place *at;
};

static bool is_valid(struct check *check, struct report *report, const struct node *node, const json_t *value,
                     const struct place *at);

static bool
spend(struct check *check, uint64_t steps)
{
    if (steps > check->work) {
        check->spent = true;
        check->work = 0;
        return false;
    }
    check->work -= steps;
    return true;
}

static bool
wants_more(const struct report *report)
{
    return report->n < report->max;
}

/* Messages are made only when somebody wants them: `out` over `text` for those in parts. */
#define MESSAGE_SIZE 512

static bool
tell_at(struct report *report, const struct place *at, const char *message)
{
    struct sbx_field_error *error;
    char field[sizeof(error->field)];

    if (wants_more(report)) {
        error = &report->error[report->n++];
        place_pointer(at, field, sizeof(field));
        sbx_field_error_set(error, field, "%s", message);
    }
    return false;
}

static bool tell(const struct asked *q, const char *fmt, ...) _printf_(2, 3);

static bool
tell(const struct asked *q, const char *fmt, ...)
{
    char message[MESSAGE_SIZE];
    va_list args;

    if (!wants_more(q->report)) {
        return false;
    }
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args); /* cut when too long */
    va_end(args);
    return tell_at(q->report, q->at, message);
}

/* "must be X, not Y" */
static bool
tell_given(const struct asked *q, const char *wanted)
{
    char text[MESSAGE_SIZE];
    struct sbx_buf given = SBX_BUF_OVER(text);

    if (!wants_more(q->report)) {
        return false;
    }
    sbx_buf_puts(&given, "");
    schema_value_write(&given, q->value);
    return tell(q, "must be %s, not %s", wanted, text);
}

/* Every double from 2^53 on is whole. */
static bool
may_have_fraction(double real)
{
    return real < 9007199254740992.0 && real > -9007199254740992.0;
}

/* Toward 0. */
static double
whole_of(double real)
{
    return may_have_fraction(real) ? (double)(int64_t)real : real;
}

static unsigned
types_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return TYPE_OBJECT;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_INTEGER:
        return TYPE_INTEGER | TYPE_NUMBER;
    case JSON_REAL:
        return json_real_value(value) == whole_of(json_real_value(value)) ? TYPE_INTEGER | TYPE_NUMBER
                                                                          : TYPE_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return TYPE_BOOLEAN;
    case JSON_NULL:
        return TYPE_NULL;
    }
    return 0;
}

/* An integer of 64 bits and a double, without rounding either. */
static int
compare_mixed(json_int_t integer, double real)
{
    double whole = whole_of(real);

    if (real >= 0x1p63) {
        return -1;
    }
    if (real < -0x1p63) {
        return 1;
    }
    if (integer != (json_int_t)whole) {
        return integer < (json_int_t)whole ? -1 : 1;
    }
    return (whole > real) - (whole < real);
}

int
schema_number_compare(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        return (json_integer_value(a) > json_integer_value(b)) -
               (json_integer_value(a) < json_integer_value(b));
    }
    if (json_is_integer(a)) {
        return compare_mixed(json_integer_value(a), json_real_value(b));
    }
    if (json_is_integer(b)) {
        return -compare_mixed(json_integer_value(b), json_real_value(a));
    }
    return (json_real_value(a) > json_real_value(b)) - (json_real_value(a) < json_real_value(b));
}

static bool equal(struct check *check, const json_t *a, const json_t *b);

static bool
equal_objects(struct check *check, const json_t *a, const json_t *b)
{
    const char *key;
    json_t *item;

    if (json_object_size(a) != json_object_size(b)) {
        return false;
    }
    json_object_foreach ((json_t *)(uintptr_t)a, key, item) { /* looked at, not changed */
        if (json_object_get(b, key) == NULL || !equal(check, item, json_object_get(b, key))) {
            return false;
        }
    }
    return true;
}

static bool
equal_arrays(struct check *check, const json_t *a, const json_t *b)
{
    size_t i;

    for (i = 0; i < json_array_size(a) && i < json_array_size(b); i++) {
        if (!equal(check, json_array_get(a, i), json_array_get(b, i))) {
            return false;
        }
    }
    return json_array_size(a) == json_array_size(b);
}

static bool
equal(struct check *check, const json_t *a, const json_t *b)
{
    if (!spend(check, 1)) {
        return false;
    }
    if (json_is_number(a) && json_is_number(b)) {
        return schema_number_compare(a, b) == 0;
    }
    if (json_typeof(a) != json_typeof(b)) {
        return false;
    }
    if (json_is_object(a)) {
        return equal_objects(check, a, b);
    }
    if (json_is_array(a)) {
        return equal_arrays(check, a, b);
    }
    if (json_is_string(a)) {
        return json_string_length(a) == json_string_length(b) && spend(check, json_string_length(a) / 16) &&
               memcmp(json_string_value(a), json_string_value(b), json_string_length(a)) == 0;
    }
    return true; /* null, true, false: their type says all */
}

static bool
check_type(const struct asked *q)
{
    char text[MESSAGE_SIZE];
    struct sbx_buf wanted = SBX_BUF_OVER(text);

    if (q->node->types == 0 || (q->node->types & types_of(q->value)) != 0) {
        return true;
    }
    if (wants_more(q->report)) {
        schema_types_write(&wanted, q->node->types);
        (void)tell_given(q, text); /* false, as below */
    }
    return false;
}

static bool
check_choices(const struct asked *q)
{
    const json_t *choices = q->node->choices;
    char text[MESSAGE_SIZE];
    struct sbx_buf wanted = SBX_BUF_OVER(text);
    size_t i, n = json_array_size(choices);

    for (i = 0; i < n; i++) {
        if (equal(q->check, json_array_get(choices, i), q->value)) {
            return true;
        }
    }
    if (!wants_more(q->report)) {
        return false;
    }
    sbx_buf_puts(&wanted, n == 1 ? "" : "one of ");
    for (i = 0; i < n && wanted.len < 100; i++) {
        sbx_buf_puts(&wanted, i == 0 ? "" : ", ");
        schema_value_write(&wanted, json_array_get(choices, i));
    }
    sbx_buf_puts(&wanted, i < n ? ", ..." : "");
    return tell_given(q, text);
}

static bool
check_constant(const struct asked *q)
{
    char text[MESSAGE_SIZE];
    struct sbx_buf wanted = SBX_BUF_OVER(text);

    if (q->node->constant == NULL || equal(q->check, q->node->constant, q->value)) {
        return true;
    }
    if (!wants_more(q->report)) {
        return false;
    }
    schema_value_write(&wanted, q->node->constant);
    return tell_given(q, text);
}

static bool
tell_bound(const struct asked *q, const char *relation, const json_t *bound)
{
    char text[MESSAGE_SIZE];
    struct sbx_buf wanted = SBX_BUF_OVER(text);

    if (!wants_more(q->report)) {
        return false;
    }
    sbx_buf_puts(&wanted, relation);
    sbx_json_dump(&wanted, bound, false);
    return tell_given(q, text);
}

/* Of a double that is whole and of 2^53 or more: its 53 bits, doubled as often as its exponent says. */
static bool
is_large_multiple(double real, uint64_t of)
{
    uint64_t bits, rest;
    int doublings;

    memcpy(&bits, &real, sizeof(bits));
    doublings = (int)(bits >> 52 & 0x7ff) - 1075;
    for (rest = ((bits & 0xfffffffffffff) | 0x10000000000000) % of; doublings > 0; doublings--) {
        rest = rest * 2 % of; /* of is below 2^63 */
    }
    return rest == 0;
}

static bool
is_multiple(const json_t *value, const json_t *of)
{
    double real, quotient;

    if (json_is_integer(value) && json_is_integer(of)) {
        return json_integer_value(value) % json_integer_value(of) == 0;
    }
    real = json_number_value(value);
    if (json_is_integer(of) && may_have_fraction(real)) {
        return real == whole_of(real) && (json_int_t)real % json_integer_value(of) == 0;
    }
    if (json_is_integer(of)) {
        return is_large_multiple(real, (uint64_t)json_integer_value(of));
    }
    quotient = real / json_number_value(of);
    return quotient <= DBL_MAX && quotient >= -DBL_MAX && quotient == whole_of(quotient);
}

static bool
check_number(const struct asked *q)
{
    const struct node *node = q->node;

    if (!json_is_number(q->value)) {
        return true;
    }
    if (node->minimum != NULL && schema_number_compare(q->value, node->minimum) < 0) {
        return tell_bound(q, "at least ", node->minimum);
    }
    if (node->maximum != NULL && schema_number_compare(q->value, node->maximum) > 0) {
        return tell_bound(q, "at most ", node->maximum);
    }
    if (node->above != NULL && schema_number_compare(q->value, node->above) <= 0) {
        return tell_bound(q, "more than ", node->above);
    }
    if (node->below != NULL && schema_number_compare(q->value, node->below) >= 0) {
        return tell_bound(q, "less than ", node->below);
    }
    if (node->multiple != NULL && !is_multiple(q->value, node->multiple)) {
        return tell_bound(q, "a multiple of ", node->multiple);
    }
    return true;
}

static bool
matches(struct check *check, const struct sbx_pattern *pattern, const char *text, size_t len)
{
    return len <= PATTERN_ON && spend(check, sbx_pattern_cost(pattern, len) / 16) &&
           sbx_pattern_match(pattern, text, len);
}

/* A character is a code point, as RFC 8259 has them. */
static int64_t
count_characters(const char *text, size_t len)
{
    int64_t n = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        n += ((uint8_t)text[i] & 0xc0) != 0x80;
    }
    return n;
}

static bool
check_string(const struct asked *q)
{
    const struct node *node = q->node;
    const char *text = json_string_value(q->value);
    char shown[MESSAGE_SIZE];
    struct sbx_buf pattern = SBX_BUF_OVER(shown);
    size_t len = json_string_length(q->value);
    int64_t n = (int64_t)len;

    if (text == NULL) {
        return true;
    }
    if (n > node->max_length || node->min_length > 0) {
        n = count_characters(text, len);
    }
    if (n > node->max_length) {
        return tell(q, "must have at most %" PRId64 " characters, not %" PRId64, node->max_length, n);
    }
    if (n < node->min_length) {
        return tell(q, "must have at least %" PRId64 " character%s, not %" PRId64, node->min_length,
                    node->min_length == 1 ? "" : "s", n);
    }
    if (node->pattern == NULL || matches(q->check, node->pattern, text, len)) {
        return true;
    }
    if (len > PATTERN_ON) {
        return tell(q, "must have at most %d bytes", PATTERN_ON);
    }
    sbx_buf_puts(&pattern, "as the pattern ");
    schema_text_write(&pattern, node->pattern_text, strlen(node->pattern_text));
    return tell_given(q, shown);
}

static bool
check_unique(const struct asked *q)
{
    size_t i, k, n = json_array_size(q->value);

    for (i = 0; q->node->unique && i < n; i++) {
        for (k = 0; k < i; k++) {
            if (equal(q->check, json_array_get(q->value, i), json_array_get(q->value, k))) {
                return tell(q, "must not have an item twice: %zu and %zu are the same", k, i);
            }
        }
    }
    return true;
}

static bool
check_items(const struct asked *q)
{
    const struct node *item_node;
    struct place place;
    size_t i, n = json_array_size(q->value);
    bool good = true;

    for (i = 0; i < n && (good || wants_more(q->report)); i++) {
        item_node = i < q->node->prefix.n ? q->node->prefix.node[i] : q->node->items;
        place = place_of(q->at, NULL, i);
        good &= item_node == NULL ||
                is_valid(q->check, q->report, item_node, json_array_get(q->value, i), &place);
    }
    return good;
}

static bool
check_array(const struct asked *q)
{
    const struct node *node = q->node;
    int64_t n = (int64_t)json_array_size(q->value);
    bool unique;

    if (!json_is_array(q->value)) {
        return true;
    }
    if (n > node->max_items) {
        return tell(q, "must have at most %" PRId64 " items, not %" PRId64, node->max_items, n);
    }
    if (n < node->min_items) {
        return tell(q, "must have at least %" PRId64 " item%s, not %" PRId64, node->min_items,
                    node->min_items == 1 ? "" : "s", n);
    }
    unique = check_unique(q);
    return check_items(q) && unique; /* both, because both tell */
}

static bool
tell_missing(const struct asked *q, const char *name, const char *because)
{
    const struct named *known = schema_map_find(&q->node->properties, name);
    struct place place = place_of(q->at, name, 0);
    char text[MESSAGE_SIZE], other[MESSAGE_SIZE];
    struct sbx_buf message = SBX_BUF_OVER(text), beside = SBX_BUF_OVER(other);

    if (!wants_more(q->report)) {
        return false;
    }
    sbx_buf_puts(&message, "is required");
    if (because != NULL) {
        schema_text_write(&beside, because, strlen(because));
        sbx_buf_printf(&message, " beside %s", other);
    }
    if (known != NULL && known->node->types != 0) {
        sbx_buf_puts(&message, ": ");
        schema_types_write(&message, known->node->types);
    }
    return tell_at(q->report, &place, text);
}

static bool
check_names(const struct asked *q, const json_t *names, const char *because)
{
    const char *name;
    bool good = true;
    size_t i;

    for (i = 0; i < json_array_size(names) && (good || wants_more(q->report)); i++) {
        name = json_string_value(json_array_get(names, i));
        if (json_object_get(q->value, name) == NULL) {
            good = tell_missing(q, name, because);
        }
    }
    return good;
}

static bool
check_dependents(const struct asked *q)
{
    const char *key;
    json_t *names;
    bool good = true;

    json_object_foreach ((json_t *)(uintptr_t)q->node->dependents, key, names) { /* looked at, not changed */
        if (json_object_get(q->value, key) != NULL && (good || wants_more(q->report))) {
            good &= check_names(q, names, key);
        }
    }
    return good;
}

static bool
tell_unknown(const struct asked *q, const char *name)
{
    struct place place = place_of(q->at, name, 0);
    char text[MESSAGE_SIZE];
    struct sbx_buf message = SBX_BUF_OVER(text);

    if (!wants_more(q->report)) {
        return false;
    }
    sbx_buf_puts(&message, "is not known here");
    schema_names_write(&message, &q->node->properties, name);
    return tell_at(q->report, &place, text);
}

static bool
check_name(const struct asked *q, const char *name)
{
    json_t *text;
    bool good;

    if (q->node->names == NULL) {
        return true;
    }
    text = json_string(name);
    if (text == NULL) {
        q->check->spent = true;
        return false;
    }
    good = is_valid(q->check, q->report, q->node->names, text, q->at);
    json_decref(text);
    return good;
}

static bool
check_member(const struct asked *q, const char *name, const json_t *value)
{
    const struct named *known = schema_map_find(&q->node->properties, name);
    struct place place = place_of(q->at, name, 0);
    bool good = check_name(q, name), found = known != NULL;
    size_t i, len = strlen(name);

    if (known != NULL) {
        good &= is_valid(q->check, q->report, known->node, value, &place);
    }
    for (i = 0; i < q->node->patterns.n; i++) {
        if (len > PATTERN_ON) {
            return tell(q, "must not have names of members longer than %d bytes", PATTERN_ON);
        }
        if (matches(q->check, q->node->patterns.entry[i].pattern, name, len)) {
            found = true;
            good &= is_valid(q->check, q->report, q->node->patterns.entry[i].node, value, &place);
        }
    }
    if (found || q->node->additional == NULL) {
        return good;
    }
    if (q->node->additional->never) {
        return tell_unknown(q, name);
    }
    return is_valid(q->check, q->report, q->node->additional, value, &place) && good;
}

static bool
check_object(const struct asked *q)
{
    const struct node *node = q->node;
    int64_t n = (int64_t)json_object_size(q->value);
    const char *key;
    json_t *value;
    bool good;

    if (!json_is_object(q->value)) {
        return true;
    }
    if (n > node->max_members) {
        return tell(q, "must have at most %" PRId64 " members, not %" PRId64, node->max_members, n);
    }
    if (n < node->min_members) {
        return tell(q, "must have at least %" PRId64 " member%s, not %" PRId64, node->min_members,
                    node->min_members == 1 ? "" : "s", n);
    }
    good = check_names(q, node->required, NULL);
    if (node->dependents != NULL && (good || wants_more(q->report))) {
        good &= check_dependents(q);
    }
    json_object_foreach ((json_t *)(uintptr_t)q->value, key, value) { /* looked at, not changed */
        if (!good && !wants_more(q->report)) {
            break;
        }
        good &= check_member(q, key, value);
    }
    return good;
}

/* Asked without telling. */
static bool
fits(const struct asked *q, const struct node *node)
{
    struct report quiet = { 0 };

    return is_valid(q->check, &quiet, node, q->value, q->at);
}

/* What each alternative lacks, as far as there is room to say it. */
static bool
tell_alternatives(const struct asked *q, const struct node_list *list)
{
    struct sbx_field_error first;
    struct report report;
    char text[MESSAGE_SIZE], here[sizeof(first.field)];
    struct sbx_buf message = SBX_BUF_OVER(text);
    size_t i;

    if (!wants_more(q->report)) {
        return false;
    }
    place_pointer(q->at, here, sizeof(here));
    sbx_buf_printf(&message, "fits none of %zu alternatives", list->n);
    for (i = 0; i < list->n && message.len < 140; i++) {
        report = (struct report){ .max = 1, .error = &first };
        if (is_valid(q->check, &report, list->node[i], q->value, q->at) || report.n == 0) {
            break; /* only when the work is spent */
        }
        sbx_buf_printf(&message, "%s (%zu) %s%s%s", i == 0 ? ":" : ";", i + 1,
                       strcmp(first.field, here) == 0 ? "" : first.field,
                       strcmp(first.field, here) == 0 ? "" : " ", first.message);
    }
    return message.failed ? tell(q, "fits none of %zu alternatives", list->n)
                          : tell_at(q->report, q->at, text);
}

static bool
check_any(const struct asked *q)
{
    const struct node_list *list = &q->node->any;
    size_t i;

    for (i = 0; i < list->n; i++) {
        if (fits(q, list->node[i])) {
            return true;
        }
    }
    return list->n == 0 || tell_alternatives(q, list);
}

static bool
check_one(const struct asked *q)
{
    const struct node_list *list = &q->node->one;
    size_t i, n = 0;

    for (i = 0; i < list->n && n < 2; i++) {
        n += fits(q, list->node[i]);
    }
    if (list->n > 0 && n == 0) {
        return tell_alternatives(q, list);
    }
    return n < 2 || tell(q, "must fit only one of %zu alternatives, and fits more", list->n);
}

/* What else is asked of the same value. */
static bool
check_beside(const struct asked *q)
{
    const struct node *node = q->node, *branch = NULL;
    bool good = true;
    size_t i;

    if (node->ref != NULL) {
        good = is_valid(q->check, q->report, node->ref, q->value, q->at);
    }
    for (i = 0; i < node->all.n && (good || wants_more(q->report)); i++) {
        good &= is_valid(q->check, q->report, node->all.node[i], q->value, q->at);
    }
    good = good && check_any(q) && check_one(q);
    if (good && node->none != NULL && fits(q, node->none)) {
        return tell(q, "is of a form that is not taken here");
    }
    if (good && node->condition != NULL) {
        branch = fits(q, node->condition) ? node->then : node->otherwise;
    }
    return branch == NULL ? good : is_valid(q->check, q->report, branch, q->value, q->at);
}

static bool
is_valid(struct check *check, struct report *report, const struct node *node, const json_t *value,
         const struct place *at)
{
    const struct asked q = { check, report, node, value, at };
    bool good;

    if (at->depth > SBX_SCHEMA_DEPTH || !spend(check, 1)) {
        check->spent = true;
        return false;
    }
    if (node->never) {
        return tell(&q, "is not taken here");
    }
    /* What has the wrong type has nothing else right. */
    if (!check_type(&q) || (node->choices != NULL && !check_choices(&q)) || !check_constant(&q)) {
        return false;
    }
    good = check_number(&q) && check_string(&q) && check_array(&q) && check_object(&q);
    return (good || wants_more(report)) && (check_beside(&q) & good);
}

bool
sbx_schema_check(const struct sbx_schema *schema, const json_t *value, struct sbx_schema_errors *ret)
{
    struct report report = { .max = SBX_SCHEMA_ERRORS, .error = ret->error };
    struct check check = { .work = WORK };
    struct place top = PLACE_TOP;
    bool good = is_valid(&check, &report, schema->root, value, &top);

    if (check.spent) {
        sbx_field_error_set(&ret->error[0], "",
                            "has too many values, or too many in one another, to be checked");
        report.n = 1;
        good = false;
    }
    ret->n = report.n;
    return good;
}
