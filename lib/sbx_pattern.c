/*
 * An expression becomes a program whose jumps are relative, so that a piece of it can be moved and repeated. It is run for all
 * ways at once, character by character: the set of places it may be at is never larger than the program.
 */
#include "sbx_pattern.h"

#include <stdlib.h>
#include <string.h>

#include "sbx_utf8.h"

#define RANGES 512  /* of all sets of one expression */
#define NESTING 32  /* groups in groups */
#define REPEATS 256 /* of a count */
#define LAST_CHAR 0x10ffffu

enum op { OP_SET, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_MATCH };

struct range {
    uint32_t low, high;
};

struct state {
    enum op op;
    int x, y;       /* of jumps: how far */
    unsigned first; /* of a set: its ranges */
    unsigned n;
    bool others; /* what is not in the set */
};

struct sbx_pattern {
    unsigned n_states, n_ranges;
    size_t steps; /* for a character, at most */
    struct state state[SBX_PATTERN_STATES];
    struct range range[RANGES];
};

struct parser {
    struct sbx_pattern *out;
    const char *at, *end;
    unsigned nesting;
    const char *why; /* NULL: well so far */
};

static const struct range digits[] = { { '0', '9' } };
static const struct range words[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
static const struct range spaces[] = { { 0x09, 0x0d },     { 0x20, 0x20 },     { 0xa0, 0xa0 },
                                       { 0x1680, 0x1680 }, { 0x2000, 0x200a }, { 0x2028, 0x2029 },
                                       { 0x202f, 0x202f }, { 0x205f, 0x205f }, { 0x3000, 0x3000 },
                                       { 0xfeff, 0xfeff } };
static const struct range line_ends[] = { { '\n', '\n' }, { '\r', '\r' }, { 0x2028, 0x2029 } };

static bool
refuse(struct parser *p, const char *why)
{
    if (p->why == NULL) {
        p->why = why;
    }
    return false;
}

static bool
emit(struct parser *p, struct state state)
{
    if (p->out->n_states == SBX_PATTERN_STATES) {
        return refuse(p, "is too long with its repetitions written out");
    }
    p->out->state[p->out->n_states++] = state;
    return true;
}

/* Before what begins at `at`: jumps within that stay right, for they are relative. */
static bool
insert(struct parser *p, unsigned at, struct state state)
{
    struct state *states = p->out->state;

    if (!emit(p, state)) {
        return false;
    }
    memmove(states + at + 1, states + at, (p->out->n_states - 1 - at) * sizeof(*states));
    states[at] = state;
    return true;
}

static bool
add_range(struct parser *p, struct state *set, uint32_t low, uint32_t high)
{
    if (p->out->n_ranges == RANGES) {
        return refuse(p, "has too many ranges of characters");
    }
    p->out->range[p->out->n_ranges++] = (struct range){ low, high };
    set->n++;
    return true;
}

/* A class like \d, or what lies between its ranges. */
static bool
add_class(struct parser *p, struct state *set, const struct range *range, size_t n, bool others)
{
    uint32_t next = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        if (!others && !add_range(p, set, range[i].low, range[i].high)) {
            return false;
        }
        if (others && next < range[i].low && !add_range(p, set, next, range[i].low - 1)) {
            return false;
        }
        next = range[i].high + 1;
    }
    return !others || add_range(p, set, next, LAST_CHAR);
}

/* True when `c` names a class, which is added then. */
static bool
is_class(struct parser *p, struct state *set, char c)
{
    switch (c) {
    case 'd':
    case 'D':
        return add_class(p, set, digits, SBX_COUNT(digits), c == 'D');
    case 'w':
    case 'W':
        return add_class(p, set, words, SBX_COUNT(words), c == 'W');
    case 's':
    case 'S':
        return add_class(p, set, spaces, SBX_COUNT(spaces), c == 'S');
    default:
        return false;
    }
}

static uint32_t
take_char(struct parser *p)
{
    const char *s = p->at;
    size_t n = sbx_utf8_sequence(s, (size_t)(p->end - s)), i;
    uint32_t c = (uint8_t)s[0];

    if (n == 0) {
        n = 1; /* only of text that is no UTF-8 */
    } else if (n > 1) {
        c &= 0xffu >> (n + 1);
        for (i = 1; i < n; i++) {
            c = (c << 6) | ((uint8_t)s[i] & 0x3f);
        }
    }
    p->at += n;
    return c;
}

static bool
take_hex(struct parser *p, unsigned n, uint32_t *ret)
{
    static const char alphabet[] = "0123456789abcdef";
    const char *found;

    for (*ret = 0; n > 0; n--) {
        found = p->at < p->end ? memchr(alphabet, p->at[0] | 0x20, sizeof(alphabet) - 1) : NULL;
        if (found == NULL || (p->at[0] < 'A' && (p->at[0] < '0' || p->at[0] > '9'))) {
            return refuse(p, "has an escape with digits missing");
        }
        *ret = *ret << 4 | (uint32_t)(found - alphabet);
        p->at++;
    }
    return true;
}

/* What follows a backslash and is one character. */
static bool
take_escape(struct parser *p, uint32_t *ret)
{
    static const char controls[] = "t\tn\nr\rf\fv\v";
    static const char plain[] = "^$\\.*+?()[]{}|/-";
    char c;
    size_t i;

    if (p->at == p->end) {
        return refuse(p, "ends with a backslash");
    }
    c = *p->at++;
    for (i = 0; i + 1 < sizeof(controls); i += 2) {
        if (controls[i] == c) {
            *ret = (uint8_t)controls[i + 1];
            return true;
        }
    }
    if (c == 'x' || c == 'u') {
        if (!take_hex(p, c == 'x' ? 2 : 4, ret)) {
            return false;
        }
        return (*ret & ~0x7ffu) == 0xd800 ? refuse(p, "has a half of a surrogate pair") : true;
    }
    if (c != '\0' && strchr(plain, c) != NULL) {
        *ret = (uint8_t)c;
        return true;
    }
    return refuse(
        p, "has an escape that is not taken here: those of characters are, \\d \\w \\s and their opposites");
}

/* One member of a bracket: a class, a character, or a range. */
static bool
take_member(struct parser *p, struct state *set)
{
    uint32_t low, high;

    if (p->at[0] == '\\' && p->end - p->at > 1) {
        if (is_class(p, set, p->at[1])) {
            p->at += 2;
            return true;
        }
        p->at++;
        if (!take_escape(p, &low)) {
            return false;
        }
    } else {
        low = take_char(p);
    }
    if (p->end - p->at < 2 || p->at[0] != '-' || p->at[1] == ']') {
        return add_range(p, set, low, low);
    }
    p->at++;
    if (p->at[0] == '\\') {
        p->at++;
        if (!take_escape(p, &high)) {
            return false;
        }
    } else {
        high = take_char(p);
    }
    return low <= high ? add_range(p, set, low, high) : refuse(p, "has a range that runs backwards");
}

static bool
take_bracket(struct parser *p)
{
    struct state set = { .op = OP_SET, .first = p->out->n_ranges };

    if (p->at < p->end && p->at[0] == '^') {
        set.others = true;
        p->at++;
    }
    while (p->at < p->end && p->at[0] != ']') {
        if (!take_member(p, &set)) {
            return refuse(p, "has a bracket with what is not taken there");
        }
    }
    if (p->at == p->end) {
        return refuse(p, "has a bracket without its end");
    }
    p->at++;
    return emit(p, set);
}

static bool take_choice(struct parser *p);

static bool
take_group(struct parser *p)
{
    bool good;

    if (p->end - p->at >= 1 && p->at[0] == '?') {
        if (p->end - p->at < 2 || p->at[1] != ':') {
            return refuse(p, "looks around or names a group, which is not taken here");
        }
        p->at += 2;
    }
    if (++p->nesting > NESTING) {
        return refuse(p, "has too many groups in groups");
    }
    good = take_choice(p);
    p->nesting--;
    if (!good) {
        return false;
    }
    if (p->at == p->end) {
        return refuse(p, "has a group without its end");
    }
    p->at++; /* take_choice() ends before it only */
    return true;
}

static bool
take_one(struct parser *p, uint32_t c)
{
    struct state set = { .op = OP_SET, .first = p->out->n_ranges };

    return add_range(p, &set, c, c) && emit(p, set);
}

static bool
take_escaped(struct parser *p)
{
    struct state set = { .op = OP_SET, .first = p->out->n_ranges };
    uint32_t c;

    if (p->at < p->end && is_class(p, &set, p->at[0])) {
        p->at++;
        return emit(p, set);
    }
    return take_escape(p, &c) && take_one(p, c);
}

static bool
take_atom(struct parser *p)
{
    struct state set = { .op = OP_SET, .others = true, .first = p->out->n_ranges };

    switch (p->at[0]) {
    case '(':
        p->at++;
        return take_group(p);
    case '[':
        p->at++;
        return take_bracket(p);
    case '\\':
        p->at++;
        return take_escaped(p);
    case '.':
        p->at++;
        return add_class(p, &set, line_ends, SBX_COUNT(line_ends), false) && emit(p, set);
    case '^':
    case '$':
        return emit(p, (struct state){ .op = *p->at++ == '^' ? OP_BEGIN : OP_END });
    case '*':
    case '+':
    case '?':
    case '{':
    case '}':
    case ']':
        return refuse(p, "has a character that needs a backslash, or repeats nothing");
    default:
        return take_one(p, take_char(p));
    }
}

static bool
take_number(struct parser *p, unsigned *ret)
{
    const char *first = p->at;

    for (*ret = 0; p->at < p->end && p->at[0] >= '0' && p->at[0] <= '9'; p->at++) {
        *ret = *ret * 10 + (unsigned)(p->at[0] - '0');
        if (*ret > REPEATS) {
            return refuse(p, "repeats something too often");
        }
    }
    return p->at > first;
}

/* {n}, {n,} or {n,m}, without the brace before. `max` 0 with `open`: without an end. */
static bool
take_count(struct parser *p, unsigned *min, unsigned *max, bool *open)
{
    *open = false;
    if (!take_number(p, min)) {
        return refuse(p, "has a brace without a number");
    }
    *max = *min;
    if (p->at < p->end && p->at[0] == ',') {
        p->at++;
        *open = !take_number(p, max);
        if (p->why != NULL) {
            return false;
        }
    }
    if (p->at == p->end || p->at[0] != '}') {
        return refuse(p, "has a brace without its end");
    }
    p->at++;
    return *open || *min <= *max ? true : refuse(p, "has a count that runs backwards");
}

/* Once more what is `len` long in the buffer. */
static bool
again(struct parser *p, const struct state *piece, unsigned len)
{
    unsigned i;

    for (i = 0; i < len; i++) {
        if (!emit(p, piece[i])) {
            return false;
        }
    }
    return true;
}

/* Writes out what stands last, from `first` on, `min` to `max` times. */
static bool
repeat(struct parser *p, unsigned first, unsigned min, unsigned max, bool open)
{
    struct state piece[SBX_PATTERN_STATES];
    unsigned len = p->out->n_states - first, i;
    int far = (int)len;

    memcpy(piece, p->out->state + first, len * sizeof(piece[0]));
    p->out->n_states = first;
    for (i = 0; i < min; i++) {
        if (!again(p, piece, len)) {
            return false;
        }
    }
    if (open) {
        return emit(p, (struct state){ .op = OP_SPLIT, .x = 1, .y = far + 2 }) && again(p, piece, len) &&
               emit(p, (struct state){ .op = OP_JUMP, .x = -far - 1 });
    }
    for (; i < max; i++) {
        if (!emit(p, (struct state){ .op = OP_SPLIT, .x = 1, .y = far + 1 }) || !again(p, piece, len)) {
            return false;
        }
    }
    return true;
}

static bool
is_repeat(char c)
{
    return c == '*' || c == '+' || c == '?' || c == '{';
}

/* What says how often; without one, once. Lazy or not is the same to who asks only whether. */
static bool
take_repeat(struct parser *p, unsigned first)
{
    unsigned min = 0, max = 1;
    bool open = false;
    char c = p->at < p->end ? p->at[0] : '\0';

    if (!is_repeat(c)) {
        return true;
    }
    p->at++;
    if (c == '{' && !take_count(p, &min, &max, &open)) {
        return false;
    }
    if (c == '*' || c == '+') {
        min = c == '+';
        open = true;
    }
    if (p->at < p->end && p->at[0] == '?') {
        p->at++;
    }
    if (p->at < p->end && is_repeat(p->at[0])) {
        return refuse(p, "repeats a repetition without a group");
    }
    return repeat(p, first, min, max, open);
}

static bool
take_sequence(struct parser *p)
{
    unsigned first;

    while (p->at < p->end && p->at[0] != '|' && p->at[0] != ')') {
        first = p->out->n_states;
        if (!take_atom(p) || !take_repeat(p, first)) {
            return false;
        }
    }
    return true;
}

/* Up to the end, or to a closing parenthesis when one is open. */
static bool
take_choice(struct parser *p)
{
    unsigned first = p->out->n_states, skip;

    if (!take_sequence(p)) {
        return false;
    }
    if (p->at < p->end && p->at[0] == '|') {
        p->at++;
        if (!insert(p, first, (struct state){ .op = OP_SPLIT, .x = 1 }) ||
            !emit(p, (struct state){ .op = OP_JUMP })) {
            return false;
        }
        skip = p->out->n_states - 1;
        p->out->state[first].y = (int)(skip + 1 - first);
        if (!take_choice(p)) {
            return false;
        }
        p->out->state[skip].x = (int)(p->out->n_states - skip);
    }
    if (p->at < p->end && p->at[0] == ')' && p->nesting == 0) {
        return refuse(p, "ends a group that was not begun");
    }
    return true;
}

/* What is repeated shares its ranges, which are looked through each time. */
static size_t
steps_of(const struct sbx_pattern *pattern)
{
    size_t steps = 1;
    unsigned i;

    for (i = 0; i < pattern->n_states; i++) {
        steps += 1 + pattern->state[i].n;
    }
    return steps;
}

int
sbx_pattern_compile(struct sbx_pattern **ret, const char *text, size_t len, const char **why)
{
    struct parser p = { .at = text, .end = text + len };

    if (len > SBX_PATTERN_MAX) {
        *why = "is too long";
        return SBX_PATTERN_E_FORM;
    }
    p.out = calloc(1, sizeof(*p.out));
    if (p.out == NULL) {
        return -ENOMEM;
    }
    if (!take_choice(&p) || !emit(&p, (struct state){ .op = OP_MATCH })) {
        *why = p.why;
        (void)sbx_pattern_free(p.out);
        return SBX_PATTERN_E_FORM;
    }
    p.out->steps = steps_of(p.out);
    *ret = p.out;
    return 0;
}

struct sbx_pattern *
sbx_pattern_free(struct sbx_pattern *pattern)
{
    free(pattern);
    return NULL;
}

/* The places a text may have led to; each once. */
struct places {
    unsigned n;
    uint16_t at[SBX_PATTERN_STATES];
    bool has[SBX_PATTERN_STATES];
};

struct run {
    const struct sbx_pattern *pattern;
    bool begin, end; /* of the text, here */
};

/* Adds a place and where it leads without a character. True when that is the match. */
static bool
reach(const struct run *run, struct places *places, unsigned first)
{
    uint16_t todo[SBX_PATTERN_STATES * 2];
    const struct state *state;
    unsigned n = 0, at;

    todo[n++] = (uint16_t)first;
    while (n > 0) {
        at = todo[--n];
        if (places->has[at]) {
            continue;
        }
        places->has[at] = true;
        state = &run->pattern->state[at];
        switch (state->op) {
        case OP_MATCH:
            return true;
        case OP_SET:
            places->at[places->n++] = (uint16_t)at;
            break;
        case OP_SPLIT:
            todo[n++] = (uint16_t)((int)at + state->y);
            todo[n++] = (uint16_t)((int)at + state->x);
            break;
        case OP_JUMP:
            todo[n++] = (uint16_t)((int)at + state->x);
            break;
        case OP_BEGIN:
        case OP_END:
            if (state->op == OP_BEGIN ? run->begin : run->end) {
                todo[n++] = (uint16_t)(at + 1);
            }
            break;
        }
    }
    return false;
}

static bool
set_has(const struct sbx_pattern *pattern, const struct state *set, uint32_t c)
{
    const struct range *range = pattern->range + set->first;
    unsigned i;

    for (i = 0; i < set->n; i++) {
        if (c >= range[i].low && c <= range[i].high) {
            return !set->others;
        }
    }
    return set->others;
}

bool
sbx_pattern_match(const struct sbx_pattern *pattern, const char *text, size_t len)
{
    struct run run = { .pattern = pattern, .begin = true, .end = len == 0 };
    struct parser p = { .at = text, .end = text + len };
    struct places places[2], *now = &places[0], *next = &places[1], *swap;
    uint32_t c;
    unsigned i;

    memset(places, 0, sizeof(places));
    if (reach(&run, now, 0)) {
        return true;
    }
    while (p.at < p.end) {
        c = take_char(&p);
        run.begin = false;
        run.end = p.at == p.end;
        next->n = 0;
        memset(next->has, 0, pattern->n_states);
        for (i = 0; i < now->n; i++) {
            if (set_has(pattern, &pattern->state[now->at[i]], c) && reach(&run, next, now->at[i] + 1u)) {
                return true;
            }
        }
        if (reach(&run, next, 0)) { /* it may begin anywhere */
            return true;
        }
        swap = now;
        now = next;
        next = swap;
    }
    return false;
}

size_t
sbx_pattern_cost(const struct sbx_pattern *pattern, size_t len)
{
    return (len + 1) * pattern->steps;
}
