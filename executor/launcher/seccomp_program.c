#include "executor/launcher/seccomp_program.h"

#include <assert.h>
#include <endian.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NR 1024
#define MAX_RULES 1024
#define MAX_JUMP 255 /* of a conditional one */
#define MAX_ACTIONS 4
#define X32_BIT 0x40000000u
#define LOW_WORD (__BYTE_ORDER == __BIG_ENDIAN ? 4u : 0u)

struct entry {
    int nr;
    struct program_rule rule;
};

struct program {
    uint32_t arch, otherwise, foreign;
    uint32_t rest; /* of the call that is being emitted: what holds when no rule fits */
    struct entry entries[MAX_RULES];
    size_t n;
    struct sock_filter *to;
    size_t len, max;
    bool failed; /* sticky: looked at once, at the end */
};

/* Numbers from `first` to the next leaf's; rules [from, from + n) of the sorted entries, none: otherwise. */
struct leaf {
    uint32_t first;
    size_t from, n;
};

struct program *
program_new(uint32_t arch, uint32_t otherwise, uint32_t foreign)
{
    struct program *program = calloc(1, sizeof(*program));

    if (program != NULL) {
        program->arch = arch;
        program->otherwise = otherwise;
        program->foreign = foreign;
    }
    return program;
}

struct program *
program_free(struct program *program)
{
    free(program);
    return NULL;
}

/* As far as both go with the same values they must look at the same thing next. */
static bool
agree(const struct program_rule *a, const struct program_rule *b)
{
    if (a->is_rest != b->is_rest) {
        return true;
    }
    for (unsigned i = 0; i < a->n && i < b->n; i++) {
        if (a->match[i].arg != b->match[i].arg || a->match[i].mask != b->match[i].mask) {
            return false;
        }
        if (a->match[i].value != b->match[i].value) {
            return true;
        }
    }
    return a->n == b->n && a->action == b->action;
}

_must_check_ bool
program_add(struct program *program, int nr, const struct program_rule *rule)
{
    if (nr < 0 || nr >= MAX_NR || rule->n > PROGRAM_MAX_MATCHES || (rule->is_rest && rule->n > 0) ||
        program->n == MAX_RULES) {
        return false;
    }
    for (size_t i = 0; i < program->n; i++) {
        if (program->entries[i].nr != nr) {
            continue;
        }
        if (rule->n == 0 && program->entries[i].rule.n == 0 &&
            rule->is_rest == program->entries[i].rule.is_rest) {
            return true;
        }
        if (!agree(&program->entries[i].rule, rule)) {
            return false;
        }
    }
    program->entries[program->n++] = (struct entry){ nr, *rule };
    return true;
}

static int
by_number(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->nr != y->nr) {
        return x->nr < y->nr ? -1 : 1;
    }
    if (x->rule.is_rest != y->rule.is_rest) {
        return x->rule.is_rest ? -1 : 1;
    }
    for (unsigned i = 0; i < x->rule.n && i < y->rule.n; i++) {
        if (x->rule.match[i].value != y->rule.match[i].value) {
            return x->rule.match[i].value < y->rule.match[i].value ? -1 : 1;
        }
    }
    return 0;
}

static void
emit(struct program *program, unsigned code, uint32_t k, size_t jt, size_t jf)
{
    if (program->len == program->max || jt > MAX_JUMP || jf > MAX_JUMP) {
        program->failed = true;
        return;
    }
    program->to[program->len++] =
        (struct sock_filter){ (unsigned short)code, (unsigned char)jt, (unsigned char)jf, k };
}

static void
emit_load(struct program *program, size_t offset)
{
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void
emit_return(struct program *program, uint32_t action)
{
    emit(program, BPF_RET | BPF_K, action, 0, 0);
}

static void
emit_masked(struct program *program, const struct program_match *match)
{
    emit_load(program, offsetof(struct seccomp_data, args) + match->arg * sizeof(uint64_t) + LOW_WORD);
    if (match->mask != ~0u) {
        emit(program, BPF_ALU | BPF_AND | BPF_K, match->mask, 0, 0);
    }
}

/* How many entries from `at` on have its value at `depth`. */
static size_t
same_value(const struct entry *at, const struct entry *end, unsigned depth)
{
    const struct entry *it = at;

    while (it < end && it->rule.match[depth].value == at->rule.match[depth].value) {
        it++;
    }
    return (size_t)(it - at);
}

/* How many entries from `at` on end at `depth` with consecutive values and the same action. */
static size_t
run_of(const struct entry *at, const struct entry *end, unsigned depth)
{
    size_t n = 1;

    while (at + n < end && at[n].rule.n == depth + 1 && at[n].rule.action == at->rule.action &&
           at[n].rule.match[depth].value == at->rule.match[depth].value + n) {
        n++;
    }
    return n;
}

/* Each action once, behind the tests that lead there: `to` counts instructions from the end of the tests. */
struct exits {
    uint32_t action[MAX_ACTIONS];
    size_t n;
};

static size_t
exit_of(struct program *program, struct exits *exits, uint32_t action)
{
    size_t i = 0;

    while (i < exits->n && exits->action[i] != action) {
        i++;
    }
    if (i == MAX_ACTIONS) {
        program->failed = true;
        return 0;
    }
    exits->n = i == exits->n ? i + 1 : exits->n;
    exits->action[i] = action;
    return i;
}

/* Of those that end here; what none of them takes falls to the first exit. `n_tests`: instructions of all. */
static void
emit_values(struct program *program, const struct entry *at, const struct entry *end, unsigned depth,
            bool is_dry, size_t *n_tests)
{
    struct exits exits = { { program->rest }, 1 };
    size_t n = 0;

    for (size_t run; at < end; at += run) {
        size_t to = exit_of(program, &exits, at->rule.action);
        uint32_t first = at->rule.match[depth].value;

        run = run_of(at, end, depth);
        if (run < 3) {
            for (size_t i = 0; i < run; i++, n++) {
                if (!is_dry) {
                    emit(program, BPF_JMP | BPF_JEQ | BPF_K, first + (uint32_t)i, *n_tests - n - 1 + to, 0);
                }
            }
            continue;
        }
        if (!is_dry) {
            emit(program, BPF_JMP | BPF_JGT | BPF_K, first + (uint32_t)run - 1, 1, 0);
            emit(program, BPF_JMP | BPF_JGE | BPF_K, first, *n_tests - n - 2 + to, 0);
        }
        n += 2;
    }
    for (size_t i = 0; i < exits.n && !is_dry; i++) {
        emit_return(program, exits.action[i]);
    }
    *n_tests = n;
}

static void emit_rules(struct program *program, struct entry *at, struct entry *end, unsigned depth);

/* The block of one value, skipped when it is another's. */
static void
emit_block(struct program *program, struct entry *at, struct entry *end, unsigned depth)
{
    size_t test = program->len;

    emit(program, BPF_JMP | BPF_JEQ | BPF_K, at->rule.match[depth].value, 0, 0);
    emit_rules(program, at, end, depth + 1);
    if (program->failed || program->len - test - 1 > MAX_JUMP) {
        program->failed = true;
        return;
    }
    program->to[test].jf = (unsigned char)(program->len - test - 1);
}

/*
 * Values that lead to further arguments first, each block ending in an answer, so that the accumulator still holds
 * the argument when its test fails; then those that are answers themselves.
 */
static void
emit_rules(struct program *program, struct entry *at, struct entry *end, unsigned depth)
{
    struct entry *keep = at;
    size_t n_tests = 0;

    if (at->rule.n == depth) {
        emit_return(program, at->rule.action);
        return;
    }
    emit_masked(program, &at->rule.match[depth]);
    for (struct entry *it = at; it < end;) {
        size_t n = same_value(it, end, depth);

        if (it->rule.n > depth + 1) {
            emit_block(program, it, it + n, depth);
        } else {
            *keep++ = *it; /* in order still; what is overwritten has been emitted */
        }
        it += n;
    }
    emit_values(program, at, keep, depth, true, &n_tests);
    emit_values(program, at, keep, depth, false, &n_tests);
}

static void
emit_leaf(struct program *program, const struct leaf *leaf)
{
    struct entry *at = &program->entries[leaf->from], *end = at + leaf->n;

    program->rest = program->otherwise;
    if (at < end && at->rule.is_rest) {
        program->rest = at++->rule.action;
    }
    if (at == end) {
        emit_return(program, program->rest);
    } else {
        emit_rules(program, at, end, 0);
    }
}

static void
emit_tree(struct program *program, const struct leaf *leaves, size_t n)
{
    size_t half = n / 2, test = program->len, len;

    if (n == 1) {
        emit_leaf(program, leaves);
        return;
    }
    emit(program, BPF_JMP | BPF_JGE | BPF_K, leaves[half].first, 0, 1);
    emit(program, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_tree(program, leaves, half);
    if (program->failed) {
        return;
    }
    len = program->len - test - 2;
    if (len > MAX_JUMP) {
        program->to[test + 1].k = (uint32_t)len;
    } else {
        /* Near enough for one instruction: what was emitted moves up, jumps within it are relative. */
        program->to[test] =
            (struct sock_filter){ BPF_JMP | BPF_JGE | BPF_K, (unsigned char)len, 0, leaves[half].first };
        memmove(&program->to[test + 1], &program->to[test + 2], len * sizeof(*program->to));
        program->len--;
    }
    emit_tree(program, leaves + half, n - half);
}

/* An answer that does not depend on arguments. */
static uint32_t
plain_action(const struct program *program, const struct leaf *leaf)
{
    return leaf->n == 0 ? program->otherwise : program->entries[leaf->from].rule.action;
}

static bool
is_plain(const struct program *program, const struct leaf *leaf)
{
    return leaf->n == 0 || (leaf->n == 1 && program->entries[leaf->from].rule.n == 0);
}

/* Ranges with one answer are one leaf. */
static void
leaf_append(const struct program *program, struct leaf *leaves, size_t *n, struct leaf leaf)
{
    if (*n > 0 && is_plain(program, &leaves[*n - 1]) && is_plain(program, &leaf) &&
        plain_action(program, &leaves[*n - 1]) == plain_action(program, &leaf)) {
        return;
    }
    leaves[(*n)++] = leaf;
}

static size_t
leaves_make(const struct program *program, struct leaf *leaves)
{
    size_t n = 0;
    uint32_t next = 0;

    for (size_t i = 0, same; i < program->n; i += same) {
        uint32_t nr = (uint32_t)program->entries[i].nr;

        for (same = 1; i + same < program->n && program->entries[i + same].nr == program->entries[i].nr;) {
            same++;
        }
        if (nr > next) {
            leaf_append(program, leaves, &n, (struct leaf){ next, 0, 0 });
        }
        leaf_append(program, leaves, &n, (struct leaf){ nr, i, same });
        next = nr + 1;
    }
    leaf_append(program, leaves, &n, (struct leaf){ next, 0, 0 });
    return n;
}

static bool
is_return(const struct sock_filter *at)
{
    return at->code == (BPF_RET | BPF_K);
}

static bool
is_conditional(const struct sock_filter *at)
{
    return BPF_CLASS(at->code) == BPF_JMP && at->code != (BPF_JMP | BPF_JA);
}

/* Where the jump at `at` by `by` instructions may lead as well: the last return within its reach that answers the same. */
static size_t
shared_return(const struct program *program, size_t at, size_t by)
{
    const struct sock_filter *to = program->to + at + 1;

    for (size_t far = MAX_JUMP; is_return(&to[by]) && far > by; far--) {
        if (at + 1 + far < program->len && is_return(&to[far]) && to[far].k == to[by].k) {
            return far;
        }
    }
    return by;
}

/* Jumps lead forward only, so one look from the first instruction on finds all that is reached. */
static void
mark_reached(const struct program *program, bool *is_reached)
{
    is_reached[0] = true;
    for (size_t i = 0; i < program->len; i++) {
        const struct sock_filter *at = &program->to[i];

        if (!is_reached[i] || is_return(at)) {
            continue;
        }
        if (is_conditional(at)) {
            is_reached[i + 1 + at->jt] = true;
            is_reached[i + 1 + at->jf] = true;
        } else {
            is_reached[i + 1 + (BPF_CLASS(at->code) == BPF_JMP ? at->k : 0)] = true;
        }
    }
}

static void
drop_unreached(struct program *program)
{
    bool is_reached[BPF_MAXINSNS + 1] = { false };
    uint16_t place[BPF_MAXINSNS + 1];
    size_t len = 0;

    mark_reached(program, is_reached);
    for (size_t i = 0; i < program->len; i++) {
        place[i] = (uint16_t)len;
        len += is_reached[i];
    }
    for (size_t i = 0; i < program->len; i++) {
        struct sock_filter at = program->to[i];

        if (!is_reached[i]) {
            continue;
        }
        if (is_conditional(&at)) {
            at.jt = (unsigned char)(place[i + 1 + at.jt] - place[i] - 1);
            at.jf = (unsigned char)(place[i + 1 + at.jf] - place[i] - 1);
        } else if (at.code == (BPF_JMP | BPF_JA)) {
            at.k = (uint32_t)(place[i + 1 + at.k] - place[i] - 1);
        }
        program->to[place[i]] = at;
    }
    program->len = len;
}

/* The kernel translates the program anew for each process that loads it: a return for each leaf is a third of it. */
static void
share_returns(struct program *program)
{
    size_t len;

    do {
        len = program->len;
        for (size_t i = 0; i < len; i++) {
            struct sock_filter *at = &program->to[i];

            if (is_conditional(at)) {
                at->jt = (unsigned char)shared_return(program, i, at->jt);
                at->jf = (unsigned char)shared_return(program, i, at->jf);
            }
        }
        drop_unreached(program);
    } while (program->len < len);
}

_must_check_ size_t
program_compile(struct program *program, struct sock_filter *ret, size_t max)
{
    struct leaf *leaves = calloc(2 * MAX_RULES + 2, sizeof(*leaves));

    if (leaves == NULL) {
        return 0;
    }
    program->to = ret;
    program->max = max;
    program->len = 0;
    program->failed = false;
    qsort(program->entries, program->n, sizeof(program->entries[0]), by_number);
    emit_load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, program->arch, 1, 0);
    emit_return(program, program->foreign);
    emit_load(program, offsetof(struct seccomp_data, nr));
    if (program->arch == AUDIT_ARCH_X86_64) {
        /* -1 is what a tracer makes of a call that it skips, and no call of x32. */
        emit(program, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 2);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, ~0u, 1, 0);
        emit_return(program, program->foreign);
    }
    emit_tree(program, leaves, leaves_make(program, leaves));
    free(leaves);
    if (!program->failed) {
        share_returns(program);
    }
    return program->failed ? 0 : program->len;
}
